//! Where the next page of a search begins.

use std::{cmp::Ordering, fmt, str::FromStr};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::{ErrorKind, Order, OrderBy, Result, StorageError, StorageMetadata, Timestamp};

/// Where the next page of a search begins: an opaque text that is safe in URLs.
///
/// A cursor names a place in the order of its query, not a row number, so that items saved or deleted meanwhile neither
/// shift nor repeat the others. It carries a fingerprint of its query and a checksum: a damaged cursor, or one of another
/// query, is refused as [`ErrorKind::InvalidQuery`] by the search that gets it. It is no secret and grants nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cursor(String);

impl Cursor {
    /// The text of the cursor.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<String> for Cursor {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl FromStr for Cursor {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

/// A place in the order of a query: behind the item that had this time, key and content type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The time that the order compares first; the epoch if it compares none.
    pub time: Timestamp,
    /// The key of the item.
    pub key: String,
    /// The content type of the item.
    pub content_type: String,
}

impl Position {
    /// The place of an item in `order`.
    pub fn of(metadata: &StorageMetadata, order: Order) -> Self {
        let time = match order.by {
            OrderBy::Key => Timestamp::UNIX_EPOCH,
            OrderBy::Created => metadata.created_at,
            OrderBy::Updated => metadata.updated_at,
        };
        Self { time, key: metadata.key.clone(), content_type: metadata.content_type.clone() }
    }

    /// Whether an item comes behind this place in `order`.
    pub fn is_before(&self, metadata: &StorageMetadata, order: Order) -> bool {
        let time = match order.by {
            OrderBy::Key => Ordering::Equal,
            OrderBy::Created => self.time.cmp(&metadata.created_at),
            OrderBy::Updated => self.time.cmp(&metadata.updated_at),
        };
        let ascending = time
            .then_with(|| self.key.cmp(&metadata.key))
            .then_with(|| self.content_type.cmp(&metadata.content_type));
        ascending == if order.is_descending() { Ordering::Greater } else { Ordering::Less }
    }
}

/// What a cursor says: whose query it is, how many hits came before, and where to go on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) fingerprint: u64,
    pub(crate) returned: u64,
    pub(crate) position: Position,
}

const FORMAT: u8 = 1;

impl Progress {
    /// Format byte, fingerprint, count, time, key with its length, content type, checksum; numbers big-endian.
    pub(crate) fn to_cursor(&self) -> Cursor {
        let Position { time, key, content_type } = &self.position;
        let mut bytes = vec![FORMAT];
        bytes.extend(self.fingerprint.to_be_bytes());
        bytes.extend(self.returned.to_be_bytes());
        bytes.extend(time.as_micros().to_be_bytes());
        // Keys are at most 1,024 bytes long, so that two bytes hold their length.
        bytes.extend((key.len() as u16).to_be_bytes());
        bytes.extend(key.as_bytes());
        bytes.extend(content_type.as_bytes());
        bytes.extend(xxh3_64(&bytes).to_be_bytes());
        Cursor(BASE64.encode(bytes))
    }

    pub(crate) fn from_cursor(cursor: &Cursor) -> Result<Self> {
        Self::read(cursor).ok_or_else(|| StorageError::new(ErrorKind::InvalidQuery, "cursor is damaged"))
    }

    fn read(cursor: &Cursor) -> Option<Self> {
        let bytes = BASE64.decode(&cursor.0).ok()?;
        let (body, checksum) = bytes.split_last_chunk::<8>()?;
        if xxh3_64(body) != u64::from_be_bytes(*checksum) {
            return None;
        }
        let (&[format], rest) = body.split_first_chunk::<1>()?;
        let (fingerprint, rest) = rest.split_first_chunk::<8>()?;
        let (returned, rest) = rest.split_first_chunk::<8>()?;
        let (time, rest) = rest.split_first_chunk::<8>()?;
        let (length, rest) = rest.split_first_chunk::<2>()?;
        let (key, content_type) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        let position = Position {
            time: Timestamp::from_micros(i64::from_be_bytes(*time))?,
            key: String::from_utf8(key.to_vec()).ok()?,
            content_type: String::from_utf8(content_type.to_vec()).ok()?,
        };
        (format == FORMAT).then_some(Self {
            fingerprint: u64::from_be_bytes(*fingerprint),
            returned: u64::from_be_bytes(*returned),
            position,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress() -> Progress {
        let position =
            Position { time: Timestamp::UNIX_EPOCH, key: "user:é".into(), content_type: "profile".into() };
        Progress { fingerprint: 7, returned: 100, position }
    }

    #[test]
    fn a_cursor_reads_back() {
        assert_eq!(Progress::from_cursor(&progress().to_cursor()).unwrap(), progress());
    }

    #[test]
    fn every_change_of_one_character_and_every_cut_is_noticed() {
        let text = progress().to_cursor().to_string();
        for at in 0..text.len() {
            for c in ['A', 'B', '-', '=', ' '] {
                let mut damaged = text.clone();
                damaged.replace_range(at..=at, c.encode_utf8(&mut [0; 4]));
                if damaged != text {
                    assert!(Progress::from_cursor(&damaged.clone().into()).is_err(), "{damaged}");
                }
            }
            assert!(Progress::from_cursor(&text[..at].to_owned().into()).is_err());
        }
    }
}
