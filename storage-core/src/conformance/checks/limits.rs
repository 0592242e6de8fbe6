//! P8: sizes are kept to the byte, and limits are checked before anything happens.

use crate::{
    Bytes, ErrorKind, MAX_TAG_NAME_BYTES, MAX_TAG_VALUE_BYTES, MAX_TAGS, SaveRequest, StorageQuery, Tags,
    conformance::{Fixture, Store, support::*},
};

/// `size` bytes in which every part differs from every other, so that a shifted or repeated part shows.
fn payload(size: usize) -> Bytes {
    let mut random = fastrand::Rng::with_seed(size as u64);
    let mut data = vec![0; size];
    random.fill(&mut data);
    data.into()
}

async fn assert_kept(store: &Store, data: Bytes) {
    save(store, SaveRequest::new(key("k"), data.clone())).await;
    let item = get(store, "k").await.expect("it was saved");
    // Not `assert_eq!`: nobody wants to read a megabyte.
    assert!(item.data == data, "{} bytes came back as {} other bytes", data.len(), item.data.len());
    assert_eq!(item.metadata.size, data.len() as u64);
}

/// P8: An empty payload is a payload.
pub async fn an_empty_payload_is_kept(fixture: &Fixture) {
    let store = fixture.open().await;
    assert_kept(&store, Bytes::new()).await;
}

/// P1: Every byte value is kept.
pub async fn every_byte_value_is_kept(fixture: &Fixture) {
    let store = fixture.open().await;
    assert_kept(&store, (0..=255).collect()).await;
    for byte in [0, b'\n', 0x7f, 0x80, 0xff] {
        assert_kept(&store, vec![byte].into()).await;
        assert_kept(&store, vec![byte; 1_000].into()).await;
    }
}

/// P8: Sizes on both sides of usual thresholds are kept.
pub async fn payloads_around_every_threshold_are_kept(fixture: &Fixture) {
    let store = fixture.open().await;
    let largest = store.info().capabilities.max_payload;
    for power in [8, 12, 15, 16, 17, 18, 20] {
        for size in [(1 << power) - 1, 1 << power, (1 << power) + 1] {
            if size as u64 <= largest {
                assert_kept(&store, payload(size)).await;
            }
        }
    }
}

/// P2: Large and small payloads replace each other.
pub async fn large_and_small_payloads_replace_each_other(fixture: &Fixture) {
    let store = fixture.open().await;
    let large = store.info().capabilities.max_payload.min(600_000) as usize;
    for size in [large, 1, large - 1, 0, large] {
        assert_kept(&store, payload(size)).await;
    }
}

/// P3: A large item is deleted like any other.
pub async fn a_large_item_can_be_deleted_and_saved_again(fixture: &Fixture) {
    let store = fixture.open().await;
    let large = store.info().capabilities.max_payload.min(600_000) as usize;
    for round in 0..3 {
        assert_kept(&store, payload(large - round)).await;
        assert!(store.delete(key("k"), crate::Condition::None).await.unwrap());
        assert_eq!(get(&store, "k").await, None);
    }
}

/// P8: The largest payload is taken, one byte more is `TooLarge` with both sizes, and the old item stays.
pub async fn the_largest_payload_is_taken_and_one_byte_more_is_too_large(fixture: &Fixture) {
    let store = fixture.open().await;
    let max = store.info().capabilities.max_payload;
    let whole = Bytes::from(vec![b'x'; max as usize + 1]);
    let item = save(&store, SaveRequest::new(key("k"), whole.slice(1..))).await;
    // The metadata alone, so that a failure does not print the payload.
    let answer = store.save(SaveRequest::new(key("k"), whole)).await.map(|item| item.metadata);
    refused(answer, ErrorKind::TooLarge { size: max + 1, max });
    let stored = get(&store, "k").await.expect("the old item stays");
    assert_eq!(stored.metadata, item.metadata);
    assert!(stored.data == item.data, "the old payload has changed");
}

/// P9: A search returns large payloads whole.
pub async fn a_search_returns_large_payloads_whole(fixture: &Fixture) {
    let store = fixture.open().await;
    let size = store.info().capabilities.max_payload.min(300_000) as usize;
    for (at, name) in ["a", "b", "c"].into_iter().enumerate() {
        save(&store, SaveRequest::new(key(name), payload(size + at - 2))).await;
    }
    let items = find(&store, &StorageQuery::new()).await;
    assert_eq!(items.len(), 3);
    for (at, item) in items.iter().enumerate() {
        assert!(item.data == payload(size + at - 2), "item {at} is not what was saved");
    }
}

/// P1: As many and as large tags as the contract allows are kept and found.
pub async fn the_largest_tags_are_kept_and_found(fixture: &Fixture) {
    let store = fixture.open().await;
    let name = |n: usize| format!("{n:0>width$}", width = MAX_TAG_NAME_BYTES);
    let value = |n: usize| format!("{n:0>width$}", width = MAX_TAG_VALUE_BYTES);
    let tags: Tags = (0..MAX_TAGS).map(|n| (name(n), value(n))).collect();
    let item = save(&store, request("k", "data").tags(tags)).await;
    assert_stored(&store, &item).await;
    for n in [0, MAX_TAGS / 2, MAX_TAGS - 1] {
        assert_eq!(keys(&store, &StorageQuery::new().tag(name(n), value(n))).await, ["k"]);
    }
}

/// P8: Tags outside the limits are `Invalid`, and nothing is stored.
pub async fn tags_outside_the_limits_are_invalid_and_store_nothing(fixture: &Fixture) {
    let store = fixture.open().await;
    for bad in [
        (0..=MAX_TAGS).map(|n| (n.to_string(), "")).collect(),
        Tags::from([("", "no name")]),
        Tags::from([("n".repeat(MAX_TAG_NAME_BYTES + 1), "")]),
        Tags::from([("n".to_owned(), "v".repeat(MAX_TAG_VALUE_BYTES + 1))]),
        Tags::from([("line\nbreak", "")]),
        Tags::from([("n", "nul\0")]),
    ] {
        refused(store.save(request("k", "data").tags(bad)).await, ErrorKind::Invalid);
        assert_eq!(get(&store, "k").await, None);
    }
}

/// P7: Tags are bytes as well: never folded, trimmed or normalised.
pub async fn tags_are_compared_byte_for_byte(fixture: &Fixture) {
    let store = fixture.open().await;
    let values = [
        "a", "A", " a", "a ", "é", "e\u{301}", "", " ", "*", "a*", "%", "'", "日本", "a,b", "a=b", "{a}", ":",
    ];
    for value in values {
        save(&store, request(&format!("of {value:?}"), "").tag("t", value)).await;
    }
    for value in values {
        let found = keys(&store, &StorageQuery::new().tag("t", value)).await;
        assert_eq!(found, [format!("of {value:?}")], "tag value {value:?}");
    }
}

/// P7: Name and value of a tag do not run together.
pub async fn tag_name_and_value_never_run_together(fixture: &Fixture) {
    let store = fixture.open().await;
    let tags = [
        ("a", "b=c"),
        ("a=b", "c"),
        ("a:b", "c"),
        ("a", "b:c"),
        ("ab", "c"),
        ("a", "bc"),
        ("a", "b"),
        ("b", "a"),
    ];
    for (name, value) in tags {
        save(&store, request(&format!("{name} {value}"), "").tag(name, value)).await;
    }
    for (name, value) in tags {
        assert_eq!(keys(&store, &StorageQuery::new().tag(name, value)).await, [format!("{name} {value}")]);
    }
}
