//! The stores that are measured: ours behind its trait, and the bare maps a service would otherwise use.

use std::{future::Future, sync::Arc};

use dashmap::DashMap;
use openkeyv::{protocol::AsyncKeyValue as _, store::memory::MemoryStore};
use storage_core::{Clock as _, ItemKey, SaveRequest, StorageItem, StorageProvider, SystemClock};

/// What every contender can do.
pub(crate) trait Store: Send + Sync + 'static {
    /// Saves an item as it is stored everywhere: payload, metadata, tags.
    fn save(&self, request: SaveRequest<'_>) -> impl Future<Output = ()> + Send;
    /// Loads an item and says whether it was there.
    fn load(&self, key: ItemKey<'_>) -> impl Future<Output = bool> + Send;
}

/// One of our providers, called through its trait object as services do.
#[derive(Debug)]
pub(crate) struct Provider(pub(crate) Arc<dyn StorageProvider>);

impl Store for Provider {
    async fn save(&self, request: SaveRequest<'_>) {
        self.0.save(request).await.expect("the provider saves");
    }

    async fn load(&self, key: ItemKey<'_>) -> bool {
        self.0.load(key).await.expect("the provider loads").is_some()
    }
}

/// The item that a save makes when nothing was there: the bare maps hold the same items, made the same way.
fn item(request: SaveRequest<'_>) -> StorageItem {
    let now = SystemClock.now();
    let (data, metadata) = request.into_item(None, now, now.as_micros().unsigned_abs());
    StorageItem { data, metadata: Arc::new(metadata) }
}

/// `dashmap`, bare.
#[derive(Debug, Default)]
pub(crate) struct Dash(DashMap<Box<str>, StorageItem>);

impl Store for Dash {
    async fn save(&self, request: SaveRequest<'_>) {
        let key = request.key.key().into();
        self.0.insert(key, item(request));
    }

    async fn load(&self, key: ItemKey<'_>) -> bool {
        self.0.get(key.key()).map(|found| found.value().clone()).is_some()
    }
}

impl Dash {
    /// How many items have the tag: what a map without indexes has to do for a search.
    pub(crate) fn scan(&self, name: &str, value: &str) -> usize {
        self.0.iter().filter(|entry| entry.value().metadata.tags.contains(name, value)).count()
    }
}

/// `scc::HashMap`, bare, through its synchronous calls.
#[derive(Debug, Default)]
pub(crate) struct Scc(scc::HashMap<Box<str>, StorageItem>);

impl Store for Scc {
    async fn save(&self, request: SaveRequest<'_>) {
        let key = request.key.key().into();
        self.0.upsert_sync(key, item(request));
    }

    async fn load(&self, key: ItemKey<'_>) -> bool {
        self.0.read_sync(key.key(), |_, found| found.clone()).is_some()
    }
}

/// `moka::sync::Cache` without a bound.
#[derive(Debug)]
pub(crate) struct Moka(moka::sync::Cache<Box<str>, StorageItem>);

impl Default for Moka {
    fn default() -> Self {
        Self(moka::sync::Cache::builder().build())
    }
}

impl Store for Moka {
    async fn save(&self, request: SaveRequest<'_>) {
        let key = request.key.key().into();
        self.0.insert(key, item(request));
    }

    async fn load(&self, key: ItemKey<'_>) -> bool {
        self.0.get(key.key()).is_some()
    }
}

/// The memory store of `openkeyv`, which holds payloads alone: no metadata, no tags.
#[derive(Default)]
pub(crate) struct OpenKeyv(MemoryStore);

impl Store for OpenKeyv {
    async fn save(&self, request: SaveRequest<'_>) {
        let value = openkeyv::Value::binary(request.data);
        self.0.put(request.key.key(), value, None, None).await.expect("the store saves");
    }

    async fn load(&self, key: ItemKey<'_>) -> bool {
        self.0.get(key.key(), None).await.expect("the store loads").is_some()
    }
}

/// A store that several workloads share.
impl<S: Store> Store for Arc<S> {
    async fn save(&self, request: SaveRequest<'_>) {
        S::save(self, request).await;
    }

    async fn load(&self, key: ItemKey<'_>) -> bool {
        S::load(self, key).await
    }
}
