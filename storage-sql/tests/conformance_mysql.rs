//! The whole contract on MariaDB or MySQL, with a clock that is held and with that of the machine.

#![cfg(feature = "mysql")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests state what they expect by panicking"
)]

use storage_core::{Result, conformance::Setup};
use storage_sql::SqlProvider;

mod support;

async fn open(setup: Setup) -> Result<SqlProvider> {
    let mut config = support::mysql::config(setup.name());
    config.max_payload = setup.max_payload();
    SqlProvider::builder(config).clock(setup.clock()).connect().await
}

mod held_clock {
    storage_core::conformance_suite!(super::open);
}

mod real_clock {
    storage_core::conformance_suite!(real_clock, super::open);
}
