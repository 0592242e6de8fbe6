//! The contract every backend keeps.

use std::{fmt, sync::Arc};

use async_trait::async_trait;

use crate::{
    CleanupReport, Condition, ErrorKind, Health, ItemKey, ProviderInfo, Result, SaveRequest, SearchPage,
    StorageError, StorageItem, StorageMetadata, StorageQuery, Timestamp, Usage,
};

/// A store of items, with one meaning on every backend.
///
/// Seven methods are owed by an implementer; the others have sound defaults in terms of these and are overridden where
/// a backend has better. The exported conformance suite (feature `conformance`) proves an implementation. Callers find
/// more comfort in [`StorageProviderExt`](crate::StorageProviderExt) and in `storage-manager`.
///
/// # What every provider keeps
/// - **One step.** Data, metadata, index entries and deadline of an item change in one atomic step. A future that is
///   dropped or times out leaves the old or the new item, never a mix, a lock, a permit or a connection.
/// - **Expired is gone.** From the instant `now >= expires_at` on, an item is invisible in every call, whether or not
///   [`cleanup`](Self::cleanup) ran.
/// - **Versions grow** at every write of an item and are never used again.
/// - **Keys are bytes.** They are never folded, trimmed or normalised.
/// - **Nothing is capped silently**, and no failure looks like an empty answer.
///
/// Not promised: a snapshot across pages of a search, and atomicity across the items of a batch.
///
/// # Errors of every method
/// [`ErrorKind::Closed`] after [`close`](Self::close); [`ErrorKind::Unavailable`] or [`ErrorKind::Timeout`] if the
/// backend does not answer within the provider's deadline (nothing was applied); [`ErrorKind::OutcomeUnknown`] if a
/// write was handed over and its answer was lost. Errors name provider, operation and key, and hold no secret.
#[async_trait]
pub trait StorageProvider: fmt::Debug + Send + Sync + 'static {
    /// Who this provider is and what it offers. Cheap; works also after `close`.
    fn info(&self) -> ProviderInfo;

    /// What tells stores apart within this process: handles that share one store answer the same number, other stores
    /// another. A caller that was given one store twice can so visit it once.
    ///
    /// By default the address of the provider, which an [`Arc`] of it shares. A provider whose clones share one store
    /// answers the address of what they share.
    fn identity(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Saves an item and returns it as it is now stored.
    ///
    /// The save replaces the whole item: data, encoding, tags and deadline. `id` and `created_at` of a live item are
    /// kept. Once this returns, a load anywhere sees the item; on a durable provider it survives a crash.
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyExists`] or [`ErrorKind::VersionConflict`] if the condition does not hold;
    /// [`ErrorKind::TooLarge`], [`ErrorKind::Invalid`] (tags, deadline) before anything is sent; [`ErrorKind::Full`] if
    /// there is no room. In each of these cases everything is as it was.
    async fn save(&self, request: SaveRequest<'_>) -> Result<StorageItem>;

    /// Returns the live item under `key`, or `None`. Data and metadata come from one single save.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupted`] if something is stored that cannot be read back.
    async fn load(&self, key: ItemKey<'_>) -> Result<Option<StorageItem>>;

    /// Deletes the item under `key` and says whether a live one was there.
    ///
    /// # Errors
    /// [`ErrorKind::VersionConflict`] if the condition names a version that the live item does not have;
    /// [`ErrorKind::Invalid`] for [`Condition::Absent`]. If no live item is there, the answer is `Ok(false)` whatever
    /// version was named.
    async fn delete(&self, key: ItemKey<'_>, condition: Condition) -> Result<bool>;

    /// Returns one page of the live items that match `query`, in its order.
    ///
    /// Walking the cursors gives every item that was live and untouched during the walk exactly once. No match is an
    /// empty page.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidQuery`] as [`StorageQuery::compile`]; [`ErrorKind::Corrupted`] naming the item if a hit
    /// cannot be read back; [`ErrorKind::Unsupported`] if the provider has no search.
    async fn search(&self, query: &StorageQuery) -> Result<SearchPage>;

    /// Removes expired items and whatever they or interrupted work left behind, and says how much it was.
    ///
    /// Idempotent, and safe beside writers: an item that was saved again in the meantime stays.
    ///
    /// # Errors
    /// As every method.
    async fn cleanup(&self) -> Result<CleanupReport>;

    /// Releases files, connections and tasks, after acknowledged writes have reached their durability.
    ///
    /// Idempotent; afterwards every other call is [`ErrorKind::Closed`].
    ///
    /// # Errors
    /// Those of the backend's last writes.
    async fn close(&self) -> Result<()>;

    /// Saves several items: one answer per request, in the order of the requests.
    ///
    /// The requests are applied in order, so that two saves of one key behave as one after the other. The batch is
    /// split to the limits of the backend and is not atomic as a whole.
    async fn save_many(&self, requests: Vec<SaveRequest<'_>>) -> Vec<Result<StorageItem>> {
        let mut answers = Vec::with_capacity(requests.len());
        for request in requests {
            answers.push(self.save(request).await);
        }
        answers
    }

    /// Loads several items: one answer per key, in the order of the keys.
    async fn load_many(&self, keys: &[ItemKey<'_>]) -> Vec<Result<Option<StorageItem>>> {
        let mut answers = Vec::with_capacity(keys.len());
        for key in keys {
            answers.push(self.load(*key).await);
        }
        answers
    }

    /// Deletes several items: one answer per key, in the order of the keys.
    async fn delete_many(&self, keys: &[ItemKey<'_>]) -> Vec<Result<bool>> {
        let mut answers = Vec::with_capacity(keys.len());
        for key in keys {
            answers.push(self.delete(*key, Condition::None).await);
        }
        answers
    }

    /// Gives the live item under `key` another deadline, or none, and returns its new metadata; `None` if there is no
    /// live item.
    ///
    /// A touch is a write: the version grows and `updated_at` moves. Data, encoding, tags, `id` and `created_at` stay.
    ///
    /// The provided method is a load and a save under a condition: a provider without conditions brings its own.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if the deadline is not in the future.
    async fn touch(
        &self,
        key: ItemKey<'_>,
        expires_at: Option<Timestamp>,
    ) -> Result<Option<Arc<StorageMetadata>>> {
        // Each round loses only against another write that went through, so that a few rounds are plenty.
        const ROUNDS: usize = 32;
        let mut last = None;
        for _ in 0..ROUNDS {
            let Some(item) = self.load(key).await? else { return Ok(None) };
            let request = SaveRequest::new(key, item.data.clone())
                .encoding(item.metadata.encoding.clone())
                .tags(item.metadata.tags.clone())
                .expires_at(expires_at)
                .condition(Condition::Version(item.metadata.version));
            match self.save(request).await {
                Ok(saved) => return Ok(Some(saved.metadata)),
                Err(error) if error.kind() == ErrorKind::VersionConflict => last = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(last.unwrap_or_else(|| StorageError::new(ErrorKind::VersionConflict, "the item keeps changing")))
    }

    /// The number of live items that match the filters of `query`. Its order, limit, page size and cursor are ignored.
    ///
    /// # Errors
    /// As [`search`](Self::search).
    async fn count(&self, query: &StorageQuery) -> Result<u64> {
        let mut count = 0;
        let mut next = None;
        loop {
            let page = self.search(&query.filters().metadata_only().page_size(1_000).cursor(next)).await?;
            count += page.results.len() as u64;
            next = page.next;
            if next.is_none() {
                return Ok(count);
            }
        }
    }

    /// What the store holds, per content type. Only live items count.
    ///
    /// # Errors
    /// As [`search`](Self::search).
    async fn usage(&self) -> Result<Usage> {
        let mut usage = Usage::default();
        let mut next = None;
        loop {
            let page =
                self.search(&StorageQuery::new().metadata_only().page_size(1_000).cursor(next)).await?;
            for hit in &page.results {
                usage.add_item(&hit.item.metadata.content_type, hit.item.metadata.size);
            }
            next = page.next;
            if next.is_none() {
                return Ok(usage);
            }
        }
    }

    /// Whether the provider answers. Costs about one load.
    async fn health(&self) -> Health {
        let probe = match ItemKey::new("health", "probe") {
            Ok(key) => self.load(key).await,
            Err(error) => Err(error),
        };
        match probe {
            // A damaged probe still is an answer of a working backend.
            Ok(_) => Health::Healthy,
            Err(error) => Health::Unhealthy(error.to_string()),
        }
    }
}
