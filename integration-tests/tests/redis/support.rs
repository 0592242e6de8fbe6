//! Short words for what most tests do.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use storage_core::{
    ErrorKind, ItemKey, Result, SaveRequest, StorageItem, StorageMetadata, StorageProvider, StorageQuery,
};
use storage_redis::{ReconnectConfig, RedisConfig, RedisProvider};

/// The deadline of every call, unless a test says otherwise: short, because many tests wait for it.
pub(crate) const DEADLINE: Duration = Duration::from_millis(600);

/// What begins every key of ours.
pub(crate) const PREFIX: &str = "storage";

/// The settings of most tests.
pub(crate) fn config(url: &str) -> RedisConfig {
    RedisConfig {
        connect_timeout: Duration::from_millis(400),
        response_timeout: Duration::from_millis(500),
        operation_timeout: DEADLINE,
        reconnect: ReconnectConfig { min: Duration::from_millis(5), max: Duration::from_millis(100) },
        ..RedisConfig::from_url(url).unwrap()
    }
}

/// The same for a server that is sound but busy: loads of data are prepared with it.
pub(crate) fn patient(url: &str) -> RedisConfig {
    RedisConfig {
        response_timeout: Duration::from_secs(20),
        operation_timeout: Duration::from_secs(30),
        ..config(url)
    }
}

pub(crate) async fn connect(url: &str) -> Arc<RedisProvider> {
    Arc::new(RedisProvider::connect(config(url)).await.unwrap())
}

pub(crate) async fn refused(config: RedisConfig) -> storage_core::StorageError {
    match RedisProvider::connect(config).await {
        Ok(_) => panic!("the connection should have been refused"),
        Err(error) => error,
    }
}

pub(crate) fn key(key: &str) -> ItemKey<'_> {
    ItemKey::new("note", key).unwrap()
}

/// Saves an item whose data and tags follow from its key.
pub(crate) async fn put(store: &dyn StorageProvider, name: &str) -> Result<StorageItem> {
    store.save(request(name)).await
}

pub(crate) fn request(name: &str) -> SaveRequest<'_> {
    SaveRequest::new(key(name), format!("data of {name}")).tag("name", name).tag("all", "yes")
}

/// An item must be what `put` saved, or nothing.
pub(crate) async fn get(store: &dyn StorageProvider, name: &str) -> Result<bool> {
    let Some(item) = store.load(key(name)).await? else { return Ok(false) };
    assert_eq!((item.metadata.key.as_str(), &item.data[..]), (name, format!("data of {name}").as_bytes()));
    Ok(true)
}

/// Saves `names` and expects all of them to be acknowledged.
pub(crate) async fn put_all(store: &dyn StorageProvider, names: &[String]) {
    for chunk in names.chunks(500) {
        let answers = store.save_many(chunk.iter().map(|name| request(name)).collect()).await;
        answers.into_iter().for_each(|answer| drop(answer.unwrap()));
    }
}

pub(crate) fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("item-{number:06}")).collect()
}

/// Every hit of a query.
pub(crate) async fn search(
    store: &dyn StorageProvider,
    query: &StorageQuery,
) -> Result<Vec<StorageMetadata>> {
    let mut found = Vec::new();
    let mut query = query.clone().page_size(1_000);
    loop {
        let page = store.search(&query).await?;
        found.extend(page.results.into_iter().map(|hit| (*hit.item.metadata).clone()));
        match page.next {
            Some(next) => query = query.cursor(next),
            None => return Ok(found),
        }
    }
}

/// The kind of the failure; a success is none.
pub(crate) fn kind<T>(answer: &Result<T>) -> Option<ErrorKind> {
    answer.as_ref().err().map(storage_core::StorageError::kind)
}

/// Whether a call that changes something failed as it may when the server cannot be reached.
pub(crate) fn is_gone(kind: Option<ErrorKind>) -> bool {
    matches!(kind, Some(ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::OutcomeUnknown))
}

/// Polls until `done` says yes, for at most 30 seconds, and says how long it took.
pub(crate) async fn eventually<F: Future<Output = bool>>(
    what: &str,
    mut done: impl FnMut() -> F,
) -> Duration {
    let started = Instant::now();
    while !done().await {
        assert!(started.elapsed() < Duration::from_secs(30), "{what} within 30 s");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    started.elapsed()
}

/// Waits until saving and loading works, and says how long it took.
pub(crate) async fn recovers(store: &dyn StorageProvider) -> Duration {
    eventually("the provider works again", || async {
        put(store, "recovered").await.is_ok() && get(store, "recovered").await.is_ok()
    })
    .await
}

/// The seed of a random test, from the environment or drawn; printed, so that a failure can be replayed.
pub(crate) fn seed() -> u64 {
    let seed = std::env::var("FAULT_SEED").ok();
    let seed = seed.map_or_else(|| fastrand::u64(..), |text| text.parse().expect("FAULT_SEED is a number"));
    println!("replay with FAULT_SEED={seed}");
    seed
}
