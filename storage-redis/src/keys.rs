//! The names of everything that the provider keeps in the database, and which slot it lies in.
//!
//! ```text
//! <prefix>:store                                   what the store is
//! <prefix>:{<bucket>.<n>}:i:<content type>\0<key>  an item
//! <prefix>:{<bucket>.<n>}:m                        the bucket's version mark
//! <prefix>:{<bucket>.<n>}:x                        the bucket's index
//! ```
//!
//! Items are spread over a fixed number of buckets by the hash of content type and key. The part in braces alone decides the
//! slot, as it holds the first braces of the name: braces in keys move nothing. `n` is the smallest number that puts bucket
//! `b` of `B` into the `b`-th of `B` equal parts of all slots, so that buckets spread evenly over the nodes of a cluster.

use storage_core::ItemKey;

use crate::{
    record,
    wire::{SLOTS, Slot},
};

/// Where everything is.
#[derive(Debug)]
pub(crate) struct Layout {
    /// The key that says what the store is.
    pub(crate) store: Vec<u8>,
    pub(crate) store_slot: Slot,
    pub(crate) buckets: Vec<Bucket>,
}

/// One part of the items, with the keys that they share.
#[derive(Debug)]
pub(crate) struct Bucket {
    pub(crate) slot: Slot,
    /// What the keys of items begin with.
    pub(crate) items: Vec<u8>,
    pub(crate) mark: Vec<u8>,
    pub(crate) index: Vec<u8>,
}

/// An item's place: its bucket and its key in the database.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    pub(crate) bucket: &'a Bucket,
    /// The hash of content type and key, for the checks of the record.
    pub(crate) hash: u64,
    pub(crate) item: Vec<u8>,
}

impl Layout {
    pub(crate) fn new(prefix: &str, buckets: u16) -> Self {
        let store = format!("{prefix}:store").into_bytes();
        let count = buckets.max(1);
        let buckets = (0..count).map(|number| Bucket::new(prefix, &tag(number, count))).collect();
        Self { store_slot: Slot::of(&store), store, buckets }
    }

    /// The bucket of an item with this hash, by number.
    pub(crate) fn number(&self, hash: u64) -> usize {
        // The remainder fits, because it is below a length.
        usize::try_from(hash % self.buckets.len().max(1) as u64).unwrap_or_default()
    }

    /// Where the item under `key` is.
    pub(crate) fn place(&self, key: ItemKey<'_>) -> Option<Place<'_>> {
        let hash = record::hash(key);
        let bucket = self.buckets.get(self.number(hash))?;
        Some(Place { bucket, hash, item: bucket.item(key) })
    }
}

impl Bucket {
    fn new(prefix: &str, tag: &str) -> Self {
        let key = |rest: &str| format!("{prefix}:{{{tag}}}:{rest}").into_bytes();
        Self { slot: Slot::of(&key("")), items: key("i:"), mark: key("m"), index: key("x") }
    }

    /// The key of the item under `key`.
    pub(crate) fn item(&self, key: ItemKey<'_>) -> Vec<u8> {
        let (content_type, key) = (key.content_type().as_bytes(), key.key().as_bytes());
        let mut item = Vec::with_capacity(self.items.len() + content_type.len() + 1 + key.len());
        item.extend_from_slice(&self.items);
        item.extend_from_slice(content_type);
        item.push(0);
        item.extend_from_slice(key);
        item
    }
}

/// The identity that `<content type>\0<key>` stands for.
pub(crate) fn name(bytes: &[u8]) -> Option<ItemKey<'_>> {
    // Content types hold no zero byte, so that the first one ends them.
    let (content_type, key) = std::str::from_utf8(bytes).ok()?.split_once('\0')?;
    ItemKey::new(content_type, key).ok()
}

/// What stands in the braces of bucket `number` of `count`.
fn tag(number: u16, count: u16) -> String {
    let (number, count) = (u64::from(number), u64::from(count));
    let slots = u64::from(SLOTS);
    let window = number * slots / count..(number + 1) * slots / count;
    let mut n = 0_u32;
    loop {
        let tag = format!("{number}.{n}");
        // Every window holds some slot, and the slots of successive numbers are as good as random.
        if window.contains(&u64::from(Slot::of(tag.as_bytes()).number())) || n == u32::MAX {
            return tag;
        }
        n += 1;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_names_of_keys_never_change() {
        let layout = Layout::new("app", 32);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        assert_eq!(text(&layout.store), "app:store");
        let place = layout.place(ItemKey::new("profile", "user:{1}").unwrap()).unwrap();
        assert_eq!(text(&place.item), "app:{15.22}:i:profile\0user:{1}");
        assert_eq!(text(&place.bucket.mark), "app:{15.22}:m");
        assert_eq!(text(&place.bucket.index), "app:{15.22}:x");
        let tags: Vec<_> = (0..4).map(|number| tag(number, 32)).collect();
        assert_eq!(tags, ["0.13", "1.21", "2.60", "3.52"]);
    }

    #[test]
    fn all_keys_of_a_bucket_share_its_slot_whatever_the_item_is_called() {
        let layout = Layout::new("app", 7);
        for key in ["{}", "{a}", "}{", "plain", "a{b}c"] {
            let place = layout.place(ItemKey::new("note", key).unwrap()).unwrap();
            for name in [&place.item, &place.bucket.mark, &place.bucket.index] {
                assert_eq!(Slot::of(name), place.bucket.slot, "{key}");
            }
            let item = place.item.strip_prefix(place.bucket.items.as_slice()).unwrap();
            assert_eq!(name(item).unwrap().key(), key);
        }
    }

    #[test]
    fn buckets_lie_evenly_over_the_slots() {
        for count in [1, 3, 32, 1_000, 1_024] {
            let layout = Layout::new("p", count);
            let parts: HashSet<_> = layout
                .buckets
                .iter()
                .map(|bucket| u64::from(bucket.slot.number()) * u64::from(count) / u64::from(SLOTS))
                .collect();
            // Where the parts are no whole numbers of slots, rounding may move a slot to a neighbour.
            assert!(parts.len() >= usize::from(count) * 9 / 10, "{count}: {}", parts.len());
        }
    }
}
