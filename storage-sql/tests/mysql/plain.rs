//! Plain tables: which are taken, and what is made of theirs.

use std::time::Duration;

use storage_core::{
    Clock as _, ErrorKind, ItemKey, ManualClock, SaveRequest, StorageProvider as _, Timestamp,
};
use storage_sql::{Schema, SqlConfig, SqlProvider};
use test_servers::mariadb::Server;

use super::support::{self, corpus};

fn config(server: &Server, table: &str) -> SqlConfig {
    SqlConfig { schema: Schema::Plain, ..support::mysql::on(server, table) }
}

fn value(key: &str) -> ItemKey<'_> {
    ItemKey::new("value", key).unwrap()
}

#[tokio::test]
async fn a_table_that_cannot_keep_the_contract_is_refused_with_what_would_help() {
    let server = Server::start().unwrap();
    for (columns, named) in [
        ("`key` VARCHAR(255) PRIMARY KEY, value BLOB, expires_at BIGINT", "VARBINARY"),
        ("`key` VARCHAR(255) COLLATE utf8mb4_bin PRIMARY KEY, value BLOB, expires_at BIGINT", "VARBINARY"),
        ("`key` VARBINARY(255), value BLOB, expires_at BIGINT, KEY (`key`)", "unique"),
        ("`key` VARBINARY(255), value BLOB, expires_at BIGINT, UNIQUE (`key`(9))", "unique"),
        ("`key` VARBINARY(255), value BLOB, expires_at BIGINT, PRIMARY KEY (`key`, expires_at)", "unique"),
        // Every save would have the same id, and overwrite the item that has it.
        (
            "id INT DEFAULT 0 PRIMARY KEY, `key` VARBINARY(255) UNIQUE, value BLOB, expires_at BIGINT",
            "PRIMARY",
        ),
        (
            "`key` VARBINARY(255) PRIMARY KEY, value VARBINARY(9), expires_at BIGINT, UNIQUE taken (value)",
            "taken",
        ),
        ("`key` VARBINARY(255) PRIMARY KEY, value CHAR(9), expires_at BIGINT", "value"),
        ("`key` VARBINARY(255) PRIMARY KEY, value BLOB, expires_at DATE", "expires_at"),
        ("`key` VARBINARY(255) PRIMARY KEY, value BLOB", "expires_at"),
    ] {
        server.execute(&format!("CREATE OR REPLACE TABLE entries ({columns})"));
        let error = SqlProvider::connect(config(&server, "entries")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{columns}: {error}");
        assert!(error.message().contains(named), "{columns}: {error}");
    }
    let error = SqlProvider::connect(config(&server, "missing")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    // What the error says to do is enough.
    let (_, statement) = error.message().split_once("this makes one: ").unwrap();
    server.execute(statement);
    let store = SqlProvider::connect(config(&server, "missing")).await.unwrap();
    corpus_of_keys(&store).await;
    store.close().await.unwrap();
}

/// Keys that collations fold stay apart.
async fn corpus_of_keys(store: &SqlProvider) {
    let keys: Vec<_> = corpus::HOSTILE.iter().filter(|key| ItemKey::new("value", key).is_ok()).collect();
    for key in &keys {
        store.save(SaveRequest::new(value(key), key.as_bytes().to_vec())).await.unwrap();
    }
    for key in &keys {
        assert_eq!(store.load(value(key)).await.unwrap().unwrap().data, key.as_bytes(), "{key:?}");
        assert!(store.delete(value(key), storage_core::Condition::None).await.unwrap(), "{key:?}");
    }
}

#[tokio::test]
async fn other_programs_read_the_same_rows() {
    let server = Server::start().unwrap();
    let start: Timestamp = "2026-03-01T12:00:00.25Z".parse().unwrap();
    for (table, expires, shown) in [
        ("numbers", "BIGINT", "1772366401"),
        ("seconds", "DATETIME", "2026-03-01 12:00:01"),
        ("micros", "TIMESTAMP(6) NULL", "2026-03-01 12:00:00.500000"),
    ] {
        server.execute(&format!(
            "SET time_zone = '+00:00'; CREATE TABLE {table} (`key` VARCHAR(100) CHARACTER SET utf8mb4 \
             COLLATE utf8mb4_nopad_bin PRIMARY KEY, value TEXT CHARACTER SET utf8mb4, expires_at {expires}); \
             INSERT INTO {table} VALUES ('theirs', 'written by them', NULL), ('control\\n', 'no key', NULL)"
        ));
        let clock = ManualClock::new(start);
        let store =
            SqlProvider::builder(config(&server, table)).clock(clock.shared()).connect().await.unwrap();
        let theirs = store.load(value("theirs")).await.unwrap().unwrap();
        assert_eq!((&theirs.data[..], theirs.metadata.expires_at), (&b"written by them"[..], None));

        let deadline = start.saturating_add(Duration::from_millis(250));
        let saved = store.save(SaveRequest::new(value("ours"), "grüße").expires_at(deadline)).await.unwrap();
        assert_eq!(store.load(value("ours")).await.unwrap().as_ref(), Some(&saved), "{table}");
        let row =
            format!("SET time_zone = '+00:00'; SELECT value, expires_at FROM {table} WHERE `key` = 'ours'");
        assert_eq!(server.execute(&row), format!("grüße\t{shown}"), "{table}");

        let invalid = store.save(SaveRequest::new(value("ours"), vec![0xff_u8])).await.unwrap_err();
        assert_eq!(invalid.kind(), ErrorKind::Invalid, "{table}: {invalid:?}");
        let long = "k".repeat(101);
        let invalid = store.save(SaveRequest::new(value(&long), "data")).await.unwrap_err();
        assert_eq!(invalid.kind(), ErrorKind::Invalid, "{table}: {invalid:?}");
        let max = store.info().capabilities.max_payload;
        assert_eq!(max, 65_535, "{table}");

        assert_eq!(store.count(&storage_core::StorageQuery::new()).await.unwrap(), 2, "{table}");
        clock.set(saved.metadata.expires_at.unwrap());
        assert!(clock.now() >= deadline);
        assert_eq!(store.load(value("ours")).await.unwrap(), None, "{table}");
        assert_eq!(store.cleanup().await.unwrap().expired, 1, "{table}");
        assert_eq!(server.execute(&format!("SELECT COUNT(*) FROM {table}")), "2", "{table}");
        store.close().await.unwrap();
    }
}
