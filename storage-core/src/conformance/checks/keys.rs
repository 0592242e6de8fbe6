//! P7: keys are bytes, compared one by one.

use std::collections::BTreeSet;

use crate::{
    Condition, ErrorKind, Glob, ItemKey, MAX_CONTENT_TYPE_BYTES, MAX_KEY_BYTES, SaveRequest, StorageQuery,
    conformance::{Fixture, Store, support::*},
};

/// Keys that careless stores mix up, refuse or bend.
fn corpus() -> Vec<String> {
    let mut keys: Vec<String> = [
        "a",
        "A",
        "aa",
        "aA",
        "a/b",
        "a\\b",
        "a:b",
        "a::b",
        "a b",
        " a",
        "a ",
        "  a  ",
        "\u{a0}a",
        ".",
        "..",
        "../a",
        "../../etc/passwd",
        "/",
        "//",
        "/a",
        "a/",
        "a//b",
        "a/./b",
        "a/../b",
        "\\",
        "C:\\a",
        "*",
        "**",
        "?",
        "a*",
        "a?",
        "[a]",
        "[!a]",
        "[",
        "]",
        "{",
        "}",
        "{a}",
        "{}a",
        "a{b}c",
        "{a}{b}",
        "%",
        "%41",
        "%2e%2e",
        "_",
        "a_b",
        "a%b",
        "'",
        "\"",
        "`",
        "''",
        "' OR '1'='1",
        "'; DROP TABLE items; --",
        "$1",
        ":1",
        "?1",
        "#",
        "--",
        "-",
        "-a",
        "+",
        "=",
        "==",
        "&",
        "|",
        ";",
        ",",
        "~",
        "!",
        "@",
        "^",
        "(",
        ")",
        "<a>",
        "CON",
        "NUL",
        "aux.txt",
        "null",
        "true",
        "0",
        "00",
        "-0",
        "1e3",
        "é",
        "e\u{301}",
        "É",
        "ß",
        "ss",
        "ẞ",
        "ı",
        "i",
        "İ",
        "I",
        "ﬁ",
        "fi",
        "\u{c5}",
        "\u{212b}",
        "A\u{30a}",
        "\u{3a9}",
        "\u{2126}",
        "ｆ",
        "日本",
        "日本語",
        "한글",
        "\u{1112}\u{1161}\u{11ab}",
        "😀",
        "👩\u{200d}💻",
        "\u{202e}abc",
        "\u{200b}",
        "\u{feff}a",
        "\u{fffd}",
        "\u{fffe}",
        "\u{ffff}",
        "\u{10ffff}",
        "\u{e000}",
        "a\u{301}\u{323}",
        "a\u{323}\u{301}",
        "שלום",
        "مرحبا",
        "{user}:1",
        "user:{1}",
        "metadata:a",
        "data:a",
        "a.json",
        "a.tmp",
        "a~",
    ]
    .into_iter()
    .map(str::to_owned)
    .collect();
    keys.extend(long_keys());
    keys
}

/// The longest keys, of which some differ in the first or last byte alone.
fn long_keys() -> Vec<String> {
    let body = "k".repeat(MAX_KEY_BYTES - 1);
    vec![
        format!("{body}1"),
        format!("{body}2"),
        format!("1{body}"),
        format!("2{body}"),
        body,
        "é".repeat(MAX_KEY_BYTES / 2),
        "/".repeat(MAX_KEY_BYTES),
        "*".repeat(MAX_KEY_BYTES),
        "k".repeat(255),
        "k".repeat(256),
    ]
}

async fn save_corpus(store: &Store, corpus: &[String]) {
    let distinct: BTreeSet<_> = corpus.iter().collect();
    assert_eq!(distinct.len(), corpus.len(), "the corpus names a key twice");
    save_all(store, corpus.iter().map(|key| request(key, &format!("of {key}"))).collect()).await;
}

/// P7: Every key has an item of its own.
pub async fn every_key_of_a_hostile_corpus_has_an_item_of_its_own(fixture: &Fixture) {
    let store = fixture.open().await;
    let corpus = corpus();
    save_corpus(&store, &corpus).await;
    for name in &corpus {
        let item = get(&store, name).await.unwrap_or_else(|| panic!("{name:?} is not there"));
        assert_eq!(text_of(&item.data), format!("of {name}"), "{name:?} holds the data of another key");
        assert_eq!(item.metadata.key, *name, "the key came back changed");
    }
}

/// P7: Every key can be deleted without touching another.
pub async fn every_key_of_a_hostile_corpus_is_deleted_alone(fixture: &Fixture) {
    let store = fixture.open().await;
    let corpus = corpus();
    save_corpus(&store, &corpus).await;
    for (at, name) in corpus.iter().enumerate() {
        assert!(store.delete(key(name), Condition::None).await.unwrap(), "{name:?} was gone already");
        if let Some(next) = corpus.get(at + 1) {
            assert!(get(&store, next).await.is_some(), "{next:?} went with {name:?}");
        }
    }
}

/// P7: Every key is found by the pattern that means it alone.
pub async fn every_key_of_a_hostile_corpus_is_found_by_its_escaped_pattern(fixture: &Fixture) {
    let store = fixture.open().await;
    let corpus = corpus();
    save_corpus(&store, &corpus).await;
    for name in &corpus {
        let query = StorageQuery::new().pattern(Glob::escape(name)).metadata_only();
        assert_eq!(keys(&store, &query).await, [name.as_str()]);
    }
}

/// P7: A search lists every key as it was saved, in the order of bytes.
pub async fn every_key_of_a_hostile_corpus_is_listed_in_the_order_of_bytes(fixture: &Fixture) {
    let store = fixture.open().await;
    let mut corpus = corpus();
    save_corpus(&store, &corpus).await;
    corpus.sort_unstable();
    assert_eq!(keys(&store, &StorageQuery::new().page_size(7)).await, corpus);
}

/// P7: Batches treat keys like single calls.
pub async fn every_key_of_a_hostile_corpus_is_loaded_by_a_batch(fixture: &Fixture) {
    let store = fixture.open().await;
    let corpus = corpus();
    save_corpus(&store, &corpus).await;
    let wanted: Vec<_> = corpus.iter().map(|name| key(name)).collect();
    for (name, answer) in corpus.iter().zip(store.load_many(&wanted).await) {
        let item = answer.unwrap().unwrap_or_else(|| panic!("{name:?} is not there"));
        assert_eq!(item.metadata.key, *name);
    }
}

/// P7: Upper and lower case are different keys.
pub async fn keys_are_never_folded(fixture: &Fixture) {
    assert_distinct(fixture, &["key", "Key", "KEY", "straße", "STRASSE", "strasse", "ı", "I", "i"]).await;
}

/// P7: Composed and decomposed text are different keys.
pub async fn keys_are_never_normalised(fixture: &Fixture) {
    assert_distinct(fixture, &["é", "e\u{301}", "Å", "A\u{30a}", "ﬁ", "fi", "a//b", "a/b", "a/./b"]).await;
}

/// P7: Blanks at either end belong to the key.
pub async fn keys_are_never_trimmed(fixture: &Fixture) {
    assert_distinct(fixture, &["k", " k", "k ", " k ", "  k", "k\u{a0}", " ", "  ", "\u{3000}"]).await;
}

/// P7: A key that begins with another is another.
pub async fn keys_that_begin_with_each_other_are_distinct(fixture: &Fixture) {
    assert_distinct(fixture, &["a", "aa", "aaa", "a:", "a:b", "a:b:", "a/", "a/b", "a/b/"]).await;
}

/// P7: Wildcards mean nothing outside of patterns.
pub async fn wildcards_in_keys_are_plain_characters(fixture: &Fixture) {
    let store = fixture.open().await;
    put(&store, "abc", "data").await;
    for wild in ["*", "a*", "a?c", "[a]bc", "%", "a_c", "abc\\"] {
        assert_eq!(get(&store, wild).await, None, "{wild:?} was taken as a pattern");
        assert!(!store.delete(key(wild), Condition::None).await.unwrap(), "{wild:?} was taken as a pattern");
    }
    assert_eq!(text(&store, "abc").await.as_deref(), Some("data"));
}

/// P7: The longest keys are kept whole.
pub async fn keys_of_the_greatest_length_are_kept_whole(fixture: &Fixture) {
    let long = long_keys();
    assert_distinct(fixture, &long.iter().map(String::as_str).collect::<Vec<_>>()).await;
}

/// P7: What is no key is refused before any provider sees it, alike for all.
pub async fn what_is_no_key_is_refused_before_any_provider_sees_it(_fixture: &Fixture) {
    let too_long = "k".repeat(MAX_KEY_BYTES + 1);
    for bad in ["", "\0", "a\nb", "a\r", "\t", "\u{7f}", "\u{85}", "a\u{1b}[0m", &too_long] {
        refused(ItemKey::new(KIND, bad), ErrorKind::InvalidKey);
    }
    let long_type = "t".repeat(MAX_CONTENT_TYPE_BYTES + 1);
    for bad in ["", "a b", "é", "a*", "a\0", "a\\b", &long_type] {
        refused(ItemKey::new(bad, "k"), ErrorKind::Invalid);
    }
}

/// P7: The same key under two content types names two items.
pub async fn one_key_under_two_content_types_names_two_items(fixture: &Fixture) {
    let store = fixture.open().await;
    for content_type in ["a", "b"] {
        save(&store, SaveRequest::new(typed(content_type, "k"), content_type)).await;
    }
    for content_type in ["a", "b"] {
        assert_eq!(load(&store, typed(content_type, "k")).await.unwrap().data, content_type);
    }
    store.delete(typed("a", "k"), Condition::None).await.unwrap();
    assert_eq!(load(&store, typed("a", "k")).await, None);
    assert!(load(&store, typed("b", "k")).await.is_some());
}

/// P7: Every content type within the limits is kept, in full and apart from the others.
pub async fn every_content_type_within_the_limits_is_kept_apart(fixture: &Fixture) {
    let store = fixture.open().await;
    let longest = "t".repeat(MAX_CONTENT_TYPE_BYTES);
    let types = [
        "a",
        "A",
        "aa",
        "a.b",
        "a/b",
        "a:b",
        "a-b",
        "a_b",
        "a+b",
        "..",
        ".",
        "/",
        ":",
        "-",
        "image/png",
        "application/vnd.api+json",
        "0",
        &longest,
        &longest[1..],
    ];
    for content_type in types {
        save(&store, SaveRequest::new(typed(content_type, "k"), content_type.to_owned())).await;
    }
    for content_type in types {
        let item = load(&store, typed(content_type, "k")).await.expect(content_type);
        assert_eq!(
            (text_of(&item.data).as_str(), item.metadata.content_type.as_str()),
            (content_type, content_type)
        );
    }
}

/// P7: Content type and key do not run together.
pub async fn content_type_and_key_never_run_together(fixture: &Fixture) {
    let store = fixture.open().await;
    let identities = [
        ("a", "b:c"),
        ("a:b", "c"),
        ("a", "b/c"),
        ("a/b", "c"),
        ("ab", "c"),
        ("a", "bc"),
        ("a:", "b"),
        ("a", ":b"),
    ];
    for (content_type, key) in identities {
        save(&store, SaveRequest::new(typed(content_type, key), format!("{content_type} {key}"))).await;
    }
    for (content_type, key) in identities {
        let item = load(&store, typed(content_type, key)).await.expect("it was saved");
        assert_eq!(text_of(&item.data), format!("{content_type} {key}"));
    }
}

async fn assert_distinct(fixture: &Fixture, names: &[&str]) {
    let store = fixture.open().await;
    for name in names {
        assert_eq!(get(&store, name).await, None, "{name:?} was taken for one of {names:?}");
        put(&store, name, &format!("of {name}")).await;
    }
    for name in names {
        assert_eq!(
            text(&store, name).await,
            Some(format!("of {name}")),
            "{name:?} was taken for another key"
        );
    }
}
