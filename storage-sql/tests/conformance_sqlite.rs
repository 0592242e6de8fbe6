//! The whole contract on SQLite, with a clock that is held and with that of the machine.

#![cfg(feature = "sqlite")]

use storage_core::{Result, conformance::Setup};
use storage_sql::{SqlConfig, SqlProvider};

async fn open(setup: Setup) -> Result<SqlProvider> {
    let file = setup.directory().join("store.db");
    let mut config = SqlConfig::from_url(&format!("sqlite:{}", file.display()))?;
    config.max_payload = setup.max_payload();
    SqlProvider::builder(config).clock(setup.clock()).connect().await
}

mod held_clock {
    storage_core::conformance_suite!(super::open);
}

mod real_clock {
    storage_core::conformance_suite!(real_clock, super::open);
}
