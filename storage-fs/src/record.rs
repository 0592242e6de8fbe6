//! A stored item as bytes: format, metadata, payload or the name of its file, checksum.
//!
//! ```text
//! format  u8      1
//! flags   u8      1 = has a deadline, 2 = the payload is in a file
//! version u64, created i64, updated i64, [deadline i64], id 16 bytes, payload size u64
//! encoding        u8 length, text
//! tags            u8 count, each: u8 length, name, u16 length, value
//! payload         its bytes, or: session u32, number u64, XXH3-128 of the file
//! checksum u64    XXH3-64 over all of the above, seeded with the XXH3-64 of the engine key
//! ```
//!
//! All integers are little-endian. The key is part of the checksum, so that a record that shows up under another key is
//! damage and not an answer.

use std::ops::Range;

use storage_core::{Encoding, StorageMetadata, Tags, Timestamp, Uuid};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::{
    blobs::{BlobId, BlobRef},
    cut::Cut,
    keys::Name,
};

const FORMAT: u8 = 1;
const HAS_DEADLINE: u8 = 1;
const IN_FILE: u8 = 2;
const CHECKSUM_BYTES: usize = 8;

/// Where the payload of a decoded record is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// At these bytes of the record.
    Inline(Range<usize>),
    /// In a file of its own.
    File(BlobRef),
}

/// Where the payload of a record to be written is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Payload<'a> {
    Inline(&'a [u8]),
    File(BlobRef),
}

/// A decoded record.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) metadata: StorageMetadata,
    pub(crate) place: Place,
}

/// Why bytes are no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Damage {
    Checksum,
    Format(u8),
    Layout,
}

impl Damage {
    pub(crate) fn describe(self) -> String {
        match self {
            Self::Checksum => "the stored record does not have its checksum".into(),
            Self::Format(found) => format!("the stored record has the unknown format {found}"),
            Self::Layout => "the stored record is not laid out as a record".into(),
        }
    }
}

/// The record of an item under its engine key, written into `out` in place of what it held.
pub(crate) fn encode(engine_key: &[u8], metadata: &StorageMetadata, payload: Payload<'_>, out: &mut Vec<u8>) {
    out.clear();
    let deadline = if metadata.expires_at.is_some() { HAS_DEADLINE } else { 0 };
    let in_file = if matches!(payload, Payload::File(_)) { IN_FILE } else { 0 };
    out.extend_from_slice(&[FORMAT, deadline | in_file]);
    out.extend_from_slice(&metadata.version.to_le_bytes());
    out.extend_from_slice(&metadata.created_at.as_micros().to_le_bytes());
    out.extend_from_slice(&metadata.updated_at.as_micros().to_le_bytes());
    if let Some(expires_at) = metadata.expires_at {
        out.extend_from_slice(&expires_at.as_micros().to_le_bytes());
    }
    out.extend_from_slice(metadata.id.as_bytes());
    out.extend_from_slice(&metadata.size.to_le_bytes());
    put_short(out, metadata.encoding.as_str());
    put_tags(out, &metadata.tags);
    match payload {
        Payload::Inline(bytes) => out.extend_from_slice(bytes),
        Payload::File(file) => {
            out.extend_from_slice(&file.id.session.to_le_bytes());
            out.extend_from_slice(&file.id.number.to_le_bytes());
            out.extend_from_slice(&file.checksum.to_le_bytes());
        }
    }
    let checksum = checksum(engine_key, out);
    out.extend_from_slice(&checksum.to_le_bytes());
}

/// Reads the record under an engine key.
///
/// # Errors
/// [`Damage`] if the bytes are not exactly what was written under this key.
pub(crate) fn decode(engine_key: &[u8], bytes: &[u8]) -> Result<Record, Damage> {
    let (body, stored) = bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or(Damage::Layout)?;
    if u64::from_le_bytes(*stored) != checksum(engine_key, body) {
        return Err(Damage::Checksum);
    }
    match body.first() {
        Some(&FORMAT) => parse(engine_key, body).ok_or(Damage::Layout),
        Some(&other) => Err(Damage::Format(other)),
        None => Err(Damage::Layout),
    }
}

fn parse(engine_key: &[u8], body: &[u8]) -> Option<Record> {
    let name = Name::of_item(engine_key)?;
    let mut cut = Cut::new(body);
    let [_format, flags] = cut.array()?;
    let version = cut.u64()?;
    let created_at = time(&mut cut)?;
    let updated_at = time(&mut cut)?;
    let expires_at = if flags & HAS_DEADLINE == 0 { None } else { Some(time(&mut cut)?) };
    let id = Uuid::from_bytes(cut.array()?);
    let size = cut.u64()?;
    let encoding = Encoding::new(short(&mut cut)?).ok()?;
    let tags = tags(&mut cut)?;
    let place = if flags & IN_FILE == 0 {
        let length = cut.rest().len();
        if u64::try_from(length) != Ok(size) {
            return None;
        }
        Place::Inline(body.len() - length..body.len())
    } else {
        let id = BlobId { session: cut.u32()?, number: cut.u64()? };
        let checksum = u128::from_le_bytes(cut.array()?);
        if !cut.rest().is_empty() {
            return None;
        }
        Place::File(BlobRef { id, checksum })
    };
    let (key, content_type) = (name.key.to_owned(), name.content_type.to_owned());
    let metadata = StorageMetadata {
        id,
        key,
        content_type,
        created_at,
        updated_at,
        expires_at,
        version,
        encoding,
        tags,
        size,
    };
    Some(Record { metadata, place })
}

fn checksum(engine_key: &[u8], body: &[u8]) -> u64 {
    xxh3_64_with_seed(body, xxh3_64(engine_key))
}

fn time(cut: &mut Cut<'_>) -> Option<Timestamp> {
    cut.i64().and_then(Timestamp::from_micros)
}

// The limits of the contract keep every length below what its field holds; the tests write the longest of each.
#[expect(clippy::cast_possible_truncation, reason = "encodings have at most 64 bytes and tag names 128")]
fn put_short(out: &mut Vec<u8>, text: &str) {
    out.push(text.len() as u8);
    out.extend_from_slice(text.as_bytes());
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "there are at most 64 tags, their values have at most 1,024 bytes"
)]
fn put_tags(out: &mut Vec<u8>, tags: &Tags) {
    out.push(tags.len() as u8);
    for (name, value) in tags.iter() {
        put_short(out, name);
        out.extend_from_slice(&(value.len() as u16).to_le_bytes());
        out.extend_from_slice(value.as_bytes());
    }
}

fn short<'a>(cut: &mut Cut<'a>) -> Option<&'a str> {
    let length = cut.u8()?;
    cut.text(length.into())
}

fn tags(cut: &mut Cut<'_>) -> Option<Tags> {
    let count = cut.u8()?;
    // Most of what is left of a small record; a guess too large would waste memory, one too small costs a copy.
    let mut tags = Tags::with_capacity(count.into(), usize::from(count) * 16);
    for _ in 0..count {
        let name = short(cut)?;
        let length = cut.u16()?;
        tags.insert(name, cut.text(length.into())?);
    }
    Some(tags)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8] = b"note\0a";

    fn encode(engine_key: &[u8], metadata: &StorageMetadata, payload: Payload<'_>) -> Vec<u8> {
        let mut out = b"what was there before".to_vec();
        super::encode(engine_key, metadata, payload, &mut out);
        out
    }

    fn metadata(size: u64) -> StorageMetadata {
        StorageMetadata {
            id: Uuid::from_u128(7),
            key: "a".into(),
            content_type: "note".into(),
            created_at: Timestamp::from_micros(-5).unwrap(),
            updated_at: Timestamp::UNIX_EPOCH,
            expires_at: Some(Timestamp::MAX),
            version: u64::MAX,
            encoding: Encoding::new(&"e".repeat(64)).unwrap(),
            tags: (0..64).map(|n| (format!("{n:0>128}"), "v".repeat(1_024))).collect(),
            size,
        }
    }

    #[test]
    fn the_largest_metadata_and_both_places_read_back() {
        let inline = encode(KEY, &metadata(3), Payload::Inline(b"abc"));
        let record = decode(KEY, &inline).unwrap();
        assert_eq!(record.metadata, metadata(3));
        let Place::Inline(range) = record.place else { panic!("not inline") };
        assert_eq!(&inline[range], b"abc");

        let file = BlobRef { id: BlobId { session: 3, number: 9 }, checksum: u128::MAX - 1 };
        let plain = StorageMetadata { expires_at: None, tags: Tags::new(), ..metadata(1 << 40) };
        let record = decode(KEY, &encode(KEY, &plain, Payload::File(file))).unwrap();
        assert_eq!(record, Record { metadata: plain, place: Place::File(file) });
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_damage() {
        let small = StorageMetadata { tags: Tags::from([("tier", "gold")]), ..metadata(3) };
        let good = encode(KEY, &small, Payload::Inline(b"abc"));
        for at in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[at / 8] ^= 1 << (at % 8);
            assert!(decode(KEY, &bad).is_err(), "bit {at}");
        }
        for length in 0..good.len() {
            assert!(decode(KEY, &good[..length]).is_err(), "cut to {length}");
        }
    }

    #[test]
    fn a_record_under_another_key_is_damage() {
        let record = encode(KEY, &metadata(0), Payload::Inline(b""));
        assert_eq!(decode(b"note\0b", &record), Err(Damage::Checksum));
    }

    #[test]
    fn an_unknown_format_with_a_good_checksum_is_named() {
        let body = [9, 0];
        let bytes = [&body[..], &checksum(KEY, &body).to_le_bytes()].concat();
        assert_eq!(decode(KEY, &bytes), Err(Damage::Format(9)));
    }
}
