//! Compares a store with a model: values, metadata, and every index.

use std::collections::BTreeMap;

use storage_core::{Order, StorageItem, StorageMetadata, StorageProvider, StorageQuery, Timestamp, Usage};
use storage_fs::FsProvider;

use crate::{
    model::Model,
    protocol::{OP, item_key, payload},
    workload::{COLORS, CONTENT_TYPES},
};

/// Compares a store, at the time `now` that it sees, with what is known of it, and returns its items.
///
/// # Errors
/// The first difference.
pub async fn check(
    store: &dyn StorageProvider,
    model: &Model,
    now: Timestamp,
) -> Result<Vec<StorageMetadata>, String> {
    check_with(store, model.names(), now, |name, found| model.explain(name, found, now)).await
}

/// Compares a store with itself, and each item that it holds under `names` with what `explain` says of it.
pub(crate) async fn check_with<'a>(
    store: &dyn StorageProvider,
    names: impl Iterator<Item = &'a str>,
    now: Timestamp,
    mut explain: impl FnMut(&str, Option<&StorageMetadata>) -> Result<(), String>,
) -> Result<Vec<StorageMetadata>, String> {
    let mut items = BTreeMap::new();
    for name in names {
        let item = store.load(item_key(name)).await.map_err(|error| format!("load of {name}: {error:?}"))?;
        explain(name, item.as_ref().map(|item| &*item.metadata))?;
        if let Some(item) = item {
            check_item(&item, now)?;
            items.insert(name.to_owned(), (*item.metadata).clone());
        }
    }
    let items: Vec<StorageMetadata> = items.into_values().collect();
    check_indexes(store, &items, now).await?;
    check_usage(store, &items).await?;
    Ok(items)
}

/// Reads everything that the store has on the disk.
///
/// # Errors
/// What is damaged.
pub async fn scrub(store: &FsProvider) -> Result<(), String> {
    let report = store.verify().await.map_err(|error| format!("verify: {error:?}"))?;
    if report.is_clean() { Ok(()) } else { Err(format!("verify is not clean: {report:?}")) }
}

/// Data and metadata of an item must come from one save.
pub(crate) fn check_item(item: &StorageItem, now: Timestamp) -> Result<(), String> {
    let metadata = &item.metadata;
    let op = metadata.tags.get(OP).ok_or_else(|| format!("an item without its tag: {metadata:?}"))?;
    if item.data != payload(op, metadata.size) {
        return Err(format!("the data is not of the save that wrote the metadata: {metadata:?}"));
    }
    if metadata.updated_at < metadata.created_at || !metadata.is_live(now) {
        return Err(format!("the times do not fit (it is {now}): {metadata:?}"));
    }
    Ok(())
}

async fn check_indexes(
    store: &dyn StorageProvider,
    items: &[StorageMetadata],
    now: Timestamp,
) -> Result<(), String> {
    for query in queries(items, now) {
        let mut expected = expected(&query, items, now)?;
        let count = store.count(&query).await.map_err(|error| format!("count of {query:?}: {error:?}"))?;
        let found = walk(store, &query).await?;
        if count != expected.len() as u64 || found != expected {
            let missing: Vec<_> = expected.extract_if(.., |item| !found.contains(item)).collect();
            let phantoms: Vec<_> = found.iter().filter(|item| !items.contains(item)).collect();
            return Err(format!(
                "an index disagrees with the data: {query:?} counts {count} and finds {} of {} items\n  missing {missing:?}\n  phantoms {phantoms:?}",
                found.len(),
                items.len()
            ));
        }
    }
    Ok(())
}

/// One query or more for each index: content type and key, tags, created, updated, expires.
fn queries(items: &[StorageMetadata], now: Timestamp) -> Vec<StorageQuery> {
    let all = || StorageQuery::new().metadata_only().page_size(64);
    let middle = items.get(items.len() / 2);
    let created = middle.map_or(now, |item| item.created_at);
    let updated = middle.map_or(now, |item| item.updated_at);
    let expires = items.iter().filter_map(|item| item.expires_at).nth(2).unwrap_or(now);
    let mut queries = vec![
        all(),
        all().order(Order::KEY.descending()),
        all().order(Order::CREATED),
        all().order(Order::CREATED.descending()),
        all().order(Order::UPDATED),
        all().order(Order::UPDATED.descending()),
        all().pattern("own-1*"),
        all().created_after(created),
        all().created_before(created),
        all().updated_after(updated),
        all().updated_before(updated),
        all().expires_after(Timestamp::MIN),
        all().expires_after(expires),
        all().expires_before(expires),
    ];
    queries.extend(CONTENT_TYPES.map(|content_type| all().content_type(content_type)));
    queries.extend(COLORS.map(|color| all().tag("color", color)));
    // Each save has a tag of its own, so that the tag index is asked for every single item.
    queries.extend(items.iter().filter_map(|item| Some(all().tag(OP, item.tags.get(OP)?))));
    queries
}

fn expected(
    query: &StorageQuery,
    items: &[StorageMetadata],
    now: Timestamp,
) -> Result<Vec<StorageMetadata>, String> {
    let compiled = query.compile().map_err(|error| error.to_string())?;
    let mut expected: Vec<StorageMetadata> =
        items.iter().filter(|item| compiled.matches(item, now)).cloned().collect();
    expected.sort_by(|a, b| compiled.compare(a, b));
    Ok(expected)
}

async fn walk(store: &dyn StorageProvider, query: &StorageQuery) -> Result<Vec<StorageMetadata>, String> {
    let mut found = Vec::new();
    let mut query = query.clone();
    loop {
        let page = store.search(&query).await.map_err(|error| format!("{query:?}: {error:?}"))?;
        found.extend(page.results.into_iter().map(|hit| (*hit.item.metadata).clone()));
        match page.next {
            Some(next) => query = query.cursor(next),
            None => return Ok(found),
        }
    }
}

async fn check_usage(store: &dyn StorageProvider, items: &[StorageMetadata]) -> Result<(), String> {
    let mut expected = Usage::default();
    for item in items {
        expected.add_item(&item.content_type, item.size);
    }
    let usage = store.usage().await.map_err(|error| format!("usage: {error:?}"))?;
    if usage == expected { Ok(()) } else { Err(format!("usage is {usage:?} instead of {expected:?}")) }
}
