//! Short words for what most checks do.

use std::{collections::HashSet, fmt::Debug, time::Duration};

use super::{Fixture, Store};
use crate::{
    Bytes, CleanupReport, ErrorKind, ItemKey, Result, SaveRequest, StorageError, StorageItem, StorageQuery,
    StorageResult,
};

/// The content type of most checks.
pub(super) const KIND: &str = "note";

/// The identity of `key` under the content type of most checks.
pub(super) fn key(key: &str) -> ItemKey<'_> {
    typed(KIND, key)
}

/// The identity of `key` under `content_type`.
pub(super) fn typed<'a>(content_type: &'a str, key: &'a str) -> ItemKey<'a> {
    ItemKey::new(content_type, key).unwrap()
}

/// A save of `data` under `name`.
pub(super) fn request<'a>(name: &'a str, data: &str) -> SaveRequest<'a> {
    SaveRequest::new(key(name), data.to_owned())
}

/// Saves `data` under `name`.
pub(super) async fn put(store: &Store, name: &str, data: &str) -> StorageItem {
    save(store, request(name, data)).await
}

/// Saves, which must succeed.
pub(super) async fn save(store: &Store, request: SaveRequest<'_>) -> StorageItem {
    let key = request.key;
    store.save(request).await.unwrap_or_else(|error| panic!("save of {key:?} failed: {error:?}"))
}

/// Saves all, which must succeed.
pub(super) async fn save_all(store: &Store, requests: Vec<SaveRequest<'_>>) -> Vec<StorageItem> {
    let answers = store.save_many(requests).await;
    answers.into_iter().map(|answer| answer.expect("save_many failed for one")).collect()
}

/// Loads what is stored under `name`.
pub(super) async fn get(store: &Store, name: &str) -> Option<StorageItem> {
    load(store, key(name)).await
}

/// Loads, which must succeed.
pub(super) async fn load(store: &Store, key: ItemKey<'_>) -> Option<StorageItem> {
    store.load(key).await.unwrap_or_else(|error| panic!("load of {key:?} failed: {error:?}"))
}

/// The data under `name`, as text.
pub(super) async fn text(store: &Store, name: &str) -> Option<String> {
    get(store, name).await.map(|item| text_of(&item.data))
}

pub(super) fn text_of(data: &Bytes) -> String {
    String::from_utf8_lossy(data).into_owned()
}

/// Every hit of `query`, page after page.
pub(super) async fn hits(store: &Store, query: &StorageQuery) -> Vec<StorageResult> {
    let mut query = query.clone();
    let mut all = Vec::new();
    let mut cursors = HashSet::new();
    loop {
        let page = store.search(&query).await.unwrap_or_else(|error| panic!("{query:?} failed: {error:?}"));
        assert!(
            page.next.is_none() || !page.results.is_empty(),
            "an empty page of {query:?} has a next one, so that a walk need not end"
        );
        all.extend(page.results);
        match page.next {
            Some(next) => {
                assert!(cursors.insert(next.to_string()), "the walk of {query:?} runs in a circle");
                query = query.cursor(next);
            }
            None => return all,
        }
    }
}

/// Every item that matches `query`, in its order.
pub(super) async fn find(store: &Store, query: &StorageQuery) -> Vec<StorageItem> {
    hits(store, query).await.into_iter().map(|hit| hit.item).collect()
}

/// The keys of all hits, in order.
pub(super) async fn keys(store: &Store, query: &StorageQuery) -> Vec<String> {
    find(store, query).await.iter().map(|item| item.metadata.key.clone()).collect()
}

/// Content type and key of all hits, in order, as `type/key`.
pub(super) async fn names(store: &Store, query: &StorageQuery) -> Vec<String> {
    let items = find(store, query).await;
    items.iter().map(|item| format!("{}/{}", item.metadata.content_type, item.metadata.key)).collect()
}

/// The number of live items that match.
pub(super) async fn count(store: &Store, query: &StorageQuery) -> u64 {
    store.count(query).await.unwrap_or_else(|error| panic!("count of {query:?} failed: {error:?}"))
}

/// Runs a cleanup, which must succeed.
pub(super) async fn cleanup(store: &Store) -> CleanupReport {
    store.cleanup().await.unwrap_or_else(|error| panic!("cleanup failed: {error:?}"))
}

/// The error of a call that must fail with `kind`.
pub(super) fn refused<T: Debug>(result: Result<T>, kind: ErrorKind) -> StorageError {
    match result {
        Ok(answer) => panic!("expected {kind}, but the call succeeded with {answer:?}"),
        Err(error) => {
            assert_eq!(error.kind(), kind, "expected {kind}, but the call failed otherwise: {error:?}");
            error
        }
    }
}

/// Asserts that what is stored under the item's key is exactly `item`.
pub(super) async fn assert_stored(store: &Store, item: &StorageItem) {
    let stored = load(store, item.metadata.item_key().unwrap()).await;
    assert_eq!(stored.as_ref(), Some(item), "the stored item is not the expected one");
}

/// Polls `done` until it says yes, for at most 20 seconds.
pub(super) async fn eventually<F: Future<Output = bool>>(what: &str, mut done: impl FnMut() -> F) {
    let wait = async {
        while !done().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(20), wait).await.is_ok(), "{what} within 20 s");
}

/// Sets the manual clock back by an hour. The real clock cannot be moved: there the check goes on without the step.
pub(super) fn step_back(fixture: &Fixture) {
    if let Some(clock) = fixture.manual() {
        clock.set(fixture.now().saturating_sub(Duration::from_secs(3_600)));
    }
}
