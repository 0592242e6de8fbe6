//! The provider itself.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use storage_core::{
    Capabilities, CleanupReport, Condition, Health, ItemKey, ProviderInfo, Result, SaveRequest, SearchPage,
    SharedClock, StorageItem, StorageMetadata, StorageProvider, StorageQuery, SystemClock, Timestamp, Usage,
};

use crate::{
    config::MemoryConfig,
    error::{NAME, during, during_on},
    store::Store,
    sweeper::Sweeper,
};

/// Items in the memory of this process.
///
/// Calls are answered at once, on the calling task: no call waits for anything but the lock of one shard. Dropping the
/// provider frees everything and stops its task.
pub struct MemoryProvider {
    store: Arc<Store>,
    sweeper: Sweeper,
    config: MemoryConfig,
}

impl MemoryProvider {
    /// An empty store.
    pub fn new(config: MemoryConfig) -> Self {
        Self::with_clock(config, SystemClock::shared())
    }

    /// An empty store that reads the time from `clock`.
    ///
    /// The interval of the cleanup is waited for in the time of the runtime; what has expired is decided by `clock`.
    pub fn with_clock(config: MemoryConfig, clock: SharedClock) -> Self {
        let store = Arc::new(Store::new(&config, clock));
        Self { store, sweeper: Sweeper::new(config.cleanup_interval), config }
    }

    /// The settings.
    pub const fn config(&self) -> &MemoryConfig {
        &self.config
    }

    /// Bytes of memory that the indexes and tables take, beside payloads and metadata. Costs time in the order of the
    /// number of items.
    pub fn index_bytes(&self) -> u64 {
        self.store.overhead() as u64
    }

    fn save_now(&self, request: SaveRequest<'_>) -> Result<StorageItem> {
        let key = request.key;
        if request.expires_at.is_some() {
            self.sweeper.ensure_running(&self.store);
        }
        self.store.save(request).map_err(during_on("save", key))
    }

    fn load_now(&self, key: ItemKey<'_>) -> Result<Option<StorageItem>> {
        self.store.load(key).map_err(during_on("load", key))
    }

    fn delete_now(&self, key: ItemKey<'_>, condition: Condition) -> Result<bool> {
        self.store.delete(key, condition).map_err(during_on("delete", key))
    }
}

impl Default for MemoryProvider {
    fn default() -> Self {
        Self::new(MemoryConfig::default())
    }
}

impl fmt::Debug for MemoryProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Items stay out: payloads do not belong into logs.
        f.debug_struct("MemoryProvider").field("config", &self.config).finish_non_exhaustive()
    }
}

#[async_trait]
impl StorageProvider for MemoryProvider {
    fn info(&self) -> ProviderInfo {
        ProviderInfo::new(NAME, Capabilities::default().max_payload(self.config.max_payload))
    }

    fn identity(&self) -> usize {
        Arc::as_ptr(&self.store).addr()
    }

    async fn save(&self, request: SaveRequest<'_>) -> Result<StorageItem> {
        self.save_now(request)
    }

    async fn load(&self, key: ItemKey<'_>) -> Result<Option<StorageItem>> {
        self.load_now(key)
    }

    async fn delete(&self, key: ItemKey<'_>, condition: Condition) -> Result<bool> {
        self.delete_now(key, condition)
    }

    async fn search(&self, query: &StorageQuery) -> Result<SearchPage> {
        self.store.search(query).await.map_err(during("search"))
    }

    async fn cleanup(&self) -> Result<CleanupReport> {
        self.store.cleanup().await.map_err(during("cleanup"))
    }

    async fn close(&self) -> Result<()> {
        self.sweeper.stop();
        self.store.close();
        Ok(())
    }

    async fn save_many(&self, requests: Vec<SaveRequest<'_>>) -> Vec<Result<StorageItem>> {
        requests.into_iter().map(|request| self.save_now(request)).collect()
    }

    async fn load_many(&self, keys: &[ItemKey<'_>]) -> Vec<Result<Option<StorageItem>>> {
        keys.iter().map(|key| self.load_now(*key)).collect()
    }

    async fn delete_many(&self, keys: &[ItemKey<'_>]) -> Vec<Result<bool>> {
        keys.iter().map(|key| self.delete_now(*key, Condition::None)).collect()
    }

    async fn touch(
        &self,
        key: ItemKey<'_>,
        expires_at: Option<Timestamp>,
    ) -> Result<Option<Arc<StorageMetadata>>> {
        self.sweeper.ensure_running(&self.store);
        self.store.touch(key, expires_at).map_err(during_on("touch", key))
    }

    async fn count(&self, query: &StorageQuery) -> Result<u64> {
        self.store.count(query).await.map_err(during("count"))
    }

    async fn usage(&self) -> Result<Usage> {
        self.store.usage().await.map_err(during("usage"))
    }

    async fn health(&self) -> Health {
        match ItemKey::new("health", "probe").and_then(|probe| self.load_now(probe)) {
            Ok(_) => Health::Healthy,
            Err(error) => Health::Unhealthy(error.to_string()),
        }
    }
}
