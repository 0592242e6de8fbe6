//! P11: nothing is capped silently.

use crate::{
    CleanupReport, MAX_PAGE_SIZE, Order, SaveRequest, StorageQuery, Timestamp,
    conformance::{Fixture, Store, support::*},
};

/// More than any page, and no round number.
const MANY: usize = 10_050;

async fn filled(fixture: &Fixture, deadline: Option<Timestamp>, tagged: bool) -> Store {
    let store = fixture.open().await;
    let names: Vec<_> = (0..MANY).map(|n| format!("k{n:05}")).collect();
    for chunk in names.chunks(1_000) {
        let requests = chunk.iter().map(|name| {
            let request = SaveRequest::new(key(name), "data").expires_at(deadline);
            if tagged { request.tag("all", "yes") } else { request }
        });
        save_all(&store, requests.collect()).await;
    }
    store
}

/// P11: A walk brings all of 10,050 items, each once and in order.
pub async fn a_walk_brings_all_of_ten_thousand_and_fifty_items(fixture: &Fixture) {
    let store = filled(fixture, None, false).await;
    let expected: Vec<_> = (0..MANY).map(|n| format!("k{n:05}")).collect();
    for (order, size) in [(Order::KEY, MAX_PAGE_SIZE), (Order::CREATED, 1_000)] {
        let query = StorageQuery::new().metadata_only().order(order).page_size(size);
        let found = keys(&store, &query).await;
        assert!(found == expected, "{order}: {} of {MANY} items, or not in order", found.len());
    }
}

/// P11: Count and usage count all of 10,050 items.
pub async fn count_and_usage_count_all_of_ten_thousand_and_fifty_items(fixture: &Fixture) {
    let store = filled(fixture, None, false).await;
    assert_eq!(count(&store, &StorageQuery::new()).await, MANY as u64);
    assert_eq!(count(&store, &StorageQuery::new().content_type(KIND)).await, MANY as u64);
    assert_eq!(count(&store, &StorageQuery::new().pattern("k*")).await, MANY as u64);
    let total = store.usage().await.unwrap().total();
    assert_eq!((total.items, total.bytes), (MANY as u64, 4 * MANY as u64));
}

/// P11: A tag finds all of 10,050 items.
pub async fn a_tag_finds_all_of_ten_thousand_and_fifty_items(fixture: &Fixture) {
    let store = filled(fixture, None, true).await;
    let query = StorageQuery::new().tag("all", "yes");
    assert_eq!(count(&store, &query).await, MANY as u64);
    let found = keys(&store, &query.metadata_only().page_size(MAX_PAGE_SIZE)).await;
    assert_eq!(found.len(), MANY);
    assert!(found.is_sorted(), "the hits of a tag come in order");
}

/// P11, P13: One cleanup sweeps all of 10,050 expired items.
pub async fn a_cleanup_sweeps_all_of_ten_thousand_and_fifty_items(fixture: &Fixture) {
    // On the real clock, saving them all takes longer than an item needs that expires at once.
    let deadline = fixture.later(20);
    let store = filled(fixture, Some(deadline), false).await;
    fixture.until(deadline).await;
    assert_eq!(cleanup(&store).await, CleanupReport::new(MANY as u64, 4 * MANY as u64));
    assert_eq!(cleanup(&store).await, CleanupReport::default());
    assert_eq!(get(&store, "k00000").await, None);
}
