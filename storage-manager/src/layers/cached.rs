//! A near cache: loads are answered from memory where that is as good.

use std::{fmt, sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use metrics::Counter;
use storage_core::{
    Condition, ItemKey, Result, SaveRequest, SharedClock, StorageItem, StorageMetadata, StorageProvider,
    SystemClock, Timestamp, async_trait, forward,
};

use super::{
    near_cache::{Known, NearCache, Write},
    telemetry::Telemetry,
};
use crate::names;

/// A layer that keeps loaded and saved items in memory.
///
/// Writes through this layer and its clones are seen by its loads at once; those of others, for example of another process,
/// after [`max_age`](CacheConfig::max_age) at the latest. An item is never answered past its deadline. Of concurrent loads
/// of one item that is not in the cache, one asks the provider and the others wait for its answer. That an item is absent is
/// remembered too, for a shorter time.
///
/// Search, count and usage always ask the provider. After a write whose outcome is unknown the next load asks it too.
///
/// ```
/// use storage_manager::{
///     ItemKey, MemoryConfig, MemoryProvider, SaveRequest, StorageProvider, layers::{CacheConfig, Cached},
/// };
///
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let store = Cached::new(MemoryProvider::new(MemoryConfig::default()), CacheConfig::default());
/// let key = ItemKey::new("note", "a")?;
/// store.save(SaveRequest::new(key, "x")).await?;
/// assert_eq!(store.load(key).await?.unwrap().data, "x");
/// # Ok::<(), storage_manager::StorageError>(())
/// # }).unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct Cached<P> {
    inner: P,
    cache: Arc<NearCache>,
    requests: Arc<Requests>,
}

/// What a [`Cached`] keeps, and how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheConfig {
    /// Most bytes of items, their keys and tags included. The least valuable items make room. Default: 64 MiB.
    pub max_bytes: u64,
    /// How long an item is answered from memory before the provider is asked again. Default: 5 seconds.
    pub max_age: Duration,
    /// How long an absent item is known to be absent. 0 = not at all. Default: 1 second.
    pub absent_max_age: Duration,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self {
            max_bytes: 64 * 1_024 * 1_024,
            max_age: Duration::from_secs(5),
            absent_max_age: Duration::from_secs(1),
        }
    }
}

impl<P: StorageProvider> Cached<P> {
    /// Keeps items of `provider` in memory.
    pub fn new(provider: P, config: CacheConfig) -> Self {
        Self::with_clock(provider, config, SystemClock::shared())
    }

    /// Reads the time from this clock instead of the system's; it should be the provider's.
    pub fn with_clock(provider: P, config: CacheConfig, clock: SharedClock) -> Self {
        let requests =
            Arc::new(Requests { telemetry: Telemetry::of(&provider), counters: ArcSwapOption::empty() });
        Self { inner: provider, cache: Arc::new(NearCache::new(config, clock)), requests }
    }

    /// The provider below.
    pub const fn inner(&self) -> &P {
        &self.inner
    }

    /// What the cache knows of an item; counted.
    fn known(&self, key: ItemKey<'_>) -> Option<Known> {
        let known = self.cache.get(key);
        self.requests.count(match &known {
            Some(Known::Item(_)) => |counters| &counters.hit,
            Some(Known::Absent) => |counters| &counters.absent,
            None => |counters| &counters.miss,
        });
        known
    }

    /// Loads items that the cache does not have, and keeps them.
    async fn fetch_many(&self, keys: &[ItemKey<'_>]) -> Vec<Result<Option<StorageItem>>> {
        let tickets: Vec<_> = keys.iter().map(|key| self.cache.ticket(*key)).collect();
        let answers = self.inner.load_many(keys).await;
        for ((key, ticket), answer) in keys.iter().zip(tickets).zip(&answers) {
            if let Ok(found) = answer {
                self.cache.fill(*key, ticket, found);
            }
        }
        answers
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<P: StorageProvider> StorageProvider for Cached<P> {
    forward!(this => this.inner; info, identity, search, count, usage, health, cleanup);

    async fn save(&self, request: SaveRequest<'_>) -> Result<StorageItem> {
        let write = self.cache.begin_write(request.key);
        let saved = self.inner.save(request).await?;
        write.saved(&saved);
        Ok(saved)
    }

    async fn load(&self, key: ItemKey<'_>) -> Result<Option<StorageItem>> {
        if let Some(known) = self.known(key) {
            return Ok(known.into_item());
        }
        self.cache.fly(key, || self.inner.load(key)).await
    }

    async fn delete(&self, key: ItemKey<'_>, condition: Condition) -> Result<bool> {
        let _write = self.cache.begin_write(key);
        self.inner.delete(key, condition).await
    }

    async fn touch(
        &self,
        key: ItemKey<'_>,
        expires_at: Option<Timestamp>,
    ) -> Result<Option<Arc<StorageMetadata>>> {
        let _write = self.cache.begin_write(key);
        self.inner.touch(key, expires_at).await
    }

    async fn close(&self) -> Result<()> {
        // What is closed answers nothing any more, from memory neither.
        self.cache.close();
        self.inner.close().await
    }

    async fn save_many(&self, requests: Vec<SaveRequest<'_>>) -> Vec<Result<StorageItem>> {
        let writes: Vec<Write<'_>> =
            requests.iter().map(|request| self.cache.begin_write(request.key)).collect();
        let answers = self.inner.save_many(requests).await;
        for (write, answer) in writes.into_iter().zip(&answers) {
            if let Ok(saved) = answer {
                write.saved(saved);
            }
        }
        answers
    }

    async fn delete_many(&self, keys: &[ItemKey<'_>]) -> Vec<Result<bool>> {
        let _writes: Vec<Write<'_>> = keys.iter().map(|key| self.cache.begin_write(*key)).collect();
        self.inner.delete_many(keys).await
    }

    async fn load_many(&self, keys: &[ItemKey<'_>]) -> Vec<Result<Option<StorageItem>>> {
        let known: Vec<_> = keys.iter().map(|key| self.known(*key)).collect();
        let unknown = keys.iter().zip(&known).filter(|(_, known)| known.is_none()).map(|(key, _)| *key);
        let unknown: Vec<_> = unknown.collect();
        let fetched = if unknown.is_empty() { Vec::new() } else { self.fetch_many(&unknown).await };
        let mut fetched = fetched.into_iter();
        let answer = |known: Option<Known>| match known {
            Some(known) => Ok(known.into_item()),
            None => fetched.next().unwrap_or_else(|| Err(super::too_few_answers())),
        };
        known.into_iter().map(answer).collect()
    }
}

/// Counts what the cache had. A load from memory is too quick to look a counter up each time.
struct Requests {
    telemetry: Telemetry,
    counters: ArcSwapOption<Counters>,
}

/// The counters of the recorder that was in use when they were looked up.
struct Counters {
    recorder: usize,
    hit: Counter,
    absent: Counter,
    miss: Counter,
}

impl Requests {
    fn count(&self, which: fn(&Counters) -> &Counter) {
        self.telemetry.shielded(|| {
            let recorder = self.telemetry.recorder();
            match &*self.counters.load() {
                Some(counters) if counters.recorder == recorder => which(counters).increment(1),
                _ => {
                    let counters = Arc::new(self.look_up(recorder));
                    which(&counters).increment(1);
                    self.counters.store(Some(counters));
                }
            }
        });
    }

    fn look_up(&self, recorder: usize) -> Counters {
        let counter = |result| self.telemetry.counter(names::CACHE_REQUESTS_TOTAL, names::RESULT, result);
        Counters { recorder, hit: counter("hit"), absent: counter("absent"), miss: counter("miss") }
    }
}

impl fmt::Debug for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requests").field("telemetry", &self.telemetry).finish_non_exhaustive()
    }
}
