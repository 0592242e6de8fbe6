//! The whole manager as one provider.

use std::sync::Arc;

use storage_core::{
    Capabilities, CleanupReport, Condition, Health, ItemKey, ProviderInfo, Result, SaveRequest, SearchPage,
    StorageError, StorageItem, StorageMetadata, StorageProvider, StorageQuery, Timestamp, Usage, async_trait,
};

use crate::{Outcomes, UnifiedStorageManager, dispatch::NAME};

/// The whole manager as one provider, routed and measured: for tools and layers that work on any provider.
///
/// It offers what all its providers offer. Made by [`UnifiedStorageManager::as_provider`].
#[derive(Debug, Clone)]
pub struct ManagerProvider {
    manager: UnifiedStorageManager,
}

impl ManagerProvider {
    pub(crate) const fn new(manager: UnifiedStorageManager) -> Self {
        Self { manager }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl StorageProvider for ManagerProvider {
    fn info(&self) -> ProviderInfo {
        let capabilities = self.manager.dispatch().routes.distinct().into_iter();
        let common = capabilities.map(|target| target.provider.info().capabilities).reduce(common);
        ProviderInfo::new(NAME, common.unwrap_or_default())
    }

    fn identity(&self) -> usize {
        Arc::as_ptr(self.manager.dispatch()).addr()
    }

    async fn save(&self, request: SaveRequest<'_>) -> Result<StorageItem> {
        self.manager.dispatch().save(request).await.map_err(under_own_name)
    }

    async fn load(&self, key: ItemKey<'_>) -> Result<Option<StorageItem>> {
        self.manager.dispatch().load(key).await.map_err(under_own_name)
    }

    async fn delete(&self, key: ItemKey<'_>, condition: Condition) -> Result<bool> {
        self.manager.dispatch().delete(key, condition).await.map_err(under_own_name)
    }

    async fn search(&self, query: &StorageQuery) -> Result<SearchPage> {
        self.manager.search_page(query).await.map_err(under_own_name)
    }

    async fn cleanup(&self) -> Result<CleanupReport> {
        let reports = self.manager.cleanup().await.and_then(Outcomes::into_result).map_err(under_own_name)?;
        Ok(reports.into_iter().fold(CleanupReport::default(), |mut sum, report| {
            sum += report;
            sum
        }))
    }

    async fn close(&self) -> Result<()> {
        self.manager.close().await.into_result().map(|_| ()).map_err(under_own_name)
    }

    async fn save_many(&self, requests: Vec<SaveRequest<'_>>) -> Vec<Result<StorageItem>> {
        let answers = self.manager.dispatch().save_many(requests.into_iter().map(Ok).collect()).await;
        answers.into_iter().map(|answer| answer.map_err(under_own_name)).collect()
    }

    async fn load_many(&self, keys: &[ItemKey<'_>]) -> Vec<Result<Option<StorageItem>>> {
        let answers = self.manager.dispatch().load_many(keys.iter().copied().map(Ok).collect()).await;
        answers.into_iter().map(|answer| answer.map_err(under_own_name)).collect()
    }

    async fn delete_many(&self, keys: &[ItemKey<'_>]) -> Vec<Result<bool>> {
        let answers = self.manager.dispatch().delete_many(keys.iter().copied().map(Ok).collect()).await;
        answers.into_iter().map(|answer| answer.map_err(under_own_name)).collect()
    }

    async fn touch(
        &self,
        key: ItemKey<'_>,
        expires_at: Option<Timestamp>,
    ) -> Result<Option<Arc<StorageMetadata>>> {
        self.manager.dispatch().touch(key, expires_at).await.map_err(under_own_name)
    }

    async fn count(&self, query: &StorageQuery) -> Result<u64> {
        self.manager.count(query).await.map_err(under_own_name)
    }

    async fn usage(&self) -> Result<Usage> {
        self.manager.usage().await.map_err(under_own_name)
    }

    async fn health(&self) -> Health {
        let outcomes = match self.manager.health().await {
            Ok(outcomes) => outcomes,
            Err(error) => return Health::Unhealthy(error.to_string()),
        };
        let mut ailing = Vec::new();
        let mut working = false;
        for outcome in outcomes.providers {
            match outcome.result {
                Ok(Health::Healthy) => working = true,
                Ok(Health::Degraded(why)) => {
                    working = true;
                    ailing.push(format!("{}: {why}", outcome.provider.name));
                }
                Ok(Health::Unhealthy(why)) => ailing.push(format!("{}: {why}", outcome.provider.name)),
                Err(error) => ailing.push(error.to_string()),
            }
        }
        match (ailing.is_empty(), working) {
            (true, _) => Health::Healthy,
            (false, true) => Health::Degraded(ailing.join("; ")),
            (false, false) => Health::Unhealthy(ailing.join("; ")),
        }
    }
}

/// The failure as one of this provider: whoever caused it stands in the message, and whole behind it as the cause.
fn under_own_name(error: StorageError) -> StorageError {
    let message = match error.provider() {
        None | Some(NAME) => return error.with_provider(NAME),
        Some(provider) => format!("{provider}: {}", error.message()),
    };
    let mut named = StorageError::new(error.kind(), message).with_provider(NAME);
    if let Some(operation) = error.operation() {
        named = named.with_operation(operation);
    }
    if let Some(content_type) = error.content_type() {
        named = match error.key().map(|key| ItemKey::new(content_type, key)) {
            Some(Ok(key)) => named.with_key(key),
            _ => named.with_content_type(content_type),
        };
    }
    named.with_source(error)
}

/// What both offer.
fn common(a: Capabilities, b: Capabilities) -> Capabilities {
    Capabilities::default()
        .durable(a.durable && b.durable)
        .shared(a.shared && b.shared)
        .conditions(a.conditions && b.conditions)
        .tags(a.tags && b.tags)
        .search(a.search && b.search)
        .metadata(a.metadata && b.metadata)
        .max_payload(a.max_payload.min(b.max_payload))
}
