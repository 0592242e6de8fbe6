//! The limits of the whole store, exact under concurrency.

use std::sync::atomic::{AtomicU64, Ordering};

use storage_core::{ItemKey, StorageMetadata, Tags};

/// What an item costs beside its payload, key, content type and tags: metadata, slot, table and index entries.
/// Measured with three tags and a deadline.
const OVERHEAD: u64 = 400;

/// What each tag costs beside its text.
const TAG_OVERHEAD: u64 = 72;

/// Counts items and bytes against their limits. A limit of 0 is none, and costs nothing to keep.
#[derive(Debug)]
pub(crate) struct Budget {
    items: Gauge,
    bytes: Gauge,
}

impl Budget {
    pub(crate) const fn new(max_items: u64, max_bytes: u64) -> Self {
        Self { items: Gauge::new(max_items), bytes: Gauge::new(max_bytes) }
    }

    /// The largest number of bytes, 0 for any.
    pub(crate) const fn max_bytes(&self) -> u64 {
        self.bytes.max
    }

    /// The largest number of items, 0 for any.
    pub(crate) const fn max_items(&self) -> u64 {
        self.items.max
    }

    /// Whether an item of this cost could be kept in an empty store.
    pub(crate) const fn could_hold(&self, cost: u64) -> bool {
        self.bytes.max == 0 || cost <= self.bytes.max
    }

    /// Takes room for an item of cost `new` that replaces one of cost `old`, if there is one. Takes nothing if there is
    /// not enough. What needs no more room than before always fits.
    pub(crate) fn exchange(&self, old: Option<u64>, new: u64) -> bool {
        let added = u64::from(old.is_none());
        if !self.items.take(added) {
            return false;
        }
        let old = old.unwrap_or(0);
        if !self.bytes.take(new.saturating_sub(old)) {
            self.items.give_back(added);
            return false;
        }
        self.bytes.give_back(old.saturating_sub(new));
        true
    }

    /// Gives back the room of a removed item.
    pub(crate) fn release(&self, cost: u64) {
        self.items.give_back(1);
        self.bytes.give_back(cost);
    }
}

/// Bytes that count against the limit for an item.
pub(crate) fn cost(key: ItemKey<'_>, tags: &Tags, size: u64) -> u64 {
    estimate(key.key().len() + key.content_type().len(), tags, size)
}

/// As [`cost`], of a stored item.
pub(crate) fn cost_of(metadata: &StorageMetadata) -> u64 {
    estimate(metadata.key.len() + metadata.content_type.len(), &metadata.tags, metadata.size)
}

fn estimate(identity: usize, tags: &Tags, size: u64) -> u64 {
    let tags: u64 = tags.iter().map(|(name, value)| TAG_OVERHEAD + (name.len() + value.len()) as u64).sum();
    // The identity is kept twice: in the metadata, and where look-ups compare it.
    OVERHEAD + size + tags + 2 * identity as u64
}

/// A number that never exceeds its limit.
#[derive(Debug)]
struct Gauge {
    max: u64,
    taken: AtomicU64,
}

impl Gauge {
    const fn new(max: u64) -> Self {
        Self { max, taken: AtomicU64::new(0) }
    }

    fn take(&self, amount: u64) -> bool {
        if self.max == 0 || amount == 0 {
            return true;
        }
        let grown = |taken: u64| taken.checked_add(amount).filter(|taken| *taken <= self.max);
        self.taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, grown).is_ok()
    }

    fn give_back(&self, amount: u64) {
        if self.max != 0 && amount != 0 {
            self.taken.fetch_sub(amount, Ordering::AcqRel);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_taken_whole_or_not_at_all() {
        let budget = Budget::new(2, 100);
        assert!(budget.exchange(None, 60));
        assert!(!budget.exchange(None, 41), "bytes are short");
        assert!(budget.exchange(None, 40), "the failed attempt kept no room");
        assert!(!budget.exchange(None, 0), "items are short");
        assert!(!budget.exchange(Some(40), 41));
        assert!(budget.exchange(Some(40), 10));
        budget.release(60);
        assert!(budget.exchange(None, 90) && !budget.exchange(Some(90), 91));
    }

    #[test]
    fn no_limit_is_never_reached() {
        let budget = Budget::new(0, 0);
        assert!((0..1_000).all(|_| budget.exchange(None, u64::MAX)));
    }
}
