//! One part of the store: items and the indexes over them, under one lock.

use std::{
    borrow::Borrow,
    collections::BTreeMap,
    hash::{BuildHasher, RandomState},
    mem,
    sync::Arc,
    time::Duration,
};

use hashbrown::HashTable;
use storage_core::{
    Amount, ItemKey, StorageItem, StorageMetadata, TimeRange, Timestamp, Usage, next_version,
};

use crate::{
    entries::{Ranged, within},
    index::Indexes,
    slots::{GONE, Slots},
};

/// Rewriting the indexes waits for this much garbage, so that small shards do not do it all the time.
const GARBAGE: usize = 64;

/// Where the table says an item lies. The hash stays, so that growing the table reads no keys.
#[derive(Debug, Clone, Copy)]
struct Entry {
    hash: u32,
    slot: u32,
}

/// The table wants 64 bits, the highest of them for a first comparison; the same 32 serve as both halves.
const fn spread(hash: u32) -> u64 {
    ((hash as u64) << 32) | hash as u64
}

/// Items that hash to this shard.
///
/// Not a map of its own kind: callers find a slot and then act on it, so that one lock covers a check and its write.
#[derive(Debug, Default)]
pub(crate) struct Shard {
    closed: bool,
    /// The highest version given out here. It outlives the items, so that no version is used twice.
    mark: u64,
    table: HashTable<Entry>,
    slots: Slots,
    indexes: Indexes,
    amounts: BTreeMap<Box<str>, Amount>,
    hashes: Arc<RandomState>,
    /// Where the search for something to evict goes on.
    hand: usize,
}

impl Shard {
    pub(crate) fn new(hashes: Arc<RandomState>) -> Self {
        Self { hashes, ..Self::default() }
    }

    pub(crate) const fn is_closed(&self) -> bool {
        self.closed
    }

    pub(crate) const fn slots(&self) -> &Slots {
        &self.slots
    }

    /// The indexes, to be read only while [`is_settled`](Self::is_settled).
    pub(crate) const fn indexes(&self) -> &Indexes {
        &self.indexes
    }

    pub(crate) const fn is_settled(&self) -> bool {
        self.indexes.is_settled()
    }

    pub(crate) fn settle(&mut self) {
        self.indexes.settle(&self.slots);
    }

    /// Adds the live items of each content type to `usage`; the indexes must be settled.
    pub(crate) fn add_usage(&self, now: Timestamp, usage: &mut Usage) {
        for (content_type, amount) in &self.amounts {
            match usage.content_types.get_mut(&**content_type) {
                Some(total) => *total += *amount,
                None => {
                    usage.content_types.insert(content_type.to_string(), *amount);
                }
            }
        }
        for expired in self.expired(now) {
            subtract(&mut usage.content_types, &expired.metadata);
        }
    }

    /// Items that expired by `now` and were not removed yet.
    fn expired(&self, now: Timestamp) -> impl Iterator<Item = &StorageItem> {
        let due = TimeRange { after: None, before: now.checked_add(Duration::from_micros(1)) };
        let due = within(&self.indexes.deadlines, &self.slots, &due);
        let mut slots: Vec<u32> = due.flatten().map(Ranged::slot).collect();
        // An item that got a deadline back which it had before has two entries.
        slots.sort_unstable();
        slots.dedup();
        slots
            .into_iter()
            .filter_map(|slot| self.slots.item(slot))
            .filter(move |item| !item.metadata.is_live(now))
    }

    /// The slot of `key`, whether or not its item expired.
    pub(crate) fn find(&self, hash: u32, key: ItemKey<'_>) -> Option<u32> {
        let is_it = |entry: &Entry| {
            entry.hash == hash && self.slots.get(entry.slot).is_some_and(|slot| slot.is_of(key))
        };
        self.table.find(spread(hash), is_it).map(|entry| entry.slot)
    }

    /// The version of the next write.
    pub(crate) fn next_version(&mut self, now: Timestamp) -> u64 {
        self.mark = next_version(self.mark, now);
        self.mark
    }

    /// Adds an item whose key has no slot yet.
    pub(crate) fn insert(&mut self, hash: u32, item: StorageItem) {
        let metadata = Arc::clone(&item.metadata);
        self.count_in(&metadata);
        let slot = self.slots.insert(hash, item);
        self.table.insert_unique(spread(hash), Entry { hash, slot }, |entry| spread(entry.hash));
        self.indexes.insert(slot, &metadata, &self.slots, &self.hashes);
    }

    /// Puts another version of its item into `slot` and returns the one before.
    pub(crate) fn replace(&mut self, slot: u32, item: StorageItem) -> Option<StorageItem> {
        let new = Arc::clone(&item.metadata);
        let old = self.slots.replace(slot, item)?;
        if old.metadata.size != new.size {
            self.count_out(&old.metadata);
            self.count_in(&new);
        }
        self.indexes.update(slot, &old.metadata, &new, &self.slots, &self.hashes);
        self.compact_if_due();
        Some(old)
    }

    /// Takes the item out of `slot`.
    pub(crate) fn remove(&mut self, slot: u32) -> Option<StorageItem> {
        let removed = self.take(slot)?;
        self.compact_if_due();
        Some(removed)
    }

    fn take(&mut self, slot: u32) -> Option<StorageItem> {
        let removed = self.slots.remove(slot)?;
        self.count_out(&removed.metadata);
        let hash = self.slots.hash(slot)?;
        if let Ok(entry) = self.table.find_entry(spread(hash), |entry| entry.slot == slot) {
            entry.remove();
        }
        Some(removed)
    }

    /// Moves up to `limit` items that expired by `now` to `bin`.
    pub(crate) fn take_expired(&mut self, now: Timestamp, limit: usize, bin: &mut Vec<StorageItem>) {
        while bin.len() < limit
            && let Some(due) = self.indexes.pop_due(now, &self.slots)
        {
            let is_current = |item: &StorageItem| item.metadata.expires_at == Some(due.time());
            if self.slots.item(due.slot()).is_some_and(is_current) {
                bin.extend(self.take(due.slot()));
            }
        }
        self.compact_if_due();
    }

    /// The earliest deadline, or a moment before it, if there is one.
    pub(crate) const fn next_deadline(&self) -> Option<Timestamp> {
        self.indexes.next_deadline()
    }

    /// Removes the item that was least recently of use, by the second-chance rule: the hand passes once over items that
    /// were loaded since it last came by. The item of `spared` stays.
    pub(crate) fn evict(&mut self, spared: ItemKey<'_>) -> Option<StorageItem> {
        let victim = self.victim(spared)?;
        self.hand = victim as usize + 1;
        self.remove(victim)
    }

    fn victim(&self, spared: ItemKey<'_>) -> Option<u32> {
        let candidates = |from| {
            self.slots.iter_from(from).filter(|(_, slot)| slot.item().is_some() && !slot.is_of(spared))
        };
        let once_round = || candidates(self.hand).chain(candidates(0));
        once_round()
            .find(|(_, slot)| !slot.take_used())
            .or_else(|| once_round().next())
            .map(|(number, _)| number)
    }

    fn compact_if_due(&mut self) {
        let stored = self.slots.stored();
        if self.slots.dead() > GARBAGE + stored / 4 || self.indexes.stale() > GARBAGE + 2 * stored {
            self.compact();
        }
    }

    /// Drops what removed items left behind, and gives memory back.
    pub(crate) fn compact_removed(&mut self) {
        if self.slots.dead() > 0 {
            self.compact();
        }
    }

    fn compact(&mut self) {
        self.hand = self.slots.stored_before(self.hand);
        let moved = self.slots.compact();
        for entry in &mut self.table {
            entry.slot = moved.get(entry.slot as usize).copied().unwrap_or(GONE);
        }
        if self.table.capacity() > 4 * self.table.len() {
            self.table.shrink_to_fit(|entry| spread(entry.hash));
        }
        self.indexes.compact(&moved, &self.slots, &self.hashes);
    }

    /// Ends the shard and returns what it held, to be dropped outside the lock.
    pub(crate) fn close(&mut self) -> Self {
        mem::replace(self, Self { closed: true, ..Self::default() })
    }

    fn count_in(&mut self, metadata: &StorageMetadata) {
        match self.amounts.get_mut(metadata.content_type.as_str()) {
            Some(amount) => amount.add_item(metadata.size),
            None => {
                let amount = Amount { items: 1, bytes: metadata.size };
                self.amounts.insert(metadata.content_type.as_str().into(), amount);
            }
        }
    }

    fn count_out(&mut self, metadata: &StorageMetadata) {
        subtract(&mut self.amounts, metadata);
    }

    /// Bytes of memory taken beside the items.
    pub(crate) fn overhead(&self) -> usize {
        self.table.allocation_size() + self.slots.bytes() + self.indexes.bytes()
    }
}

/// The keyed hash of an identity: its low half finds the item in its shard, its high half the shard.
pub(crate) fn hash_of(hashes: &RandomState, key: ItemKey<'_>) -> u64 {
    hashes.hash_one(key)
}

/// Takes an item out of the amounts; a content type without items leaves no trace.
fn subtract<K: Ord + Borrow<str>>(amounts: &mut BTreeMap<K, Amount>, metadata: &StorageMetadata) {
    let Some(amount) = amounts.get_mut(metadata.content_type.as_str()) else { return };
    amount.items = amount.items.saturating_sub(1);
    amount.bytes = amount.bytes.saturating_sub(metadata.size);
    if amount.items == 0 {
        amounts.remove(metadata.content_type.as_str());
    }
}
