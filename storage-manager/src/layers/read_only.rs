//! Writes are refused.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use storage_core::{
    CleanupReport, Condition, ErrorKind, ItemKey, Result, SaveRequest, StorageError, StorageItem,
    StorageMetadata, StorageProvider, Timestamp, async_trait, forward,
};

/// A layer that answers writes with [`ErrorKind::ReadOnly`], and can be told at run time to let them pass again: for
/// maintenance, and for the old side of a move. Cleanup is a write. Clones share the switch.
///
/// ```
/// use storage_manager::{
///     ErrorKind, ItemKey, MemoryConfig, MemoryProvider, SaveRequest, StorageProvider, layers::ReadOnly,
/// };
///
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let store = ReadOnly::new(MemoryProvider::new(MemoryConfig::default()));
/// let key = ItemKey::new("note", "a")?;
/// assert_eq!(store.save(SaveRequest::new(key, "x")).await.unwrap_err().kind(), ErrorKind::ReadOnly);
/// store.allow_writes(true);
/// store.save(SaveRequest::new(key, "x")).await?;
/// # Ok::<(), storage_manager::StorageError>(())
/// # }).unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct ReadOnly<P> {
    inner: P,
    writes: Arc<AtomicBool>,
}

impl<P: StorageProvider> ReadOnly<P> {
    /// Refuses the writes of `provider`.
    pub fn new(provider: P) -> Self {
        Self { inner: provider, writes: Arc::default() }
    }

    /// Lets writes pass, or refuses them again. Writes under way go on.
    pub fn allow_writes(&self, allowed: bool) {
        self.writes.store(allowed, Ordering::Release);
    }

    /// Whether writes pass.
    pub fn allows_writes(&self) -> bool {
        self.writes.load(Ordering::Acquire)
    }

    /// The provider below.
    pub const fn inner(&self) -> &P {
        &self.inner
    }

    fn check(&self, operation: &'static str) -> Result<()> {
        if self.allows_writes() { Ok(()) } else { Err(self.refusal(operation)) }
    }

    fn refusal(&self, operation: &'static str) -> StorageError {
        StorageError::new(ErrorKind::ReadOnly, "the store takes no writes")
            .with_provider(self.inner.info().name)
            .with_operation(operation)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<P: StorageProvider> StorageProvider for ReadOnly<P> {
    forward!(this => this.inner; info, identity, load, load_many, search, count, usage, health, close);

    async fn save(&self, request: SaveRequest<'_>) -> Result<StorageItem> {
        self.check("save").map_err(|error| error.with_key(request.key))?;
        self.inner.save(request).await
    }

    async fn delete(&self, key: ItemKey<'_>, condition: Condition) -> Result<bool> {
        self.check("delete").map_err(|error| error.with_key(key))?;
        self.inner.delete(key, condition).await
    }

    async fn touch(
        &self,
        key: ItemKey<'_>,
        expires_at: Option<Timestamp>,
    ) -> Result<Option<Arc<StorageMetadata>>> {
        self.check("touch").map_err(|error| error.with_key(key))?;
        self.inner.touch(key, expires_at).await
    }

    async fn cleanup(&self) -> Result<CleanupReport> {
        self.check("cleanup")?;
        self.inner.cleanup().await
    }

    async fn save_many(&self, requests: Vec<SaveRequest<'_>>) -> Vec<Result<StorageItem>> {
        if self.allows_writes() {
            return self.inner.save_many(requests).await;
        }
        requests.iter().map(|request| Err(self.refusal("save_many").with_key(request.key))).collect()
    }

    async fn delete_many(&self, keys: &[ItemKey<'_>]) -> Vec<Result<bool>> {
        if self.allows_writes() {
            return self.inner.delete_many(keys).await;
        }
        keys.iter().map(|key| Err(self.refusal("delete_many").with_key(*key))).collect()
    }
}
