//! The entries of a bucket's index: members of one sorted set whose scores are all zero, so that they lie in the order of
//! their bytes.
//!
//! ```text
//! !<generation>                                 marker: there as long as the index is whole
//! c<content type>\0<created><key>               by creation
//! e<expires><created><updated><lengths><content type>\0<key>\0<metadata>   by deadline; only items that have one
//! k<content type>\0<key>                        by key
//! t<content type>\0<name>\0<value>\0<key>       by tag
//! u<content type>\0<updated><key>               by update
//! ```
//!
//! Times are those of the record, eight bytes each. The entry of a deadline repeats the part of the record from which all
//! other entries of the item follow, so that they can be removed when the server has dropped the item by itself.

use storage_core::{ItemKey, StorageMetadata, Timestamp};

use crate::{
    keys,
    record::{self, time},
};

/// Where the entry of a deadline takes its part of the head from.
const DEADLINE_FIELDS: std::ops::Range<usize> = 28..60;

/// What marks an index of this generation as whole.
pub(crate) fn marker(generation: u64) -> [u8; 17] {
    let mut marker = [b'!'; 17];
    for (place, digit) in marker.iter_mut().skip(1).zip(format!("{generation:016x}").bytes()) {
        *place = digit;
    }
    marker
}

/// Hands each entry of an item to `take`, in the order in which the scripts expect them: by key, creation, update, tags,
/// deadline.
pub(crate) fn for_each_entry(
    metadata: &StorageMetadata,
    record: &[u8],
    indexed: bool,
    mut take: impl FnMut(&[u8]),
) {
    let (content_type, key) = (metadata.content_type.as_bytes(), metadata.key.as_bytes());
    let mut entry = Vec::with_capacity(64 + content_type.len() + key.len());
    let mut make = |parts: &[&[u8]]| {
        entry.clear();
        for part in parts {
            entry.extend_from_slice(part);
        }
        take(&entry);
    };
    if indexed {
        make(&[b"k", content_type, b"\0", key]);
        make(&[b"c", content_type, b"\0", &time(metadata.created_at), key]);
        make(&[b"u", content_type, b"\0", &time(metadata.updated_at), key]);
        for (name, value) in metadata.tags.iter() {
            make(&[b"t", content_type, b"\0", name.as_bytes(), b"\0", value.as_bytes(), b"\0", key]);
        }
    }
    if metadata.expires_at.is_some() {
        let fields = record.get(DEADLINE_FIELDS).unwrap_or_default();
        let described = record::described(record);
        make(&[DEADLINES, fields, content_type, b"\0", key, b"\0", described]);
    }
}

fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// What the entries of a content type begin with in the section by key.
pub(crate) fn key_section(content_type: &str) -> Vec<u8> {
    join(&[b"k", content_type.as_bytes(), b"\0"])
}

/// What the entries of a content type begin with in the section by creation.
pub(crate) fn created_section(content_type: &str) -> Vec<u8> {
    join(&[b"c", content_type.as_bytes(), b"\0"])
}

/// What the entries of a content type begin with in the section by update.
pub(crate) fn updated_section(content_type: &str) -> Vec<u8> {
    join(&[b"u", content_type.as_bytes(), b"\0"])
}

/// What the entries of items with a tag begin with.
pub(crate) fn tag_section(content_type: &str, name: &str, value: &str) -> Vec<u8> {
    join(&[b"t", content_type.as_bytes(), b"\0", name.as_bytes(), b"\0", value.as_bytes(), b"\0"])
}

/// What the entries of deadlines begin with.
pub(crate) const DEADLINES: &[u8] = b"e";

/// What the entry of a deadline says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline<'e> {
    pub(crate) name: ItemKey<'e>,
    /// When the item expires, was created and updated, as bytes.
    times: &'e [u8],
}

impl Deadline<'_> {
    /// Whether it is the entry of this very save of the item.
    pub(crate) fn is_of(&self, metadata: &StorageMetadata) -> bool {
        let times =
            [record::deadline(metadata.expires_at), time(metadata.created_at), time(metadata.updated_at)];
        self.times == times.as_flattened()
    }
}

/// Reads the entry of a deadline; `None` if it is damaged.
pub(crate) fn read_deadline(entry: &[u8]) -> Option<Deadline<'_>> {
    let rest = entry.strip_prefix(DEADLINES)?;
    let (fields, rest) = rest.split_at_checked(DEADLINE_FIELDS.len())?;
    let content_type = rest.iter().position(|byte| *byte == 0)?;
    let key = rest.get(content_type + 1..)?.iter().position(|byte| *byte == 0)?;
    let name = keys::name(rest.get(..content_type + 1 + key)?)?;
    Some(Deadline { name, times: fields.get(..3 * size_of::<record::Time>())? })
}

/// A part of an index, from one entry to another, as the server wants its ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) min: Vec<u8>,
    pub(crate) max: Vec<u8>,
}

impl Span {
    /// All entries that begin with `prefix`.
    pub(crate) fn of_prefix(prefix: &[u8]) -> Self {
        Self { min: join(&[b"[", prefix]), max: before_successor(prefix) }
    }

    /// Only entries that do not come before `section` and `time`.
    pub(crate) fn start_at(&mut self, section: &[u8], at: Timestamp) {
        self.min = join(&[b"[", section, &time(at)]);
    }

    /// Only entries that come before `section` and `time`.
    pub(crate) fn end_before(&mut self, section: &[u8], at: Timestamp) {
        self.max = join(&[b"(", section, &time(at)]);
    }

    /// Only entries that do not come behind `section` and `time`.
    pub(crate) fn end_behind(&mut self, section: &[u8], at: Timestamp) {
        self.max = before_successor(&join(&[section, &time(at)]));
    }

    /// Only entries behind `entry`, or from it on if it is `included`, in the direction of reading.
    pub(crate) fn behind(&mut self, entry: &[u8], included: bool, descending: bool) {
        let end = join(&[if included { b"[" } else { b"(" }, entry]);
        let (place, narrower) = if descending {
            let narrower = entry_of(&end) < entry_of(&self.max);
            (&mut self.max, narrower)
        } else {
            let narrower = entry_of(&end) >= entry_of(&self.min);
            (&mut self.min, narrower)
        };
        if narrower {
            *place = end;
        }
    }
}

/// The entry that an end names, without its sign.
fn entry_of(end: &[u8]) -> &[u8] {
    end.get(1..).unwrap_or_default()
}

/// The end before the first entry that comes behind everything that begins with `prefix`.
fn before_successor(prefix: &[u8]) -> Vec<u8> {
    let mut end = join(&[b"(", prefix]);
    while let Some(last) = end.pop() {
        if end.is_empty() {
            return b"+".to_vec();
        }
        if last < u8::MAX {
            end.push(last + 1);
            return end;
        }
    }
    b"+".to_vec()
}

#[cfg(test)]
mod tests {
    use storage_core::{Encoding, Tags, Uuid};

    use super::*;

    fn metadata(expires_at: Option<Timestamp>) -> StorageMetadata {
        StorageMetadata {
            id: Uuid::nil(),
            key: "k:1".into(),
            content_type: "note".into(),
            created_at: Timestamp::UNIX_EPOCH,
            updated_at: Timestamp::from_micros(1).unwrap(),
            expires_at,
            version: 1,
            encoding: Encoding::RAW,
            tags: Tags::from([("tier", "gold")]),
            size: 0,
        }
    }

    fn entries(metadata: &StorageMetadata, indexed: bool) -> Vec<String> {
        let key = metadata.item_key().unwrap();
        let record = record::before_payload(record::hash(key), metadata, b"");
        let mut entries = Vec::new();
        for_each_entry(metadata, &record, indexed, |entry| entries.push(entry.escape_ascii().to_string()));
        entries
    }

    /// What is stored today must be found for ever: these bytes never change.
    #[test]
    fn the_bytes_of_entries_never_change() {
        let mut expected = vec![
            r"knote\x00k:1",
            r"cnote\x00\x80\x00\x00\x00\x00\x00\x00\x00k:1",
            r"unote\x00\x80\x00\x00\x00\x00\x00\x00\x01k:1",
            r"tnote\x00tier\x00gold\x00k:1",
        ];
        assert_eq!(entries(&metadata(None), true), expected);
        let deadline = concat!(
            r"e\x80\x00\x00\x00\x00\x00\x00\x02\x80\x00\x00\x00\x00\x00\x00\x00\x80\x00\x00\x00\x00\x00\x00\x01",
            r"\x00\x00\x00\x0f\x00\x00\x00\x00note\x00k:1\x00\x01\x04tier\x00\x04goldraw",
        );
        expected.push(deadline);
        let expiring = metadata(Timestamp::from_micros(2));
        assert_eq!(entries(&expiring, true), expected);
        assert_eq!(entries(&expiring, false), [deadline]);
        assert_eq!(marker(0xAB), *b"!00000000000000ab");
    }

    #[test]
    fn the_entry_of_a_deadline_tells_its_item() {
        let expiring = metadata(Some(Timestamp::MAX));
        let key = expiring.item_key().unwrap();
        let record = record::before_payload(record::hash(key), &expiring, b"");
        let mut last = Vec::new();
        for_each_entry(&expiring, &record, true, |entry| last = entry.to_vec());
        let entry = read_deadline(&last).unwrap();
        assert_eq!(entry.name, key);
        assert!(entry.is_of(&expiring) && !entry.is_of(&metadata(None)));
        for length in 0..33 + 9 {
            assert!(read_deadline(&last[..length]).is_none(), "cut to {length}");
        }
    }

    #[test]
    fn a_span_of_a_prefix_ends_before_its_successor() {
        let span = Span::of_prefix(b"k\xFE\xFF");
        assert_eq!((span.min, span.max), (b"[k\xFE\xFF".to_vec(), b"(k\xFF".to_vec()));
        assert_eq!(Span::of_prefix(b"\xFF").max, b"+");
    }

    #[test]
    fn a_span_behind_an_entry_is_never_wider_than_before() {
        let whole = Span::of_prefix(b"kb");
        for (entry, included, descending, min, max) in [
            (&b"kbx"[..], false, false, &b"(kbx"[..], &b"(kc"[..]),
            (b"kbx", true, false, b"[kbx", b"(kc"),
            (b"kb", false, false, b"(kb", b"(kc"),
            (b"ka", false, false, b"[kb", b"(kc"),
            (b"kbx", false, true, b"[kb", b"(kbx"),
            (b"kbx", true, true, b"[kb", b"[kbx"),
            (b"kz", false, true, b"[kb", b"(kc"),
        ] {
            let mut span = whole.clone();
            span.behind(entry, included, descending);
            assert_eq!((&*span.min, &*span.max), (min, max), "{}", entry.escape_ascii());
        }
    }
}
