//! Random calls beside a plain list of items, with few keys and values, so that items are often overwritten, deleted,
//! expired and saved again: the indexes must never show more or less than the items.
//!
//! `STORAGE_MEMORY_SEED=1234 cargo test --test model` replays a run.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::{collections::BTreeMap, num::NonZeroU16, time::Duration};

use storage_core::{
    Clock as _, Condition, ItemKey, ManualClock, Order, OrderBy, SaveRequest, StorageItem, StorageProvider,
    StorageQuery, Tags, Timestamp,
};
use storage_memory::{MemoryConfig, MemoryProvider};

const TYPES: [&str; 3] = ["a", "b", "b/c"];

/// A small random generator, so that a seed means the same run everywhere.
struct Random(u64);

impl Random {
    fn from_environment(salt: u64) -> Self {
        let seed = std::env::var("STORAGE_MEMORY_SEED").ok().map(|text| text.parse().unwrap());
        let seed: u64 = seed.unwrap_or_else(|| {
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64
        });
        println!("STORAGE_MEMORY_SEED={seed}");
        Self(seed ^ salt)
    }

    /// A number below `bound` (splitmix64).
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn chance(&mut self, of: u64) -> bool {
        self.below(of) == 0
    }
}

/// The provider and what it should hold.
struct Pair {
    provider: MemoryProvider,
    clock: ManualClock,
    items: BTreeMap<(String, String), StorageItem>,
    random: Random,
    keys: u64,
}

impl Pair {
    fn new(shards: u16, keys: u64) -> Self {
        let clock = ManualClock::default();
        let config = MemoryConfig {
            max_entries: 0,
            shards: NonZeroU16::new(shards).unwrap(),
            cleanup_interval: Duration::ZERO,
            ..MemoryConfig::default()
        };
        let provider = MemoryProvider::with_clock(config, clock.shared());
        Self {
            provider,
            clock,
            items: BTreeMap::new(),
            random: Random::from_environment(u64::from(shards)),
            keys,
        }
    }

    fn time_nearby(&mut self) -> Timestamp {
        let now = self.clock.now();
        let distance = Duration::from_micros(self.random.below(400));
        if self.random.chance(2) { now.saturating_add(distance) } else { now.saturating_sub(distance) }
    }

    fn identity(&mut self) -> (String, String) {
        let content_type = TYPES[self.random.below(3) as usize];
        // Some keys share their first bytes, some are prefixes of others.
        let number = self.random.below(self.keys);
        let key = match number % 3 {
            0 => format!("common/prefix/{number}"),
            1 => format!("{number:x}"),
            _ => format!("é{}", "x".repeat(number as usize % 9)),
        };
        (content_type.to_owned(), key)
    }

    fn tags(&mut self) -> Tags {
        let count = self.random.below(4);
        (0..count).map(|_| (format!("t{}", self.random.below(3)), self.random.below(4).to_string())).collect()
    }

    async fn step(&mut self) {
        let (content_type, key) = self.identity();
        let item_key = ItemKey::new(&content_type, &key).unwrap();
        let now = self.clock.now();
        let live = self
            .items
            .get(&(content_type.clone(), key.clone()))
            .filter(|item| item.metadata.is_live(now))
            .cloned();
        let deadline = self
            .random
            .chance(2)
            .then(|| now.saturating_add(Duration::from_micros(1 + self.random.below(200))));
        match self.random.below(20) {
            0..=10 => {
                let data = vec![self.random.below(256) as u8; self.random.below(9) as usize];
                let tags = self.tags();
                let request = SaveRequest::new(item_key, data).tags(tags).expires_at(deadline);
                let saved = self.provider.save(request.clone()).await.unwrap();
                let expected =
                    request.metadata(live.as_ref().map(|item| &*item.metadata), now, saved.metadata.version);
                let id = saved.metadata.id;
                assert_eq!(*saved.metadata, storage_core::StorageMetadata { id, ..expected });
                if let Some(live) = live {
                    assert_eq!(id, live.metadata.id);
                    assert!(saved.metadata.version > live.metadata.version);
                }
                self.items.insert((content_type, key), saved);
            }
            11..=12 => {
                let deleted = self.provider.delete(item_key, Condition::None).await.unwrap();
                assert_eq!(deleted, live.is_some());
                if deleted {
                    self.items.remove(&(content_type, key));
                }
            }
            13 => {
                let touched = self.provider.touch(item_key, deadline).await.unwrap();
                assert_eq!(touched.is_some(), live.is_some());
                if let Some(metadata) = touched {
                    self.items.get_mut(&(content_type, key)).unwrap().metadata = metadata;
                }
            }
            14..=16 => assert_eq!(self.provider.load(item_key).await.unwrap(), live),
            17 => self.clock.advance(Duration::from_micros(self.random.below(40))),
            // A clock that is set back.
            18 => self.clock.set(now.saturating_sub(Duration::from_micros(self.random.below(20)))),
            _ if self.random.chance(20) => {
                let expired = self.items.values().filter(|item| !item.metadata.is_live(now)).count() as u64;
                assert_eq!(self.provider.cleanup().await.unwrap().expired, expired);
                self.items.retain(|_, item| item.metadata.is_live(now));
            }
            _ => {}
        }
    }

    fn query(&mut self) -> StorageQuery {
        let mut query = StorageQuery::new();
        if self.random.chance(3) {
            query = query.content_type(TYPES[self.random.below(3) as usize]);
        }
        if self.random.chance(3) {
            query = query.tag(format!("t{}", self.random.below(3)), self.random.below(4).to_string());
        }
        if self.random.chance(6) {
            query = query.tag(format!("t{}", self.random.below(3)), self.random.below(4).to_string());
        }
        if self.random.chance(4) {
            let patterns =
                ["*", "common/*", "common/prefix/1*", "é*", "?", "*x", "1*2", "nothing", "common/prefix/3"];
            query = query.pattern(patterns[self.random.below(9) as usize]);
        }
        for range in 0..6 {
            if self.random.chance(12) {
                let time = self.time_nearby();
                query = match range {
                    0 => query.created_after(time),
                    1 => query.created_before(time),
                    2 => query.updated_after(time),
                    3 => query.updated_before(time),
                    4 => query.expires_after(time),
                    _ => query.expires_before(time),
                };
            }
        }
        let order = [Order::KEY, Order::CREATED, Order::UPDATED][self.random.below(3) as usize];
        let order = if self.random.chance(2) { order.descending() } else { order };
        query.order(order).page_size(1 + self.random.below(40) as usize)
    }

    async fn compare(&mut self) {
        let query = self.query();
        let now = self.clock.now();
        let everything = query.clone().page_size(10_000).compile().unwrap();
        let mut expected = everything.page_of(self.items.values().cloned(), now).results;
        assert_eq!(self.provider.count(&query).await.unwrap(), expected.len() as u64, "count of {query:?}");
        assert_eq!(self.walk(&query).await, expected, "all pages of {query:?}");
        let limit = self.random.below(60);
        expected.truncate(limit as usize);
        assert_eq!(self.walk(&query.clone().limit(limit)).await, expected, "the first {limit} of {query:?}");
        expected.iter_mut().for_each(|hit| hit.item.data.clear());
        assert_eq!(
            self.walk(&query.clone().limit(limit).metadata_only()).await,
            expected,
            "metadata of {query:?}"
        );
    }

    async fn walk(&self, query: &StorageQuery) -> Vec<storage_core::StorageResult> {
        let mut results = Vec::new();
        let mut next = None;
        loop {
            let page = self.provider.search(&query.clone().cursor(next)).await.unwrap();
            results.extend(page.results);
            assert!(results.len() <= self.items.len(), "a walk shows items twice: {query:?}");
            next = page.next;
            if next.is_none() {
                return results;
            }
        }
    }

    async fn compare_usage(&self) {
        let usage = self.provider.usage().await.unwrap();
        let mut expected = storage_core::Usage::default();
        for item in self.items.values().filter(|item| item.metadata.is_live(self.clock.now())) {
            expected.add_item(&item.metadata.content_type, item.metadata.size);
        }
        assert_eq!(usage, expected);
    }
}

async fn run(shards: u16, keys: u64, rounds: u64, steps: u64) {
    let mut pair = Pair::new(shards, keys);
    for _ in 0..rounds {
        for _ in 0..steps {
            pair.step().await;
        }
        for _ in 0..4 {
            pair.compare().await;
        }
        pair.compare_usage().await;
    }
    // Whatever happened, nothing is left when the items are gone.
    pair.clock.advance(Duration::from_secs(1));
    pair.provider.cleanup().await.unwrap();
    for hit in pair.walk(&StorageQuery::new()).await {
        assert!(pair.provider.delete(hit.item.metadata.item_key().unwrap(), Condition::None).await.unwrap());
    }
    pair.provider.cleanup().await.unwrap();
    assert_eq!(pair.provider.index_bytes(), 0, "of indexes without items");
}

#[tokio::test]
async fn few_items_in_one_shard_are_found_as_a_list_finds_them() {
    run(1, 30, 300, 60).await;
}

#[tokio::test]
async fn many_items_in_one_shard_are_found_as_a_list_finds_them() {
    run(1, 1_500, 30, 1_500).await;
}

#[tokio::test]
async fn items_in_many_shards_are_found_as_a_list_finds_them() {
    run(64, 600, 60, 400).await;
}

#[tokio::test]
async fn searches_of_times_that_are_all_equal_are_ordered_by_key() {
    let mut pair = Pair::new(4, 3_000);
    for _ in 0..4_000 {
        let identity = pair.identity();
        let key = ItemKey::new(&identity.0, &identity.1).unwrap();
        let saved = pair.provider.save(SaveRequest::new(key, "")).await.unwrap();
        pair.items.insert(identity, saved);
    }
    for by in [OrderBy::Key, OrderBy::Created, OrderBy::Updated] {
        let query = StorageQuery::new().order(Order { by, ..Order::KEY }).page_size(37);
        let found = pair.walk(&query).await;
        assert_eq!(found.len() as u64, pair.provider.count(&query).await.unwrap());
        assert!(found.is_sorted_by(|a, b| {
            let [a, b] = [a, b].map(|hit| (&hit.item.metadata.key, &hit.item.metadata.content_type));
            a < b
        }));
    }
}

/// A search may leave a shard in the middle of a long walk. An item that was deleted and saved again has two entries
/// of one place then, and the walk must not end between them: it goes on after the place.
#[tokio::test]
async fn a_walk_that_pauses_between_two_entries_of_one_key_misses_nothing() {
    let config = MemoryConfig { shards: NonZeroU16::MIN, max_entries: 0, ..MemoryConfig::default() };
    for position in 1_000..1_050 {
        let provider = MemoryProvider::new(config.clone());
        let keys: Vec<_> =
            (0..1_100).map(|n| format!("{n:04}{}", if n == position { "wanted" } else { "" })).collect();
        let save = |at: usize| provider.save(SaveRequest::new(ItemKey::new("a", &keys[at]).unwrap(), ""));
        for at in 0..keys.len() {
            save(at).await.unwrap();
        }
        let wanted = ItemKey::new("a", &keys[position]).unwrap();
        provider.delete(wanted, Condition::None).await.unwrap();
        save(position).await.unwrap();
        let found = provider.search(&StorageQuery::new().pattern("*wanted")).await.unwrap();
        assert_eq!(found.results.len(), 1, "at {position}");
    }
}
