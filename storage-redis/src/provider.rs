//! The provider: what callers hold.

use std::sync::Arc;

use async_trait::async_trait;
use storage_core::{
    Capabilities, CleanupReport, Condition, Health, ItemKey, ProviderInfo, Result, SaveRequest, SearchPage,
    SharedClock, StorageItem, StorageMetadata, StorageProvider, StorageQuery, SystemClock, Timestamp, Usage,
    VerifyReport,
};
use tokio::{task::AbortHandle, time::timeout_at};

use crate::{
    cleaning, config::RedisConfig, error::PROVIDER, gate::closed, rebuild, search, store::Store, verify,
    wire::Wire,
};

/// A store in Redis or Valkey: one node, Sentinel or Cluster. Cloning it is cheap; the clones share the connections.
///
/// It needs a `tokio` runtime (of either kind) with its timer and its network enabled.
#[derive(Debug, Clone)]
pub struct RedisProvider {
    handle: Arc<Handle>,
}

/// Connects to a store with other settings than the default ones.
#[derive(Debug)]
#[must_use]
pub struct RedisBuilder {
    config: RedisConfig,
    clock: SharedClock,
    create: bool,
}

impl RedisBuilder {
    /// Reads the time from this clock instead of the system's.
    pub fn clock(mut self, clock: SharedClock) -> Self {
        self.clock = clock;
        self
    }

    /// Whether a store is created where there is none under the prefix. Default: it is.
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// Connects, and creates the store if there is none under the prefix.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](storage_core::ErrorKind::NotFound) if there is no store and none may be created;
    /// [`ErrorKind::Config`](storage_core::ErrorKind::Config) for a bad configuration, and for a store that was created with
    /// another number of buckets, with indexing where the configuration says without or the reverse, or by a newer version;
    /// [`ErrorKind::Unauthenticated`](storage_core::ErrorKind::Unauthenticated) and
    /// [`ErrorKind::PermissionDenied`](storage_core::ErrorKind::PermissionDenied) for what the server refuses;
    /// [`ErrorKind::Unavailable`](storage_core::ErrorKind::Unavailable) if it cannot be reached.
    pub async fn connect(self) -> Result<RedisProvider> {
        let Self { config, clock, create } = self;
        let connected = async {
            let config = config.resolved()?;
            let wire = Wire::connect(&config).await?;
            Store::open(wire, config, clock, create).await
        };
        let store = Arc::new(connected.await.map_err(about("connect", None))?);
        let sweeper = cleaning::start(&store);
        Ok(RedisProvider { handle: Arc::new(Handle { store, sweeper }) })
    }
}

/// What the clones of a provider have in common: the owner of the background work.
#[derive(Debug)]
struct Handle {
    store: Arc<Store>,
    sweeper: Option<AbortHandle>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Some(sweeper) = &self.sweeper {
            sweeper.abort();
        }
    }
}

impl RedisProvider {
    /// Connects with the system's clock.
    ///
    /// # Errors
    /// As [`RedisBuilder::connect`].
    pub async fn connect(config: RedisConfig) -> Result<Self> {
        Self::builder(config).connect().await
    }

    /// A store that is connected to with other settings.
    pub fn builder(config: RedisConfig) -> RedisBuilder {
        RedisBuilder { config, clock: SystemClock::shared(), create: true }
    }

    /// Makes lost indexes anew, and says how many items were put back. Indexes that are whole are left as they are.
    ///
    /// A search that answers [`ErrorKind::Corrupted`](storage_core::ErrorKind::Corrupted) and names this method has noticed
    /// that the server evicted an index, or that someone removed it. Saves and loads may go on meanwhile. All keys of each
    /// node with lost indexes are looked at once, in small steps; the operation timeout holds for each step, as the whole
    /// takes as long as there are keys. While slots of a cluster are half moved, items on the other side are not met.
    ///
    /// # Errors
    /// As every method.
    pub async fn rebuild_index(&self) -> Result<u64> {
        let run = async {
            let _pass = self.store().gate.enter()?;
            rebuild::rebuild(self.store(), None).await.map(|rebuilt| rebuilt.items)
        };
        run.await.map_err(about("rebuild_index", None))
    }

    /// Reads every item that the indexes name, and names each damaged one.
    ///
    /// Writers may go on meanwhile. The operation timeout holds for each step, as the whole takes as long as there are items.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](storage_core::ErrorKind::Unsupported) without indexing; else as every method. Damage is no
    /// error but part of the report.
    pub async fn verify(&self) -> Result<VerifyReport> {
        let run = async {
            let _pass = self.store().gate.enter()?;
            verify::verify(self.store()).await
        };
        run.await.map_err(about("verify", None))
    }

    /// The bytes that a save puts on the wire, for benches beside the bare client.
    #[doc(hidden)]
    pub fn save_bytes(&self, request: SaveRequest<'_>) -> Result<Vec<u8>> {
        self.store().save_call(request).map(|call| call.to_bytes())
    }

    /// The bytes that a load puts on the wire, for benches beside the bare client.
    #[doc(hidden)]
    pub fn load_bytes(&self, key: ItemKey<'_>) -> Result<Vec<u8>> {
        self.store().place(key).map(|place| place.load().to_bytes())
    }

    fn store(&self) -> &Store {
        &self.handle.store
    }
}

/// Says of a failure which provider, operation and item it is about, unless that is known already.
fn about<'a>(
    operation: &'static str,
    key: impl Into<Option<ItemKey<'a>>>,
) -> impl FnOnce(storage_core::StorageError) -> storage_core::StorageError {
    let key = key.into();
    move |error| {
        let error = error.with_provider(PROVIDER).with_operation(operation);
        match key {
            Some(key) => error.with_key(key),
            None => error,
        }
    }
}

/// The answers of a batch that comes after `close`.
fn all_closed<T>(length: usize) -> Vec<Result<T>> {
    std::iter::repeat_with(|| Err(closed())).take(length).collect()
}

/// The answers of a batch, each naming its item if it is a failure.
fn named<T>(operation: &'static str, keys: &[ItemKey<'_>], answers: Vec<Result<T>>) -> Vec<Result<T>> {
    let answers = answers.into_iter().zip(keys);
    answers.map(|(answer, key)| answer.map_err(about(operation, *key))).collect()
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl StorageProvider for RedisProvider {
    fn info(&self) -> ProviderInfo {
        let config = &self.store().config;
        let capabilities = Capabilities::default()
            .durable(true)
            .shared(true)
            .search(config.indexing)
            .max_payload(config.max_payload);
        ProviderInfo::new(PROVIDER, capabilities)
    }

    fn identity(&self) -> usize {
        Arc::as_ptr(&self.handle).addr()
    }

    async fn save(&self, request: SaveRequest<'_>) -> Result<StorageItem> {
        let key = request.key;
        let run = async {
            let _pass = self.store().gate.enter()?;
            self.store().save(request, self.store().deadline()).await
        };
        run.await.map_err(about("save", key))
    }

    async fn load(&self, key: ItemKey<'_>) -> Result<Option<StorageItem>> {
        let run = async {
            let _pass = self.store().gate.enter()?;
            self.store().load(key, self.store().deadline()).await
        };
        run.await.map_err(about("load", key))
    }

    async fn delete(&self, key: ItemKey<'_>, condition: Condition) -> Result<bool> {
        let run = async {
            let _pass = self.store().gate.enter()?;
            self.store().delete(key, condition, self.store().deadline()).await
        };
        run.await.map_err(about("delete", key))
    }

    async fn search(&self, query: &StorageQuery) -> Result<SearchPage> {
        let run = async {
            let _pass = self.store().gate.enter()?;
            search::page(self.store(), query).await
        };
        run.await.map_err(about("search", None))
    }

    async fn cleanup(&self) -> Result<CleanupReport> {
        let run = async {
            let _pass = self.store().gate.enter()?;
            cleaning::cleanup(self.store()).await
        };
        run.await.map_err(about("cleanup", None))
    }

    async fn close(&self) -> Result<()> {
        if let Some(sweeper) = &self.handle.sweeper {
            sweeper.abort();
        }
        let store = self.store();
        store.gate.close();
        // Calls under way get their answers; those that take too long are cut.
        let _ = timeout_at(store.deadline(), store.gate.emptied()).await;
        store.wire.close().await;
        Ok(())
    }

    async fn save_many(&self, requests: Vec<SaveRequest<'_>>) -> Vec<Result<StorageItem>> {
        let keys: Vec<_> = requests.iter().map(|request| request.key).collect();
        let answers = match self.store().gate.enter() {
            Ok(_pass) => self.store().save_many(requests).await,
            Err(_) => all_closed(keys.len()),
        };
        named("save_many", &keys, answers)
    }

    async fn load_many(&self, keys: &[ItemKey<'_>]) -> Vec<Result<Option<StorageItem>>> {
        let answers = match self.store().gate.enter() {
            Ok(_pass) => self.store().load_many(keys).await,
            Err(_) => all_closed(keys.len()),
        };
        named("load_many", keys, answers)
    }

    async fn delete_many(&self, keys: &[ItemKey<'_>]) -> Vec<Result<bool>> {
        let answers = match self.store().gate.enter() {
            Ok(_pass) => self.store().delete_many(keys).await,
            Err(_) => all_closed(keys.len()),
        };
        named("delete_many", keys, answers)
    }

    async fn touch(
        &self,
        key: ItemKey<'_>,
        expires_at: Option<Timestamp>,
    ) -> Result<Option<Arc<StorageMetadata>>> {
        let run = async {
            let _pass = self.store().gate.enter()?;
            self.store().touch(key, expires_at, self.store().deadline()).await
        };
        run.await.map_err(about("touch", key))
    }

    async fn count(&self, query: &StorageQuery) -> Result<u64> {
        let run = async {
            let _pass = self.store().gate.enter()?;
            search::count(self.store(), query).await
        };
        run.await.map_err(about("count", None))
    }

    async fn usage(&self) -> Result<Usage> {
        let run = async {
            let _pass = self.store().gate.enter()?;
            search::usage(self.store()).await
        };
        run.await.map_err(about("usage", None))
    }

    async fn health(&self) -> Health {
        let run = async {
            let _pass = self.store().gate.enter()?;
            self.store().load(ItemKey::new("health", "probe")?, self.store().deadline()).await
        };
        match run.await.map_err(about("health", None)) {
            // A damaged probe still is an answer of a working server.
            Err(error) if error.kind() != storage_core::ErrorKind::Corrupted => {
                Health::Unhealthy(error.to_string())
            }
            _ => Health::Healthy,
        }
    }
}
