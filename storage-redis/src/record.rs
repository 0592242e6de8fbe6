//! A stored item as one string: a head of fixed width, metadata, payload.
//!
//! ```text
//! head       0  magic and format   "sr", 0, 1
//!            4  version            u64
//!           12  id                 16 bytes
//!           28  expires            time; eight bytes 0xFF live for ever
//!           36  created            time
//!           44  updated            time
//!           52  metadata length    u32
//!           56  payload length     u32
//!           60  metadata check     XXH3-64 of the metadata, seeded with the hash of content type and key
//!           68  payload check      XXH3-64 of the payload, seeded with the metadata check
//!           76  head check         sum over the 32-bit limbs before, each times its factor
//! metadata  84  tags               u8 count, each: u8 length, name, u16 length, value
//!               encoding           its text
//! payload       its bytes
//! ```
//!
//! All integers are big-endian; a time is its microseconds with the sign bit flipped, so that bytes order as times do. A
//! script can read and rewrite the head without the payload, and check it without a hash function; content type and key are
//! part of the checks, so that a record that shows up under another key is damage and not an answer.

use std::ops::Range;

use bytes::Bytes;
use storage_core::{Encoding, ItemKey, StorageItem, StorageMetadata, Tags, Timestamp, Uuid};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::cut::Cut;

/// Bytes of the head.
pub(crate) const HEAD: usize = 84;
const MAGIC: u32 = 0x7372_0001;
/// A time as the record holds it.
pub(crate) type Time = [u8; 8];
/// The deadline of what lives for ever.
pub(crate) const FOR_EVER: Time = [0xFF; 8];

/// The factors of the head check, one for each limb. The sum of the products stays below 2^53, which is the largest number
/// that a script can hold exactly. Any flip of up to three bits changes it.
const FACTORS: [u64; 19] = [
    69_677, 66_533, 92_959, 66_067, 75_013, 70_163, 101_141, 67_447, 81_761, 113_363, 76_777, 68_813, 89_977,
    91_237, 113_537, 78_157, 89_983, 99_721, 96_431,
];

/// The part of a record that has a fixed width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) version: u64,
    pub(crate) id: Uuid,
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    pub(crate) metadata: u32,
    pub(crate) payload: u32,
    metadata_check: u64,
    payload_check: u64,
}

/// Why bytes are no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Damage {
    Check,
    Format,
    Layout,
}

impl Damage {
    pub(crate) const fn describe(self) -> &'static str {
        match self {
            Self::Check => "the stored record does not have its checksum",
            Self::Format => "what is stored is no record of a known format",
            Self::Layout => "the stored record is not laid out as a record",
        }
    }
}

/// The hash of content type and key: it chooses the bucket and seeds the checks.
pub(crate) fn hash(key: ItemKey<'_>) -> u64 {
    xxh3_64_with_seed(key.key().as_bytes(), xxh3_64(key.content_type().as_bytes()))
}

/// A time as bytes in the order of times.
pub(crate) fn time(at: Timestamp) -> Time {
    (at.as_micros().cast_unsigned() ^ (1 << 63)).to_be_bytes()
}

/// The time that `bytes` stand for.
pub(crate) fn time_of(bytes: Time) -> Option<Timestamp> {
    Timestamp::from_micros((u64::from_be_bytes(bytes) ^ (1 << 63)).cast_signed())
}

/// A deadline as bytes; none comes behind all others.
pub(crate) fn deadline(at: Option<Timestamp>) -> Time {
    at.map_or(FOR_EVER, time)
}

/// The record of an item up to its payload; `hash` is that of its content type and key.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the configuration keeps payloads below 512 MiB, and the contract tags below 74 KiB"
)]
pub(crate) fn before_payload(hash: u64, metadata: &StorageMetadata, data: &[u8]) -> Vec<u8> {
    let tags: usize = metadata.tags.iter().map(|(name, value)| name.len() + value.len() + 3).sum();
    let length = 1 + tags + metadata.encoding.as_str().len();
    let mut out = Vec::with_capacity(HEAD + length);
    out.extend_from_slice(&[0; HEAD]);
    put_tags(&mut out, &metadata.tags);
    out.extend_from_slice(metadata.encoding.as_str().as_bytes());
    let metadata_check = xxh3_64_with_seed(out.get(HEAD..).unwrap_or_default(), hash);
    let head = Head {
        version: metadata.version,
        id: metadata.id,
        expires_at: metadata.expires_at,
        created_at: metadata.created_at,
        updated_at: metadata.updated_at,
        metadata: length as u32,
        payload: data.len() as u32,
        metadata_check,
        payload_check: xxh3_64_with_seed(data, metadata_check),
    };
    if let Some(start) = out.first_chunk_mut::<HEAD>() {
        *start = head.to_bytes();
    }
    out
}

/// Reads the item under `key`, without copying the payload.
///
/// # Errors
/// [`Damage`] if the bytes are not exactly what was written under this key.
pub(crate) fn decode(key: ItemKey<'_>, hash: u64, record: &Bytes) -> Result<StorageItem, Damage> {
    let head = Head::of(record)?;
    let metadata = metadata(key, hash, &head, record)?;
    let start = HEAD + head.metadata as usize;
    let payload = record.get(start..).ok_or(Damage::Layout)?;
    if payload.len() != head.payload as usize {
        return Err(Damage::Layout);
    }
    if xxh3_64_with_seed(payload, head.metadata_check) != head.payload_check {
        return Err(Damage::Check);
    }
    let data = record.slice(start..);
    Ok(StorageItem { data, metadata: metadata.into() })
}

/// Reads the metadata of the item under `key`; of `record`, the head and the metadata are there.
///
/// # Errors
/// As [`decode`].
pub(crate) fn metadata(
    key: ItemKey<'_>,
    hash: u64,
    head: &Head,
    record: &[u8],
) -> Result<StorageMetadata, Damage> {
    let bytes = record.get(HEAD..HEAD + head.metadata as usize).ok_or(Damage::Layout)?;
    if xxh3_64_with_seed(bytes, hash) != head.metadata_check {
        return Err(Damage::Check);
    }
    let mut cut = Cut::new(bytes);
    let tags = tags(&mut cut).ok_or(Damage::Layout)?;
    let encoding = std::str::from_utf8(cut.rest()).map_err(|_| Damage::Layout)?;
    Ok(StorageMetadata {
        id: head.id,
        key: key.key().to_owned(),
        content_type: key.content_type().to_owned(),
        created_at: head.created_at,
        updated_at: head.updated_at,
        expires_at: head.expires_at,
        version: head.version,
        encoding: Encoding::new(encoding).map_err(|_| Damage::Layout)?,
        tags,
        size: head.payload.into(),
    })
}

/// The parts of a record as they are sent to be saved: a script puts them together again, with others in their place if an
/// item is there already.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parts<'r> {
    pub(crate) version: &'r [u8],
    pub(crate) id: &'r [u8],
    pub(crate) deadline: &'r [u8],
    /// From the update to the check of the payload.
    pub(crate) rest: &'r [u8],
    pub(crate) metadata: &'r [u8],
    pub(crate) check: &'r [u8],
    /// The check without what id and creation add to it.
    pub(crate) partial_check: u64,
}

impl<'r> Parts<'r> {
    /// Cuts what [`before_payload`] made.
    pub(crate) fn of(record: &'r [u8]) -> Self {
        let part = |range| record.get::<Range<usize>>(range).unwrap_or_default();
        let (limbs, _) = part(0..76).as_chunks::<4>();
        let others = products(limbs).enumerate().filter(|(place, _)| !matches!(place, 3..7 | 9..11));
        Self {
            version: part(0..12),
            id: part(12..28),
            deadline: part(28..36),
            rest: part(44..76),
            check: part(76..HEAD),
            metadata: record.get(HEAD..).unwrap_or_default(),
            partial_check: others.map(|(_, product)| product).sum(),
        }
    }
}

/// The metadata of a record as bytes; empty if there is none.
pub(crate) fn described(record: &[u8]) -> &[u8] {
    const LENGTH: std::ops::Range<usize> = 52..56;
    let length = record.get(LENGTH).and_then(|length| length.first_chunk()).copied().unwrap_or_default();
    record.get(HEAD..HEAD + u32::from_be_bytes(length) as usize).unwrap_or_default()
}

impl Head {
    /// The head at the start of `record`.
    ///
    /// # Errors
    /// [`Damage`] if it is not exactly what was written.
    pub(crate) fn of(record: &[u8]) -> Result<Self, Damage> {
        let bytes = record.first_chunk::<HEAD>().ok_or(Damage::Layout)?;
        let (checked, check) = bytes.split_last_chunk::<8>().ok_or(Damage::Layout)?;
        if u64::from_be_bytes(*check) != sum(checked) {
            return Err(Damage::Check);
        }
        let mut cut = Cut::new(checked);
        if cut.u32() != Some(MAGIC) {
            return Err(Damage::Format);
        }
        Self::read(&mut cut).ok_or(Damage::Layout)
    }

    fn read(cut: &mut Cut<'_>) -> Option<Self> {
        let version = cut.u64()?;
        let id = Uuid::from_bytes(cut.array()?);
        let expires_at = match cut.array()? {
            FOR_EVER => None,
            at => Some(time_of(at)?),
        };
        Some(Self {
            version,
            id,
            expires_at,
            created_at: time_of(cut.array()?)?,
            updated_at: time_of(cut.array()?)?,
            metadata: cut.u32()?,
            payload: cut.u32()?,
            metadata_check: cut.u64()?,
            payload_check: cut.u64()?,
        })
    }

    fn to_bytes(self) -> [u8; HEAD] {
        let mut bytes = [0; HEAD];
        let mut rest = bytes.as_mut_slice();
        let mut put = |field: &[u8]| {
            if let Some((front, back)) = std::mem::take(&mut rest).split_at_mut_checked(field.len()) {
                front.copy_from_slice(field);
                rest = back;
            }
        };
        put(&MAGIC.to_be_bytes());
        put(&self.version.to_be_bytes());
        put(self.id.as_bytes());
        put(&deadline(self.expires_at));
        put(&time(self.created_at));
        put(&time(self.updated_at));
        put(&self.metadata.to_be_bytes());
        put(&self.payload.to_be_bytes());
        put(&self.metadata_check.to_be_bytes());
        put(&self.payload_check.to_be_bytes());
        let (checked, check) = bytes.split_at_mut(HEAD - 8);
        check.copy_from_slice(&sum(checked).to_be_bytes());
        bytes
    }

    /// Whether the item lives at `now`.
    pub(crate) fn is_live(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|at| now < at)
    }
}

/// The head check.
fn sum(checked: &[u8]) -> u64 {
    products(checked.as_chunks::<4>().0).sum()
}

fn products(limbs: &[[u8; 4]]) -> impl Iterator<Item = u64> {
    limbs.iter().zip(FACTORS).map(|(limb, factor)| u64::from(u32::from_be_bytes(*limb)) * factor)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "at most 64 tags, names of at most 128 and values of at most 1,024 bytes are saved"
)]
fn put_tags(out: &mut Vec<u8>, tags: &Tags) {
    out.push(tags.len() as u8);
    for (name, value) in tags.iter() {
        out.push(name.len() as u8);
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(&(value.len() as u16).to_be_bytes());
        out.extend_from_slice(value.as_bytes());
    }
}

fn tags(cut: &mut Cut<'_>) -> Option<Tags> {
    let count = cut.u8()?;
    let mut tags = Tags::with_capacity(count.into(), if count == 0 { 0 } else { cut.rest().len() });
    for _ in 0..count {
        let length = cut.u8()?;
        let name = cut.text(length.into())?;
        let length = cut.u16()?;
        tags.insert(name, cut.text(length.into())?);
    }
    Some(tags)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> ItemKey<'static> {
        ItemKey::new("note", "a").unwrap()
    }

    fn metadata(size: u64) -> StorageMetadata {
        StorageMetadata {
            id: Uuid::from_u128(0x0102_0304_0506_0708_090A_0B0C_0D0E_0F10),
            key: "a".into(),
            content_type: "note".into(),
            created_at: Timestamp::from_micros(-5).unwrap(),
            updated_at: Timestamp::UNIX_EPOCH,
            expires_at: Some(Timestamp::MAX),
            version: 0x1122_3344_5566_7788,
            encoding: Encoding::JSON,
            tags: Tags::from([("lang", "en"), ("tier", "gold")]),
            size,
        }
    }

    fn record(metadata: &StorageMetadata, data: &[u8]) -> Vec<u8> {
        [&before_payload(hash(key()), metadata, data), data].concat()
    }

    fn read(bytes: &[u8]) -> Result<StorageItem, Damage> {
        decode(key(), hash(key()), &Bytes::copy_from_slice(bytes))
    }

    /// What is stored today must be readable for ever: these bytes never change.
    #[test]
    fn the_bytes_of_a_record_never_change() {
        let hex: String = record(&metadata(3), b"abc").iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, GOLDEN);
    }

    const GOLDEN: &str = concat!(
        "73720001",
        "1122334455667788",
        "0102030405060708090a0b0c0d0e0f10",
        "838443f70174b800",
        "7ffffffffffffffb",
        "8000000000000000",
        "00000019",
        "00000003",
        "3b2996f21650b6d7",
        "bd60cb2159fef861",
        "00064c87cb4cf95d",
        "02046c616e670002656e04746965720004676f6c646a736f6e616263",
    );

    #[test]
    fn the_scripts_know_the_same_factors() {
        let limbs = [
            "m w1 w2 i1 i2 i3 i4 e1 e2 c1 c2 u1 u2 ml sz m1 m2 p1 p2",
            "MAGIC v1 v2 i1 i2 i3 i4 e1 e2 c1 c2 n1 n2 ml sz m1 m2 p1 p2",
        ];
        let place = |limb: &str| limbs.iter().find_map(|all| all.split(' ').position(|name| name == limb));
        let is_name = |text: char| text.is_ascii_alphanumeric();
        for (script, count) in
            [(include_str!("scripts/record.lua"), 19), (include_str!("scripts/save.lua"), 23)]
        {
            let products =
                script.split(" * ").zip(script.split(" * ").skip(1)).filter_map(|(left, right)| {
                    let factor =
                        right.split(|text: char| !text.is_ascii_digit()).next()?.parse::<u64>().ok()?;
                    let limb = left.trim_end_matches(')').rsplit(|text| !is_name(text)).next()?;
                    (factor < 1 << 20).then_some((limb, factor))
                });
            let products: Vec<_> = products.collect();
            assert_eq!(products.len(), count);
            for (limb, factor) in products {
                assert_eq!(place(limb).map(|place| FACTORS[place]), Some(factor), "{limb}");
            }
        }
        assert!(include_str!("scripts/head.lua").contains(&format!("local MAGIC = {MAGIC}\n")));
        // What a script adds up stays exact in a double.
        assert!(FACTORS.iter().sum::<u64>() * u64::from(u32::MAX) < 1 << 53);
    }

    #[test]
    fn the_parts_of_a_record_are_those_of_its_layout() {
        let record = before_payload(hash(key()), &metadata(3), b"abc");
        let parts = Parts::of(&record);
        let created = &record[36..44];
        let whole =
            [parts.version, parts.id, parts.deadline, created, parts.rest, parts.check, parts.metadata];
        assert_eq!(whole.concat(), record);
        let mut zeroed = record[..76].to_vec();
        zeroed[12..28].fill(0);
        zeroed[36..44].fill(0);
        assert_eq!(parts.partial_check, sum(&zeroed));
    }

    #[test]
    fn the_smallest_and_the_largest_record_read_back() {
        let tags = (0..64).map(|n| (format!("{n:0>128}"), "v".repeat(1_024))).collect();
        let encoding = Encoding::new(&"e".repeat(64)).unwrap();
        let largest = StorageMetadata { tags, encoding, version: u64::MAX, ..metadata(3) };
        let smallest = StorageMetadata {
            tags: Tags::new(),
            encoding: Encoding::new("e").unwrap(),
            expires_at: None,
            ..metadata(0)
        };
        for (metadata, data) in [(largest, &b"abc"[..]), (smallest, b"")] {
            let item = read(&record(&metadata, data)).unwrap();
            assert_eq!((&*item.metadata, &item.data[..]), (&metadata, data));
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_damage() {
        let good = record(&metadata(3), b"abc");
        for at in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[at / 8] ^= 1 << (at % 8);
            assert!(read(&bad).is_err(), "bit {at}");
        }
        for length in 0..good.len() {
            assert!(read(&good[..length]).is_err(), "cut to {length}");
        }
        assert!(read(&[&good[..], b"x"].concat()).is_err(), "longer");
    }

    #[test]
    fn random_damage_is_never_a_value() {
        let seed = fastrand::u64(..);
        let mut random = fastrand::Rng::with_seed(seed);
        let good = record(&metadata(3), b"abc");
        for round in 0..200_000 {
            let mut bad = good.clone();
            match random.u8(..4) {
                0 => {
                    let length = random.usize(..300);
                    bad = std::iter::repeat_with(|| random.u8(..)).take(length).collect();
                }
                1 => bad.rotate_left(random.usize(1..good.len())),
                2 => (0..random.usize(2..20)).for_each(|_| bad[random.usize(..good.len())] = random.u8(..)),
                _ => (0..random.usize(2..20))
                    .for_each(|_| bad[random.usize(..good.len())] ^= 1 << random.u8(..8)),
            }
            if bad != good {
                assert!(read(&bad).is_err(), "round {round} of seed {seed}: {bad:02x?}");
            }
        }
    }

    #[test]
    fn a_record_under_another_key_is_damage() {
        let record = record(&metadata(0), b"");
        for (content_type, key) in [("note", "b"), ("not", "ea"), ("note2", "a")] {
            let other = ItemKey::new(content_type, key).unwrap();
            assert_eq!(decode(other, hash(other), &record.clone().into()), Err(Damage::Check));
        }
    }

    #[test]
    fn times_order_as_their_bytes() {
        let times =
            [Timestamp::MIN, Timestamp::from_micros(-1).unwrap(), Timestamp::UNIX_EPOCH, Timestamp::MAX];
        assert!(times.is_sorted_by_key(|at| time(*at)) && time(Timestamp::MAX) < FOR_EVER);
        for at in times {
            assert_eq!(time_of(time(at)), Some(at));
        }
    }
}
