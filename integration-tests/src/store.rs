//! How the harness opens stores.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};
use storage_core::{Clock, Result, SystemClock, Timestamp};
use storage_fs::{Durability, FsConfig, FsProvider};

/// What differs between the stores of the tests.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Payloads above this many bytes are kept in files of their own.
    pub large_payload: u64,
    /// Free space below which the store is full.
    pub min_free_space: u64,
    /// Whether writes are acknowledged before they are on the disk.
    pub buffered: bool,
    /// The bug to plant, by the name of `storage_fs::Fault`.
    pub fault: Option<String>,
}

impl Default for Settings {
    /// The smallest threshold for payload files, so that they are part of every test.
    fn default() -> Self {
        Self { large_payload: 4 * 1_024, min_free_space: 1 << 20, buffered: false, fault: None }
    }
}

impl Settings {
    /// The configuration of the store.
    pub fn config(&self) -> FsConfig {
        FsConfig {
            large_payload: self.large_payload,
            min_free_space: self.min_free_space,
            durability: if self.buffered { Durability::Buffered } else { Durability::Immediate },
            ..FsConfig::default()
        }
    }

    /// Opens the store in `directory`.
    ///
    /// # Errors
    /// Those of opening.
    pub async fn open(&self, directory: &Path, clock: Arc<dyn Clock>) -> Result<FsProvider> {
        let builder = FsProvider::builder(directory).config(self.config()).clock(clock);
        self.plant(builder).open().await
    }

    #[cfg(feature = "fault-injection")]
    fn plant(&self, builder: storage_fs::FsBuilder) -> storage_fs::FsBuilder {
        match &self.fault {
            Some(name) => builder.fault(name.parse().expect("the fault has a known name")),
            None => builder,
        }
    }

    #[cfg(not(feature = "fault-injection"))]
    fn plant(&self, builder: storage_fs::FsBuilder) -> storage_fs::FsBuilder {
        assert!(self.fault.is_none(), "bugs can be planted with the feature fault-injection alone");
        builder
    }
}

/// The wall clock, which can be held: what is compared must not expire meanwhile.
#[derive(Debug, Clone, Default)]
pub struct HeldClock {
    held: Arc<Mutex<Option<Timestamp>>>,
}

impl HeldClock {
    /// Holds the clock at the present instant, which is returned.
    pub fn hold(&self) -> Timestamp {
        let now = SystemClock.now();
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
        now
    }

    /// Lets the clock follow the wall again.
    pub fn release(&self) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Clock for HeldClock {
    fn now(&self) -> Timestamp {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).unwrap_or_else(|| SystemClock.now())
    }
}
