//! Plain tables: whatever shape they have, and those that they must not have.

use std::time::Duration;

use storage_core::{
    Clock, Condition, ErrorKind, ItemKey, ManualClock, SaveRequest, StorageError, StorageProvider,
    StorageQuery,
};
use storage_sql::{Schema, SqlConfig, SqlProvider};
use test_servers::postgres::Server;

use crate::support::postgres::on;

fn config(server: &Server, table: &str) -> SqlConfig {
    let mut config = on(server, table);
    config.schema = Schema::Plain;
    config.content_type = "note".to_owned();
    config
}

async fn open(server: &Server, table: &str, clock: &ManualClock) -> SqlProvider {
    SqlProvider::builder(config(server, table)).clock(clock.shared()).connect().await.unwrap()
}

async fn refused(server: &Server, table: &str) -> StorageError {
    SqlProvider::builder(config(server, table)).connect().await.unwrap_err()
}

fn key(key: &str) -> ItemKey<'_> {
    ItemKey::new("note", key).unwrap()
}

#[tokio::test]
async fn a_plain_table_works_in_every_shape_that_can_hold_keys_values_and_deadlines() {
    let Some(server) = test_servers::found(Server::start()) else { return };
    let clock = ManualClock::default();
    let shapes = [
        ("seconds", "key varchar(255) PRIMARY KEY, value bytea NOT NULL, expires_at bigint"),
        ("short_seconds", "key text PRIMARY KEY, value bytea, expires_at integer NOT NULL DEFAULT 0"),
        ("zoned", "key text COLLATE \"C\" PRIMARY KEY, value bytea NOT NULL, expires_at timestamptz"),
        ("unzoned", "id serial PRIMARY KEY, key text UNIQUE, value bytea, expires_at timestamp"),
        ("texts", "key text PRIMARY KEY, value text NOT NULL, expires_at bigint, note text DEFAULT 'theirs'"),
    ];
    for (table, columns) in shapes {
        server.sql(&format!("CREATE TABLE {table} ({columns})"));
        let store = open(&server, table, &clock).await;
        let soon = clock.now().saturating_add(Duration::from_millis(2_500));
        for name in ["a", "B", "aa", "é", "a'b"] {
            let request = SaveRequest::new(key(name), format!("data of {name}"));
            let expires = (table != "short_seconds" || name == "a").then_some(soon);
            if name != "B" && expires.is_some() {
                store.save(request.expires_at(soon)).await.unwrap();
            } else if table != "short_seconds" {
                store.save(request).await.unwrap();
            } else {
                // The column takes no NULL, and its owner writes 0 for one that stays.
                let kind = store.save(request).await.unwrap_err().kind();
                assert_eq!(kind, ErrorKind::Config);
                server.sql(&format!(
                    "INSERT INTO {table} VALUES ('{}', 'theirs', 0)",
                    name.replace('\'', "''")
                ));
            }
        }
        let keys: Vec<_> = store.search(&StorageQuery::new()).await.unwrap().results;
        let keys: Vec<_> = keys.iter().map(|hit| hit.item.metadata.key.as_str()).collect();
        assert_eq!(keys, ["B", "a", "a'b", "aa", "é"], "{table}");
        assert_eq!(store.count(&StorageQuery::new().pattern("a*")).await.unwrap(), 3, "{table}");
        let item = store.load(key("a")).await.unwrap().unwrap();
        assert_eq!(&item.data[..], b"data of a", "{table}");
        let kept = item.metadata.expires_at.unwrap();
        assert!(kept >= soon && kept < soon.saturating_add(Duration::from_secs(1)), "{table}: {kept}");
        assert!(store.load_many(&[key("B")]).await[0].as_ref().unwrap().is_some());
        clock.advance(Duration::from_millis(3_500));
        assert!(store.load(key("a")).await.unwrap().is_none(), "{table}");
        assert!(store.load(key("B")).await.unwrap().is_some(), "{table}");
        assert!(!store.delete(key("a"), Condition::None).await.unwrap(), "{table}");
        assert!(store.cleanup().await.unwrap().expired >= 1, "{table}");
        assert!(store.delete(key("B"), Condition::None).await.unwrap(), "{table}");
        assert_eq!(
            store.usage().await.unwrap().total().items,
            store.count(&StorageQuery::new()).await.unwrap()
        );
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_plain_table_of_a_wrong_shape_is_refused_with_what_is_wrong() {
    let Some(server) = test_servers::found(Server::start()) else { return };
    let error = refused(&server, "nowhere").await;
    assert_eq!(error.kind(), ErrorKind::Config);
    let text = error.to_string();
    // What the message says to paste makes a table that works.
    let statements = &text[text.find("CREATE TABLE").unwrap()..text.rfind(';').unwrap()];
    server.sql(statements);
    let store = open(&server, "nowhere", &ManualClock::default()).await;
    store.save(SaveRequest::new(key("a"), "data")).await.unwrap();

    server
        .sql("CREATE COLLATION folding (provider = icu, locale = 'und-u-ks-level2', deterministic = false)");
    for (table, columns, wrong) in [
        ("no_value", "key text PRIMARY KEY, expires_at bigint", "no column value"),
        ("not_unique", "key text, value bytea, expires_at bigint", "primary key"),
        (
            "two_columns",
            "key text, value bytea, expires_at bigint, PRIMARY KEY (key, expires_at)",
            "primary key",
        ),
        ("padded", "key char(20) PRIMARY KEY, value bytea, expires_at bigint", "byte for byte"),
        ("numbers", "key int PRIMARY KEY, value bytea, expires_at bigint", "byte for byte"),
        ("folded", "key text COLLATE folding PRIMARY KEY, value bytea, expires_at bigint", "byte for byte"),
        ("documents", "key text PRIMARY KEY, value jsonb, expires_at bigint", "bytea"),
        ("floats", "key text PRIMARY KEY, value bytea, expires_at float8", "timestamptz"),
        ("days", "key text PRIMARY KEY, value bytea, expires_at date", "timestamptz"),
    ] {
        server.sql(&format!("CREATE TABLE {table} ({columns})"));
        let error = refused(&server, table).await;
        assert_eq!(error.kind(), ErrorKind::Config, "{table}: {error:?}");
        assert!(error.message().contains(wrong) && error.message().contains(table), "{table}: {error:?}");
    }
}

#[tokio::test]
async fn what_does_not_fit_a_plain_column_is_refused_alone() {
    let Some(server) = test_servers::found(Server::start()) else { return };
    let clock = ManualClock::default();
    server.sql("CREATE TABLE narrow (key varchar(10) PRIMARY KEY, value text NOT NULL, expires_at integer)");
    let store = open(&server, "narrow", &clock).await;
    let late = clock.now().saturating_add(Duration::from_secs(100 * 366 * 24 * 3_600));
    let requests = vec![
        SaveRequest::new(key("good"), "text"),
        SaveRequest::new(key("much too long a key"), "text"),
        SaveRequest::new(key("binary"), vec![0xff, 0xfe]),
        SaveRequest::new(key("nul"), vec![0]),
        SaveRequest::new(key("late"), "text").expires_at(late),
        SaveRequest::new(key("fine"), "text"),
    ];
    let answers = store.save_many(requests).await;
    let kinds: Vec<_> = answers.iter().map(|answer| answer.as_ref().err().map(StorageError::kind)).collect();
    let invalid = Some(ErrorKind::Invalid);
    assert_eq!(kinds, [None, invalid, invalid, invalid, invalid, None]);
    assert_eq!(store.count(&StorageQuery::new()).await.unwrap(), 2);
}

#[tokio::test]
async fn rows_of_a_plain_table_that_are_no_items_are_left_alone() {
    let Some(server) = test_servers::found(Server::start()) else { return };
    server.sql(
        "CREATE TABLE mixed (key text UNIQUE, value bytea, expires_at timestamptz);
         INSERT INTO mixed VALUES (NULL, 'a', NULL), ('', 'b', NULL), (E'tab\\there', 'c', NULL),
            ('good', 'd', 'infinity'), ('gone', 'e', '-infinity'), ('broken', NULL, NULL)",
    );
    let store = open(&server, "mixed", &ManualClock::default()).await;
    assert_eq!(store.count(&StorageQuery::new()).await.unwrap(), 2);
    assert_eq!(&store.load(key("good")).await.unwrap().unwrap().data[..], b"d");
    let error = store.load(key("broken")).await.unwrap_err();
    assert_eq!((error.kind(), error.key()), (ErrorKind::Corrupted, Some("broken")));
    assert_eq!(store.cleanup().await.unwrap().expired, 1);
    let report = store.verify().await.unwrap();
    assert_eq!((report.intact, report.damaged.len()), (1, 1), "{report:?}");
    assert_eq!(server.sql("SELECT count(*) FROM mixed"), "5");
}
