//! Watches over the deadlines of all calls to a provider.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use storage_core::{
    CleanupReport, Condition, Health, ItemKey, ProviderInfo, Result, SaveRequest, SearchPage, StorageItem,
    StorageMetadata, StorageProvider, StorageQuery, Timestamp, Usage,
};
use tokio::task::AbortHandle;

/// A provider whose calls are timed.
#[derive(Debug)]
pub(crate) struct Stopwatch {
    inner: Arc<dyn StorageProvider>,
    longest: Longest,
    /// How late the timers of this machine were meanwhile: what it owes to others cannot be owed to us.
    lateness: Arc<Longest>,
    metronome: AbortHandle,
}

/// A call may outlive its deadline by this much.
const GRACE: Duration = Duration::from_millis(50);
const BEAT: Duration = Duration::from_millis(5);

impl Stopwatch {
    pub(crate) fn over(inner: Arc<dyn StorageProvider>) -> Arc<Self> {
        let lateness = Arc::new(Longest::default());
        let metronome = tokio::spawn(beat(Arc::clone(&lateness))).abort_handle();
        Arc::new(Self { inner, longest: Longest::default(), lateness, metronome })
    }

    /// No call may have outlived `deadline` by more than 50 ms and the lateness of the machine itself.
    pub(crate) fn assert_within(&self, deadline: Duration) {
        let ((longest, what), (lateness, _)) = (self.longest.get(), self.lateness.get());
        println!(
            "the longest call, {what}, took {longest:?} of {deadline:?}; timers were up to {lateness:?} late"
        );
        assert!(
            longest <= deadline + GRACE + lateness,
            "{what} took {longest:?} > {deadline:?}, timers: {lateness:?}"
        );
    }

    async fn timed<T>(&self, what: &'static str, call: impl Future<Output = T>) -> T {
        let started = Instant::now();
        let answer = call.await;
        self.longest.note(what, started.elapsed());
        answer
    }
}

impl Drop for Stopwatch {
    fn drop(&mut self) {
        self.metronome.abort();
    }
}

/// Notes how late the runtime wakes a task that sleeps.
async fn beat(lateness: Arc<Longest>) {
    loop {
        let started = Instant::now();
        tokio::time::sleep(BEAT).await;
        lateness.note("a sleep", started.elapsed().saturating_sub(BEAT));
    }
}

/// The longest of many times, and what took it.
#[derive(Debug, Default)]
struct Longest(Mutex<(Duration, &'static str)>);

impl Longest {
    fn note(&self, what: &'static str, duration: Duration) {
        let mut longest = self.0.lock().unwrap();
        *longest = (*longest).max((duration, what));
    }

    fn get(&self) -> (Duration, &'static str) {
        *self.0.lock().unwrap()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl StorageProvider for Stopwatch {
    fn info(&self) -> ProviderInfo {
        self.inner.info()
    }

    fn identity(&self) -> usize {
        self.inner.identity()
    }

    async fn save(&self, request: SaveRequest<'_>) -> Result<StorageItem> {
        self.timed("save", self.inner.save(request)).await
    }

    async fn load(&self, key: ItemKey<'_>) -> Result<Option<StorageItem>> {
        self.timed("load", self.inner.load(key)).await
    }

    async fn delete(&self, key: ItemKey<'_>, condition: Condition) -> Result<bool> {
        self.timed("delete", self.inner.delete(key, condition)).await
    }

    async fn search(&self, query: &StorageQuery) -> Result<SearchPage> {
        self.timed("search", self.inner.search(query)).await
    }

    async fn cleanup(&self) -> Result<CleanupReport> {
        // It takes as many steps as there is to remove, each under the deadline.
        self.inner.cleanup().await
    }

    async fn close(&self) -> Result<()> {
        self.timed("close", self.inner.close()).await
    }

    async fn save_many(&self, requests: Vec<SaveRequest<'_>>) -> Vec<Result<StorageItem>> {
        self.timed("save_many", self.inner.save_many(requests)).await
    }

    async fn load_many(&self, keys: &[ItemKey<'_>]) -> Vec<Result<Option<StorageItem>>> {
        self.timed("load_many", self.inner.load_many(keys)).await
    }

    async fn delete_many(&self, keys: &[ItemKey<'_>]) -> Vec<Result<bool>> {
        self.timed("delete_many", self.inner.delete_many(keys)).await
    }

    async fn touch(
        &self,
        key: ItemKey<'_>,
        expires_at: Option<Timestamp>,
    ) -> Result<Option<Arc<StorageMetadata>>> {
        self.timed("touch", self.inner.touch(key, expires_at)).await
    }

    async fn count(&self, query: &StorageQuery) -> Result<u64> {
        self.timed("count", self.inner.count(query)).await
    }

    async fn usage(&self) -> Result<Usage> {
        self.timed("usage", self.inner.usage()).await
    }

    async fn health(&self) -> Health {
        self.timed("health", self.inner.health()).await
    }
}
