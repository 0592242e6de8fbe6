//! A stored item as it comes out of the engine.

use std::sync::Arc;

use bytes::Bytes;
use fjall::Slice;
use storage_core::{StorageError, StorageMetadata};

use crate::{
    blobs::BlobRef,
    error::failure,
    keys::Name,
    record::{self, Damage, Place},
};

/// Where the payload of a stored item is.
#[derive(Debug, Clone)]
pub(crate) enum Payload {
    Inline(Bytes),
    File(BlobRef),
}

/// A stored item as it comes out of the engine, live or expired.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) metadata: Arc<StorageMetadata>,
    pub(crate) payload: Payload,
}

impl Stored {
    pub(crate) fn decode(engine_key: &[u8], record: Slice) -> Result<Self, Damage> {
        let decoded = record::decode(engine_key, &record)?;
        let payload = match decoded.place {
            Place::File(file) => Payload::File(file),
            Place::Inline(range) => Payload::Inline(cut_out(record, range).ok_or(Damage::Layout)?),
        };
        Ok(Self { metadata: Arc::new(decoded.metadata), payload })
    }

    /// The record of this item.
    pub(crate) fn encode(&self, engine_key: &[u8]) -> Vec<u8> {
        let mut record = Vec::new();
        self.encode_into(engine_key, &mut record);
        record
    }

    /// Writes the record of this item into `out`, in place of what it held.
    pub(crate) fn encode_into(&self, engine_key: &[u8], out: &mut Vec<u8>) {
        let payload = match &self.payload {
            Payload::Inline(data) => record::Payload::Inline(data),
            Payload::File(file) => record::Payload::File(*file),
        };
        record::encode(engine_key, &self.metadata, payload, out);
    }

    pub(crate) fn file(&self) -> Option<BlobRef> {
        match self.payload {
            Payload::File(file) => Some(file),
            Payload::Inline(_) => None,
        }
    }
}

/// A small payload is copied, because a slice of a record keeps the whole block it was read from in memory.
fn cut_out(record: Slice, range: std::ops::Range<usize>) -> Option<Bytes> {
    const MOST_COPIED: usize = 16 * 1_024;
    if range.len() <= MOST_COPIED {
        return record.get(range).map(Bytes::copy_from_slice);
    }
    let whole = Bytes::from_owner(record);
    (range.end <= whole.len()).then(|| whole.slice(range))
}

/// The error of a damaged item, with its key.
pub(crate) fn damaged(engine_key: &[u8], damage: Damage) -> StorageError {
    named(engine_key, failure(storage_core::ErrorKind::Corrupted, damage.describe()))
}

/// Names the item that an error is about.
pub(crate) fn named(engine_key: &[u8], error: StorageError) -> StorageError {
    match Name::of_item(engine_key).map(Name::item_key) {
        Some(Ok(key)) => error.with_key(key),
        _ => error,
    }
}
