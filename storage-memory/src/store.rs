//! All shards together: finds the shard of a key, keeps the limits, and makes room.

use std::{
    future::poll_fn,
    hash::RandomState,
    ops::{Deref, DerefMut},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    task::Poll,
};

use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use storage_core::{
    Bytes, CleanupReport, Condition, ItemKey, Result, SaveRequest, SharedClock, StorageItem, StorageMetadata,
    Timestamp, Usage,
};

use crate::{
    budget::{Budget, cost, cost_of},
    config::{MemoryConfig, WhenFull},
    error,
    shard::{Shard, hash_of},
};

/// Expired items removed while a shard is locked once: about 100 µs.
const CHUNK: usize = 256;

/// Later than every timestamp.
const NEVER: i64 = i64::MAX;

/// The items, shared by the provider and its sweeper.
#[derive(Debug)]
pub(crate) struct Store {
    cells: Box<[Cell]>,
    hashes: Arc<RandomState>,
    budget: Budget,
    clock: SharedClock,
    max_payload: u64,
    evicts: bool,
}

/// A shard, its lock, and what can be known of it without the lock.
#[derive(Debug)]
pub(crate) struct Cell {
    shard: RwLock<Shard>,
    /// [`Shard::next_deadline`] in microseconds or [`NEVER`], written only under the lock.
    next_deadline: AtomicI64,
}

impl Store {
    pub(crate) fn new(config: &MemoryConfig, clock: SharedClock) -> Self {
        let hashes = Arc::new(RandomState::new());
        let cells = (0..config.shards.get()).map(|_| Cell::new(Shard::new(Arc::clone(&hashes)))).collect();
        Self {
            cells,
            hashes,
            budget: Budget::new(config.max_entries, config.max_bytes),
            clock,
            max_payload: config.max_payload,
            evicts: config.when_full == WhenFull::Evict,
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) const fn cells(&self) -> &[Cell] {
        &self.cells
    }

    pub(crate) const fn hashes(&self) -> &Arc<RandomState> {
        &self.hashes
    }

    /// The place of `key` among the cells, and the half of its hash by which its shard knows it.
    fn locate(&self, key: ItemKey<'_>) -> (usize, u32) {
        let hash = hash_of(&self.hashes, key);
        // The high half, scaled to the number of cells: an even spread without a division.
        let place = ((hash >> 32) * self.cells.len() as u64) >> 32;
        (place as usize, hash as u32)
    }

    fn cell(&self, place: usize) -> Result<&Cell> {
        // `locate` stays below the number of cells, of which there is at least one.
        self.cells.get(place).ok_or_else(error::closed)
    }

    pub(crate) fn load(&self, key: ItemKey<'_>) -> Result<Option<StorageItem>> {
        let (place, hash) = self.locate(key);
        let shard = self.cell(place)?.read()?;
        let slot = shard.find(hash, key).and_then(|slot| shard.slots().get(slot));
        let Some((slot, item)) = slot.and_then(|slot| Some((slot, slot.live(|| self.now())?))) else {
            return Ok(None);
        };
        if self.evicts {
            slot.mark_used();
        }
        Ok(Some(item.clone()))
    }

    pub(crate) fn save(&self, mut request: SaveRequest<'_>) -> Result<StorageItem> {
        request.validate(self.now(), self.max_payload)?;
        let key = request.key;
        let (place, hash) = self.locate(key);
        let cost = cost(key, &request.tags, request.data.len() as u64);
        loop {
            request = match self.try_save(place, hash, cost, request)? {
                Attempt::Saved(item) => return Ok(item),
                Attempt::NoRoom(request) => request,
            };
            self.make_room(place, key, cost)?;
        }
    }

    fn try_save<'a>(
        &self,
        place: usize,
        hash: u32,
        cost: u64,
        request: SaveRequest<'a>,
    ) -> Result<Attempt<'a>> {
        let mut shard = self.cell(place)?.write()?;
        let now = self.now();
        let slot = shard.find(hash, request.key);
        let stored = slot.and_then(|slot| shard.slots().item(slot)).map(|item| Arc::clone(&item.metadata));
        let live = stored.as_deref().filter(|metadata| metadata.is_live(now));
        request.condition.check_save(live)?;
        if slot.is_none() && shard.slots().is_full()
            || !self.budget.exchange(stored.as_deref().map(cost_of), cost)
        {
            return Ok(Attempt::NoRoom(request));
        }
        let version = shard.next_version(now);
        let (data, metadata) = request.into_item(live, now, version);
        let item = StorageItem { data, metadata: Arc::new(metadata) };
        let old = match slot {
            Some(slot) => shard.replace(slot, item.clone()),
            None => {
                shard.insert(hash, item.clone());
                None
            }
        };
        // A large payload is given back without the lock.
        drop(shard);
        drop(old);
        Ok(Attempt::Saved(item))
    }

    /// Removes something, so that another attempt to save makes sense.
    fn make_room(&self, place: usize, key: ItemKey<'_>, cost: u64) -> Result<()> {
        if !self.budget.could_hold(cost) {
            return Err(error::never_fits(cost, self.budget.max_bytes()));
        }
        if self.remove_some_expired()? || self.evicts && self.evict(place, key)? {
            return Ok(());
        }
        Err(error::full(self.budget.max_items(), self.budget.max_bytes()))
    }

    /// Removes one item, from the shard at `place` if it can be, but not that of `spared`.
    fn evict(&self, place: usize, spared: ItemKey<'_>) -> Result<bool> {
        let (before, from) = self.cells.split_at(place);
        for cell in from.iter().chain(before) {
            let evicted = cell.write()?.evict(spared);
            if let Some(item) = evicted {
                self.release(&item);
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(crate) fn touch(
        &self,
        key: ItemKey<'_>,
        expires_at: Option<Timestamp>,
    ) -> Result<Option<Arc<StorageMetadata>>> {
        let (place, hash) = self.locate(key);
        let mut shard = self.cell(place)?.write()?;
        let now = self.now();
        let Some(slot) = shard.find(hash, key) else { return Ok(None) };
        let Some(item) = shard.slots().get(slot).and_then(|slot| slot.live(|| now)).cloned() else {
            return Ok(None);
        };
        SaveRequest::new(key, Bytes::new()).expires_at(expires_at).validate(now, self.max_payload)?;
        let version = shard.next_version(now);
        let metadata = Arc::new(item.metadata.touched(expires_at, now, version));
        shard.replace(slot, StorageItem { data: item.data, metadata: Arc::clone(&metadata) });
        Ok(Some(metadata))
    }

    pub(crate) fn delete(&self, key: ItemKey<'_>, condition: Condition) -> Result<bool> {
        let (place, hash) = self.locate(key);
        let mut shard = self.cell(place)?.write()?;
        let now = self.now();
        let slot = shard.find(hash, key);
        let live = slot.and_then(|slot| shard.slots().get(slot)).and_then(|slot| slot.live(|| now));
        if !condition.check_delete(live.map(|item| &*item.metadata))? {
            return Ok(false);
        }
        let removed = slot.and_then(|slot| shard.remove(slot));
        drop(shard);
        if let Some(item) = &removed {
            self.release(item);
        }
        Ok(removed.is_some())
    }

    fn release(&self, item: &StorageItem) {
        self.budget.release(cost_of(&item.metadata));
    }

    /// Removes what expired from the first shard that has any. Says whether something was removed.
    fn remove_some_expired(&self) -> Result<bool> {
        let now = self.now();
        for cell in self.cells.iter().filter(|cell| cell.has_due(now)) {
            if self.remove_expired(cell, now)?.expired > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Removes up to [`CHUNK`] expired items of one shard.
    fn remove_expired(&self, cell: &Cell, now: Timestamp) -> Result<CleanupReport> {
        let mut bin = Vec::new();
        cell.write()?.take_expired(now, CHUNK, &mut bin);
        bin.iter().for_each(|item| self.release(item));
        Ok(CleanupReport::new(bin.len() as u64, bin.iter().map(|item| item.metadata.size).sum()))
    }

    /// Removes every expired item and what removed items left behind. Between the shards, others get their turn.
    pub(crate) async fn cleanup(&self) -> Result<CleanupReport> {
        let mut report = CleanupReport::default();
        for cell in &self.cells {
            let now = self.now();
            while cell.has_due(now) {
                report += self.remove_expired(cell, now)?;
                yield_now().await;
            }
            cell.write()?.compact_removed();
        }
        Ok(report)
    }

    /// Live items and their payload bytes by content type.
    pub(crate) async fn usage(&self) -> Result<Usage> {
        let mut usage = Usage::default();
        for cell in &self.cells {
            cell.read_indexes()?.add_usage(self.now(), &mut usage);
            yield_now().await;
        }
        Ok(usage)
    }

    /// Lets go of everything. Calls that hold no lock now find the store closed.
    pub(crate) fn close(&self) {
        for cell in &self.cells {
            let held = cell.shard.write().close();
            drop(held);
        }
    }

    /// Bytes of memory taken beside payloads and metadata.
    pub(crate) fn overhead(&self) -> usize {
        self.cells.iter().map(|cell| cell.shard.read().overhead()).sum()
    }
}

/// What became of one attempt to save.
enum Attempt<'a> {
    Saved(StorageItem),
    /// The limits leave no room at the moment; nothing changed.
    NoRoom(SaveRequest<'a>),
}

impl Cell {
    const fn new(shard: Shard) -> Self {
        Self { shard: RwLock::new(shard), next_deadline: AtomicI64::new(NEVER) }
    }

    fn read(&self) -> Result<RwLockReadGuard<'_, Shard>> {
        let shard = self.shard.read();
        if shard.is_closed() { Err(error::closed()) } else { Ok(shard) }
    }

    /// As `read`, with indexes that can be read.
    pub(crate) fn read_indexes(&self) -> Result<RwLockReadGuard<'_, Shard>> {
        let shard = self.read()?;
        if shard.is_settled() {
            return Ok(shard);
        }
        drop(shard);
        let mut shard = self.shard.write();
        if shard.is_closed() {
            return Err(error::closed());
        }
        shard.settle();
        Ok(RwLockWriteGuard::downgrade(shard))
    }

    fn write(&self) -> Result<Writing<'_>> {
        let shard = self.shard.write();
        if shard.is_closed() {
            Err(error::closed())
        } else {
            Ok(Writing { shard, next_deadline: &self.next_deadline })
        }
    }

    /// Whether an item may have expired by `now`.
    fn has_due(&self, now: Timestamp) -> bool {
        self.next_deadline.load(Ordering::Acquire) <= now.as_micros()
    }
}

/// A locked shard; its next deadline is published when it is released.
struct Writing<'a> {
    shard: RwLockWriteGuard<'a, Shard>,
    next_deadline: &'a AtomicI64,
}

impl Deref for Writing<'_> {
    type Target = Shard;

    fn deref(&self) -> &Shard {
        &self.shard
    }
}

impl DerefMut for Writing<'_> {
    fn deref_mut(&mut self) -> &mut Shard {
        &mut self.shard
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        let next_deadline = self.shard.next_deadline().map_or(NEVER, Timestamp::as_micros);
        self.next_deadline.store(next_deadline, Ordering::Release);
    }
}

/// Gives other tasks a turn, under any executor.
pub(crate) async fn yield_now() {
    let mut yielded = false;
    poll_fn(|context| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
