//! The provider of those layers that do the same around every call.

use std::{fmt, sync::Arc};

use storage_core::{
    Answer, CleanupReport, Condition, Health, ItemKey, Result, SaveRequest, SearchPage, StorageError,
    StorageItem, StorageMetadata, StorageProvider, StorageQuery, Timestamp, Usage, async_trait, forward,
};

use crate::Operation;

/// A provider with something done around each of its calls: what [`Retry`](super::Retry), [`Timeout`](super::Timeout),
/// [`ConcurrencyLimit`](super::ConcurrencyLimit), [`CircuitBreaker`](super::CircuitBreaker) and [`Chaos`](super::Chaos)
/// are, each with a guard of its own. `info` and `close` pass all of them untouched.
#[derive(Debug, Clone)]
pub struct Around<P, G> {
    inner: P,
    guard: G,
}

impl<P, G> Around<P, G> {
    pub(super) const fn with(inner: P, guard: G) -> Self {
        Self { inner, guard }
    }

    /// The provider below.
    pub const fn inner(&self) -> &P {
        &self.inner
    }

    pub(super) const fn guard(&self) -> &G {
        &self.guard
    }
}

/// The errors of guards name neither the provider nor the item, which they do not know.
impl<P: StorageProvider, G> Around<P, G> {
    fn name(&self, error: StorageError) -> StorageError {
        if error.provider().is_some() { error } else { error.with_provider(self.inner.info().name) }
    }

    fn about(&self, key: ItemKey<'_>) -> impl Fn(StorageError) -> StorageError {
        move |error| self.name(error).with_key(key)
    }

    fn named<T>(&self, keys: &[ItemKey<'_>], answers: Vec<Result<T>>) -> Vec<Result<T>> {
        keys.iter().zip(answers).map(|(key, answer)| answer.map_err(self.about(*key))).collect()
    }
}

/// What a layer does around calls.
pub(super) trait Guard: fmt::Debug + Send + Sync + 'static {
    /// Around a call with one answer. Each attempt is a call of the provider below.
    fn one<'a, T: Send + 'a>(
        &'a self,
        call: Call,
        attempt: impl Fn() -> Answer<'a, Result<T>> + Send + Sync + 'a,
    ) -> impl Future<Output = Result<T>> + Send + 'a;

    /// Around a batch with one answer for each key. Each attempt is a call of the provider below with the parts of these
    /// numbers.
    fn many<'a, T: Send + 'a>(
        &'a self,
        call: Call,
        keys: &'a [ItemKey<'a>],
        attempt: impl Fn(Vec<usize>) -> Answer<'a, Vec<Result<T>>> + Send + Sync + 'a,
    ) -> impl Future<Output = Vec<Result<T>>> + Send + 'a;

    /// Around a question for the provider's health.
    fn health<'a>(&'a self, health: Answer<'a, Health>) -> impl Future<Output = Health> + Send + 'a {
        health
    }
}

/// A call on its way to the provider below.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    pub(super) operation: Operation,
    pub(super) effect: Effect,
}

/// What a second attempt does if nobody knows whether the first was applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// The call only reads.
    Reads,
    /// The condition of the call fails if the first attempt was applied.
    Conditional,
    /// A second attempt could undo what others did in between.
    Writes,
}

impl Effect {
    const fn of_save_under(condition: Condition) -> Self {
        match condition {
            Condition::None => Self::Writes,
            Condition::Absent | Condition::Version(_) => Self::Conditional,
        }
    }
}

impl Call {
    const fn reading(operation: Operation) -> Self {
        Self { operation, effect: Effect::Reads }
    }

    const fn writing(operation: Operation) -> Self {
        Self { operation, effect: Effect::Writes }
    }

    pub(super) const fn reads(self) -> bool {
        matches!(self.effect, Effect::Reads)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<P: StorageProvider, G: Guard> StorageProvider for Around<P, G> {
    forward!(this => this.inner; info, identity, close);

    async fn save(&self, request: SaveRequest<'_>) -> Result<StorageItem> {
        let key = request.key;
        let call = Call { operation: Operation::Save, effect: Effect::of_save_under(request.condition) };
        self.guard.one(call, move || self.inner.save(request.clone())).await.map_err(self.about(key))
    }

    async fn load(&self, key: ItemKey<'_>) -> Result<Option<StorageItem>> {
        let call = Call::reading(Operation::Load);
        self.guard.one(call, move || self.inner.load(key)).await.map_err(self.about(key))
    }

    async fn delete(&self, key: ItemKey<'_>, condition: Condition) -> Result<bool> {
        // Not `Conditional`: a second attempt would answer that no item was there, which the first may have deleted.
        let call = Call::writing(Operation::Delete);
        self.guard.one(call, move || self.inner.delete(key, condition)).await.map_err(self.about(key))
    }

    async fn touch(
        &self,
        key: ItemKey<'_>,
        expires_at: Option<Timestamp>,
    ) -> Result<Option<Arc<StorageMetadata>>> {
        let call = Call::writing(Operation::Touch);
        self.guard.one(call, move || self.inner.touch(key, expires_at)).await.map_err(self.about(key))
    }

    async fn search(&self, query: &StorageQuery) -> Result<SearchPage> {
        self.guard
            .one(Call::reading(Operation::Search), move || self.inner.search(query))
            .await
            .map_err(|error| self.name(error))
    }

    async fn count(&self, query: &StorageQuery) -> Result<u64> {
        self.guard
            .one(Call::reading(Operation::Count), move || self.inner.count(query))
            .await
            .map_err(|error| self.name(error))
    }

    async fn usage(&self) -> Result<Usage> {
        self.guard
            .one(Call::reading(Operation::Usage), move || self.inner.usage())
            .await
            .map_err(|error| self.name(error))
    }

    async fn cleanup(&self) -> Result<CleanupReport> {
        self.guard
            .one(Call::writing(Operation::Cleanup), move || self.inner.cleanup())
            .await
            .map_err(|error| self.name(error))
    }

    async fn health(&self) -> Health {
        self.guard.health(self.inner.health()).await
    }

    async fn save_many(&self, requests: Vec<SaveRequest<'_>>) -> Vec<Result<StorageItem>> {
        let keys: Vec<_> = requests.iter().map(|request| request.key).collect();
        let attempt = move |parts: Vec<usize>| {
            self.inner.save_many(parts.iter().filter_map(|part| requests.get(*part).cloned()).collect())
        };
        // Saves of a batch that may have been applied are never sent twice, whatever their conditions: later parts of the
        // batch may concern the same item.
        self.named(&keys, self.guard.many(Call::writing(Operation::SaveMany), &keys, attempt).await)
    }

    async fn load_many(&self, keys: &[ItemKey<'_>]) -> Vec<Result<Option<StorageItem>>> {
        let attempt = move |parts: Vec<usize>| -> Answer<'_, _> {
            Box::pin(async move { self.inner.load_many(&picked(keys, &parts)).await })
        };
        self.named(keys, self.guard.many(Call::reading(Operation::LoadMany), keys, attempt).await)
    }

    async fn delete_many(&self, keys: &[ItemKey<'_>]) -> Vec<Result<bool>> {
        let attempt = move |parts: Vec<usize>| -> Answer<'_, _> {
            Box::pin(async move { self.inner.delete_many(&picked(keys, &parts)).await })
        };
        self.named(keys, self.guard.many(Call::writing(Operation::DeleteMany), keys, attempt).await)
    }
}

fn picked<'key>(keys: &[ItemKey<'key>], parts: &[usize]) -> Vec<ItemKey<'key>> {
    parts.iter().filter_map(|part| keys.get(*part).copied()).collect()
}
