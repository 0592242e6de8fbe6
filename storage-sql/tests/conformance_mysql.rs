//! The whole contract on MariaDB or MySQL.

#![cfg(feature = "mysql")]

use storage_sql::SqlProvider;

mod support;

storage_core::conformance_suite!(|setup| async move {
    let mut config = support::mysql::config(setup.name());
    config.max_payload = setup.max_payload();
    SqlProvider::builder(config).clock(setup.clock()).connect().await
});
