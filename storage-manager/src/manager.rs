//! The manager: typed calls, routed by content type.

use std::sync::Arc;

use serde::{Serialize, de::DeserializeOwned};
use storage_core::{
    Bytes, Condition, Encoding, Result, SearchPage, StorageItem, StorageMetadata, StorageProvider,
    StorageQuery, Usage,
};

#[cfg(doc)]
use crate::ErrorKind;
use crate::{
    Builder, Expiry, Operation, StorageMonitor,
    dispatch::Dispatch,
    routes::SharedProvider,
    save::{Raw, Save, Typed},
    search::SearchResults,
    sweeper::Sweeper,
    view::ManagerProvider,
};

/// One storage API over any number of providers.
///
/// The content type of an item selects its provider. Clones are cheap and share everything. Dropping the last one stops
/// the background sweeper; [`close`](Self::close) also closes the providers.
///
/// Every call is safe to cancel: a dropped future leaves the old or the new item. Cleanup, close and health need a tokio
/// runtime with timers; all other calls run on whatever runtime the providers need.
///
/// # Errors of every call
/// [`ErrorKind::NoProvider`] naming the content type if nothing is registered for it; [`ErrorKind::Closed`] after
/// [`close`](Self::close); [`ErrorKind::InvalidKey`] or [`ErrorKind::Invalid`] for a key or content type outside its
/// limits, before any provider is asked; and those of the provider, named with provider, operation and key.
#[derive(Debug, Clone)]
pub struct UnifiedStorageManager {
    inner: Arc<Inner>,
}

/// What the handles of a manager share. The sweeper holds the first field alone, so that it ends with the last handle.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) dispatch: Arc<Dispatch>,
    pub(crate) sweeper: Option<Sweeper>,
}

impl UnifiedStorageManager {
    /// A manager without providers, with the default settings of the [`Builder`].
    pub fn new() -> Self {
        let Builder { monitor, clock, codec, deadline, .. } = Builder::new();
        let dispatch = Arc::new(Dispatch::new(monitor, clock, codec, deadline));
        Self::from_inner(Inner { dispatch, sweeper: None })
    }

    /// Describes a manager: its routes and settings.
    pub fn builder() -> Builder {
        Builder::new()
    }

    pub(crate) fn from_inner(inner: Inner) -> Self {
        Self { inner: Arc::new(inner) }
    }

    pub(crate) fn dispatch(&self) -> &Arc<Dispatch> {
        &self.inner.dispatch
    }

    pub(crate) fn sweeper(&self) -> Option<&Sweeper> {
        self.inner.sweeper.as_ref()
    }

    /// Sends a content type to `provider` from now on: `session` exactly, `image/*` by prefix, `*` everything else. The
    /// exact route wins, then the longest prefix.
    ///
    /// Register one [`Arc`] of a provider under several routes to have them share it: search, cleanup and close visit it
    /// once. Items that were stored under another route before are not moved.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if the route is empty, registered already or could match no content type;
    /// [`ErrorKind::Closed`] after close.
    pub fn register_provider(&self, route: &str, provider: impl StorageProvider) -> Result<()> {
        let dispatch = self.dispatch();
        dispatch.check_open()?;
        dispatch.routes.add(route, Arc::new(provider), &dispatch.monitor)
    }

    /// Takes a route away and gives its provider back, open and with all its items. Calls under way go on.
    ///
    /// # Errors
    /// [`ErrorKind::NoProvider`] if there is no such route, [`ErrorKind::Config`] if it could not be one.
    pub fn unregister(&self, route: &str) -> Result<Arc<dyn StorageProvider>> {
        self.dispatch().routes.remove(route)
    }

    /// All routes as they were registered, in alphabetical order.
    pub fn routes(&self) -> Vec<String> {
        self.dispatch().routes.names()
    }

    /// The provider that a content type is routed to. What it does by itself is not measured.
    ///
    /// # Errors
    /// [`ErrorKind::NoProvider`] if there is none; [`ErrorKind::Closed`] after close.
    pub fn provider_for(&self, content_type: &str) -> Result<SharedProvider> {
        Ok(Arc::clone(&self.dispatch().find(content_type)?.provider))
    }

    /// What counts and times the calls.
    pub fn monitor(&self) -> &StorageMonitor {
        &self.dispatch().monitor
    }

    /// The whole manager as one provider: routed and measured, for what works on any provider.
    pub fn as_provider(&self) -> ManagerProvider {
        ManagerProvider::new(self.clone())
    }

    /// Saves a value, encoded with the manager's codec, and returns it with its metadata.
    ///
    /// The save replaces the whole item: value, tags and deadline. It is sent when awaited; the deadline, tags and
    /// conditions are set on the way. Pass `&value` to keep the value, or the value itself to get it back.
    ///
    /// ```
    /// # use storage_manager::*;
    /// # async fn example(manager: UnifiedStorageManager) -> Result<()> {
    /// use std::time::Duration;
    ///
    /// let scores = vec![1, 2];
    /// let item = manager
    ///     .save("user:1", &scores, "profile")
    ///     .ttl(Duration::from_secs(3_600))
    ///     .tag("tier", "gold")
    ///     .if_absent()
    ///     .await?;
    /// assert_eq!(item.data, &scores);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When awaited: [`ErrorKind::Serialization`] if the value cannot be encoded; [`ErrorKind::Invalid`] for a time to
    /// live of zero, a deadline that is past or out of range, or tags outside their limits;
    /// [`ErrorKind::AlreadyExists`] or [`ErrorKind::VersionConflict`] if the condition does not hold;
    /// [`ErrorKind::TooLarge`]; [`ErrorKind::Full`]; those of every call.
    pub fn save<'a, V: Serialize + Send>(
        &'a self,
        key: &'a str,
        value: V,
        content_type: &'a str,
    ) -> Save<'a, Typed<V>> {
        Save::new(self, key, content_type, Typed { value, codec: self.dispatch().codec })
    }

    /// Saves bytes as they are, under the encoding [`Encoding::RAW`] unless another is named.
    ///
    /// # Errors
    /// As [`save`](Self::save), without those of encoding.
    pub fn save_bytes<'a>(
        &'a self,
        key: &'a str,
        data: impl Into<Bytes>,
        content_type: &'a str,
    ) -> Save<'a, Raw> {
        Save::new(self, key, content_type, Raw { data: data.into(), encoding: Encoding::RAW })
    }

    /// The live item under a key, or `None`. It is decoded with the codec it was saved with.
    ///
    /// # Errors
    /// [`ErrorKind::Serialization`] if the item does not fit `T` or was saved as raw bytes;
    /// [`ErrorKind::Corrupted`] if it cannot be read back; those of every call.
    pub async fn load<T: DeserializeOwned>(
        &self,
        key: &str,
        content_type: &str,
    ) -> Result<Option<StorageItem<T>>> {
        let item = self.load_bytes(key, content_type).await?;
        item.map(|item| self.dispatch().decode(Operation::Load, item)).transpose()
    }

    /// The live item under a key with its data as stored, whatever its encoding, or `None`.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupted`] if the item cannot be read back; those of every call.
    pub async fn load_bytes(&self, key: &str, content_type: &str) -> Result<Option<StorageItem>> {
        let dispatch = self.dispatch();
        dispatch.load(dispatch.key(Operation::Load, content_type, key)?).await
    }

    /// Deletes an item and says whether a live one was there.
    ///
    /// # Errors
    /// Those of every call.
    pub async fn delete(&self, key: &str, content_type: &str) -> Result<bool> {
        let dispatch = self.dispatch();
        dispatch.delete(dispatch.key(Operation::Delete, content_type, key)?, Condition::None).await
    }

    /// Deletes an item if it has this version, and says whether a live one was there.
    ///
    /// # Errors
    /// [`ErrorKind::VersionConflict`] if a live item has another version; those of every call.
    pub async fn delete_if_version(&self, key: &str, content_type: &str, version: u64) -> Result<bool> {
        let dispatch = self.dispatch();
        let key = dispatch.key(Operation::Delete, content_type, key)?;
        dispatch.delete(key, Condition::Version(version)).await
    }

    /// Gives an item another deadline and returns its new metadata; `None` if there is no live item.
    ///
    /// `expiry` is a [`Duration`](std::time::Duration) from now on, a [`Timestamp`](crate::Timestamp), or
    /// [`Expiry::Never`] to let the item live for ever. The version of the item grows; its data and tags stay.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a time to live of zero or a deadline that is past or out of range; those of every
    /// call.
    pub async fn touch(
        &self,
        key: &str,
        content_type: &str,
        expiry: impl Into<Expiry>,
    ) -> Result<Option<Arc<StorageMetadata>>> {
        let (dispatch, operation) = (self.dispatch(), Operation::Touch);
        let key = dispatch.key(operation, content_type, key)?;
        let deadline = expiry.into().deadline(dispatch.clock.now());
        let deadline = deadline.map_err(|error| dispatch.refuse(operation, error.with_key(key)))?;
        dispatch.touch(key, deadline).await
    }

    /// The number of live items that match the filters of `query`, over all providers that it concerns. Its order,
    /// limit, page size and cursor are ignored.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidQuery`]; the error of a provider that failed, because a sum without it would be wrong; those
    /// of every call.
    pub async fn count(&self, query: &StorageQuery) -> Result<u64> {
        self.dispatch().count(query).await
    }

    /// What all distinct providers hold together, per content type. Also updates the metrics of size and items.
    ///
    /// # Errors
    /// The error of a provider that failed; those of every call.
    pub async fn usage(&self) -> Result<Usage> {
        self.dispatch().usage().await
    }

    /// The hits of `query` as a stream of typed results, page after page, in the order of the query.
    ///
    /// With a content type, the provider it is routed to is asked. Without one, every distinct provider is asked, at the
    /// same time, and their hits are merged; one page of each is in memory. The hits are what the providers hold, also
    /// under content types that are routed elsewhere by now.
    ///
    /// The stream never ends quietly before the last hit. A provider that fails is an error item that names it, and the
    /// others' hits still come. A hit that does not fit `T` is an error item that names its key, and the stream goes on.
    /// So collect into `Result<Vec<_>>` to have all or nothing, or look at each item.
    ///
    /// # Errors
    /// As items: [`ErrorKind::InvalidQuery`], also for a query of [metadata only](StorageQuery::metadata_only) (see
    /// [`search_bytes`](Self::search_bytes)); [`ErrorKind::Serialization`]; those of every call.
    pub fn search<T: DeserializeOwned + Send + 'static>(&self, query: StorageQuery) -> SearchResults<T> {
        SearchResults::typed(Arc::clone(self.dispatch()), query)
    }

    /// The hits of `query` as a stream, with their data as stored: as [`search`](Self::search), for any encoding and for
    /// queries of [metadata only](StorageQuery::metadata_only).
    ///
    /// # Errors
    /// As items, as [`search`](Self::search).
    pub fn search_bytes(&self, query: StorageQuery) -> SearchResults<Bytes> {
        SearchResults::bytes(Arc::clone(self.dispatch()), query)
    }

    /// One page of the hits of `query`, with their data as stored. The cursor of the page goes on where it ended, also
    /// over several providers.
    ///
    /// A page over several providers may be shorter than its size although more follows, and holds both copies of an
    /// item that lies in two of them. Their cursors must be those of [`CompiledQuery::page`](crate::CompiledQuery::page).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidQuery`]; the error of a provider that failed, because a page without its hits would be
    /// silently short; those of every call.
    pub async fn search_page(&self, query: &StorageQuery) -> Result<SearchPage> {
        self.dispatch().search_page(query).await
    }
}

impl Default for UnifiedStorageManager {
    fn default() -> Self {
        Self::new()
    }
}
