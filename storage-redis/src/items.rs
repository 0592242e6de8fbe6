//! The verbs on single items: the calls they make, and what the answers mean.

use std::sync::Arc;

use redis::Value;
use storage_core::{
    Bytes, Condition, ErrorKind, ItemKey, Result, SaveRequest, StorageError, StorageItem, StorageMetadata,
    Timestamp, Uuid, next_version,
};
use tokio::time::Instant;

use crate::{
    cut::Cut,
    error::failure,
    index,
    keys::Place,
    record::{self, Damage, Head, Parts, time},
    reply, scripts,
    store::Store,
    wire::{Access, Call},
};

impl Store {
    pub(crate) async fn load(&self, key: ItemKey<'_>, deadline: Instant) -> Result<Option<StorageItem>> {
        let now = self.now();
        let place = self.place(key)?;
        let answer = self.wire.call(place.load(), deadline).await?;
        loaded(key, place.hash, now, answer)
    }

    pub(crate) async fn save(&self, request: SaveRequest<'_>, deadline: Instant) -> Result<StorageItem> {
        let place = self.place(request.key)?;
        let save = Save::new(request, self)?;
        let answer = self.wire.call(save.call(&place, self), deadline).await?;
        save.answered(answer)
    }

    /// The call of a save.
    pub(crate) fn save_call(&self, request: SaveRequest<'_>) -> Result<Call> {
        let place = self.place(request.key)?;
        Save::new(request, self).map(|save| save.call(&place, self))
    }

    pub(crate) async fn delete(
        &self,
        key: ItemKey<'_>,
        condition: Condition,
        deadline: Instant,
    ) -> Result<bool> {
        // Refused before anything is sent, whatever is stored.
        condition.check_delete(None)?;
        let place = self.place(key)?;
        let answer = self.wire.call(self.delete_call(&place, condition), deadline).await?;
        deleted(answer, condition)
    }

    pub(crate) async fn touch(
        &self,
        key: ItemKey<'_>,
        expires_at: Option<Timestamp>,
        deadline: Instant,
    ) -> Result<Option<Arc<StorageMetadata>>> {
        let now = self.now();
        // The one rule for deadlines lives in the check of a save.
        SaveRequest::new(key, "").expires_at(expires_at).validate(now, 0)?;
        let place = self.place(key)?;
        let call =
            self.script(&place, &scripts::TOUCH).arg(time(now)).arg(next_version(0, now).to_be_bytes());
        let call =
            call.arg(record::deadline(expires_at)).arg(self.backstop(expires_at, now)).arg(self.flag());
        match self.wire.call(call, deadline).await? {
            Value::Int(0) => Ok(None),
            Value::BulkString(record) => {
                let head = Head::of(&record).map_err(damaged)?;
                let metadata = record::metadata(key, place.hash, &head, &record).map_err(damaged)?;
                Ok(Some(Arc::new(metadata)))
            }
            other => Err(Refusal::read(other)?.error()),
        }
    }

    /// Where the item under `key` is.
    pub(crate) fn place(&self, key: ItemKey<'_>) -> Result<Place<'_>> {
        self.layout.place(key).ok_or_else(|| failure(ErrorKind::Internal, "an item has no bucket"))
    }

    pub(crate) fn delete_call(&self, place: &Place<'_>, condition: Condition) -> Call {
        let call = self.script(place, &scripts::DELETE).arg(time(self.now()));
        let call = match condition {
            Condition::Version(version) => call.arg(version.to_be_bytes()),
            _ => call.arg(""),
        };
        call.arg(self.flag())
    }

    /// A script that changes one item.
    fn script(&self, place: &Place<'_>, script: &'static crate::wire::Script) -> Call {
        let bucket = place.bucket;
        let call = Call::script(bucket.slot, script, Access::Write).key(&place.item);
        call.key(&bucket.mark).key(&bucket.index)
    }

    /// Whether everything is indexed, as the scripts are told.
    pub(crate) fn flag(&self) -> &'static str {
        if self.config.indexing { "1" } else { "0" }
    }

    /// Milliseconds until the server may drop an item, as the scripts are told.
    fn backstop(&self, expires_at: Option<Timestamp>, now: Timestamp) -> String {
        expires_at.map_or_else(String::new, |at| self.lifetime(at, now).to_string())
    }
}

impl Place<'_> {
    /// The call of a load.
    pub(crate) fn load(&self) -> Call {
        Call::read(self.bucket.slot, "GET").key(&self.item)
    }
}

/// What a load is answered.
pub(crate) fn loaded(
    key: ItemKey<'_>,
    hash: u64,
    now: Timestamp,
    answer: Value,
) -> Result<Option<StorageItem>> {
    let Some(stored) = reply::bytes(answer)? else { return Ok(None) };
    let item = record::decode(key, hash, &stored.into()).map_err(damaged)?;
    Ok(Some(item).filter(|item| item.metadata.is_live(now)))
}

/// What a delete is answered.
pub(crate) fn deleted(answer: Value, condition: Condition) -> Result<bool> {
    match answer {
        Value::Int(deleted) => Ok(deleted == 1),
        other => Err(Refusal::read(other)?.error_under(condition)),
    }
}

/// A save on its way.
#[derive(Debug)]
pub(crate) struct Save {
    data: Bytes,
    /// The item as it will be if none is stored under its key.
    metadata: StorageMetadata,
    condition: Condition,
    now: Timestamp,
}

impl Save {
    /// Checks a request.
    ///
    /// # Errors
    /// As [`SaveRequest::validate`].
    pub(crate) fn new(request: SaveRequest<'_>, store: &Store) -> Result<Self> {
        let now = store.now();
        request.validate(now, store.config.max_payload)?;
        let condition = request.condition;
        let (data, metadata) = request.into_item(None, now, next_version(0, now));
        Ok(Self { data, metadata, condition, now })
    }

    pub(crate) fn call(&self, place: &Place<'_>, store: &Store) -> Call {
        let metadata = &self.metadata;
        let record = record::before_payload(place.hash, metadata, &self.data);
        let parts = Parts::of(&record);
        let call = store.script(place, &scripts::SAVE).arg(parts.version).arg(parts.id).arg(parts.deadline);
        let call = call.arg(parts.rest).arg(parts.metadata).arg(&self.data);
        let call = match self.condition {
            Condition::None => call.arg(""),
            Condition::Absent => call.arg("absent"),
            Condition::Version(version) => call.arg(version.to_be_bytes()),
        };
        let call = call.arg(store.backstop(metadata.expires_at, self.now));
        let call = call.arg(parts.check).arg(parts.partial_check.to_string());
        let call = if store.config.indexing {
            call.arg(index::updated_section(&metadata.content_type))
        } else {
            call.arg("")
        };
        let mut call = call.arg(&metadata.key);
        index::for_each_entry(metadata, &record, store.config.indexing, |entry| {
            call.push("0");
            call.push(entry);
        });
        call
    }

    /// The item as it is now stored.
    pub(crate) fn answered(mut self, answer: Value) -> Result<StorageItem> {
        match answer {
            Value::Int(0) => {}
            Value::BulkString(kept) => {
                self.keep(&kept).ok_or_else(|| reply::unexpected(&Value::BulkString(kept)))?;
            }
            other => return Err(Refusal::read(other)?.error_of_save(self.condition, self.metadata)),
        }
        Ok(StorageItem { data: self.data, metadata: Arc::new(self.metadata) })
    }

    /// Takes over what the stored head has from the item that was there before.
    fn keep(&mut self, kept: &[u8]) -> Option<()> {
        let mut cut = Cut::new(kept);
        self.metadata.version = cut.u64()?;
        self.metadata.id = Uuid::from_bytes(cut.array()?);
        let _deadline = cut.u64()?;
        self.metadata.created_at = record::time_of(cut.array()?)?;
        self.metadata.updated_at = record::time_of(cut.array()?)?;
        Some(())
    }
}

/// Why a script refused to change an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    /// Something that is no string is stored under the item's key.
    Type,
    /// The version mark of the bucket is none.
    Mark,
    Damaged,
    /// No live item is there.
    Gone,
    /// A live item is there, or one of another version.
    Stands(u64),
}

impl Refusal {
    fn read(answer: Value) -> Result<Self> {
        let words = reply::list(answer)?;
        let mut words = words.iter().map(Vec::as_slice);
        let (why, version) = (words.next().unwrap_or_default(), words.next());
        let version =
            version.and_then(|version| version.first_chunk()).map(|version| u64::from_be_bytes(*version));
        match (why, version) {
            (b"type", _) => Ok(Self::Type),
            (b"mark", _) => Ok(Self::Mark),
            (b"damaged", _) => Ok(Self::Damaged),
            (b"gone", _) => Ok(Self::Gone),
            (b"exists" | b"conflict", Some(version)) => Ok(Self::Stands(version)),
            _ => Err(failure(ErrorKind::Internal, "a script refused for an unknown reason")),
        }
    }

    fn error_of_save(self, condition: Condition, metadata: StorageMetadata) -> StorageError {
        let stored = match self {
            Self::Gone => None,
            Self::Stands(version) => Some(StorageMetadata { version, ..metadata }),
            _ => return self.error(),
        };
        // The one rule for conditions has the words for it too.
        condition.check_save(stored.as_ref()).err().unwrap_or_else(|| self.error())
    }

    fn error_under(self, condition: Condition) -> StorageError {
        match (self, condition) {
            (Self::Stands(actual), Condition::Version(expected)) => {
                let message =
                    format!("expected version {expected}, but the stored item has version {actual}");
                failure(ErrorKind::VersionConflict, message)
            }
            _ => self.error(),
        }
    }

    fn error(self) -> StorageError {
        let message = match self {
            Self::Type => "what is stored under the item's key in the database is no string",
            Self::Mark => "the version mark of the item's bucket is damaged",
            Self::Damaged => return damaged(Damage::Check),
            Self::Gone | Self::Stands(_) => {
                return failure(ErrorKind::Internal, "a script refused a write that has no condition");
            }
        };
        failure(ErrorKind::Corrupted, message)
    }
}

/// What says that a stored record cannot be read.
pub(crate) fn damaged(damage: Damage) -> StorageError {
    failure(ErrorKind::Corrupted, damage.describe())
}
