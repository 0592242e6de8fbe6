//! The same promises on the wall clock, as programs use the store, and with writes that the operating system holds.

use storage_fs::{Durability, FsConfig, FsProvider};

storage_core::conformance_suite!(real_clock, |setup| async move {
    let config = FsConfig {
        max_payload: setup.max_payload(),
        durability: Durability::Buffered,
        ..FsConfig::default()
    };
    FsProvider::builder(setup.directory()).config(config).open().await
});
