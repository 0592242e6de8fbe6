//! Fault 32: names, keys, tags and patterns that would like to be statements.

use storage_core::{Condition, ErrorKind, Glob, ItemKey, SaveRequest, StorageProvider, StorageQuery};
use storage_sql::SqlConfig;

use crate::support::{open, patient, refused, shared};

const HOSTILE: &[&str] = &[
    "'",
    "''",
    "\"",
    "`",
    "\\",
    "\\'",
    "%",
    "_",
    "%_\\%",
    "$1",
    "$$",
    "$tag$ $tag$",
    ":name",
    "?",
    "{}",
    "'; DROP TABLE hostile; --",
    "\"; DROP TABLE hostile; --",
    "'); DELETE FROM hostile; --",
    "' OR '1'='1",
    "1 OR 1=1",
    "' UNION SELECT usename, passwd FROM pg_shadow --",
    "'; SELECT pg_sleep(60); --",
    "/* */",
    "/**/OR/**/1=1",
    "-- ",
    "E'\\x27'",
    "U&'\\0027'",
    "{\"a\":\"b\"}",
    "[1,2]",
    "null",
    "NULL",
    "true",
    "\\x414243",
    "\\u0000",
    "a{b,c}d",
    "{\"x\",NULL}",
    "(a,b)",
    " leading",
    "trailing ",
    "İstanbul",
    "straße",
    "STRASSE",
    "e\u{301}",
    "é",
    "\u{202e}abc",
    "日本語",
    "\u{10ffff}",
    "😀",
];

#[tokio::test]
async fn fault_32_hostile_keys_and_tags_are_kept_and_found_byte_for_byte() {
    let Some(server) = shared() else { return };
    let store = open(patient(&server.url(), "hostile")).await.unwrap();
    for text in HOSTILE {
        let request = SaveRequest::new(ItemKey::new("note", text).unwrap(), text.as_bytes().to_vec());
        store.save(request.tag("value", text).tag(text, "name")).await.unwrap();
    }
    for text in HOSTILE {
        let key = ItemKey::new("note", text).unwrap();
        let item = store.load(key).await.unwrap().unwrap();
        assert_eq!((item.metadata.key.as_str(), &item.data[..]), (*text, text.as_bytes()));
        for query in [
            StorageQuery::new().pattern(Glob::escape(text)),
            StorageQuery::new().tag("value", text),
            StorageQuery::new().tag(text, "name"),
        ] {
            let page = store.search(&query).await.unwrap();
            let keys: Vec<_> = page.results.iter().map(|hit| hit.item.metadata.key.as_str()).collect();
            assert_eq!(keys, [*text], "{query:?}");
            assert_eq!(store.count(&query).await.unwrap(), 1);
        }
    }
    assert_eq!(store.count(&StorageQuery::new()).await.unwrap(), HOSTILE.len() as u64);
    for text in HOSTILE {
        assert!(store.delete(ItemKey::new("note", text).unwrap(), Condition::None).await.unwrap());
    }
    assert_eq!(store.count(&StorageQuery::new()).await.unwrap(), 0);
}

#[tokio::test]
async fn fault_32_names_of_tables_are_checked_and_quoted() {
    let Some(server) = shared() else { return };
    for name in HOSTILE.iter().filter(|name| **name != "STRASSE") {
        let config = SqlConfig { table_name: (*name).to_owned(), ..patient(&server.url(), "t") };
        assert_eq!(refused(config).await.kind(), ErrorKind::Config, "{name}");
    }
    // Words that mean something to this server alone are names like others, because they are quoted.
    server.sql("CREATE SCHEMA \"Mixed\"");
    for name in ["analyze", "Window", "Mixed.Lateral"] {
        let store = open(patient(&server.url(), name)).await.unwrap();
        crate::support::put(&store, "a").await.unwrap();
        assert_eq!(store.cleanup().await.unwrap().expired, 0);
    }
}
