//! Short words for what most tests do.

use std::{
    sync::LazyLock,
    time::{Duration, Instant},
};

use storage_core::{
    ErrorKind, ItemKey, Result, SaveRequest, StorageError, StorageItem, StorageProvider, SystemClock,
};
use storage_sql::{SqlConfig, SqlProvider};
use test_servers::postgres::Server;

/// The deadline of every call, unless a test says otherwise: short, because many tests wait for it.
pub(crate) const DEADLINE: Duration = Duration::from_millis(800);

/// One server for all tests that do it no harm.
pub(crate) fn shared() -> Option<&'static Server> {
    static SERVER: LazyLock<Option<Server>> =
        LazyLock::new(|| test_servers::found(Server::builder().setting("deadlock_timeout = 20ms").start()));
    SERVER.as_ref()
}

/// The settings of most tests.
pub(crate) fn config(url: &str, table: &str) -> SqlConfig {
    let mut config = SqlConfig::from_url(url).unwrap();
    config.table_name = table.to_owned();
    config.connect_timeout = Duration::from_millis(600);
    config.lock_timeout = Duration::from_millis(400);
    config.operation_timeout = DEADLINE;
    config
}

/// The same for servers that are sound but busy.
pub(crate) fn patient(url: &str, table: &str) -> SqlConfig {
    let mut config = config(url, table);
    config.connect_timeout = Duration::from_secs(20);
    config.lock_timeout = Duration::from_secs(20);
    config.operation_timeout = Duration::from_secs(30);
    config
}

pub(crate) async fn open(config: SqlConfig) -> Result<SqlProvider> {
    SqlProvider::builder(config).clock(SystemClock::shared()).connect().await
}

pub(crate) async fn refused(config: SqlConfig) -> StorageError {
    match open(config).await {
        Ok(_) => panic!("the connection should have been refused"),
        Err(error) => error,
    }
}

pub(crate) fn key(key: &str) -> ItemKey<'_> {
    ItemKey::new("note", key).unwrap()
}

pub(crate) fn request(name: &str) -> SaveRequest<'_> {
    SaveRequest::new(key(name), format!("data of {name}")).tag("name", name).tag("all", "yes")
}

/// Saves an item whose data and tags follow from its key.
pub(crate) async fn put(store: &dyn StorageProvider, name: &str) -> Result<StorageItem> {
    store.save(request(name)).await
}

/// An item must be what `put` saved, or nothing.
pub(crate) async fn get(store: &dyn StorageProvider, name: &str) -> Result<bool> {
    let Some(item) = store.load(key(name)).await? else { return Ok(false) };
    assert_eq!((item.metadata.key.as_str(), &item.data[..]), (name, format!("data of {name}").as_bytes()));
    Ok(true)
}

pub(crate) fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("item-{number:06}")).collect()
}

/// Saves `names` and expects all of them to be acknowledged.
pub(crate) async fn put_all(store: &dyn StorageProvider, names: &[String]) {
    for chunk in names.chunks(500) {
        let answers = store.save_many(chunk.iter().map(|name| request(name)).collect()).await;
        answers.into_iter().for_each(|answer| drop(answer.unwrap()));
    }
}

/// The kind of the failure; a success is none.
pub(crate) fn kind<T>(answer: &Result<T>) -> Option<ErrorKind> {
    answer.as_ref().err().map(StorageError::kind)
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

/// Waits until saving and loading works, and leaves nothing.
pub(crate) async fn recovers(store: &dyn StorageProvider) {
    eventually("the provider works again", || async {
        put(store, "recovered").await.is_ok() && get(store, "recovered").await.is_ok()
    })
    .await;
    let deleted = store.delete(key("recovered"), storage_core::Condition::None).await;
    assert!(deleted.unwrap());
}

/// The seed of a random test, from the environment or drawn; printed, so that a failure can be replayed.
pub(crate) fn seed() -> u64 {
    let seed = std::env::var("FAULT_SEED").ok();
    let seed = seed.map_or_else(|| fastrand::u64(..), |text| text.parse().expect("FAULT_SEED is a number"));
    println!("replay with FAULT_SEED={seed}");
    seed
}
