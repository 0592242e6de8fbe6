//! Reading single items, and what long reads have in common.

use std::{
    cell::Cell,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use fjall::Slice;
use storage_core::{ErrorKind, Result, StorageItem, Timestamp};

use crate::{
    blobs::Unread,
    engine::{Engine, Space},
    error::{engine_error, failure},
    item::{Payload, Stored, damaged, named},
    shared::Shared,
};

/// The stored item under an engine key, live or expired.
pub(crate) fn fetch(engine: &Engine, key: &[u8]) -> Result<Option<Stored>> {
    decode(key, engine.get(Space::Items, key))
}

/// The meaning of what the engine answered for an engine key.
pub(crate) fn decode(key: &[u8], answer: fjall::Result<Option<Slice>>) -> Result<Option<Stored>> {
    let record = answer.map_err(|cause| named(key, engine_error("the stored item cannot be read", cause)))?;
    record.map(|record| Stored::decode(key, record).map_err(|damage| damaged(key, damage))).transpose()
}

/// The item with its payload, read from its file if it has one; `None` if there is no live item.
///
/// A file may be gone because a later save replaced it; then that save is read instead.
pub(crate) fn with_payload(
    shared: &Shared,
    engine: &Engine,
    key: &[u8],
    stored: Stored,
    now: Timestamp,
) -> Result<Option<StorageItem>> {
    // Each round loses only against another save that went through meanwhile.
    const ROUNDS: usize = 100;
    let mut stored = stored;
    for _ in 0..ROUNDS {
        if !stored.metadata.is_live(now) {
            return Ok(None);
        }
        let file = match stored.payload {
            Payload::Inline(data) => return Ok(Some(StorageItem { data, metadata: stored.metadata })),
            Payload::File(file) => file,
        };
        let unread = match shared.blobs.read(file, stored.metadata.size) {
            Ok(data) => return Ok(Some(StorageItem { data, metadata: stored.metadata })),
            Err(unread) => unread,
        };
        let version = stored.metadata.version;
        match fetch(engine, key)? {
            None => return Ok(None),
            Some(newer) if matches!(unread, Unread::Missing) && newer.metadata.version != version => {
                stored = newer;
            }
            Some(_) => return Err(named(key, unread.into_error())),
        }
    }
    Err(named(
        key,
        failure(ErrorKind::Unavailable, "the item is replaced faster than its payload can be read"),
    ))
}

/// The item without its payload.
pub(crate) fn without_payload(stored: Stored) -> StorageItem {
    StorageItem { data: Bytes::new(), metadata: stored.metadata }
}

/// Lets a long read on the blocking pool stop: when nobody waits for it any more, or the engine is wanted back.
#[derive(Debug)]
pub(crate) struct Pace {
    shared: Arc<Shared>,
    given_up: Arc<AtomicBool>,
    steps: Cell<u32>,
}

impl Pace {
    pub(crate) fn new(shared: Arc<Shared>) -> (Self, GiveUp) {
        let given_up = Arc::new(AtomicBool::new(false));
        let give_up = GiveUp(Arc::clone(&given_up));
        (Self { shared, given_up, steps: Cell::new(0) }, give_up)
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Called once per entry that is looked at.
    ///
    /// # Errors
    /// What the read shall end with.
    pub(crate) fn step(&self) -> Result<()> {
        const STEPS: u32 = 128;
        self.steps.set((self.steps.get() + 1) % STEPS);
        if self.steps.get() != 0 {
            return Ok(());
        }
        if self.given_up.load(Ordering::Relaxed) {
            return Err(failure(ErrorKind::Timeout, "nobody waits for this read any more"));
        }
        self.shared.check_wanted()
    }
}

/// Tells a long read that nobody waits for it, when dropped.
#[derive(Debug)]
pub(crate) struct GiveUp(Arc<AtomicBool>);

impl Drop for GiveUp {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
