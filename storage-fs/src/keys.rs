//! The keys of the engine's keyspaces: how items and index entries are named and ordered.
//!
//! | keyspace | key | order it gives |
//! |---|---|---|
//! | items, and the entries of one tag | content type, NUL, key | content type, then key |
//! | created, updated, expires | time (8 bytes, big-endian, sign flipped), key, NUL, content type | time, then key, then content type |
//!
//! Neither a content type nor a key can hold a NUL, which makes both forms unambiguous and, NUL being the lowest byte,
//! keeps the order of the parts.

use storage_core::{ItemKey, StorageMetadata, Timestamp};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::{cut::Cut, engine::Space};

/// The content type and the key of an item as they stand in an engine key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name<'a> {
    // The order of the fields is the order of the contract: key first, then content type.
    pub(crate) key: &'a str,
    pub(crate) content_type: &'a str,
}

impl<'a> Name<'a> {
    /// Reads the key of an item back; `None` if it is not one.
    pub(crate) fn of_item(bytes: &'a [u8]) -> Option<Self> {
        let (content_type, key) = std::str::from_utf8(bytes).ok()?.split_once('\0')?;
        Some(Self { key, content_type })
    }

    /// Reads the key of an entry of a time index back.
    pub(crate) fn of_time_entry(bytes: &'a [u8]) -> Option<Self> {
        let mut cut = Cut::new(bytes);
        cut.take(TIME_BYTES)?;
        let (key, content_type) = std::str::from_utf8(cut.rest()).ok()?.split_once('\0')?;
        Some(Self { key, content_type })
    }

    /// Reads the key of an entry of the tag index back.
    pub(crate) fn of_tag_entry(bytes: &'a [u8]) -> Option<Self> {
        Self::of_item(bytes.get(TAG_BYTES..)?)
    }

    pub(crate) fn item(self) -> Vec<u8> {
        joined(&[], self.content_type, self.key)
    }

    pub(crate) fn item_key(self) -> storage_core::Result<ItemKey<'a>> {
        ItemKey::new(self.content_type, self.key)
    }
}

impl<'a> From<ItemKey<'a>> for Name<'a> {
    fn from(key: ItemKey<'a>) -> Self {
        Self { key: key.key(), content_type: key.content_type() }
    }
}

impl<'a> From<&'a StorageMetadata> for Name<'a> {
    fn from(metadata: &'a StorageMetadata) -> Self {
        Self { key: &metadata.key, content_type: &metadata.content_type }
    }
}

const TIME_BYTES: usize = 8;
const TAG_BYTES: usize = 8;

/// What every entry of a tag begins with: a keyed hash, so that entries are short and nobody can aim for collisions.
///
/// A collision costs a look at a record that does not match; hits are always checked against the record.
pub(crate) fn tag(seed: u64, name: &str, value: &str) -> [u8; TAG_BYTES] {
    tag_in(&mut Vec::new(), seed, name, value)
}

/// As [`tag`], with the memory that it takes.
fn tag_in(joined: &mut Vec<u8>, seed: u64, name: &str, value: &str) -> [u8; TAG_BYTES] {
    joined.clear();
    // A name holds no NUL, so that no two pairs are joined alike.
    joined.extend_from_slice(name.as_bytes());
    joined.push(0);
    joined.extend_from_slice(value.as_bytes());
    xxh3_64_with_seed(joined, seed).to_be_bytes()
}

/// What every entry of a time index at `time` begins with; its byte order is the order of times.
pub(crate) fn time(time: Timestamp) -> [u8; TIME_BYTES] {
    let shifted = time.as_micros().cast_unsigned() ^ (1 << 63);
    shifted.to_be_bytes()
}

pub(crate) fn time_entry(at: Timestamp, name: Name<'_>) -> Vec<u8> {
    joined(&time(at), name.key, name.content_type)
}

fn joined(prefix: &[u8], first: &str, second: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(prefix.len() + first.len() + 1 + second.len());
    join(&mut bytes, prefix, first, second);
    bytes
}

fn join(bytes: &mut Vec<u8>, prefix: &[u8], first: &str, second: &str) {
    bytes.extend_from_slice(prefix);
    bytes.extend_from_slice(first.as_bytes());
    bytes.push(0);
    bytes.extend_from_slice(second.as_bytes());
}

/// The lowest key above every key that begins with `prefix`; `None` if there is no such key.
pub(crate) fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return Some(end);
        }
    }
    None
}

/// An index entry of an item, without the name of the item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) space: Space,
    prefix: [u8; 8],
}

impl Entry {
    /// All index entries of an item: the one place that knows what an index holds.
    pub(crate) fn all_of(metadata: &StorageMetadata, seed: u64) -> Vec<Self> {
        let mut entries = Vec::with_capacity(metadata.tags.len() + 3);
        let mut memory = Vec::new();
        for (name, value) in metadata.tags.iter() {
            entries.push(Self { space: Space::Tags, prefix: tag_in(&mut memory, seed, name, value) });
        }
        entries.push(Self { space: Space::Created, prefix: time(metadata.created_at) });
        entries.push(Self { space: Space::Updated, prefix: time(metadata.updated_at) });
        entries.extend(Self::expiry(metadata));
        entries
    }

    /// The entry of the item's deadline, if it has one.
    pub(crate) fn expiry(metadata: &StorageMetadata) -> Option<Self> {
        metadata.expires_at.map(|at| Self { space: Space::Expires, prefix: time(at) })
    }

    /// The key of this entry for an item.
    pub(crate) fn key(self, name: Name<'_>) -> Vec<u8> {
        let mut key = Vec::with_capacity(self.prefix.len() + name.content_type.len() + 1 + name.key.len());
        self.key_in(name, &mut key);
        key
    }

    /// As [`key`](Self::key), with the memory that it takes.
    pub(crate) fn key_in<'m>(self, name: Name<'_>, memory: &'m mut Vec<u8>) -> &'m [u8] {
        memory.clear();
        match self.space {
            Space::Tags => join(memory, &self.prefix, name.content_type, name.key),
            _ => join(memory, &self.prefix, name.key, name.content_type),
        }
        memory
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Name<'_> = Name { key: "a", content_type: "note" };

    #[test]
    fn every_kind_of_key_reads_back() {
        assert_eq!(Name::of_item(&A.item()), Some(A));
        let entry = Entry { space: Space::Tags, prefix: tag(7, "tier", "gold") };
        assert_eq!(Name::of_tag_entry(&entry.key(A)), Some(A));
        let entry = time_entry(Timestamp::MIN, A);
        assert_eq!(Name::of_time_entry(&entry), Some(A));
        assert_eq!(entry, Entry { space: Space::Created, prefix: time(Timestamp::MIN) }.key(A));
    }

    #[test]
    fn bytes_that_are_no_key_are_refused() {
        for bad in [&b""[..], b"note", b"\xff\0a", b"1234567"] {
            assert_eq!(Name::of_item(bad), None, "{bad:?}");
            assert_eq!(Name::of_time_entry(bad), None, "{bad:?}");
            assert_eq!(Name::of_tag_entry(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn entries_sort_by_time_then_key_then_content_type() {
        let at = |micros| Timestamp::from_micros(micros).unwrap();
        let ordered = [
            time_entry(Timestamp::MIN, A),
            time_entry(at(-1), A),
            time_entry(at(0), A),
            time_entry(at(0), Name { key: "a", content_type: "z" }),
            time_entry(at(0), Name { key: "a ", content_type: "a" }),
            time_entry(at(1), A),
            time_entry(Timestamp::MAX, A),
        ];
        assert!(ordered.is_sorted());
    }

    #[test]
    fn tags_of_other_names_values_or_stores_differ() {
        let all = [tag(1, "ab", "c"), tag(1, "a", "bc"), tag(1, "abc", ""), tag(2, "ab", "c")];
        for (at, one) in all.iter().enumerate() {
            assert!(!all[at + 1..].contains(one));
        }
    }

    #[test]
    fn the_end_of_a_prefix_lies_just_above_it() {
        assert_eq!(after_prefix(b"ab"), Some(b"ac".to_vec()));
        assert_eq!(after_prefix(b"a\xff"), Some(b"b".to_vec()));
        assert_eq!(after_prefix(b"\xff"), None);
        assert_eq!(after_prefix(b""), None);
    }
}
