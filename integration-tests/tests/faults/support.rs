//! Short words for what most tests do.

use std::{
    collections::BTreeMap,
    env,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use integration_tests::{HeldClock, Line, Model, Mount, Outcome, Settings, payload};
use storage_core::{ItemKey, SaveRequest, StorageItem, StorageProvider};
use storage_fs::FsProvider;
use tempfile::TempDir;

/// The program that children run.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_storage-torture");

/// The seed of a random test, from the environment or drawn; printed, so that a failure can be replayed.
pub(crate) fn seed() -> u64 {
    let seed = number_from("CRASH_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("replay with CRASH_SEED={seed}");
    seed
}

/// A number from the environment.
pub(crate) fn number_from(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is a number")))
}

/// What a child has said whose calls may fail.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) model: Model,
    pub(crate) acknowledged: u32,
    /// Kind and text of each failure.
    pub(crate) failed: Vec<(String, String)>,
}

impl Heard {
    pub(crate) fn new() -> Self {
        Self { model: Model::default().failures_allowed(), acknowledged: 0, failed: Vec::new() }
    }

    /// Takes an intent or an answer in, and hands any other line back.
    ///
    /// # Errors
    /// An answer that the model rules out.
    pub(crate) fn take(&mut self, line: Line) -> Result<Option<Line>, String> {
        match line {
            Line::Intent(task, entries) => self.model.intend(task, entries),
            Line::Answer(task, outcomes) => {
                for outcome in &outcomes {
                    match outcome {
                        Outcome::Failed(kind, text) => self.failed.push((kind.clone(), text.clone())),
                        _ => self.acknowledged += 1,
                    }
                }
                self.model.acknowledge(task, outcomes)?;
            }
            other => return Ok(Some(other)),
        }
        Ok(None)
    }
}

/// A scratch folder in memory where the machine allows it: what is not about syncing need not wait for a disk.
pub(crate) enum Ground {
    Memory(Mount),
    Disk(TempDir),
}

impl Ground {
    pub(crate) fn new() -> Self {
        match Mount::in_memory(1 << 30) {
            Ok(mount) => Self::Memory(mount),
            Err(_) => Self::Disk(tempfile::tempdir().unwrap()),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Memory(mount) => mount.path(),
            Self::Disk(folder) => folder.path(),
        }
    }
}

/// Opens a store with the settings of most tests.
pub(crate) async fn open(directory: &Path) -> FsProvider {
    try_open(directory).await.unwrap()
}

pub(crate) async fn try_open(directory: &Path) -> storage_core::Result<FsProvider> {
    Settings::default().open(directory, Arc::new(HeldClock::default())).await
}

pub(crate) fn key(key: &str) -> ItemKey<'_> {
    ItemKey::new("note", key).unwrap()
}

/// Saves a payload of `size` bytes that follows from the key.
pub(crate) async fn put(store: &FsProvider, name: &str, size: u64) -> storage_core::Result<StorageItem> {
    let request = SaveRequest::new(key(name), payload(name, size)).tag("op", name);
    store.save(request).await
}

/// Every item that was saved must be there as it was.
pub(crate) async fn assert_holds(store: &FsProvider, items: &BTreeMap<String, StorageItem>) {
    for (name, item) in items {
        assert_eq!(store.load(key(name)).await.unwrap().as_ref(), Some(item), "{name}");
    }
    let count = store.count(&storage_core::StorageQuery::new()).await.unwrap();
    assert_eq!(count, items.len() as u64);
    let report = store.verify().await.unwrap();
    assert!(report.is_clean(), "{report:?}");
}

/// Polls until `done` says yes, for at most 20 seconds.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut done: impl FnMut() -> F) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !done().await {
        assert!(Instant::now() < deadline, "{what} within 20 s");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
