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

/// More than any test has calls under way.
const PLACES: usize = 1_000;

/// Memory that follows a script of failures, and works once the script is at its end.
#[derive(Debug, Clone)]
pub(crate) struct Scripted {
    inner: Arc<MemoryProvider>,
    steps: Arc<Mutex<VecDeque<Step>>>,
    calls: Arc<AtomicUsize>,
    held: Arc<AtomicUsize>,
    /// Calls take one of these before they begin.
    pub(crate) gate: Arc<Semaphore>,
    /// Calls take one of these before they answer.
    pub(crate) answers: Arc<Semaphore>,
}

impl Scripted {
    pub(crate) fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        Self {
            inner: Arc::new(memory()),
            steps: Arc::new(Mutex::new(steps.into_iter().collect())),
            calls: Arc::default(),
            held: Arc::default(),
            gate: Arc::new(Semaphore::new(PLACES)),
            answers: Arc::new(Semaphore::new(PLACES)),
        }
    }

    /// The memory below, which follows no script.
    pub(crate) fn inner(&self) -> &MemoryProvider {
        &self.inner
    }

    /// From here on, the script of the other.
    pub(crate) fn follow(&self, other: &Self) {
        *self.steps.lock().unwrap() = other.steps.lock().unwrap().clone();
    }

    /// Lets no call begin, and says how many permits open the gate again.
    pub(crate) fn close_gate(&self) -> usize {
        self.gate.forget_permits(PLACES)
    }

    /// Lets no call answer, and says how many permits let them.
    pub(crate) fn hold_answers(&self) -> usize {
        self.answers.forget_permits(PLACES)
    }

    /// How many calls have come as far as their answer.
    pub(crate) fn held(&self) -> usize {
        self.held.load(Ordering::SeqCst)
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    async fn step<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let _place = self.gate.acquire().await.unwrap();
        let step = self.steps.lock().unwrap().pop_front();
        let answer = match step {
            None => call.await,
            Some(Step::Fails(kind)) => Err(StorageError::new(kind, "as told")),
            Some(Step::AppliedThenFails(kind)) => {
                call.await?;
                Err(StorageError::new(kind, "as told"))
            }
            Some(Step::Hangs) => std::future::pending().await,
        };
        self.held.fetch_add(1, Ordering::SeqCst);
        let _place = self.answers.acquire().await.unwrap();
        answer
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
