//! What a row of the full schema holds, whichever engine it comes from: how tags and checksums are written, and how a row
//! becomes an item again.

use std::sync::Arc;

use storage_core::{
    Bytes, Encoding, ErrorKind, ItemKey, Result, StorageError, StorageItem, StorageMetadata, Tags, Timestamp,
    Uuid,
};
use xxhash_rust::xxh3::Xxh3;

use crate::error::failure;

/// A time as it is stored: microseconds since the Unix epoch.
pub(crate) fn micros(time: Timestamp) -> i64 {
    time.as_micros()
}

/// A version as it is stored. Versions are microseconds since the epoch or a little more, far below the sign.
pub(crate) fn stored_version(version: u64) -> i64 {
    i64::try_from(version).unwrap_or(i64::MAX)
}

/// The checksum of what a save brings: identity, encoding, tags and data. A touch leaves it as it is.
///
/// Each part is preceded by its length, so that no two rows run together.
pub(crate) fn content_checksum(key: ItemKey<'_>, encoding: &Encoding, tags: &Tags, data: &[u8]) -> i64 {
    let mut hash = Xxh3::new();
    part(&mut hash, key.content_type().as_bytes());
    part(&mut hash, key.key().as_bytes());
    part(&mut hash, encoding.as_str().as_bytes());
    hash.update(&(tags.len() as u64).to_le_bytes());
    for (name, value) in tags.iter() {
        part(&mut hash, name.as_bytes());
        part(&mut hash, value.as_bytes());
    }
    part(&mut hash, data);
    hash.digest().cast_signed()
}

/// The checksum of a whole row: `content`, and what the store adds to it. For engines that decide in Rust what they store.
#[cfg(any(feature = "sqlite", feature = "mysql"))]
pub(crate) fn row_checksum(content: i64, metadata: &StorageMetadata) -> i64 {
    let mut hash = Xxh3::new();
    hash.update(&content.to_le_bytes());
    hash.update(metadata.id.as_bytes());
    part(&mut hash, metadata.content_type.as_bytes());
    part(&mut hash, metadata.key.as_bytes());
    for time in [Some(metadata.created_at), Some(metadata.updated_at), metadata.expires_at] {
        hash.update(&time.map_or(i64::MIN, micros).to_le_bytes());
    }
    hash.update(&metadata.version.to_le_bytes());
    hash.update(&metadata.size.to_le_bytes());
    part(&mut hash, metadata.encoding.as_str().as_bytes());
    for (name, value) in metadata.tags.iter() {
        part(&mut hash, name.as_bytes());
        part(&mut hash, value.as_bytes());
    }
    hash.digest().cast_signed()
}

fn part(hash: &mut Xxh3, bytes: &[u8]) {
    hash.update(&(bytes.len() as u64).to_le_bytes());
    hash.update(bytes);
}

/// The columns of a row, as a driver reads them. What they hold is checked by [`metadata`](Self::metadata).
#[derive(Debug)]
pub(crate) struct Row<'r> {
    pub(crate) content_type: &'r str,
    pub(crate) key: &'r str,
    pub(crate) id: &'r [u8],
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
    pub(crate) expires_at: Option<i64>,
    pub(crate) version: i64,
    pub(crate) encoding: &'r str,
    pub(crate) size: i64,
    pub(crate) tags: Tags,
}

impl Row<'_> {
    /// The metadata that the row holds.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupted`] naming the item if a column holds what no save of ours leaves there.
    pub(crate) fn metadata(self) -> Result<StorageMetadata> {
        let key = ItemKey::new(self.content_type, self.key);
        let damaged = |what| match &key {
            Ok(key) => damaged(what).with_key(*key),
            Err(_) => damaged(what),
        };
        if key.is_err() {
            return Err(damaged("its content type or key"));
        }
        let time = |micros| Timestamp::from_micros(micros).ok_or_else(|| damaged("a time"));
        Ok(StorageMetadata {
            id: Uuid::from_slice(self.id).map_err(|_| damaged("its id"))?,
            key: self.key.to_owned(),
            content_type: self.content_type.to_owned(),
            created_at: time(self.created_at)?,
            updated_at: time(self.updated_at)?,
            expires_at: self.expires_at.map(time).transpose()?,
            version: u64::try_from(self.version).map_err(|_| damaged("its version"))?,
            encoding: Encoding::new(self.encoding).map_err(|_| damaged("the name of its encoding"))?,
            tags: self.tags,
            size: u64::try_from(self.size).map_err(|_| damaged("its size"))?,
        })
    }
}

/// The item made of `metadata` and its payload.
///
/// # Errors
/// [`ErrorKind::Corrupted`] if the checksum says that these are not what was saved.
pub(crate) fn item(metadata: StorageMetadata, data: Bytes, checksum: i64) -> Result<StorageItem> {
    let key = metadata.item_key()?;
    let whole = metadata.size == data.len() as u64
        && content_checksum(key, &metadata.encoding, &metadata.tags, &data) == checksum;
    if !whole {
        return Err(damaged("its checksum").with_key(key));
    }
    Ok(StorageItem { data, metadata: Arc::new(metadata) })
}

/// What says that a stored row cannot be read back.
pub(crate) fn damaged(what: &str) -> StorageError {
    failure(ErrorKind::Corrupted, format!("the stored row is damaged: {what} is not what was saved"))
}
