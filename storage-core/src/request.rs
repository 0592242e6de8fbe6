//! What a save asks for.

use bytes::Bytes;
use uuid::Uuid;

use crate::{
    Condition, Encoding, ErrorKind, ItemKey, Result, StorageError, StorageMetadata, Tags, Timestamp,
};

/// A save: it replaces the whole item (data, encoding, tags and deadline) under its key.
///
/// ```
/// use storage_core::{Condition, ItemKey, SaveRequest, Timestamp};
///
/// let request = SaveRequest::new(ItemKey::new("note", "n1")?, "hello")
///     .tag("lang", "en")
///     .expires_at(Timestamp::MAX)
///     .condition(Condition::Absent);
/// assert_eq!(&request.data[..], b"hello");
/// # Ok::<(), storage_core::StorageError>(())
/// ```
#[derive(Debug, Clone)]
pub struct SaveRequest<'a> {
    /// The identity of the item.
    pub key: ItemKey<'a>,
    /// The payload.
    pub data: Bytes,
    /// Name of the payload's encoding. Default: [`Encoding::RAW`].
    pub encoding: Encoding,
    /// The deadline, which must lie in the future. Default: none.
    pub expires_at: Option<Timestamp>,
    /// The tags. Default: none.
    pub tags: Tags,
    /// What must be true of the stored item. Default: nothing.
    pub condition: Condition,
}

impl<'a> SaveRequest<'a> {
    /// A save of raw bytes without deadline, tags and condition.
    pub fn new(key: ItemKey<'a>, data: impl Into<Bytes>) -> Self {
        let data = data.into();
        Self {
            key,
            data,
            encoding: Encoding::RAW,
            expires_at: None,
            tags: Tags::new(),
            condition: Condition::None,
        }
    }

    /// Names the encoding of the payload.
    #[must_use]
    pub fn encoding(mut self, encoding: Encoding) -> Self {
        self.encoding = encoding;
        self
    }

    /// Sets the deadline, or none.
    #[must_use]
    pub fn expires_at(mut self, expires_at: impl Into<Option<Timestamp>>) -> Self {
        self.expires_at = expires_at.into();
        self
    }

    /// Adds a tag, replacing an earlier value of the same name.
    #[must_use]
    pub fn tag(mut self, name: impl AsRef<str>, value: impl AsRef<str>) -> Self {
        self.tags.insert(name, value);
        self
    }

    /// Sets all tags.
    #[must_use]
    pub fn tags(mut self, tags: Tags) -> Self {
        self.tags = tags;
        self
    }

    /// Sets the condition.
    #[must_use]
    pub fn condition(mut self, condition: Condition) -> Self {
        self.condition = condition;
        self
    }

    /// Checks what every provider checks before it touches its backend.
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`] above `max_payload` bytes; [`ErrorKind::Invalid`] for tags outside their limits or a
    /// deadline that is not after `now`.
    pub fn validate(&self, now: Timestamp, max_payload: u64) -> Result<()> {
        check_size(&self.data, max_payload)
            .and_then(|()| self.tags.validate())
            .and_then(|()| check_deadline(self.expires_at, now))
            .map_err(|error| error.with_key(self.key))
    }

    /// The metadata of the item once this save is applied.
    ///
    /// The one place of the rule: `id` and `created_at` of the live item it replaces are kept, everything else is this
    /// save's, and `updated_at` is never before `created_at`.
    pub fn metadata(&self, live: Option<&StorageMetadata>, now: Timestamp, version: u64) -> StorageMetadata {
        self.clone().into_item(live, now, version).1
    }

    /// The payload and the [`metadata`](Self::metadata) once this save is applied, without copying the tags.
    pub fn into_item(
        self,
        live: Option<&StorageMetadata>,
        now: Timestamp,
        version: u64,
    ) -> (Bytes, StorageMetadata) {
        let created_at = live.map_or(now, |live| live.created_at);
        let metadata = StorageMetadata {
            id: live.map_or_else(Uuid::new_v4, |live| live.id),
            key: self.key.key().to_owned(),
            content_type: self.key.content_type().to_owned(),
            created_at,
            updated_at: now.max(created_at),
            expires_at: self.expires_at,
            version,
            encoding: self.encoding,
            tags: self.tags,
            size: self.data.len() as u64,
        };
        (self.data, metadata)
    }
}

fn check_size(data: &Bytes, max: u64) -> Result<()> {
    let size = data.len() as u64;
    if size <= max {
        return Ok(());
    }
    let message = format!("payload has {size} bytes, at most {max} are taken");
    Err(StorageError::new(ErrorKind::TooLarge { size, max }, message))
}

/// Checks that a deadline lies after `now`.
pub(crate) fn check_deadline(expires_at: Option<Timestamp>, now: Timestamp) -> Result<()> {
    match expires_at {
        Some(expires_at) if expires_at <= now => Err(StorageError::new(
            ErrorKind::Invalid,
            format!("deadline {expires_at} is not in the future (it is {now})"),
        )),
        _ => Ok(()),
    }
}
