//! Random stores and queries: what a database answers equals what the provider in memory answers.

use std::time::Duration;

use fastrand::Rng;
use storage_core::{
    Bytes, Clock, Condition, ItemKey, ManualClock, Order, SaveRequest, StorageItem, StorageMetadata,
    StorageProvider, StorageQuery, Timestamp, Uuid,
};
use storage_memory::{MemoryConfig, MemoryProvider};
use storage_sql::SqlProvider;

const TYPES: [&str; 4] = ["a", "a:b", "note", "zzz"];

/// A store in memory and one in the database with the same items. Their versions and ids differ.
struct Pair {
    memory: MemoryProvider,
    database: SqlProvider,
    clock: ManualClock,
    random: Rng,
}

impl Pair {
    fn new(database: SqlProvider, clock: ManualClock, seed: u64) -> Self {
        let config =
            MemoryConfig { max_entries: 0, cleanup_interval: Duration::ZERO, ..MemoryConfig::default() };
        let memory = MemoryProvider::with_clock(config, clock.shared());
        Self { memory, database, clock, random: Rng::with_seed(seed) }
    }

    fn key(&mut self) -> String {
        let parts = ["", "user:", "user:1", "ü", "*", "[x]", "{b}", "\\"];
        format!("{}{}", self.random.choice(parts).unwrap(), self.random.u32(..60))
    }

    /// A time among those that items have.
    fn time(&mut self) -> Timestamp {
        let start = ManualClock::default();
        start.advance(Duration::from_millis(self.random.u64(..400)));
        start.now()
    }

    async fn change(&mut self) {
        let (content_type, key) = (*self.random.choice(&TYPES).unwrap(), self.key());
        let item = ItemKey::new(content_type, &key).unwrap();
        match self.random.u8(..10) {
            0..=6 => {
                let mut request = SaveRequest::new(item, self.random.u32(..).to_string());
                if self.random.u8(..3) == 0 {
                    let life = Duration::from_millis(self.random.u64(1..300));
                    request = request.expires_at(self.clock.now().saturating_add(life));
                }
                for name in ["rare", "common", "x"] {
                    if self.random.bool() {
                        let value = if name == "rare" { self.random.u8(..20) } else { self.random.u8(..2) };
                        request = request.tag(name, value.to_string());
                    }
                }
                self.memory.save(request.clone()).await.unwrap();
                self.database.save(request).await.unwrap();
            }
            7 => {
                let deleted = self.memory.delete(item, Condition::None).await.unwrap();
                assert_eq!(self.database.delete(item, Condition::None).await.unwrap(), deleted);
            }
            8 => {
                let deadline = self.random.bool().then(|| {
                    let life = Duration::from_millis(self.random.u64(1..300));
                    self.clock.now().saturating_add(life)
                });
                let touched = self.memory.touch(item, deadline).await.unwrap();
                assert_eq!(self.database.touch(item, deadline).await.unwrap().is_some(), touched.is_some());
            }
            _ => self.clock.advance(Duration::from_millis(self.random.u64(..4))),
        }
    }

    fn query(&mut self) -> StorageQuery {
        let mut query = StorageQuery::new();
        if self.random.bool() {
            query = query.content_type(*self.random.choice(&TYPES).unwrap());
        }
        if self.random.u8(..3) == 0 {
            let patterns = ["*", "user:*", "user:1*", "*1", "user:1?", "\\**", "[u*]*", "nothing*", "ü*"];
            query = query.pattern(self.random.choice(patterns).unwrap());
        }
        for name in ["rare", "common", "x"] {
            if self.random.u8(..4) == 0 {
                let value = if name == "rare" { self.random.u8(..20) } else { self.random.u8(..2) };
                query = query.tag(name, value.to_string());
            }
        }
        if self.random.u8(..4) == 0 {
            query = query.created_after(self.time());
        }
        if self.random.u8(..4) == 0 {
            query = query.created_before(self.time());
        }
        if self.random.u8(..4) == 0 {
            query = query.updated_after(self.time());
        }
        if self.random.u8(..6) == 0 {
            query = query.updated_before(self.time());
        }
        if self.random.u8(..6) == 0 {
            query = query.expires_after(self.time());
        }
        if self.random.u8(..6) == 0 {
            query = query.expires_before(self.time());
        }
        let order = *self.random.choice(&[Order::KEY, Order::CREATED, Order::UPDATED]).unwrap();
        query = query.order(if self.random.bool() { order } else { order.descending() });
        if self.random.u8(..4) == 0 {
            query = query.limit(self.random.u64(..30));
        }
        if self.random.u8(..3) == 0 {
            query = query.metadata_only();
        }
        query.page_size(*self.random.choice(&[2, 7, 30, 100, 1_000]).unwrap())
    }
}

/// What the two stores have in common of an item: all but id and version.
fn shown(item: &StorageItem) -> (StorageMetadata, Bytes) {
    let metadata = StorageMetadata { id: Uuid::nil(), version: 0, ..(*item.metadata).clone() };
    (metadata, item.data.clone())
}

async fn walk(store: &dyn StorageProvider, query: &StorageQuery) -> Vec<(StorageMetadata, Bytes)> {
    let mut query = query.clone();
    let mut all = Vec::new();
    loop {
        let page = store.search(&query).await.unwrap();
        all.extend(page.results.iter().map(|hit| shown(&hit.item)));
        match page.next {
            Some(next) => query = query.cursor(next),
            None => return all,
        }
    }
}

/// Changes both stores alike, `changes` times in each of four rounds, and asks both the same.
pub(crate) async fn compare(database: SqlProvider, clock: ManualClock, seed: u64, changes: usize) {
    println!("seed {seed}, replay with DIFFERENTIAL_SEED={seed}");
    let mut pair = Pair::new(database, clock, seed);
    for round in 0..4 {
        for _ in 0..changes {
            pair.change().await;
        }
        for number in 0..60 {
            let query = pair.query();
            let expected = walk(&pair.memory, &query).await;
            let found = walk(&pair.database, &query).await;
            let first = found.iter().zip(&expected).position(|(found, expected)| found != expected);
            let context = format!("query {number} of round {round}, seed {seed}: {query:?}");
            assert_eq!(first.map(|at| (&found[at], &expected[at])), None, "place {first:?} of {context}");
            assert_eq!(found.len(), expected.len(), "{context}");
            let count = pair.memory.count(&query).await.unwrap();
            assert_eq!(pair.database.count(&query).await.unwrap(), count, "seed {seed}: count of {query:?}");
        }
        assert_eq!(pair.database.usage().await.unwrap(), pair.memory.usage().await.unwrap(), "seed {seed}");
        if round % 2 == 1 {
            let expired = pair.memory.cleanup().await.unwrap();
            assert_eq!(
                pair.database.cleanup().await.unwrap(),
                expired,
                "seed {seed}: cleanup of round {round}"
            );
        }
    }
    pair.database.close().await.unwrap();
}

pub(crate) fn seed() -> u64 {
    std::env::var("DIFFERENTIAL_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap())
}
