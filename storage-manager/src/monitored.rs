//! A provider that is counted and timed.

use std::sync::Arc;

use storage_core::{
    CleanupReport, Condition, Health, ItemKey, ProviderInfo, Result, SaveRequest, SearchPage, StorageItem,
    StorageMetadata, StorageProvider, StorageQuery, Timestamp, Usage, async_trait,
};

use crate::{Operation, StorageMonitor, series::Series, tally::measure_batch};

/// A layer that counts and times every call of one provider. A manager measures by itself and needs none.
///
/// Only content types that are [registered](StorageMonitor::register) with the monitor become labels. A usage report of
/// the provider also sets the metrics of size and items.
#[derive(Debug, Clone)]
pub struct Monitored<P> {
    inner: P,
    monitor: StorageMonitor,
}

impl<P: StorageProvider> Monitored<P> {
    /// Measures `provider` with `monitor`.
    pub const fn new(provider: P, monitor: StorageMonitor) -> Self {
        Self { inner: provider, monitor }
    }

    /// The provider below.
    pub const fn inner(&self) -> &P {
        &self.inner
    }

    /// What counts and times the calls.
    pub const fn monitor(&self) -> &StorageMonitor {
        &self.monitor
    }

    fn series(&self, key: ItemKey<'_>) -> Arc<Series> {
        self.monitor.find(key.content_type())
    }

    fn series_of(&self, query: &StorageQuery) -> Arc<Series> {
        self.monitor.find_for(query)
    }

    /// Measures a call that concerns no single content type.
    async fn wide<T>(&self, operation: Operation, call: impl Future<Output = Result<T>>) -> Result<T> {
        self.monitor.other().measure(operation, call, |_| None).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<P: StorageProvider> StorageProvider for Monitored<P> {
    fn info(&self) -> ProviderInfo {
        self.inner.info()
    }

    fn identity(&self) -> usize {
        self.inner.identity()
    }

    async fn save(&self, request: SaveRequest<'_>) -> Result<StorageItem> {
        let series = self.series(request.key);
        series.measure(Operation::Save, self.inner.save(request), |item| Some(item.metadata.size)).await
    }

    async fn load(&self, key: ItemKey<'_>) -> Result<Option<StorageItem>> {
        self.series(key).measure(Operation::Load, self.inner.load(key), size_of_found).await
    }

    async fn delete(&self, key: ItemKey<'_>, condition: Condition) -> Result<bool> {
        self.series(key).measure(Operation::Delete, self.inner.delete(key, condition), |_| None).await
    }

    async fn search(&self, query: &StorageQuery) -> Result<SearchPage> {
        self.series_of(query).measure(Operation::Search, self.inner.search(query), |_| None).await
    }

    async fn cleanup(&self) -> Result<CleanupReport> {
        self.wide(Operation::Cleanup, self.inner.cleanup()).await
    }

    async fn close(&self) -> Result<()> {
        self.wide(Operation::Close, self.inner.close()).await
    }

    async fn save_many(&self, requests: Vec<SaveRequest<'_>>) -> Vec<Result<StorageItem>> {
        let series: Vec<_> = requests.iter().map(|request| self.series(request.key)).collect();
        let call = self.inner.save_many(requests);
        measure_batch(Operation::SaveMany, &series, call, |item| Some(item.metadata.size)).await
    }

    async fn load_many(&self, keys: &[ItemKey<'_>]) -> Vec<Result<Option<StorageItem>>> {
        let series: Vec<_> = keys.iter().map(|key| self.series(*key)).collect();
        measure_batch(Operation::LoadMany, &series, self.inner.load_many(keys), size_of_found).await
    }

    async fn delete_many(&self, keys: &[ItemKey<'_>]) -> Vec<Result<bool>> {
        let series: Vec<_> = keys.iter().map(|key| self.series(*key)).collect();
        measure_batch(Operation::DeleteMany, &series, self.inner.delete_many(keys), |_| None).await
    }

    async fn touch(
        &self,
        key: ItemKey<'_>,
        expires_at: Option<Timestamp>,
    ) -> Result<Option<Arc<StorageMetadata>>> {
        self.series(key).measure(Operation::Touch, self.inner.touch(key, expires_at), |_| None).await
    }

    async fn count(&self, query: &StorageQuery) -> Result<u64> {
        self.series_of(query).measure(Operation::Count, self.inner.count(query), |_| None).await
    }

    async fn usage(&self) -> Result<Usage> {
        let usage = self.wide(Operation::Usage, self.inner.usage()).await?;
        self.monitor.record_usage(&usage);
        Ok(usage)
    }

    async fn health(&self) -> Health {
        let running = self.monitor.other().begin(Operation::Health);
        let health = self.inner.health().await;
        running.finished(None, None);
        health
    }
}

/// The payload of a load that found something.
pub(crate) fn size_of_found(item: &Option<StorageItem>) -> Option<u64> {
    item.as_ref().map(|item| item.data.len() as u64)
}
