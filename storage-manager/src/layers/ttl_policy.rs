//! Deadlines for those who give none, and none too far away.

use std::{sync::Arc, time::Duration};

use storage_core::{
    ItemKey, Result, SaveRequest, SharedClock, StorageItem, StorageMetadata, StorageProvider, SystemClock,
    Timestamp, async_trait, forward,
};

/// A layer that gives items without a deadline one, and brings deadlines that are too far away nearer.
///
/// It decides at each save and touch, from the time of its clock; what is stored already keeps its deadline. The item that
/// a save returns shows the deadline that was given.
///
/// ```
/// use std::time::Duration;
/// use storage_manager::{
///     ItemKey, MemoryConfig, MemoryProvider, SaveRequest, StorageProvider, layers::TtlPolicy,
/// };
///
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let store = TtlPolicy::new(MemoryProvider::new(MemoryConfig::default()))
///     .default_ttl(Duration::from_secs(3_600))
///     .max_ttl(Duration::from_secs(86_400));
/// let item = store.save(SaveRequest::new(ItemKey::new("session", "a")?, "x")).await?;
/// assert!(item.metadata.expires_at.is_some());
/// # Ok::<(), storage_manager::StorageError>(())
/// # }).unwrap();
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct TtlPolicy<P> {
    inner: P,
    clock: SharedClock,
    default: Option<Duration>,
    max: Option<Duration>,
}

impl<P: StorageProvider> TtlPolicy<P> {
    /// Changes no deadline of `provider` yet.
    pub fn new(provider: P) -> Self {
        Self { inner: provider, clock: SystemClock::shared(), default: None, max: None }
    }

    /// Items saved without a deadline, or touched to have none, live this long. Default: for ever, or as long as
    /// [`max_ttl`](Self::max_ttl) allows.
    pub const fn default_ttl(mut self, ttl: Duration) -> Self {
        self.default = Some(ttl);
        self
    }

    /// No item lives longer than this from its last save or touch on. Default: no bound.
    pub const fn max_ttl(mut self, ttl: Duration) -> Self {
        self.max = Some(ttl);
        self
    }

    /// Reads the time from this clock instead of the system's; it should be the provider's.
    pub fn clock(mut self, clock: SharedClock) -> Self {
        self.clock = clock;
        self
    }

    /// The provider below.
    pub const fn inner(&self) -> &P {
        &self.inner
    }

    fn deadline(&self, wanted: Option<Timestamp>) -> Option<Timestamp> {
        if self.default.is_none() && self.max.is_none() {
            return wanted;
        }
        let now = self.clock.now();
        let given = wanted.or_else(|| self.default.map(|ttl| now.saturating_add(ttl)));
        let latest = self.max.map(|ttl| now.saturating_add(ttl));
        match (given, latest) {
            (Some(given), Some(latest)) => Some(given.min(latest)),
            (given, latest) => given.or(latest),
        }
    }

    fn bounded<'key>(&self, request: SaveRequest<'key>) -> SaveRequest<'key> {
        let deadline = self.deadline(request.expires_at);
        request.expires_at(deadline)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<P: StorageProvider> StorageProvider for TtlPolicy<P> {
    forward!(this => this.inner; info, identity, load, delete, search, cleanup, close);
    forward!(this => this.inner; load_many, delete_many, count, usage, health);

    async fn save(&self, request: SaveRequest<'_>) -> Result<StorageItem> {
        self.inner.save(self.bounded(request)).await
    }

    async fn save_many(&self, requests: Vec<SaveRequest<'_>>) -> Vec<Result<StorageItem>> {
        self.inner.save_many(requests.into_iter().map(|request| self.bounded(request)).collect()).await
    }

    async fn touch(
        &self,
        key: ItemKey<'_>,
        expires_at: Option<Timestamp>,
    ) -> Result<Option<Arc<StorageMetadata>>> {
        self.inner.touch(key, self.deadline(expires_at)).await
    }
}
