//! What the contract promises of a plain table on MariaDB or MySQL: everything that its capabilities claim, and `Unsupported`
//! for the rest. Deadlines are numbers in one table and times in the other.

#![cfg(feature = "mysql")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests state what they expect by panicking"
)]

use storage_core::{Result, conformance::Setup};
use storage_sql::{Schema, SqlConfig, SqlProvider};

mod support;

async fn open(setup: Setup, columns: &str) -> Result<SqlProvider> {
    support::mysql::execute(&format!("CREATE TABLE IF NOT EXISTS `{}` ({columns})", setup.name())).await;
    let config = SqlConfig {
        schema: Schema::Plain,
        id_column_name: "name".into(),
        payload_column_name: "content".into(),
        expire_column_name: "gone".into(),
        // That of most checks.
        content_type: "note".into(),
        max_payload: setup.max_payload(),
        ..support::mysql::config(setup.name())
    };
    SqlProvider::builder(config).clock(setup.clock()).connect().await
}

mod seconds {
    storage_core::conformance_suite!(|setup| super::open(
        setup,
        "name VARBINARY(1024) PRIMARY KEY, content LONGBLOB NOT NULL, gone BIGINT, note INT DEFAULT 7"
    ));
}

mod times {
    storage_core::conformance_suite!(|setup| super::open(
        setup,
        "id INT AUTO_INCREMENT PRIMARY KEY, gone DATETIME(3), content LONGBLOB, name VARBINARY(1024) NOT NULL UNIQUE"
    ));
}
