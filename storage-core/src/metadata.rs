//! What is known of an item beside its data.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Encoding, ItemKey, Result, Tags, Timestamp};

/// What is known of an item beside its data. Data and metadata always come from one save.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageMetadata {
    /// Random (v4) id, kept while the item lives, new after delete and re-create.
    pub id: Uuid,
    /// The key, byte for byte as it was saved.
    pub key: String,
    /// The content type; with the key it is the identity of the item.
    pub content_type: String,
    /// When the item was first saved; kept by later saves while it lives.
    pub created_at: Timestamp,
    /// When the item was last saved or touched; never before `created_at`.
    pub updated_at: Timestamp,
    /// The instant from which on the item is gone; `None` lives for ever.
    pub expires_at: Option<Timestamp>,
    /// Grows at every write of the item and is never used again, also not after delete and re-create.
    pub version: u64,
    /// Name of the encoding of the data.
    pub encoding: Encoding,
    /// The tags of the last save.
    pub tags: Tags,
    /// Size of the data in bytes.
    pub size: u64,
}

impl StorageMetadata {
    /// The identity of the item.
    ///
    /// # Errors
    /// As [`ItemKey::new`]: only if the fields were set to something invalid by hand.
    pub fn item_key(&self) -> Result<ItemKey<'_>> {
        ItemKey::new(&self.content_type, &self.key)
    }

    /// Whether the item still exists at `now`: it is gone at the instant `now >= expires_at`.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|expires_at| now < expires_at)
    }

    /// The metadata after a touch at `now`: another deadline, a new `version`, the rest kept.
    #[must_use]
    pub fn touched(&self, expires_at: Option<Timestamp>, now: Timestamp, version: u64) -> Self {
        Self { expires_at, version, updated_at: now.max(self.created_at), ..self.clone() }
    }
}

/// The version of the next write: above `mark`, the highest version given so far, and at least `now` in microseconds.
///
/// The clock keeps versions growing where a mark was lost, and the mark keeps them growing where the clock stands still
/// or steps back.
pub fn next_version(mark: u64, now: Timestamp) -> u64 {
    mark.saturating_add(1).max(u64::try_from(now.as_micros()).unwrap_or(0))
}
