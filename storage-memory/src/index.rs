//! The indexes of one shard, kept under the same lock as its items.

use std::hash::{BuildHasher, RandomState};

use storage_core::{StorageMetadata, Timestamp};

use crate::{
    entries::{Deadline, Named, Ordered, Posting, Ranged, Timed},
    runs::Runs,
    slots::{GONE, Slots},
};

/// Sorted entries for every way in which a search can narrow or order what it wants.
///
/// Entries of values that an item no longer has, and of items that are gone, stay until the next
/// [`compact`](Self::compact); readers compare what they find with the item. Adding is therefore all that a write does.
#[derive(Debug, Default)]
pub(crate) struct Indexes {
    pub(crate) keys: Runs<Named>,
    pub(crate) created: Runs<Timed>,
    pub(crate) updated: Runs<Timed>,
    pub(crate) deadlines: Runs<Deadline>,
    pub(crate) postings: Runs<Posting>,
    /// No deadline is before this one.
    earliest: Option<Timestamp>,
    stale_times: usize,
    stale_postings: usize,
}

impl Indexes {
    /// Adds the entries of a new item.
    pub(crate) fn insert(
        &mut self,
        slot: u32,
        metadata: &StorageMetadata,
        slots: &Slots,
        hashes: &RandomState,
    ) {
        self.keys.push(Named::new(slot, slots), slots);
        self.created.push(Timed::new(metadata.created_at, slot), slots);
        self.updated.push(Timed::new(metadata.updated_at, slot), slots);
        if let Some(expires_at) = metadata.expires_at {
            self.push_deadline(Deadline::new(expires_at, slot), slots);
        }
        self.postings.push(Posting::new(content_type_hash(hashes, &metadata.content_type), slot), slots);
        for (name, value) in metadata.tags.iter() {
            self.postings.push(Posting::new(tag_hash(hashes, name, value), slot), slots);
        }
    }

    /// Adds the entries that `new` has and `old`, the version before, had not.
    pub(crate) fn update(
        &mut self,
        slot: u32,
        old: &StorageMetadata,
        new: &StorageMetadata,
        slots: &Slots,
        hashes: &RandomState,
    ) {
        if new.created_at != old.created_at {
            self.created.push(Timed::new(new.created_at, slot), slots);
            self.stale_times += 1;
        }
        if new.updated_at != old.updated_at {
            self.updated.push(Timed::new(new.updated_at, slot), slots);
            self.stale_times += 1;
        }
        if new.expires_at != old.expires_at {
            self.stale_times += usize::from(old.expires_at.is_some());
            if let Some(expires_at) = new.expires_at {
                self.push_deadline(Deadline::new(expires_at, slot), slots);
            }
        }
        if new.tags != old.tags {
            self.stale_postings +=
                old.tags.iter().filter(|(name, value)| !new.tags.contains(name, value)).count();
            for (name, value) in new.tags.iter().filter(|(name, value)| !old.tags.contains(name, value)) {
                self.postings.push(Posting::new(tag_hash(hashes, name, value), slot), slots);
            }
        }
    }

    /// Entries of values that items no longer have.
    pub(crate) const fn stale(&self) -> usize {
        self.stale_times + self.stale_postings
    }

    /// Whether the indexes can be read.
    pub(crate) const fn is_settled(&self) -> bool {
        self.keys.is_settled()
            && self.created.is_settled()
            && self.updated.is_settled()
            && self.deadlines.is_settled()
            && self.postings.is_settled()
    }

    /// Makes the indexes readable.
    pub(crate) fn settle(&mut self, slots: &Slots) {
        self.keys.settle(slots);
        self.created.settle(slots);
        self.updated.settle(slots);
        self.deadlines.settle(slots);
        self.postings.settle(slots);
    }

    fn push_deadline(&mut self, deadline: Deadline, slots: &Slots) {
        self.earliest = Some(self.earliest.map_or(deadline.time(), |earliest| earliest.min(deadline.time())));
        self.deadlines.push(deadline, slots);
    }

    /// The earliest deadline, or a moment before it, if there is one.
    pub(crate) const fn next_deadline(&self) -> Option<Timestamp> {
        self.earliest
    }

    /// Removes and returns the earliest deadline if it is due.
    pub(crate) fn pop_due(&mut self, now: Timestamp, slots: &Slots) -> Option<Deadline> {
        self.earliest.filter(|earliest| *earliest <= now)?;
        self.deadlines.settle(slots);
        self.earliest = self.deadlines.last(slots).map(Deadline::time);
        self.earliest.filter(|earliest| *earliest <= now)?;
        self.deadlines.pop(slots)
    }

    /// Drops every entry that no item answers to, after the items moved as `moved` says, and gives memory back.
    pub(crate) fn compact(&mut self, moved: &[u32], slots: &Slots, hashes: &RandomState) {
        rewrite(&mut self.keys, moved, slots, |_, _| true);
        rewrite(&mut self.created, moved, slots, |entry, item| entry.time() == item.created_at);
        rewrite(&mut self.updated, moved, slots, |entry, item| entry.time() == item.updated_at);
        rewrite(&mut self.deadlines, moved, slots, |entry, item| Some(entry.time()) == item.expires_at);
        // Hashing the tags again is the dearest check; it is needed only if items changed their tags.
        let tags_changed = self.stale_postings > 0;
        rewrite(&mut self.postings, moved, slots, |entry, item| {
            !tags_changed || hashes_of(hashes, item).any(|hash| hash == entry.hash())
        });
        self.stale_times = 0;
        self.stale_postings = 0;
    }

    /// Bytes of memory taken.
    pub(crate) fn bytes(&self) -> usize {
        self.keys.bytes()
            + self.created.bytes()
            + self.updated.bytes()
            + self.deadlines.bytes()
            + self.postings.bytes()
    }
}

fn rewrite<E: Ranged>(
    runs: &mut Runs<E>,
    moved: &[u32],
    slots: &Slots,
    is_current: impl Fn(E, &StorageMetadata) -> bool,
) {
    runs.rewrite(|entry| {
        let slot = moved.get(entry.slot() as usize).copied().filter(|slot| *slot != GONE)?;
        slots.item(slot).filter(|item| is_current(entry, &item.metadata)).map(|_| entry.moved(slot))
    });
}

fn hashes_of<'a>(hashes: &'a RandomState, metadata: &'a StorageMetadata) -> impl Iterator<Item = u32> + 'a {
    let tags = metadata.tags.iter().map(|(name, value)| tag_hash(hashes, name, value));
    tags.chain([content_type_hash(hashes, &metadata.content_type)])
}

/// The number under which items with a tag are posted.
pub(crate) fn tag_hash(hashes: &RandomState, name: &str, value: &str) -> u32 {
    hashes.hash_one((name, value)) as u32
}

/// The number under which items of a content type are posted.
pub(crate) fn content_type_hash(hashes: &RandomState, content_type: &str) -> u32 {
    hashes.hash_one(content_type) as u32
}
