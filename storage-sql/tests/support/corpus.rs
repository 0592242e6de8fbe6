//! Texts that would do harm if they became part of a statement, wherever a caller can bring a text.

use storage_core::{
    Bytes, Condition, Encoding, ErrorKind, Glob, ItemKey, SaveRequest, StorageProvider, StorageQuery,
};

/// Quotes, comments, ends of statements, wildcards, placeholders and escapes of all three engines.
pub(crate) const HOSTILE: &[&str] = &[
    "'",
    "''",
    "\"",
    "`",
    "\\",
    "\\'",
    "'; DROP TABLE storage_items; --",
    "\"; DELETE FROM storage_items; --",
    "' OR '1'='1",
    "') OR ('1'='1",
    "1; SELECT pg_sleep(9)",
    "' UNION SELECT 1,2,3,4,5,6,7,8,9,10,11,12,13 --",
    "/* */",
    "--",
    "#",
    "; --",
    "%",
    "_",
    "%%",
    "a%",
    "$1",
    "$$",
    "$tag$",
    "?",
    "?1",
    ":name",
    "@@version",
    "{}",
    "{\"a\": \"b\"}",
    "[]",
    "null",
    "NULL",
    "\\x00",
    "\\u0000",
    "x'00'",
    "E'\\\\'",
    "N'a'",
    "😀'",
    "ß",
    "ẞ",
    "İ",
    "ı",
    "é",
    "e\u{301}",
    "ﬀ",
    "a",
    "A",
    "a ",
    " a",
    "à",
    "Ä",
    "\u{feff}",
    "\u{202e}'",
    "\u{fffd}",
    "日本語';",
    "\u{10ffff}",
];

/// Every text of the corpus as key, tag name, tag value, payload and pattern: each is its own and finds itself alone.
pub(crate) async fn survives(store: &impl StorageProvider) {
    for text in HOSTILE {
        let key = ItemKey::new("hostile", text).unwrap();
        let request = SaveRequest::new(key, *text).tag(text, text).tag("all", "yes");
        store.save(request.encoding(Encoding::new("x-hostile").unwrap())).await.unwrap();
    }
    for text in HOSTILE {
        let key = ItemKey::new("hostile", text).unwrap();
        let item = store.load(key).await.unwrap().unwrap_or_else(|| panic!("{text:?} is lost"));
        assert_eq!((&item.data, item.metadata.key.as_str()), (&Bytes::from_static(text.as_bytes()), *text));
        assert_eq!(item.metadata.tags.get(text), Some(*text));
        for query in [
            StorageQuery::new().tag(text, text),
            StorageQuery::new().pattern(Glob::escape(text)),
            StorageQuery::new().content_type("hostile").tag(text, text).tag("all", "yes"),
        ] {
            let page = store.search(&query).await.unwrap();
            let found: Vec<_> = page.results.iter().map(|hit| hit.item.metadata.key.as_str()).collect();
            assert_eq!(found, [*text], "{query:?}");
            assert_eq!(store.count(&query).await.unwrap(), 1, "{query:?}");
        }
        let starting = HOSTILE.iter().filter(|other| other.starts_with(text)).count() as u64;
        let query = StorageQuery::new().pattern(format!("{}*", Glob::escape(text)));
        assert_eq!(store.count(&query).await.unwrap(), starting, "{query:?}");
        let wrong = store.save(SaveRequest::new(key, "x").condition(Condition::Absent)).await.unwrap_err();
        assert_eq!(wrong.kind(), ErrorKind::AlreadyExists, "{text:?}");
    }
    assert_eq!(store.count(&StorageQuery::new()).await.unwrap(), HOSTILE.len() as u64);
    for text in HOSTILE {
        let key = ItemKey::new("hostile", text).unwrap();
        assert!(store.delete(key, Condition::None).await.unwrap(), "{text:?}");
    }
    assert_eq!(store.count(&StorageQuery::new()).await.unwrap(), 0);
}
