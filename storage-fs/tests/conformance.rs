//! Everything that `storage-core` promises, checked against a store in a directory.

use storage_fs::{FsConfig, FsProvider};

storage_core::conformance_suite!(|setup| async move {
    let config = FsConfig { max_payload: setup.max_payload(), ..FsConfig::default() };
    FsProvider::builder(setup.directory()).config(config).clock(setup.clock()).open().await
});
