//! The whole contract on SQLite.

#![cfg(feature = "sqlite")]

use storage_sql::{SqlConfig, SqlProvider};

storage_core::conformance_suite!(|setup| async move {
    let file = setup.directory().join("store.db");
    let mut config = SqlConfig::from_url(&format!("sqlite:{}", file.display()))?;
    config.max_payload = setup.max_payload();
    SqlProvider::builder(config).clock(setup.clock()).connect().await
});
