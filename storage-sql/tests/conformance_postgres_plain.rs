//! What the contract promises of a plain table on PostgreSQL: everything that its capabilities claim, and `Unsupported` for the
//! rest.

#![cfg(feature = "postgres")]
#![allow(clippy::unwrap_used, reason = "tests state what they expect by panicking")]

use storage_sql::{Schema, SqlProvider};

mod support;

storage_core::conformance_suite!(|setup| async move {
    let (client, connection) =
        tokio_postgres::connect(&support::postgres::url(), tokio_postgres::NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    let table = setup.name();
    // The key in the order of a language, as most tables have it.
    let made = format!(
        "CREATE TABLE IF NOT EXISTS {table} (name text PRIMARY KEY, content bytea NOT NULL, gone bigint)"
    );
    client.batch_execute(&made).await.unwrap();
    drop(client);
    connection.await.unwrap().unwrap();
    let mut config = support::postgres::config(table);
    config.schema = Schema::Plain;
    config.id_column_name = "name".into();
    config.payload_column_name = "content".into();
    config.expire_column_name = "gone".into();
    // That of most checks.
    config.content_type = "note".into();
    config.max_payload = setup.max_payload();
    SqlProvider::builder(config).clock(setup.clock()).connect().await
});
