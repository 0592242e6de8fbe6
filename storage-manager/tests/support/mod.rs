//! A provider that does as it is told, and a recorder that can be read.
#![allow(dead_code, reason = "each test file uses its own part")]

pub(crate) mod notebook;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use storage_manager::{
    CleanupReport, Condition, ErrorKind, ItemKey, ManualClock, MemoryConfig, MemoryProvider, ProviderInfo,
    Result, SaveRequest, SearchPage, StorageError, StorageItem, StorageProvider, StorageQuery, async_trait,
};

/// A memory provider without background work, on `clock`.
pub(crate) fn memory(clock: &ManualClock) -> MemoryProvider {
    let config = MemoryConfig { cleanup_interval: Duration::ZERO, ..MemoryConfig::default() };
    MemoryProvider::with_clock(config, clock.shared())
}

/// How a [`Puppet`] behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Fine,
    Failing(ErrorKind),
    Hanging,
    Panicking,
}

/// A memory provider whose failures are arranged and whose visits are counted.
#[derive(Debug)]
pub(crate) struct Puppet {
    name: &'static str,
    inner: MemoryProvider,
    mood: std::sync::Mutex<Mood>,
    pub(crate) searches: AtomicU64,
    pub(crate) cleanups: AtomicU64,
    pub(crate) closes: AtomicU64,
    pub(crate) batches: AtomicU64,
    /// Searches that answer before the mood takes effect.
    pub(crate) patience: AtomicU64,
}

impl Puppet {
    pub(crate) fn new(name: &'static str, clock: &ManualClock) -> Arc<Self> {
        Arc::new(Self {
            name,
            inner: memory(clock),
            mood: std::sync::Mutex::new(Mood::Fine),
            searches: AtomicU64::new(0),
            cleanups: AtomicU64::new(0),
            closes: AtomicU64::new(0),
            batches: AtomicU64::new(0),
            patience: AtomicU64::new(0),
        })
    }

    pub(crate) fn be(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    #[expect(clippy::panic, reason = "a panic is one of the failures to arrange")]
    async fn act(&self) -> Result<()> {
        let mood = *self.mood.lock().unwrap();
        match mood {
            Mood::Fine => Ok(()),
            Mood::Failing(kind) => Err(StorageError::new(kind, "as arranged")),
            Mood::Hanging => std::future::pending().await,
            Mood::Panicking => panic!("as arranged"),
        }
    }
}

#[async_trait]
impl StorageProvider for Puppet {
    fn info(&self) -> ProviderInfo {
        ProviderInfo::new(self.name, self.inner.info().capabilities)
    }

    async fn save(&self, request: SaveRequest<'_>) -> Result<StorageItem> {
        self.act().await?;
        self.inner.save(request).await
    }

    async fn load(&self, key: ItemKey<'_>) -> Result<Option<StorageItem>> {
        self.act().await?;
        self.inner.load(key).await
    }

    async fn delete(&self, key: ItemKey<'_>, condition: Condition) -> Result<bool> {
        self.act().await?;
        self.inner.delete(key, condition).await
    }

    async fn search(&self, query: &StorageQuery) -> Result<SearchPage> {
        self.searches.fetch_add(1, Ordering::SeqCst);
        let patient =
            self.patience.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if patient.is_err() {
            self.act().await?;
        }
        self.inner.search(query).await
    }

    async fn save_many(&self, requests: Vec<SaveRequest<'_>>) -> Vec<Result<StorageItem>> {
        self.batches.fetch_add(1, Ordering::SeqCst);
        let mut answers = Vec::new();
        for request in requests {
            answers.push(self.save(request).await);
        }
        answers
    }

    async fn cleanup(&self) -> Result<CleanupReport> {
        self.cleanups.fetch_add(1, Ordering::SeqCst);
        self.act().await?;
        self.inner.cleanup().await
    }

    async fn close(&self) -> Result<()> {
        self.closes.fetch_add(1, Ordering::SeqCst);
        self.act().await?;
        self.inner.close().await
    }
}
