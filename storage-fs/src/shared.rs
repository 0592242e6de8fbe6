//! What callers, the writer and the background work of one open store have in common.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use storage_core::{ErrorKind, Result, SharedClock};
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

use crate::{
    blobs::Blobs,
    config::FsConfig,
    engine::Engine,
    error::failure,
    fault::Faults,
    queue::{Queue, closed, too_late},
    room::Room,
    warmth::Warmth,
};

/// Where the engine is.
#[derive(Debug, Clone)]
pub(crate) enum Slot {
    Open(Arc<Engine>),
    /// It is being opened again; it will be back, or not.
    Away,
    /// It could not be opened again.
    Lost(String),
    Closed,
}

/// How closing ended.
pub(crate) type Closed = std::result::Result<(), (ErrorKind, String)>;

/// What callers, the writer and the background work of one open store have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: FsConfig,
    pub(crate) clock: SharedClock,
    /// Seeds the hashes of tags.
    pub(crate) seed: u64,
    pub(crate) queue: Queue,
    pub(crate) blobs: Arc<Blobs>,
    pub(crate) room: Room,
    pub(crate) warmth: Warmth,
    pub(crate) slot: watch::Sender<Slot>,
    /// Set once the writer has ended, with how closing went.
    pub(crate) ended: watch::Sender<Option<Closed>>,
    /// Tells long reads that the engine is wanted back.
    pub(crate) wanted: AtomicBool,
    /// Whether `close` asked for tables instead of journals.
    pub(crate) tidy: AtomicBool,
    /// Bugs planted by tests.
    pub(crate) faults: Faults,
    /// Why writes are refused at the moment, for `health`.
    pub(crate) trouble: watch::Sender<Option<&'static str>>,
}

impl Shared {
    /// When a call that starts now must have ended.
    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + self.config.operation_timeout
    }

    /// The engine, at once if it is there.
    ///
    /// # Errors
    /// [`ErrorKind::Closed`]; [`ErrorKind::Timeout`] if it is not back before the deadline.
    pub(crate) async fn engine(&self) -> Result<Arc<Engine>> {
        if let Some(engine) = self.engine_now()? {
            return Ok(engine);
        }
        let mut slot = self.slot.subscribe();
        let back = slot.wait_for(|slot| !matches!(slot, Slot::Away));
        match timeout_at(self.deadline(), back).await {
            Ok(Ok(_)) => self.engine_now()?.ok_or_else(away),
            Ok(Err(_)) => Err(closed()),
            Err(_) => Err(too_late("the engine was not back before the deadline")),
        }
    }

    /// The engine if it is there; `None` while it is opened again.
    pub(crate) fn engine_now(&self) -> Result<Option<Arc<Engine>>> {
        match &*self.slot.borrow() {
            Slot::Open(engine) => Ok(Some(Arc::clone(engine))),
            Slot::Away => Ok(None),
            Slot::Lost(why) => Err(failure(ErrorKind::Unavailable, why.clone())),
            Slot::Closed => Err(closed()),
        }
    }

    /// Whether a long read shall stop, because the engine is wanted back.
    ///
    /// # Errors
    /// [`ErrorKind::Closed`] or [`ErrorKind::Unavailable`], for the read to end with.
    pub(crate) fn check_wanted(&self) -> Result<()> {
        if !self.wanted.load(Ordering::Relaxed) {
            return Ok(());
        }
        match &*self.slot.borrow() {
            Slot::Closed => Err(closed()),
            _ => Err(away()),
        }
    }

    /// Begins to close: no more writes are taken, those that are waiting are still committed.
    pub(crate) fn begin_close(&self, tidy: bool) {
        self.tidy.fetch_or(tidy, Ordering::Relaxed);
        self.queue.close();
    }
}

fn away() -> storage_core::StorageError {
    failure(ErrorKind::Unavailable, "the engine is being opened again to win back room; try again")
}
