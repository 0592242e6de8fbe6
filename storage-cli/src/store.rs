//! An open store.

use std::{path::Path, sync::Arc, time::Duration};

#[cfg(any(feature = "redis", feature = "sql"))]
use storage_manager::ErrorKind;
use storage_manager::{
    CleanupReport, ItemKey, ProviderInfo, Raw, Result, Save, SaveRequest, SearchPage, StorageItem,
    StorageMetadata, StorageMonitor, StorageProvider, StorageQuery, Timestamp, UnifiedStorageManager, Usage,
    VerifyReport,
    fs::{FsConfig, FsProvider},
    memory::{MemoryConfig, MemoryProvider},
    prometheus::PrometheusExporter,
};
#[cfg(feature = "redis")]
use storage_manager::{RedisConfig, RedisProvider};
#[cfg(feature = "sql")]
use storage_manager::{SqlConfig, SqlProvider};

/// Longest wait for one call. A person who waits can interrupt at any time, and a large cleanup may take minutes.
const PATIENCE: Duration = Duration::from_secs(600);

/// An open store: a manager with one provider for every content type.
#[derive(Debug)]
pub(crate) struct Store {
    manager: UnifiedStorageManager,
    exporter: PrometheusExporter,
    /// The provider below.
    provider: Arc<dyn StorageProvider>,
    /// The same, if it keeps something that could be damaged.
    kept: Option<Kept>,
}

/// A provider that can read everything back.
#[derive(Debug)]
enum Kept {
    Fs(FsProvider),
    #[cfg(feature = "redis")]
    Redis(RedisProvider),
    #[cfg(feature = "sql")]
    Sql(SqlProvider),
}

impl Store {
    pub(crate) fn memory() -> Result<Self> {
        // A tour through a large directory shall end with an error and not with a machine that swaps.
        let config = MemoryConfig { max_entries: 0, max_bytes: 1 << 30, ..MemoryConfig::default() };
        Self::new(MemoryProvider::new(config), None)
    }

    pub(crate) async fn fs(dir: &Path) -> Result<Self> {
        let config = FsConfig { operation_timeout: PATIENCE, ..FsConfig::default() };
        let provider = FsProvider::builder(dir).config(config).open().await?;
        Self::new(provider.clone(), Some(Kept::Fs(provider)))
    }

    /// Connects to the servers; `None` if there is no store and `may_create` is false.
    #[cfg(feature = "redis")]
    pub(crate) async fn redis(config: &RedisConfig, may_create: bool) -> Result<Option<Self>> {
        let opened = RedisProvider::builder(config.clone()).create(may_create).connect().await;
        match opened {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            opened => {
                let provider = opened?;
                Self::new(provider.clone(), Some(Kept::Redis(provider))).map(Some)
            }
        }
    }

    /// Connects to the database; `None` if there is no store and `may_create` is false.
    #[cfg(feature = "sql")]
    pub(crate) async fn sql(config: &SqlConfig, may_create: bool) -> Result<Option<Self>> {
        let opened = SqlProvider::builder(config.clone()).create(may_create).connect().await;
        match opened {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            opened => {
                let provider = opened?;
                Self::new(provider.clone(), Some(Kept::Sql(provider))).map(Some)
            }
        }
    }

    fn new(provider: impl StorageProvider, kept: Option<Kept>) -> Result<Self> {
        let provider: Arc<dyn StorageProvider> = Arc::new(provider);
        let exporter = PrometheusExporter::new();
        let manager = UnifiedStorageManager::builder()
            .fallback(Arc::clone(&provider))
            .monitor(StorageMonitor::with_recorder(exporter.recorder()))
            .deadline(PATIENCE)
            .build()?;
        Ok(Self { manager, exporter, provider, kept })
    }

    /// The manager, for what is built on it.
    #[cfg(any(feature = "lua54", feature = "luau"))]
    pub(crate) const fn manager(&self) -> &UnifiedStorageManager {
        &self.manager
    }

    /// The provider below.
    pub(crate) fn info(&self) -> ProviderInfo {
        self.provider.info()
    }

    /// Gives a content type a route of its own, and by that a label of its own in the metrics.
    pub(crate) fn add_route(&self, content_type: &str) -> Result<()> {
        self.manager.register_provider(content_type, Arc::clone(&self.provider))
    }

    /// The metrics of all calls so far, as Prometheus reads them.
    pub(crate) fn metrics(&self) -> String {
        self.exporter.render()
    }

    /// Reads everything back; `None` where there is nothing that could be damaged.
    pub(crate) async fn verify(&self) -> Result<Option<VerifyReport>> {
        match &self.kept {
            Some(Kept::Fs(fs)) => fs.verify().await.map(Some),
            #[cfg(feature = "redis")]
            Some(Kept::Redis(redis)) => redis.verify().await.map(Some),
            #[cfg(feature = "sql")]
            Some(Kept::Sql(sql)) => sql.verify().await.map(Some),
            None => Ok(None),
        }
    }

    pub(crate) async fn save(&self, request: SaveRequest<'_>) -> Result<StorageItem> {
        self.describe(request).await
    }

    pub(crate) async fn save_many(&self, requests: Vec<SaveRequest<'_>>) -> Vec<Result<StorageItem>> {
        self.manager.save_many(requests.into_iter().map(|request| self.describe(request))).await
    }

    fn describe<'a>(&'a self, request: SaveRequest<'a>) -> Save<'a, Raw> {
        let SaveRequest { key, data, encoding, expires_at, tags, condition } = request;
        let save = self.manager.save_bytes(key.key(), data, key.content_type()).encoding(encoding);
        save.expires_at(expires_at).tags(tags).condition(condition)
    }

    pub(crate) async fn load(&self, key: ItemKey<'_>) -> Result<Option<StorageItem>> {
        self.manager.load_bytes(key.key(), key.content_type()).await
    }

    pub(crate) async fn delete(&self, key: ItemKey<'_>, version: Option<u64>) -> Result<bool> {
        match version {
            Some(version) => self.manager.delete_if_version(key.key(), key.content_type(), version).await,
            None => self.manager.delete(key.key(), key.content_type()).await,
        }
    }

    pub(crate) async fn touch(
        &self,
        key: ItemKey<'_>,
        expires_at: Option<Timestamp>,
    ) -> Result<Option<Arc<StorageMetadata>>> {
        self.manager.touch(key.key(), key.content_type(), expires_at).await
    }

    pub(crate) async fn search(&self, query: &StorageQuery) -> Result<SearchPage> {
        self.manager.search_page(query).await
    }

    pub(crate) async fn count(&self, query: &StorageQuery) -> Result<u64> {
        self.manager.count(query).await
    }

    pub(crate) async fn usage(&self) -> Result<Usage> {
        self.manager.usage().await
    }

    pub(crate) async fn cleanup(&self) -> Result<CleanupReport> {
        let mut sum = CleanupReport::default();
        for report in self.manager.cleanup().await?.into_result()? {
            sum += report;
        }
        Ok(sum)
    }

    pub(crate) async fn close(&self) -> Result<()> {
        self.manager.close().await.into_result().map(|_| ())
    }
}
