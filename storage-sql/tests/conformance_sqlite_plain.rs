//! What the contract promises of a plain table on SQLite: everything that its capabilities claim, and `Unsupported` for the rest.

#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, reason = "tests state what they expect by panicking")]

use storage_sql::{Schema, SqlConfig, SqlProvider};

storage_core::conformance_suite!(|setup| async move {
    let file = setup.directory().join("plain.db");
    let made = rusqlite::Connection::open(&file).unwrap();
    let table = "CREATE TABLE IF NOT EXISTS entries (name VARCHAR(255) PRIMARY KEY, content BLOB NOT NULL, gone BIGINT)";
    // A file that a check has damaged says so when the provider opens it.
    drop(made.execute_batch(table));
    drop(made);
    let mut config = SqlConfig::from_url(&format!("sqlite:{}", file.display()))?;
    config.schema = Schema::Plain;
    config.table_name = "entries".into();
    config.id_column_name = "name".into();
    config.payload_column_name = "content".into();
    config.expire_column_name = "gone".into();
    // That of most checks.
    config.content_type = "note".into();
    config.max_payload = setup.max_payload();
    SqlProvider::builder(config).clock(setup.clock()).connect().await
});
