//! The whole contract on PostgreSQL.

#![cfg(feature = "postgres")]

use storage_sql::SqlProvider;

mod support;

storage_core::conformance_suite!(|setup| async move {
    let mut config = support::postgres::config(setup.name());
    config.max_payload = setup.max_payload();
    SqlProvider::builder(config).clock(setup.clock()).connect().await
});
