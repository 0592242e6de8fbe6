//! Searches over one and several providers, as streams and as pages.
#![expect(clippy::unwrap_used, reason = "tests state what they expect by panicking")]

mod support;

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures_util::{StreamExt, TryStreamExt};
use storage_manager::{
    ErrorKind, ItemKey, ManualClock, MemoryProvider, Order, SaveRequest, StorageProvider, StorageQuery,
    UnifiedStorageManager,
};
use support::{Mood, Puppet, memory};

fn name(hit: &storage_manager::StorageResult) -> String {
    format!("{}/{}", hit.item.metadata.content_type, hit.item.metadata.key)
}

async fn stream(manager: &UnifiedStorageManager, query: &StorageQuery) -> Vec<String> {
    manager.search_bytes(query.clone()).map_ok(|hit| name(&hit)).try_collect().await.unwrap()
}

/// All pages; none may be longer than asked for.
async fn pages(manager: &UnifiedStorageManager, query: &StorageQuery) -> Vec<String> {
    let mut names = Vec::new();
    let mut query = query.clone();
    loop {
        let page = manager.search_page(&query).await.unwrap();
        assert!(page.results.len() <= query.compile().unwrap().page_len(), "{}", page.results.len());
        names.extend(page.results.iter().map(name));
        match page.next {
            Some(next) => query = query.cursor(next),
            None => return names,
        }
    }
}

/// A manager over `parts` providers that together hold the same as the one provider beside it.
async fn spread(parts: usize, items: u64, seed: u64) -> (UnifiedStorageManager, MemoryProvider) {
    let clock = ManualClock::default();
    let whole = memory(&clock);
    let manager = UnifiedStorageManager::new();
    for part in 0..parts {
        manager.register_provider(&format!("t{part}"), memory(&clock)).unwrap();
    }
    // A small generator is enough to shuffle; the seed is fixed per call.
    let mut state = seed;
    let mut random = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    for _ in 0..items {
        let (content_type, key) =
            (format!("t{}", random(parts as u64)), format!("k{:03}", random(items * 2)));
        let tag = random(3).to_string();
        let request = SaveRequest::new(ItemKey::new(&content_type, &key).unwrap(), key.clone())
            .tag("third", tag.as_str());
        whole.save(request.clone()).await.unwrap();
        manager.as_provider().save(request).await.unwrap();
        if random(3) == 0 {
            clock.advance(Duration::from_micros(1));
        }
    }
    (manager, whole)
}

#[tokio::test]
async fn several_providers_answer_like_one_that_holds_all() {
    for seed in 0..6 {
        let (manager, whole) = spread(1 + seed as usize % 4, 30, seed).await;
        for order in [Order::KEY, Order::CREATED, Order::UPDATED] {
            for order in [order, order.descending()] {
                for limit in [None, Some(0), Some(1), Some(7), Some(1_000)] {
                    for (page_size, tag) in [(1, None), (3, Some("1")), (7, None), (100, Some("2"))] {
                        let mut query = StorageQuery::new().order(order).page_size(page_size);
                        query = limit.map_or(query.clone(), |limit| query.limit(limit));
                        query = tag.map_or(query.clone(), |tag| query.tag("third", tag));
                        let expected = walk(&whole, &query).await;
                        assert_eq!(stream(&manager, &query).await, expected, "seed {seed}: {query:?}");
                        assert_eq!(pages(&manager, &query).await, expected, "seed {seed}: {query:?}");
                        let all = walk(&whole, &query.filters()).await.len() as u64;
                        assert_eq!(manager.count(&query).await.unwrap(), all);
                    }
                }
            }
        }
    }
}

async fn walk(provider: &MemoryProvider, query: &StorageQuery) -> Vec<String> {
    use storage_manager::StorageProviderExt;
    provider.search_stream(query.clone()).map_ok(|hit| name(&hit)).try_collect().await.unwrap()
}

#[tokio::test]
async fn typed_hits_come_one_by_one() {
    let manager = UnifiedStorageManager::builder().fallback(memory(&ManualClock::default())).build().unwrap();
    for n in 0..5 {
        manager.save(&format!("k{n}"), n, "t").tag("purpose", "test").await.unwrap();
    }
    let query = StorageQuery::new().content_type("t").tag("purpose", "test").page_size(2);
    let hits: Vec<_> = manager.search::<u8>(query).try_collect().await.unwrap();
    assert_eq!(hits.iter().map(|hit| hit.item.data).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    assert!(hits.iter().all(|hit| hit.score == 1.0 && hit.highlights.is_empty()));
}

#[tokio::test]
async fn a_hit_of_another_type_is_an_error_item_and_the_stream_goes_on() {
    let manager = UnifiedStorageManager::builder().fallback(memory(&ManualClock::default())).build().unwrap();
    manager.save("a", 1, "t").await.unwrap();
    manager.save("b", "text", "t").await.unwrap();
    manager.save("c", 3, "t").await.unwrap();
    let items: Vec<_> = manager.search::<u8>(StorageQuery::new()).collect().await;
    let [Ok(a), Err(b), Ok(c)] = &items[..] else { panic!("{items:?}") };
    assert_eq!((a.item.data, c.item.data), (1, 3));
    assert_eq!((b.kind(), b.key()), (ErrorKind::Serialization, Some("b")));
}

#[tokio::test]
async fn a_failing_provider_is_one_error_item_that_names_it_and_the_others_still_come() {
    let clock = ManualClock::default();
    let (left, right) = (Puppet::new("left", &clock), Puppet::new("right", &clock));
    let manager =
        UnifiedStorageManager::builder().register("l", left).register("r", right.clone()).build().unwrap();
    for n in 0..6 {
        manager.save(&format!("k{n}"), n, if n % 2 == 0 { "l" } else { "r" }).await.unwrap();
    }
    right.be(Mood::Failing(ErrorKind::Unavailable));
    let query = StorageQuery::new().page_size(1);
    let items: Vec<_> = manager.search::<u8>(query.clone()).collect().await;
    let found: Vec<_> = items.iter().filter_map(|item| Some(item.as_ref().ok()?.item.data)).collect();
    let failed: Vec<_> = items.iter().filter_map(|item| item.as_ref().err()).collect();
    assert_eq!(found, [0, 2, 4]);
    assert_eq!(failed.len(), 1);
    assert_eq!((failed[0].kind(), failed[0].provider()), (ErrorKind::Unavailable, Some("right")));

    // Halfway: what it answered before comes, then its error, then the others' rest.
    right.patience.store(2, Ordering::SeqCst);
    let items: Vec<_> = manager.search::<u8>(query.clone()).collect().await;
    let found: Vec<_> = items.iter().filter_map(|item| Some(item.as_ref().ok()?.item.data)).collect();
    assert_eq!(found, [0, 1, 2, 3, 4]);
    assert_eq!(items.iter().filter(|item| item.is_err()).count(), 1);

    // Pages and counts have no place for an error beside their hits: they fail as a whole.
    for error in [manager.search_page(&query).await.unwrap_err(), manager.count(&query).await.unwrap_err()] {
        assert_eq!((error.kind(), error.provider()), (ErrorKind::Unavailable, Some("right")));
    }
    assert_eq!(manager.usage().await.unwrap_err().provider(), Some("right"));
    // Whoever asks for the healthy one alone is not concerned.
    assert_eq!(manager.count(&query.content_type("l")).await.unwrap(), 3);
}

#[tokio::test]
async fn a_provider_is_asked_for_no_more_pages_than_are_read() {
    let clock = ManualClock::default();
    let puppet = Puppet::new("puppet", &clock);
    let manager = UnifiedStorageManager::builder().fallback(puppet.clone()).build().unwrap();
    for n in 0..10 {
        manager.save(&format!("k{n}"), n, "t").await.unwrap();
    }
    let mut results = manager.search::<u8>(StorageQuery::new().page_size(2));
    assert_eq!(puppet.searches.load(Ordering::SeqCst), 0);
    for n in 0..3 {
        assert_eq!(results.next().await.unwrap().unwrap().item.data, n);
    }
    assert_eq!(puppet.searches.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn providers_are_asked_at_the_same_time() {
    let clock = ManualClock::default();
    let barrier = Arc::new(tokio::sync::Barrier::new(2));
    let manager = UnifiedStorageManager::builder()
        .register("a", Meeting(memory(&clock), Arc::clone(&barrier)))
        .register("b", Meeting(memory(&clock), barrier))
        .build()
        .unwrap();
    let query = StorageQuery::new();
    let both = async {
        assert_eq!(stream(&manager, &query).await.len(), 0);
        assert_eq!(pages(&manager, &query).await.len(), 0);
    };
    tokio::time::timeout(Duration::from_secs(30), both).await.expect("each waits for the other");
}

/// Answers a search only while another one is under way.
#[derive(Debug)]
struct Meeting(MemoryProvider, Arc<tokio::sync::Barrier>);

#[storage_manager::async_trait]
impl StorageProvider for Meeting {
    fn info(&self) -> storage_manager::ProviderInfo {
        self.0.info()
    }
    async fn save(&self, request: SaveRequest<'_>) -> storage_manager::Result<storage_manager::StorageItem> {
        self.0.save(request).await
    }
    async fn load(&self, key: ItemKey<'_>) -> storage_manager::Result<Option<storage_manager::StorageItem>> {
        self.0.load(key).await
    }
    async fn delete(
        &self,
        key: ItemKey<'_>,
        condition: storage_manager::Condition,
    ) -> storage_manager::Result<bool> {
        self.0.delete(key, condition).await
    }
    async fn search(&self, query: &StorageQuery) -> storage_manager::Result<storage_manager::SearchPage> {
        self.1.wait().await;
        self.0.search(query).await
    }
    async fn cleanup(&self) -> storage_manager::Result<storage_manager::CleanupReport> {
        self.0.cleanup().await
    }
    async fn close(&self) -> storage_manager::Result<()> {
        self.0.close().await
    }
}

/// Both copies have one place in the order, and a cursor points behind that place: a page that ended between them lost
/// the second one.
#[tokio::test]
async fn an_item_that_lies_in_two_providers_is_found_in_both_on_every_page_size() {
    let clock = ManualClock::default();
    let manager = UnifiedStorageManager::builder().register("t", memory(&clock)).build().unwrap();
    for key in ["a", "b", "c"] {
        manager.save(key, "old", "t").await.unwrap();
    }
    let former = manager.unregister("t").unwrap();
    manager.register_provider("former", former).unwrap();
    manager.register_provider("t", memory(&clock)).unwrap();
    manager.save("b", "new", "t").await.unwrap();
    for page_size in 1..6 {
        let mut query = StorageQuery::new().page_size(page_size);
        let mut names = Vec::new();
        loop {
            let page = manager.search_page(&query).await.unwrap();
            names.extend(page.results.iter().map(name));
            let Some(next) = page.next else { break };
            query = query.cursor(next);
        }
        assert_eq!(names, ["t/a", "t/b", "t/b", "t/c"], "page size {page_size}");
    }
    assert_eq!(stream(&manager, &StorageQuery::new().page_size(1)).await.len(), 4);
    // Under its content type, the item is what its route leads to.
    assert_eq!(stream(&manager, &StorageQuery::new().content_type("t")).await, ["t/b"]);
}

#[tokio::test]
async fn a_query_that_cannot_be_is_refused_before_any_provider_is_asked() {
    let clock = ManualClock::default();
    let puppet = Puppet::new("puppet", &clock);
    let manager = UnifiedStorageManager::builder()
        .register("a", puppet.clone())
        .register("b", puppet.clone())
        .fallback(memory(&clock))
        .build()
        .unwrap();
    let foreign = {
        for n in 0..3 {
            manager.save(&format!("k{n}"), n, "a").await.unwrap();
        }
        manager.search_page(&StorageQuery::new().page_size(1)).await.unwrap().next
    };
    let asked = puppet.searches.load(Ordering::SeqCst);
    for bad in [
        StorageQuery::new().pattern("["),
        StorageQuery::new().page_size(0),
        StorageQuery::new().cursor("damaged".to_owned().parse::<storage_manager::Cursor>().ok()),
        StorageQuery::new().limit(9).cursor(foreign),
    ] {
        assert_eq!(manager.search_page(&bad).await.unwrap_err().kind(), ErrorKind::InvalidQuery, "{bad:?}");
        let items: Vec<_> = manager.search::<u8>(bad).collect().await;
        assert_eq!(items.len(), 1);
        assert_eq!(items[0].as_ref().unwrap_err().kind(), ErrorKind::InvalidQuery);
    }
    assert_eq!(puppet.searches.load(Ordering::SeqCst), asked);
}

#[tokio::test]
async fn metadata_only_is_for_bytes() {
    let manager = UnifiedStorageManager::builder().fallback(memory(&ManualClock::default())).build().unwrap();
    manager.save("k", 1, "t").await.unwrap();
    let query = StorageQuery::new().metadata_only();
    let hits: Vec<_> = manager.search_bytes(query.clone()).try_collect().await.unwrap();
    assert!(hits[0].item.data.is_empty() && hits[0].item.metadata.size == 1);
    let error = manager.search::<u8>(query).next().await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidQuery);
}
