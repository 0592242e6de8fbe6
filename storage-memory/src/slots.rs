//! Where the items of a shard lie: numbered slots that the table and the indexes point at.

use std::sync::atomic::{AtomicBool, Ordering};

use storage_core::{ItemKey, StorageItem, Timestamp};

/// The place of one item: exactly one cache line, so that a look-up waits for memory once here.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Slot {
    /// Key, a zero byte, content type. Neither holds a zero byte, so that comparing these bytes compares the pairs.
    /// It stays when the item goes, because index entries that still point here are ordered by it.
    identity: Box<str>,
    item: Option<StorageItem>,
    /// The half of the hash by which the table knows the slot.
    hash: u32,
    /// Whether the item has a deadline; if not, a load need not look at the metadata.
    mortal: bool,
    /// Loaded since the eviction hand passed.
    used: AtomicBool,
}

const _: () = assert!(size_of::<Slot>() == 64);

impl Slot {
    /// The item, expired or not.
    pub(crate) const fn item(&self) -> Option<&StorageItem> {
        self.item.as_ref()
    }

    /// The item if it is live; the clock is read only if it has a deadline.
    pub(crate) fn live(&self, now: impl FnOnce() -> Timestamp) -> Option<&StorageItem> {
        self.item.as_ref().filter(|item| !self.mortal || item.metadata.is_live(now()))
    }

    /// Whether this is the slot of `key`.
    pub(crate) fn is_of(&self, key: ItemKey<'_>) -> bool {
        let (identity, key, content_type) =
            (self.identity.as_bytes(), key.key().as_bytes(), key.content_type().as_bytes());
        // With the lengths right, the byte between the two is the zero byte, as neither part can hold it.
        identity.len() == key.len() + 1 + content_type.len()
            && identity.starts_with(key)
            && identity.ends_with(content_type)
    }

    /// Notes that the item was loaded. Written only once per pass of the hand, so that readers do not fight for the line.
    pub(crate) fn mark_used(&self) {
        if !self.used.load(Ordering::Relaxed) {
            self.used.store(true, Ordering::Relaxed);
        }
    }

    /// Whether the item was loaded since the last call.
    pub(crate) fn take_used(&self) -> bool {
        self.used.swap(false, Ordering::Relaxed)
    }
}

/// Marks slots that are gone in the map that [`Slots::compact`] returns.
pub(crate) const GONE: u32 = u32::MAX;

/// The slots of one shard. Numbers are given out in order and change only in [`compact`](Self::compact).
#[derive(Debug, Default)]
pub(crate) struct Slots {
    slots: Vec<Slot>,
    dead: usize,
}

impl Slots {
    /// Slots, with those of removed items.
    pub(crate) const fn len(&self) -> usize {
        self.slots.len()
    }

    /// Slots that hold an item.
    pub(crate) const fn stored(&self) -> usize {
        self.slots.len() - self.dead
    }

    /// Slots whose item was removed and that index entries may still point at.
    pub(crate) const fn dead(&self) -> usize {
        self.dead
    }

    /// Whether another slot can be numbered.
    pub(crate) const fn is_full(&self) -> bool {
        self.slots.len() >= GONE as usize
    }

    pub(crate) fn get(&self, slot: u32) -> Option<&Slot> {
        self.slots.get(slot as usize)
    }

    /// The item in `slot`, expired or not.
    pub(crate) fn item(&self, slot: u32) -> Option<&StorageItem> {
        self.get(slot).and_then(Slot::item)
    }

    /// What orders `slot` among items of equal time: key, then content type.
    pub(crate) fn identity(&self, slot: u32) -> &str {
        self.get(slot).map_or("", |slot| &slot.identity)
    }

    /// The hash that the item in `slot` was inserted with.
    pub(crate) fn hash(&self, slot: u32) -> Option<u32> {
        self.get(slot).map(|slot| slot.hash)
    }

    /// How many slots before number `end` hold an item.
    pub(crate) fn stored_before(&self, end: usize) -> usize {
        self.slots.iter().take(end).filter(|slot| slot.item.is_some()).count()
    }

    /// The slots from number `from` on.
    pub(crate) fn iter_from(&self, from: usize) -> impl Iterator<Item = (u32, &Slot)> {
        (from..).zip(self.slots.iter().skip(from)).map(|(number, slot)| (number as u32, slot))
    }

    /// Puts an item into a new slot.
    pub(crate) fn insert(&mut self, hash: u32, item: StorageItem) -> u32 {
        let metadata = &item.metadata;
        let identity = identity(&metadata.key, &metadata.content_type);
        let mortal = metadata.expires_at.is_some();
        let number = self.slots.len() as u32;
        if self.slots.len() == self.slots.capacity() {
            // A quarter of spare room instead of the usual half: large vectors grow in place.
            self.slots.reserve_exact((self.slots.len() / 4).max(4));
        }
        self.slots.push(Slot { identity, item: Some(item), hash, mortal, used: AtomicBool::new(false) });
        number
    }

    /// Puts another version of the same item into `slot` and returns the one before.
    pub(crate) fn replace(&mut self, slot: u32, item: StorageItem) -> Option<StorageItem> {
        let slot = self.slots.get_mut(slot as usize)?;
        slot.mortal = item.metadata.expires_at.is_some();
        slot.item.replace(item)
    }

    /// Takes the item out of `slot`; its number stays taken until the next [`compact`](Self::compact).
    pub(crate) fn remove(&mut self, slot: u32) -> Option<StorageItem> {
        let removed = self.slots.get_mut(slot as usize)?.item.take();
        self.dead += usize::from(removed.is_some());
        removed
    }

    /// Moves the slots with items together. Answers the new number of each old one, [`GONE`] where there is none;
    /// the order of numbers is kept.
    pub(crate) fn compact(&mut self) -> Vec<u32> {
        let mut next = 0;
        let moved = self.slots.iter().map(|slot| match slot.item {
            Some(_) => {
                next += 1;
                next - 1
            }
            None => GONE,
        });
        let moved = moved.collect();
        self.slots.retain(|slot| slot.item.is_some());
        self.dead = 0;
        if self.slots.capacity() > 2 * self.slots.len() {
            self.slots.shrink_to_fit();
        }
        moved
    }

    /// Bytes of memory that the slots take beside the items.
    pub(crate) fn bytes(&self) -> usize {
        let identities: usize = self.slots.iter().map(|slot| slot.identity.len()).sum();
        self.slots.capacity() * size_of::<Slot>() + identities
    }
}

/// Key and content type as one text that sorts like the pair.
pub(crate) fn identity(key: &str, content_type: &str) -> Box<str> {
    let mut identity = String::with_capacity(key.len() + 1 + content_type.len());
    identity.push_str(key);
    identity.push('\0');
    identity.push_str(content_type);
    identity.into_boxed_str()
}

#[cfg(test)]
mod tests {
    use storage_core::{SaveRequest, Timestamp};

    use super::*;

    fn item(key: ItemKey<'_>) -> StorageItem {
        let (data, metadata) = SaveRequest::new(key, "x").into_item(None, Timestamp::UNIX_EPOCH, 1);
        StorageItem { data, metadata: metadata.into() }
    }

    #[test]
    fn a_slot_knows_its_key_from_every_other() {
        let keys =
            [("ab", "cd"), ("ab", "ce"), ("bb", "cd"), ("a", "bcd"), ("abc", "d"), ("ab", "d"), ("cd", "ab")];
        let keys = keys.map(|(content_type, key)| ItemKey::new(content_type, key).unwrap());
        let mut slots = Slots::default();
        for key in keys {
            slots.insert(0, item(key));
        }
        for (number, slot) in slots.iter_from(0) {
            for (other, key) in keys.iter().enumerate() {
                assert_eq!(slot.is_of(*key), other == number as usize, "{key:?} in slot {number}");
            }
        }
    }

    #[test]
    fn compacting_keeps_the_order_of_what_is_left() {
        let mut slots = Slots::default();
        let names: Vec<_> = (0..6).map(|n| n.to_string()).collect();
        for name in &names {
            slots.insert(0, item(ItemKey::new("t", name).unwrap()));
        }
        for gone in [0, 3, 4] {
            assert!(slots.remove(gone).is_some() && slots.remove(gone).is_none());
        }
        assert_eq!((slots.len(), slots.stored(), slots.dead(), slots.stored_before(3)), (6, 3, 3, 2));
        assert_eq!(slots.compact(), [GONE, 0, 1, GONE, GONE, 2]);
        assert_eq!((slots.len(), slots.stored(), slots.dead()), (3, 3, 0));
        assert_eq!([0, 1, 2].map(|slot| slots.identity(slot)), ["1\0t", "2\0t", "5\0t"]);
    }
}
