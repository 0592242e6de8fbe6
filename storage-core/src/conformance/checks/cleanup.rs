//! P13: cleanup removes what expired, all of it and nothing else, and says how much it was.

use crate::{
    CleanupReport, Condition, SaveRequest, StorageQuery, Usage,
    conformance::{Fixture, support::*},
};

/// P13: There is nothing to clean up in an empty store.
pub async fn an_empty_store_has_nothing_to_clean_up(fixture: &Fixture) {
    let store = fixture.open().await;
    assert_eq!(cleanup(&store).await, CleanupReport::default());
}

/// P13: The report counts the expired items and their bytes exactly.
pub async fn the_report_counts_expired_items_and_bytes_exactly(fixture: &Fixture) {
    let store = fixture.open().await;
    let (early, late) = (fixture.later(2), fixture.later(4));
    for (name, size, deadline) in [
        ("a", 10, Some(early)),
        ("b", 0, Some(early)),
        ("c", 1_000, Some(early)),
        ("d", 5, Some(late)),
        ("e", 7, None),
    ] {
        save(&store, SaveRequest::new(key(name), vec![0; size]).expires_at(deadline)).await;
    }
    assert_eq!(cleanup(&store).await, CleanupReport::default(), "nothing has expired yet");
    fixture.until(early).await;
    assert_eq!(cleanup(&store).await, CleanupReport::new(3, 1_010));
    fixture.until(late).await;
    assert_eq!(cleanup(&store).await, CleanupReport::new(1, 5));
}

/// P13: Cleanup is idempotent.
pub async fn a_second_cleanup_finds_nothing(fixture: &Fixture) {
    let store = fixture.open().await;
    let deadline = fixture.later(1);
    save(&store, request("k", "data").expires_at(deadline)).await;
    fixture.until(deadline).await;
    assert_eq!(cleanup(&store).await, CleanupReport::new(1, 4));
    for _ in 0..3 {
        assert_eq!(cleanup(&store).await, CleanupReport::default());
    }
}

/// P13: Live items are untouched, down to their versions and times.
pub async fn live_items_are_untouched_by_cleanup(fixture: &Fixture) {
    let store = fixture.open().await;
    let (early, late) = (fixture.later(1), fixture.later(5));
    let mut live = Vec::new();
    for n in 0..10 {
        save(&store, request(&format!("gone {n}"), "data").expires_at(early)).await;
        let deadline = if n % 2 == 0 { Some(late) } else { None };
        live.push(save(&store, request(&format!("live {n}"), "data").expires_at(deadline)).await);
    }
    fixture.until(early).await;
    assert_eq!(cleanup(&store).await, CleanupReport::new(10, 40));
    for item in &live {
        assert_stored(&store, item).await;
    }
}

/// P13: After cleanup, neither search nor count nor usage know anything of expired items.
pub async fn nothing_is_left_after_cleanup(fixture: &Fixture) {
    let store = fixture.open().await;
    let deadline = fixture.later(2);
    for n in 0..20 {
        let name = format!("k{n}");
        save(&store, request(&name, "data").expires_at(deadline).tag("t", "1").tag("n", name.clone())).await;
    }
    fixture.until(deadline).await;
    assert_eq!(cleanup(&store).await.expired, 20);
    for query in [StorageQuery::new(), StorageQuery::new().tag("t", "1"), StorageQuery::new().tag("n", "k7")]
    {
        assert_eq!(find(&store, &query).await, []);
        assert_eq!(count(&store, &query).await, 0);
    }
    assert_eq!(store.usage().await.unwrap(), Usage::default());
}

/// P13: What was deleted or replaced in time is not counted as expired.
pub async fn deleted_and_replaced_items_are_not_counted_as_expired(fixture: &Fixture) {
    let store = fixture.open().await;
    let deadline = fixture.later(2);
    for name in ["deleted", "replaced", "touched", "expired"] {
        save(&store, request(name, "data").expires_at(deadline)).await;
    }
    store.delete(key("deleted"), Condition::None).await.unwrap();
    put(&store, "replaced", "for ever").await;
    store.touch(key("touched"), None).await.unwrap();
    fixture.until(deadline).await;
    assert_eq!(cleanup(&store).await, CleanupReport::new(1, 4));
    assert_eq!(text(&store, "replaced").await.as_deref(), Some("for ever"));
    assert_eq!(text(&store, "touched").await.as_deref(), Some("data"));
}

/// P5: An item of the same key, saved after the expiry, is not swept, nor counted.
pub async fn an_item_saved_in_place_of_an_expired_one_is_not_swept(fixture: &Fixture) {
    let store = fixture.open().await;
    let (early, late) = (fixture.later(1), fixture.later(4));
    save(&store, request("k", "old").expires_at(early)).await;
    fixture.until(early).await;
    let item = save(&store, request("k", "newer").expires_at(late)).await;
    let report = cleanup(&store).await;
    assert!(report.bytes <= 3, "the sweep counted the new item: {report:?}");
    assert_stored(&store, &item).await;
    fixture.until(late).await;
    assert_eq!(cleanup(&store).await, CleanupReport::new(1, 5));
}

/// P13: Swept keys can be used again.
pub async fn a_swept_key_can_be_used_again(fixture: &Fixture) {
    let store = fixture.open().await;
    for round in 0..3 {
        let deadline = fixture.later(1);
        let data = round.to_string();
        save(&store, request("k", &data).expires_at(deadline)).await;
        assert_eq!(text(&store, "k").await, Some(data));
        fixture.until(deadline).await;
        assert_eq!(cleanup(&store).await, CleanupReport::new(1, 1));
    }
}

/// P13: The same key under several content types is swept under each by its own deadline.
pub async fn every_content_type_is_swept_by_its_own_deadlines(fixture: &Fixture) {
    let store = fixture.open().await;
    let (early, late) = (fixture.later(2), fixture.later(4));
    for (content_type, deadline) in [("a", early), ("b", late), ("c", early)] {
        save(&store, SaveRequest::new(typed(content_type, "k"), content_type).expires_at(deadline)).await;
    }
    fixture.until(early).await;
    assert_eq!(cleanup(&store).await.expired, 2);
    assert_eq!(load(&store, typed("a", "k")).await, None);
    assert!(load(&store, typed("b", "k")).await.is_some(), "its deadline is later");
}

/// P8, P13: Large payloads are swept as well.
pub async fn large_payloads_are_swept(fixture: &Fixture) {
    let store = fixture.open().await;
    let deadline = fixture.later(2);
    let size = store.info().capabilities.max_payload.min(600_000);
    for name in ["a", "b"] {
        save(&store, SaveRequest::new(key(name), vec![0; size as usize]).expires_at(deadline)).await;
    }
    fixture.until(deadline).await;
    assert_eq!(cleanup(&store).await, CleanupReport::new(2, 2 * size));
    assert_eq!(cleanup(&store).await, CleanupReport::default());
}
