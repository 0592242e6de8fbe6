//! A provider that answers what a test told it to.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use storage_manager::{
    Condition, ErrorKind, ItemKey, MemoryConfig, MemoryProvider, Result, SaveRequest, StorageError,
    StorageItem, StorageProvider, async_trait, forward,
};
use tokio::sync::Semaphore;

pub(crate) fn key(key: &str) -> ItemKey<'_> {
    ItemKey::new("note", key).unwrap()
}

pub(crate) fn memory() -> MemoryProvider {
    MemoryProvider::new(MemoryConfig { cleanup_interval: Duration::ZERO, ..MemoryConfig::default() })
}

/// What the next call does.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    /// It fails before anything is applied.
    Fails(ErrorKind),
    /// It is applied, and fails.
    AppliedThenFails(ErrorKind),
    /// It never answers.
    Hangs,
}

/// Memory that follows a script of failures, and works once the script is at its end.
#[derive(Debug, Clone)]
pub(crate) struct Scripted {
    inner: Arc<MemoryProvider>,
    steps: Arc<Mutex<VecDeque<Step>>>,
    calls: Arc<AtomicUsize>,
    /// Calls take one of these before they begin.
    pub(crate) gate: Arc<Semaphore>,
}

impl Scripted {
    pub(crate) fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        Self {
            inner: Arc::new(memory()),
            steps: Arc::new(Mutex::new(steps.into_iter().collect())),
            calls: Arc::default(),
            gate: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
        }
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    async fn step<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let _place = self.gate.acquire().await.unwrap();
        let step = self.steps.lock().unwrap().pop_front();
        match step {
            None => call.await,
            Some(Step::Fails(kind)) => Err(StorageError::new(kind, "as told")),
            Some(Step::AppliedThenFails(kind)) => {
                call.await?;
                Err(StorageError::new(kind, "as told"))
            }
            Some(Step::Hangs) => std::future::pending().await,
        }
    }
}

#[async_trait]
impl StorageProvider for Scripted {
    forward!(this => this.inner; info, search, cleanup, close, health);

    async fn save(&self, request: SaveRequest<'_>) -> Result<StorageItem> {
        self.step(self.inner.save(request)).await
    }

    async fn load(&self, key: ItemKey<'_>) -> Result<Option<StorageItem>> {
        self.step(self.inner.load(key)).await
    }

    async fn delete(&self, key: ItemKey<'_>, condition: Condition) -> Result<bool> {
        self.step(self.inner.delete(key, condition)).await
    }
}
