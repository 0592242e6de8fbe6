//! What the provider asks of a database, whichever it is.

use std::{fmt::Debug, sync::Arc};

use async_trait::async_trait;
use storage_core::{
    Bytes, Capabilities, CleanupReport, CompiledQuery, Condition, Encoding, Health, ItemKey, Result,
    SearchPage, StorageItem, StorageMetadata, Tags, Timestamp, Usage, Uuid, VerifyReport,
};
use tokio::time::Instant;

/// When a call happens: what the clock of the provider says, and when the call must have ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// The only time that decides anything. It is handed to the server, whose own clock is never asked.
    pub(crate) now: Timestamp,
    pub(crate) deadline: Instant,
}

/// A write, checked against the contract.
#[derive(Debug, Clone)]
pub(crate) enum Write {
    Save(Save),
    Delete(Delete),
    Touch(Touch),
}

/// A save; [`check_save`](Condition::check_save) decides whether it applies.
#[derive(Debug, Clone)]
pub(crate) struct Save {
    pub(crate) content_type: String,
    pub(crate) key: String,
    /// The id if no live item is replaced.
    pub(crate) id: Uuid,
    pub(crate) data: Bytes,
    pub(crate) encoding: Encoding,
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) tags: Tags,
    pub(crate) condition: Condition,
}

/// A delete, never conditional on absence; [`check_delete`](Condition::check_delete) decides whether it applies.
#[derive(Debug, Clone)]
pub(crate) struct Delete {
    pub(crate) content_type: String,
    pub(crate) key: String,
    pub(crate) condition: Condition,
}

/// Another deadline, or none, for a live item.
#[derive(Debug, Clone)]
pub(crate) struct Touch {
    pub(crate) content_type: String,
    pub(crate) key: String,
    pub(crate) expires_at: Option<Timestamp>,
}

impl Write {
    /// Content type and key.
    pub(crate) fn identity(&self) -> (&str, &str) {
        match self {
            Self::Save(Save { content_type, key, .. })
            | Self::Delete(Delete { content_type, key, .. })
            | Self::Touch(Touch { content_type, key, .. }) => (content_type, key),
        }
    }

    /// Bytes of payload.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Self::Save(save) => save.data.len() as u64,
            Self::Delete(_) | Self::Touch(_) => 0,
        }
    }
}

/// What a write did.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Written {
    Saved(Stamp),
    /// Whether a live item was there.
    Deleted(bool),
    /// The metadata of the live item, if there is one.
    Touched(Option<StorageMetadata>),
}

/// What the store adds to a save.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) id: Uuid,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    pub(crate) version: u64,
}

/// What one step of a cleanup removed, and whether there may be more to remove.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Swept {
    pub(crate) report: CleanupReport,
    pub(crate) more: bool,
}

/// A database with a store in it.
///
/// An engine bounds every wait by the deadline of the [`Moment`], beyond which nobody waits for its answer. It retries what
/// may be retried, within that deadline, and gives every failure its kind.
#[async_trait]
pub(crate) trait Engine: Debug + Send + Sync + 'static {
    /// Names the engine in errors and `info`: `postgres`, `sqlite`, `mysql`.
    fn name(&self) -> &'static str;

    /// What the engine offers in the mode it was opened in; the provider refuses everything else.
    fn capabilities(&self) -> Capabilities;

    /// Refuses a save that the engine could not keep whole. Only plain tables keep less than the contract has.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](storage_core::ErrorKind::Unsupported).
    fn check_save(&self, save: &Save) -> Result<()> {
        let _ = save;
        Ok(())
    }

    /// Refuses a query that the engine cannot answer.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](storage_core::ErrorKind::Unsupported).
    fn check_query(&self, query: &CompiledQuery) -> Result<()> {
        let _ = query;
        Ok(())
    }

    /// The deadline that is kept of this one: the next that the engine can keep, never an earlier one.
    fn kept_deadline(&self, expires_at: Timestamp) -> Timestamp {
        expires_at
    }

    /// How many batches may be under way at once.
    fn writers(&self) -> usize;

    /// Whether a batch may hold several writes of one item, to be applied one after the other.
    fn takes_repeats(&self) -> bool;

    /// Most writes in one batch.
    fn most_writes(&self) -> usize;

    /// Applies a batch in one transaction, and answers each write in its place.
    ///
    /// A write that fails leaves the others alone. What is answered with anything but
    /// [`OutcomeUnknown`](storage_core::ErrorKind::OutcomeUnknown) was applied, durably, or not at all.
    async fn apply(&self, writes: Vec<Arc<Write>>, at: Moment) -> Vec<Result<Written>>;

    async fn load(&self, key: ItemKey<'_>, at: Moment) -> Result<Option<StorageItem>>;

    /// One answer per key, in their order, in as few round trips as the engine can. Keys may repeat.
    async fn load_many(&self, keys: &[ItemKey<'_>], at: Moment) -> Vec<Result<Option<StorageItem>>>;

    async fn search(&self, query: &CompiledQuery, at: Moment) -> Result<SearchPage>;

    async fn count(&self, query: &CompiledQuery, at: Moment) -> Result<u64>;

    async fn usage(&self, at: Moment) -> Result<Usage>;

    /// Removes at most `limit` expired items in one short transaction.
    async fn cleanup_step(&self, at: Moment, limit: usize) -> Result<Swept>;

    /// Reads everything back. No deadline holds for the whole.
    async fn verify(&self) -> Result<VerifyReport>;

    async fn health(&self, at: Moment) -> Health;

    /// Gives connections and files back. Called once, when no other call is under way any more.
    async fn close(&self) -> Result<()>;
}
