//! Searches beside writers.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::BTreeSet,
    num::NonZeroU16,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use storage_core::{Condition, ItemKey, Order, SaveRequest, StorageItem, StorageProvider, StorageQuery};
use storage_memory::{MemoryConfig, MemoryProvider};

const ITEMS: u64 = 300;

fn provider(shards: u16) -> Arc<MemoryProvider> {
    Arc::new(MemoryProvider::new(MemoryConfig {
        max_entries: 0,
        shards: NonZeroU16::new(shards).unwrap(),
        cleanup_interval: Duration::ZERO,
        ..MemoryConfig::default()
    }))
}

/// Saves item `n` with a value that is in its payload and in its tag.
async fn save(provider: &MemoryProvider, n: u64, value: u64) {
    let name = format!("steady {n}");
    let key = ItemKey::new("note", &name).unwrap();
    provider.save(SaveRequest::new(key, value.to_string()).tag("value", value.to_string())).await.unwrap();
}

/// Overwrites the steady items, and makes and deletes others, until told to stop.
async fn write(provider: Arc<MemoryProvider>, task: u64, stop: Arc<AtomicBool>) {
    let mut n = task;
    while !stop.load(Ordering::Relaxed) {
        n += 1;
        save(&provider, n * 7 % ITEMS, n % 5).await;
        let name = format!("fleeting {task} {}", n % 100);
        let key = ItemKey::new("note", &name).unwrap();
        let request = SaveRequest::new(key, (n % 5).to_string()).tag("value", (n % 5).to_string());
        provider.save(request).await.unwrap();
        if n.is_multiple_of(2) {
            provider.delete(key, Condition::None).await.unwrap();
        }
        if n.is_multiple_of(500) {
            provider.cleanup().await.unwrap();
        }
        tokio::task::yield_now().await;
    }
}

async fn walk(provider: &MemoryProvider, query: StorageQuery) -> Vec<StorageItem> {
    let mut items = Vec::new();
    let mut next = None;
    loop {
        let page = provider.search(&query.clone().cursor(next)).await.unwrap();
        items.extend(page.results.into_iter().map(|hit| hit.item));
        next = page.next;
        if next.is_none() {
            return items;
        }
    }
}

/// In the order of keys, overwriting moves nothing: a walk sees every item that is always there, once, whatever happens
/// beside it; and no search ever sees an item under a tag that this item has not.
async fn searches_are_whole_beside_writers(shards: u16) {
    let provider = provider(shards);
    for n in 0..ITEMS {
        save(&provider, n, 0).await;
    }
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> =
        (0..4).map(|task| tokio::spawn(write(Arc::clone(&provider), task, Arc::clone(&stop)))).collect();
    for round in 0..30_usize {
        let order = if round % 2 == 0 { Order::KEY } else { Order::KEY.descending() };
        let items = walk(&provider, StorageQuery::new().order(order).page_size(7 + round)).await;
        let keys: Vec<_> = items.iter().map(|item| &item.metadata.key).collect();
        let steady = keys.iter().filter(|key| key.starts_with("steady")).count() as u64;
        assert_eq!(steady, ITEMS);
        assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), keys.len(), "no item is seen twice");
        for value in 0..5 {
            let value = value.to_string();
            for item in walk(&provider, StorageQuery::new().tag("value", value.as_str())).await {
                assert_eq!(item.metadata.tags.get("value"), Some(value.as_str()));
                assert_eq!(item.data, value, "data and tags come from one save");
            }
        }
    }
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn searches_of_many_shards_are_whole_beside_writers() {
    searches_are_whole_beside_writers(64).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn searches_of_one_shard_are_whole_beside_writers() {
    searches_are_whole_beside_writers(1).await;
}
