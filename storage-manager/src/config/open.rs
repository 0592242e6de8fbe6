//! From the description of a store to the store.

use std::sync::Arc;

use storage_core::{Result, SharedClock, StorageProvider};

#[cfg(feature = "script")]
use super::Config;
use super::{FsStore, MemoryStore, StoreEntry, StoreKind};
#[cfg(feature = "script")]
use crate::script::KeyValueStores;

impl StoreEntry {
    /// Opens the store, whether or not it is to start by itself.
    ///
    /// # Errors
    /// Those of the provider, such as [`ErrorKind::Locked`](crate::ErrorKind::Locked) for a directory in use.
    pub async fn open(&self, clock: SharedClock) -> Result<Arc<dyn StorageProvider>> {
        match &self.kind {
            StoreKind::Memory(store) => store.open(clock),
            StoreKind::Fs(store) => store.open(clock).await,
            #[cfg(feature = "redis")]
            StoreKind::Redis(config) => {
                let builder = storage_redis::RedisProvider::builder(config.as_ref().clone());
                Ok(Arc::new(builder.clock(clock).connect().await?))
            }
            #[cfg(feature = "sql")]
            StoreKind::Sql(config) => {
                let builder = storage_sql::SqlProvider::builder(config.as_ref().clone());
                Ok(Arc::new(builder.clock(clock).connect().await?))
            }
        }
    }

    /// Opens the store and registers it under its id: for stores that do not start by themselves.
    ///
    /// # Errors
    /// As [`open`](Self::open), and as [`KeyValueStores::register`].
    #[cfg(feature = "script")]
    pub async fn start(&self, stores: &KeyValueStores) -> Result<()> {
        let provider = self.open(stores.clock()).await?;
        stores.register(&self.id, provider)
    }
}

#[cfg(feature = "script")]
impl Config {
    /// Opens the stores that start by themselves and registers all: the others are known, and `UNAVAILABLE` until they
    /// are [started](StoreEntry::start).
    ///
    /// # Errors
    /// The first failure to open or to register one. What this call opened until then is closed again if it was not
    /// registered; what was registered belongs to the manager.
    pub async fn start(&self, stores: &KeyValueStores) -> Result<()> {
        let opened = self.open_all(stores.clock()).await?;
        for (entry, provider) in self.stores.iter().zip(opened) {
            match provider {
                Some(provider) => stores.register(&entry.id, provider)?,
                None => stores.declare(&entry.id)?,
            }
        }
        Ok(())
    }

    /// All stores that start by themselves, or none of them.
    async fn open_all(&self, clock: SharedClock) -> Result<Vec<Option<Arc<dyn StorageProvider>>>> {
        let mut opened = Vec::with_capacity(self.stores.len());
        for entry in &self.stores {
            if !entry.auto_start {
                opened.push(None);
                continue;
            }
            match entry.open(Arc::clone(&clock)).await {
                Ok(provider) => opened.push(Some(provider)),
                Err(error) => {
                    close_all(opened).await;
                    return Err(error);
                }
            }
        }
        Ok(opened)
    }
}

#[cfg(feature = "script")]
async fn close_all(opened: Vec<Option<Arc<dyn StorageProvider>>>) {
    for provider in opened.into_iter().flatten() {
        if let Err(error) = provider.close().await {
            // The failure that led here is what the caller learns of.
            tracing::warn!(%error, "a store that was opened a moment ago cannot be closed");
        }
    }
}

impl MemoryStore {
    #[cfg(feature = "memory")]
    #[expect(clippy::unnecessary_wraps, reason = "it fails in builds without the provider")]
    fn open(&self, clock: SharedClock) -> Result<Arc<dyn StorageProvider>> {
        use storage_memory::{MemoryConfig, MemoryProvider};

        let config = MemoryConfig {
            max_entries: self.max_size,
            cleanup_interval: self.cleanup_interval,
            max_bytes: self.max_bytes,
            ..MemoryConfig::default()
        };
        Ok(Arc::new(MemoryProvider::with_clock(config, clock)))
    }

    #[cfg(not(feature = "memory"))]
    fn open(&self, _clock: SharedClock) -> Result<Arc<dyn StorageProvider>> {
        Err(super::document::refuse("", "this build has no store.memory; it needs the feature `memory`"))
    }
}

impl FsStore {
    #[cfg(feature = "fs")]
    async fn open(&self, clock: SharedClock) -> Result<Arc<dyn StorageProvider>> {
        use storage_fs::{Durability, FsConfig, FsProvider};

        let config = FsConfig {
            durability: if self.buffered { Durability::Buffered } else { Durability::Immediate },
            max_payload: self.max_payload,
            cleanup_interval: Some(self.cleanup_interval).filter(|interval| !interval.is_zero()),
            ..FsConfig::default()
        };
        Ok(Arc::new(FsProvider::builder(&self.path).config(config).clock(clock).open().await?))
    }

    #[cfg(not(feature = "fs"))]
    #[expect(clippy::unused_async, reason = "it waits in builds with the provider")]
    async fn open(&self, _clock: SharedClock) -> Result<Arc<dyn StorageProvider>> {
        Err(super::document::refuse("", "this build has no store.fs; it needs the feature `fs`"))
    }
}
