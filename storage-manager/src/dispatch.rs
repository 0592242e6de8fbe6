//! Calls on bytes: route, measure, ask the provider, explain its failure. What is typed stands on top.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use serde::de::DeserializeOwned;
use storage_core::{
    Codec, Condition, Encoding, ErrorKind, ItemKey, Result, SaveRequest, SearchPage, SharedClock,
    StorageError, StorageItem, StorageMetadata, StorageQuery, Timestamp, Usage,
};

use crate::{
    Operation, StorageMonitor,
    explain::{explain, log},
    merge,
    monitored::size_of_found,
    routes::{Route, Routes, Target},
};

/// What the manager calls itself where it refuses a call.
pub(crate) const NAME: &str = "manager";

/// What all handles of one manager share.
#[derive(Debug)]
pub(crate) struct Dispatch {
    pub(crate) routes: Routes,
    pub(crate) monitor: StorageMonitor,
    pub(crate) clock: SharedClock,
    pub(crate) codec: Codec,
    /// How long cleanup, close and health wait for one provider.
    pub(crate) deadline: Duration,
    pub(crate) closed: AtomicBool,
}

impl Dispatch {
    pub(crate) fn new(monitor: StorageMonitor, clock: SharedClock, codec: Codec, deadline: Duration) -> Self {
        Self { routes: Routes::default(), monitor, clock, codec, deadline, closed: AtomicBool::new(false) }
    }

    pub(crate) async fn save(&self, request: SaveRequest<'_>) -> Result<StorageItem> {
        let (operation, key) = (Operation::Save, request.key);
        let route = self.route(operation, key.content_type()).map_err(|error| error.with_key(key))?;
        let call = route.provider.save(request);
        let answer = route.series.measure(operation, call, |item| Some(item.metadata.size)).await;
        answer.map_err(|error| explain(error, operation, &route.provider).with_key(key))
    }

    pub(crate) async fn load(&self, key: ItemKey<'_>) -> Result<Option<StorageItem>> {
        let operation = Operation::Load;
        let route = self.route(operation, key.content_type()).map_err(|error| error.with_key(key))?;
        let answer = route.series.measure(operation, route.provider.load(key), size_of_found).await;
        answer.map_err(|error| explain(error, operation, &route.provider).with_key(key))
    }

    pub(crate) async fn delete(&self, key: ItemKey<'_>, condition: Condition) -> Result<bool> {
        let operation = Operation::Delete;
        let route = self.route(operation, key.content_type()).map_err(|error| error.with_key(key))?;
        let answer = route.series.measure(operation, route.provider.delete(key, condition), |_| None).await;
        answer.map_err(|error| explain(error, operation, &route.provider).with_key(key))
    }

    pub(crate) async fn touch(
        &self,
        key: ItemKey<'_>,
        deadline: Option<Timestamp>,
    ) -> Result<Option<Arc<StorageMetadata>>> {
        let operation = Operation::Touch;
        let route = self.route(operation, key.content_type()).map_err(|error| error.with_key(key))?;
        let answer = route.series.measure(operation, route.provider.touch(key, deadline), |_| None).await;
        answer.map_err(|error| explain(error, operation, &route.provider).with_key(key))
    }

    /// One page over every provider that the query concerns.
    pub(crate) async fn search_page(&self, query: &StorageQuery) -> Result<SearchPage> {
        let operation = Operation::Search;
        let compiled = query.compile().map_err(|error| self.refuse(operation, error))?;
        let targets = self.concerned(operation, query)?;
        if let [target] = &targets[..] {
            return self.search_one(target, query).await;
        }
        let pages = join_all(targets.iter().map(|target| self.search_one(target, query))).await;
        Ok(merge::pages(&compiled, pages.into_iter().collect::<Result<_>>()?))
    }

    /// One page of one provider.
    pub(crate) async fn search_one(&self, target: &Target, query: &StorageQuery) -> Result<SearchPage> {
        let operation = Operation::Search;
        let series = self.monitor.find_for(query);
        let answer = series.measure(operation, target.provider.search(query), |_| None).await;
        answer.map_err(|error| explain(error, operation, &target.provider))
    }

    pub(crate) async fn count(&self, query: &StorageQuery) -> Result<u64> {
        let operation = Operation::Count;
        // The cursor is ignored, as every provider does: it may belong to another query.
        query.filters().compile().map_err(|error| self.refuse(operation, error))?;
        let targets = self.concerned(operation, query)?;
        let counts = join_all(targets.iter().map(|target| self.count_one(target, query))).await;
        counts.into_iter().sum()
    }

    async fn count_one(&self, target: &Target, query: &StorageQuery) -> Result<u64> {
        let operation = Operation::Count;
        let series = self.monitor.find_for(query);
        let answer = series.measure(operation, target.provider.count(query), |_| None).await;
        answer.map_err(|error| explain(error, operation, &target.provider))
    }

    pub(crate) async fn usage(&self) -> Result<Usage> {
        let targets = self.targets(Operation::Usage)?;
        let usages = join_all(targets.iter().map(|target| self.usage_one(target))).await;
        Ok(self.summed(usages.into_iter().collect::<Result<_>>()?))
    }

    /// The sum of what all providers hold, which the metrics learn of, too.
    pub(crate) fn summed(&self, usages: Vec<Usage>) -> Usage {
        let mut sum = Usage::default();
        for (content_type, amount) in usages.into_iter().flat_map(|usage| usage.content_types) {
            *sum.content_types.entry(content_type).or_default() += amount;
        }
        self.monitor.record_usage(&sum);
        sum
    }

    async fn usage_one(&self, target: &Target) -> Result<Usage> {
        let operation = Operation::Usage;
        let answer = self.monitor.other().measure(operation, target.provider.usage(), |_| None).await;
        answer.map_err(|error| explain(error, operation, &target.provider))
    }

    /// The route of a content type, for a call that is counted if there is none.
    pub(crate) fn route(&self, operation: Operation, content_type: &str) -> Result<Arc<Route>> {
        self.find(content_type).map_err(|error| self.refuse(operation, error))
    }

    /// The route of a content type.
    pub(crate) fn find(&self, content_type: &str) -> Result<Arc<Route>> {
        self.check_open()?;
        self.routes.find(content_type).ok_or_else(|| {
            StorageError::new(ErrorKind::NoProvider, "no provider is registered for this content type")
                .with_content_type(content_type)
        })
    }

    /// Each distinct provider.
    pub(crate) fn targets(&self, operation: Operation) -> Result<Vec<Target>> {
        self.check_open().map_err(|error| self.refuse(operation, error))?;
        Ok(self.routes.distinct())
    }

    /// The providers that a query concerns: the one its content type is routed to, else all of them.
    pub(crate) fn concerned(&self, operation: Operation, query: &StorageQuery) -> Result<Vec<Target>> {
        if let Some(content_type) = query.get_content_type() {
            let route = self.route(operation, content_type)?;
            let provider = Arc::clone(&route.provider);
            return Ok(vec![Target { provider, routes: vec![route.pattern.to_string()] }]);
        }
        let targets = self.targets(operation)?;
        if targets.is_empty() {
            let error = StorageError::new(ErrorKind::NoProvider, "no provider is registered");
            return Err(self.refuse(operation, error));
        }
        Ok(targets)
    }

    /// Whether calls are still taken.
    pub(crate) fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(StorageError::new(ErrorKind::Closed, "the manager is closed"));
        }
        Ok(())
    }

    /// The item with its data decoded by the codec it was saved with.
    pub(crate) fn decode<T: DeserializeOwned>(
        &self,
        operation: Operation,
        item: StorageItem,
    ) -> Result<StorageItem<T>> {
        let codec = codec_of(&item.metadata.encoding).unwrap_or(self.codec);
        codec.decode_item(item).map_err(|error| {
            self.monitor.count_error(error.kind());
            let error = error.with_operation(operation.as_str());
            log(&error);
            error
        })
    }

    /// Counts a call that no provider was asked for, and names it.
    pub(crate) fn refuse(&self, operation: Operation, error: StorageError) -> StorageError {
        self.monitor.other().count_refusal(operation, error.kind());
        let error = error.with_operation(operation.as_str()).with_provider(NAME);
        log(&error);
        error
    }

    /// The identity of an item.
    pub(crate) fn key<'k>(
        &self,
        operation: Operation,
        content_type: &'k str,
        key: &'k str,
    ) -> Result<ItemKey<'k>> {
        ItemKey::new(content_type, key).map_err(|error| self.refuse(operation, error))
    }
}

/// The codec whose items carry this encoding.
fn codec_of(encoding: &Encoding) -> Option<Codec> {
    [Codec::Json, Codec::MessagePack].into_iter().find(|codec| codec.encoding() == *encoding)
}
