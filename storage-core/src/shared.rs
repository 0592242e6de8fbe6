//! Shared providers are providers.

use std::{pin::Pin, sync::Arc};

use crate::{
    CleanupReport, Condition, Health, ItemKey, ProviderInfo, Result, SaveRequest, SearchPage, StorageItem,
    StorageMetadata, StorageProvider, StorageQuery, Timestamp, Usage,
};

/// Shared providers are providers.
///
/// The futures of the shared provider are handed on as they are: written with the attribute of the trait, each method
/// would allocate a second future around them.
#[deny(clippy::missing_trait_methods)]
impl<P: StorageProvider + ?Sized> StorageProvider for Arc<P> {
    fn info(&self) -> ProviderInfo {
        (**self).info()
    }

    fn identity(&self) -> usize {
        (**self).identity()
    }

    fn save<'own, 'key, 'call>(&'own self, request: SaveRequest<'key>) -> Answer<'call, Result<StorageItem>>
    where
        'own: 'call,
        'key: 'call,
        Self: 'call,
    {
        (**self).save(request)
    }

    fn load<'own, 'key, 'call>(&'own self, key: ItemKey<'key>) -> Answer<'call, Result<Option<StorageItem>>>
    where
        'own: 'call,
        'key: 'call,
        Self: 'call,
    {
        (**self).load(key)
    }

    fn delete<'own, 'key, 'call>(
        &'own self,
        key: ItemKey<'key>,
        condition: Condition,
    ) -> Answer<'call, Result<bool>>
    where
        'own: 'call,
        'key: 'call,
        Self: 'call,
    {
        (**self).delete(key, condition)
    }

    fn search<'own, 'key, 'call>(&'own self, query: &'key StorageQuery) -> Answer<'call, Result<SearchPage>>
    where
        'own: 'call,
        'key: 'call,
        Self: 'call,
    {
        (**self).search(query)
    }

    fn cleanup<'own, 'call>(&'own self) -> Answer<'call, Result<CleanupReport>>
    where
        'own: 'call,
        Self: 'call,
    {
        (**self).cleanup()
    }

    fn close<'own, 'call>(&'own self) -> Answer<'call, Result<()>>
    where
        'own: 'call,
        Self: 'call,
    {
        (**self).close()
    }

    fn save_many<'own, 'key, 'call>(
        &'own self,
        requests: Vec<SaveRequest<'key>>,
    ) -> Answer<'call, Vec<Result<StorageItem>>>
    where
        'own: 'call,
        'key: 'call,
        Self: 'call,
    {
        (**self).save_many(requests)
    }

    fn load_many<'own, 'list, 'key, 'call>(
        &'own self,
        keys: &'list [ItemKey<'key>],
    ) -> Answer<'call, Vec<Result<Option<StorageItem>>>>
    where
        'own: 'call,
        'list: 'call,
        'key: 'call,
        Self: 'call,
    {
        (**self).load_many(keys)
    }

    fn delete_many<'own, 'list, 'key, 'call>(
        &'own self,
        keys: &'list [ItemKey<'key>],
    ) -> Answer<'call, Vec<Result<bool>>>
    where
        'own: 'call,
        'list: 'call,
        'key: 'call,
        Self: 'call,
    {
        (**self).delete_many(keys)
    }

    fn touch<'own, 'key, 'call>(
        &'own self,
        key: ItemKey<'key>,
        expires_at: Option<Timestamp>,
    ) -> Answer<'call, Result<Option<Arc<StorageMetadata>>>>
    where
        'own: 'call,
        'key: 'call,
        Self: 'call,
    {
        (**self).touch(key, expires_at)
    }

    fn count<'own, 'key, 'call>(&'own self, query: &'key StorageQuery) -> Answer<'call, Result<u64>>
    where
        'own: 'call,
        'key: 'call,
        Self: 'call,
    {
        (**self).count(query)
    }

    fn usage<'own, 'call>(&'own self) -> Answer<'call, Result<Usage>>
    where
        'own: 'call,
        Self: 'call,
    {
        (**self).usage()
    }

    fn health<'own, 'call>(&'own self) -> Answer<'call, Health>
    where
        'own: 'call,
        Self: 'call,
    {
        (**self).health()
    }
}

/// What an asynchronous method of the trait answers.
type Answer<'call, T> = Pin<Box<dyn Future<Output = T> + Send + 'call>>;
