//! P9: search means the same everywhere: which items are hits.

use std::time::Duration;

use crate::{
    Cursor, ErrorKind, MAX_PATTERN_BYTES, SaveRequest, StorageItem, StorageQuery, Tags, Timestamp,
    conformance::{Fixture, Store, support::*},
};

fn any() -> StorageQuery {
    StorageQuery::new()
}

async fn with_keys(fixture: &Fixture, names: &[&str]) -> Store {
    let store = fixture.open().await;
    save_all(&store, names.iter().map(|name| request(name, name)).collect()).await;
    store
}

async fn assert_pattern(store: &Store, pattern: &str, expected: &[&str]) {
    assert_eq!(keys(store, &any().pattern(pattern)).await, expected, "pattern {pattern:?}");
    assert_eq!(count(store, &any().pattern(pattern)).await, expected.len() as u64, "count of {pattern:?}");
}

/// P9: A search of an empty store is an empty page.
pub async fn an_empty_store_has_no_hits(fixture: &Fixture) {
    let store = fixture.open().await;
    let page = store.search(&any()).await.unwrap();
    assert_eq!((page.results, page.next), (vec![], None));
    assert_eq!(count(&store, &any()).await, 0);
}

/// P9: No match is an empty page and no error.
pub async fn no_match_is_an_empty_page(fixture: &Fixture) {
    let store = with_keys(fixture, &["a", "b"]).await;
    for query in [
        any().content_type("none"),
        any().pattern("z*"),
        any().pattern("z"),
        any().expires_after(fixture.now()),
    ] {
        let page = store.search(&query).await.unwrap();
        assert_eq!((page.results, page.next), (vec![], None), "{query:?}");
    }
}

/// P9: Without filters every live item is a hit, with its data and metadata.
pub async fn a_search_without_filters_finds_every_item_whole(fixture: &Fixture) {
    let store = fixture.open().await;
    let mut items = Vec::new();
    for name in ["a", "b", "c"] {
        items.push(save(&store, request(name, &format!("data of {name}")).expires_at(fixture.far())).await);
    }
    assert_eq!(find(&store, &any()).await, items);
}

/// P9: A hit scores 1.0 and has no highlights, because no text was searched.
pub async fn a_hit_scores_one_and_highlights_nothing(fixture: &Fixture) {
    let store = with_keys(fixture, &["a"]).await;
    let hits = hits(&store, &any()).await;
    assert_eq!(hits.iter().map(|hit| (hit.score, hit.highlights.len())).collect::<Vec<_>>(), [(1.0, 0)]);
}

/// P9: Metadata alone comes with empty data and everything else.
pub async fn a_search_for_metadata_brings_no_data(fixture: &Fixture) {
    let store = fixture.open().await;
    let item = save(&store, request("k", "data").expires_at(fixture.far())).await;
    let bare = StorageItem { data: crate::Bytes::new(), ..item };
    assert_eq!(bare.metadata.size, 4, "the size is that of the data, brought or not");
    assert_eq!(find(&store, &any().metadata_only()).await, [bare]);
}

/// P9: The content type filters exactly, not by prefix.
pub async fn the_content_type_filters_exactly(fixture: &Fixture) {
    let store = fixture.open().await;
    for content_type in ["a", "aa", "a/b", "A", "b"] {
        save(&store, SaveRequest::new(typed(content_type, "k"), "")).await;
    }
    for content_type in ["a", "aa", "a/b", "A", "b"] {
        let query = any().content_type(content_type);
        assert_eq!(names(&store, &query).await, [format!("{content_type}/k")]);
        assert_eq!(count(&store, &query).await, 1);
    }
}

/// P9: A star stands for any characters, separators included, or none.
pub async fn a_star_matches_any_characters(fixture: &Fixture) {
    let store = with_keys(fixture, &["a", "a/b", "a/b/c", "ab", "b", "ba"]).await;
    assert_pattern(&store, "*", &["a", "a/b", "a/b/c", "ab", "b", "ba"]).await;
    assert_pattern(&store, "a*", &["a", "a/b", "a/b/c", "ab"]).await;
    assert_pattern(&store, "*a", &["a", "ba"]).await;
    assert_pattern(&store, "a/*", &["a/b", "a/b/c"]).await;
    assert_pattern(&store, "*b*", &["a/b", "a/b/c", "ab", "b", "ba"]).await;
    assert_pattern(&store, "a*c", &["a/b/c"]).await;
    assert_pattern(&store, "**", &["a", "a/b", "a/b/c", "ab", "b", "ba"]).await;
}

/// P9: A question mark stands for one character, however many bytes it has.
pub async fn a_question_mark_matches_one_character(fixture: &Fixture) {
    let store = with_keys(fixture, &["a", "ab", "x y", "é", "日", "日本"]).await;
    assert_pattern(&store, "?", &["a", "é", "日"]).await;
    assert_pattern(&store, "??", &["ab", "日本"]).await;
    assert_pattern(&store, "?*", &["a", "ab", "x y", "é", "日", "日本"]).await;
}

/// P9: A set stands for one of its characters, or for one outside of it.
pub async fn a_set_matches_one_of_its_characters(fixture: &Fixture) {
    let store = with_keys(fixture, &["-", "]", "a", "b", "c", "d", "é"]).await;
    assert_pattern(&store, "[abd]", &["a", "b", "d"]).await;
    assert_pattern(&store, "[a-c]", &["a", "b", "c"]).await;
    assert_pattern(&store, "[!a-c]", &["-", "]", "d", "é"]).await;
    assert_pattern(&store, "[^a-c]", &["-", "]", "d", "é"]).await;
    assert_pattern(&store, "[]a]", &["]", "a"]).await;
    assert_pattern(&store, "[a-]", &["-", "a"]).await;
    assert_pattern(&store, "[é]", &["é"]).await;
}

/// P9: A backslash takes the next character literally.
pub async fn an_escaped_wildcard_is_a_plain_character(fixture: &Fixture) {
    let store = with_keys(fixture, &["*", "?", "[a]", "\\", "a", "a*", "ab"]).await;
    assert_pattern(&store, "\\*", &["*"]).await;
    assert_pattern(&store, "\\?", &["?"]).await;
    assert_pattern(&store, "\\[a\\]", &["[a]"]).await;
    assert_pattern(&store, "\\\\", &["\\"]).await;
    assert_pattern(&store, "a\\*", &["a*"]).await;
    assert_pattern(&store, "\\ab", &["ab"]).await;
}

/// P7: Patterns neither fold nor normalise.
pub async fn patterns_are_compared_byte_for_byte(fixture: &Fixture) {
    let store = with_keys(fixture, &["A1", "E\u{301}1", "a1", "e\u{301}1", "é1"]).await;
    assert_pattern(&store, "a*", &["a1"]).await;
    assert_pattern(&store, "A*", &["A1"]).await;
    assert_pattern(&store, "é*", &["é1"]).await;
    assert_pattern(&store, "e\u{301}*", &["e\u{301}1"]).await;
}

/// P9: What other languages take for wildcards are plain characters in a pattern.
pub async fn foreign_wildcards_are_plain_characters_in_patterns(fixture: &Fixture) {
    let store = with_keys(fixture, &["%", "_", "a", "a%", "a.c", "abc", "{a,b}"]).await;
    for (pattern, expected) in [("%", "%"), ("_", "_"), ("a%", "a%"), ("a.c", "a.c"), ("{a,b}", "{a,b}")] {
        assert_pattern(&store, pattern, &[expected]).await;
    }
    assert_pattern(&store, "a|b", &[]).await;
    assert_pattern(&store, "^a$", &[]).await;
}

/// P17: A pattern made to be slow is not.
pub async fn a_hostile_pattern_ends_soon(fixture: &Fixture) {
    let store = fixture.open().await;
    let long = "a".repeat(crate::MAX_KEY_BYTES);
    put(&store, &long, "").await;
    let query = any().pattern(format!("{}b", "*a".repeat(200)));
    let search = tokio::time::timeout(Duration::from_secs(20), store.search(&query));
    let page = search.await.expect("the pattern takes more than 20 s").unwrap();
    assert_eq!(page.results, []);
}

/// P9: The longest pattern is taken.
pub async fn the_longest_pattern_is_taken(fixture: &Fixture) {
    let store = with_keys(fixture, &["k"]).await;
    assert_pattern(&store, &"?".repeat(MAX_PATTERN_BYTES), &[]).await;
    assert_pattern(&store, &format!("{}k", "*".repeat(MAX_PATTERN_BYTES - 1)), &["k"]).await;
}

/// P9: A tag finds the items that have exactly this value under this name.
pub async fn a_tag_finds_exactly_its_value(fixture: &Fixture) {
    let store = fixture.open().await;
    for (name, value) in [("gold", "gold"), ("golden", "golden"), ("Gold", "Gold"), ("empty", "")] {
        save(&store, request(name, "").tag("tier", value)).await;
    }
    put(&store, "untagged", "").await;
    save(&store, request("other", "").tag("colour", "gold")).await;
    for (name, value) in [("gold", "gold"), ("golden", "golden"), ("Gold", "Gold"), ("empty", "")] {
        assert_eq!(keys(&store, &any().tag("tier", value)).await, [name]);
        assert_eq!(count(&store, &any().tag("tier", value)).await, 1);
    }
    assert_eq!(keys(&store, &any().tag("tier", "silver")).await, [""; 0]);
    assert_eq!(keys(&store, &any().tag("Tier", "gold")).await, [""; 0]);
}

/// P9: Of several tags, all must be there.
pub async fn several_tags_must_all_be_there(fixture: &Fixture) {
    let store = fixture.open().await;
    save(&store, request("both", "").tag("a", "1").tag("b", "2")).await;
    save(&store, request("first", "").tag("a", "1")).await;
    save(&store, request("second", "").tag("b", "2")).await;
    save(&store, request("swapped", "").tag("a", "2").tag("b", "1")).await;
    assert_eq!(keys(&store, &any().tag("a", "1").tag("b", "2")).await, ["both"]);
    assert_eq!(keys(&store, &any().tag("a", "1").tag("b", "2").tag("c", "3")).await, [""; 0]);
}

/// P12: A re-save moves an item from its old tags to its new ones at once.
pub async fn a_resaved_item_is_found_by_its_new_tags_alone(fixture: &Fixture) {
    let store = fixture.open().await;
    save(&store, request("k", "1").tag("a", "old").tag("kept", "x")).await;
    let item = save(&store, request("k", "2").tag("a", "new").tag("kept", "x")).await;
    assert_eq!(find(&store, &any().tag("a", "old")).await, []);
    assert_eq!(find(&store, &any().tag("a", "new")).await, std::slice::from_ref(&item));
    assert_eq!(find(&store, &any().tag("kept", "x")).await, [item]);
    put(&store, "k", "3").await;
    assert_eq!(find(&store, &any().tag("a", "new")).await, []);
    assert_eq!(find(&store, &any().tag("kept", "x")).await, []);
}

/// Three items `a`, `b`, `c`, each created and updated a tick after the one before.
async fn one_after_another(fixture: &Fixture) -> (Store, Vec<Timestamp>) {
    let store = fixture.open().await;
    let mut times = Vec::new();
    for name in ["a", "b", "c"] {
        times.push(put(&store, name, "").await.metadata.created_at);
        fixture.tick().await;
    }
    (store, times)
}

/// The instant before `time`.
fn before(time: Timestamp) -> Timestamp {
    time.saturating_sub(Duration::from_micros(1))
}

/// The instant after `time`.
fn behind(time: Timestamp) -> Timestamp {
    time.saturating_add(Duration::from_micros(1))
}

/// P9: `created_after` holds its own instant, `created_before` does not.
pub async fn ranges_of_creation_hold_their_start_and_not_their_end(fixture: &Fixture) {
    let (store, at) = one_after_another(fixture).await;
    let [_, middle, last] = at[..] else { panic!("three items were saved") };
    assert_eq!(keys(&store, &any().created_after(middle)).await, ["b", "c"]);
    assert_eq!(keys(&store, &any().created_after(behind(middle))).await, ["c"]);
    assert_eq!(keys(&store, &any().created_before(middle)).await, ["a"]);
    assert_eq!(keys(&store, &any().created_before(behind(middle))).await, ["a", "b"]);
    assert_eq!(keys(&store, &any().created_after(middle).created_before(last)).await, ["b"]);
    assert_eq!(keys(&store, &any().created_after(before(middle)).created_before(middle)).await, [""; 0]);
}

/// P9: `updated_after` holds its own instant, `updated_before` does not.
pub async fn ranges_of_updates_hold_their_start_and_not_their_end(fixture: &Fixture) {
    let (store, _) = one_after_another(fixture).await;
    let at = put(&store, "a", "again").await.metadata.updated_at;
    assert_eq!(keys(&store, &any().updated_after(at)).await, ["a"]);
    assert_eq!(keys(&store, &any().updated_after(behind(at))).await, [""; 0]);
    assert_eq!(keys(&store, &any().updated_before(at)).await, ["b", "c"]);
    assert_eq!(keys(&store, &any().updated_before(behind(at))).await, ["a", "b", "c"]);
    assert_eq!(keys(&store, &any().created_before(at).updated_after(at)).await, ["a"]);
}

/// P9: `expires_after` holds its own instant, `expires_before` does not; what never expires is in neither.
pub async fn ranges_of_expiry_hold_their_start_and_not_their_end(fixture: &Fixture) {
    let store = fixture.open().await;
    let early = fixture.far();
    let late = early.saturating_add(Duration::from_secs(1));
    save(&store, request("early", "").expires_at(early)).await;
    save(&store, request("late", "").expires_at(late)).await;
    put(&store, "never", "").await;
    assert_eq!(keys(&store, &any().expires_after(early)).await, ["early", "late"]);
    assert_eq!(keys(&store, &any().expires_after(behind(early))).await, ["late"]);
    assert_eq!(keys(&store, &any().expires_before(late)).await, ["early"]);
    assert_eq!(keys(&store, &any().expires_before(behind(late))).await, ["early", "late"]);
    assert_eq!(keys(&store, &any().expires_after(early).expires_before(late)).await, ["early"]);
}

/// P9: An item without a deadline is in no range of expiry, however wide.
pub async fn what_never_expires_is_in_no_range_of_expiry(fixture: &Fixture) {
    let store = with_keys(fixture, &["never"]).await;
    for query in [any().expires_after(Timestamp::MIN), any().expires_before(Timestamp::MAX)] {
        assert_eq!(find(&store, &query).await, [], "{query:?}");
        assert_eq!(count(&store, &query).await, 0, "{query:?}");
    }
}

/// P9: A range that ends before it begins holds nothing, and is no error.
pub async fn a_range_that_ends_before_it_begins_is_empty(fixture: &Fixture) {
    let (store, at) = one_after_another(fixture).await;
    let (first, last) = (at[0], at[2]);
    for query in [
        any().created_after(last).created_before(first),
        any().updated_after(last).updated_before(first),
        any().created_after(first).created_before(first),
        any().created_after(Timestamp::MAX).created_before(Timestamp::MIN),
    ] {
        assert_eq!(find(&store, &query).await, [], "{query:?}");
    }
}

/// P9: All filters must hold together.
pub async fn all_filters_must_hold_together(fixture: &Fixture) {
    let store = fixture.open().await;
    let start = fixture.now();
    let wanted = |content_type, name, tag: &str, deadline| {
        SaveRequest::new(typed(content_type, name), "").tag("t", tag).expires_at(deadline)
    };
    let far = fixture.far();
    let hit = save(&store, wanted("a", "user:1", "x", Some(far))).await;
    save(&store, wanted("b", "user:1", "x", Some(far))).await;
    save(&store, wanted("a", "group:1", "x", Some(far))).await;
    save(&store, wanted("a", "user:2", "y", Some(far))).await;
    save(&store, wanted("a", "user:3", "x", None)).await;
    fixture.tick().await;
    save(&store, wanted("a", "user:4", "x", Some(far))).await;
    let query = any().content_type("a").pattern("user:*").tag("t", "x").expires_before(behind(far));
    let query = query.created_after(start).updated_before(behind(hit.metadata.updated_at));
    assert_eq!(find(&store, &query).await, std::slice::from_ref(&hit));
    assert_eq!(count(&store, &query).await, 1);
}

/// P9: A query that cannot be run is `InvalidQuery`, in search and count alike.
pub async fn a_query_outside_the_limits_is_invalid(fixture: &Fixture) {
    let store = with_keys(fixture, &["k"]).await;
    for bad in [
        any().pattern(""),
        any().pattern("["),
        any().pattern("a\\"),
        any().pattern("[z-a]"),
        any().pattern("a".repeat(MAX_PATTERN_BYTES + 1)),
        any().content_type(""),
        any().content_type("a b"),
        any().tag("", "no name"),
        any().tag("t", "nul\0"),
    ] {
        refused(store.search(&bad).await, ErrorKind::InvalidQuery);
        refused(store.count(&bad).await, ErrorKind::InvalidQuery);
    }
    for bad in
        [any().page_size(0), any().page_size(10_001), any().cursor(Cursor::from("nonsense".to_owned()))]
    {
        refused(store.search(&bad).await, ErrorKind::InvalidQuery);
    }
}

/// P9: `count` counts all hits, whatever order, limit, page and cursor say.
pub async fn a_count_ignores_order_limit_page_and_cursor(fixture: &Fixture) {
    let store = with_keys(fixture, &["a", "b", "c", "d"]).await;
    let query = any().pattern("[abc]");
    let next = store.search(&query.clone().page_size(1)).await.unwrap().next;
    for query in [
        query.clone(),
        query.clone().limit(1),
        query.clone().limit(0),
        query.clone().page_size(1),
        query.clone().order(crate::Order::CREATED.descending()),
        query.clone().cursor(next),
        query.metadata_only(),
    ] {
        assert_eq!(count(&store, &query).await, 3, "{query:?}");
    }
}

/// P9: The usage tells items and bytes of every content type.
pub async fn the_usage_tells_items_and_bytes_by_content_type(fixture: &Fixture) {
    let store = fixture.open().await;
    for (content_type, name, size) in [("a", "1", 10), ("a", "2", 0), ("b", "1", 1_000), ("a", "1", 7)] {
        save(&store, SaveRequest::new(typed(content_type, name), vec![0; size])).await;
    }
    save(&store, SaveRequest::new(typed("gone", "1"), "x")).await;
    store.delete(typed("gone", "1"), crate::Condition::None).await.unwrap();
    let mut expected = crate::Usage::default();
    for (content_type, size) in [("a", 7), ("a", 0), ("b", 1_000)] {
        expected.add_item(content_type, size);
    }
    assert_eq!(store.usage().await.unwrap(), expected);
}

/// P1: What a search returns is what a load returns.
pub async fn a_search_returns_what_a_load_returns(fixture: &Fixture) {
    let store = fixture.open().await;
    for n in 0..40 {
        let name = format!("k{n}");
        let tags: Tags = (0..n % 4).map(|t| (format!("t{t}"), n.to_string())).collect();
        save(
            &store,
            request(&name, &name.repeat(n)).tags(tags).expires_at((n % 2 == 0).then(|| fixture.far())),
        )
        .await;
    }
    for item in find(&store, &any()).await {
        assert_stored(&store, &item).await;
    }
}
