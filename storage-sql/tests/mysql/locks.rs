//! Locks that others hold, and writers that get into each other's way.

use std::{
    thread,
    time::{Duration, Instant},
};

use storage_core::{Clock as _, ErrorKind, ManualClock, SaveRequest, StorageProvider as _};
use storage_sql::{SqlConfig, SqlProvider};
use test_servers::mariadb::Server;
use tokio::task::JoinSet;

use super::{
    open,
    support::{self, key, load, save},
};

/// Locks something for a while; answers once it is locked.
fn lock(server: &Server, statement: &str, seconds: u32) -> thread::JoinHandle<()> {
    let client = server.client();
    // What is locked is let go with the connection.
    let statements = format!("START TRANSACTION; {statement}; SELECT SLEEP({seconds})");
    let holder = thread::spawn(move || {
        client.execute(&statements).unwrap();
    });
    let deadline = Instant::now() + Duration::from_secs(20);
    let asleep = "SELECT COUNT(*) FROM information_schema.processlist WHERE state = 'User sleep'";
    while server.execute(asleep) == "0" {
        assert!(Instant::now() < deadline, "nothing is locked");
    }
    holder
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_save_outlasts_a_lock_that_somebody_else_holds() {
    let server = Server::start().unwrap();
    let config = SqlConfig {
        lock_timeout: Duration::from_secs(1),
        operation_timeout: Duration::from_secs(60),
        ..support::mysql::on(&server, "locked")
    };
    let store = open(config).await;
    save(&store, "a", "before").await.unwrap();
    let holder = lock(&server, "SELECT COUNT(*) FROM locked FOR UPDATE", 3);
    save(&store, "a", "after").await.unwrap();
    assert_eq!(load(&store, "a").await.unwrap().as_deref(), Some("after"));
    holder.join().unwrap();
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_without_a_free_connection_is_unavailable_and_recovers() {
    let server = Server::start().unwrap();
    let config = SqlConfig {
        pool_size: 1,
        operation_timeout: Duration::from_secs(2),
        ..support::mysql::on(&server, "exhausted")
    };
    let store = open(config).await;
    save(&store, "a", "before").await.unwrap();
    let holder = lock(&server, "LOCK TABLES exhausted WRITE", 4);
    let mut tasks = JoinSet::new();
    for _ in 0..5 {
        let store = store.clone();
        tasks.spawn(async move { load(&store, "a").await.map_err(|error| error.kind()) });
    }
    let answers = tasks.join_all().await;
    // One of them had the connection, and perhaps another one after it.
    let expected = |kind: &ErrorKind| matches!(kind, ErrorKind::Unavailable | ErrorKind::Timeout);
    assert!(answers.iter().all(|answer| answer.as_ref().is_err_and(expected)), "{answers:?}");
    assert!(answers.contains(&Err(ErrorKind::Unavailable)), "{answers:?}");
    holder.join().unwrap();
    support::eventually("the store is whole again", || async { save(&store, "a", "after").await.ok() }).await;
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cleaners_beside_writers_remove_each_expired_item_once_and_nothing_else() {
    const ITEMS: usize = 600;
    let clock = ManualClock::default();
    let config = super::config();
    let first = SqlProvider::builder(config.clone()).clock(clock.shared()).connect().await.unwrap();
    let second = SqlProvider::builder(config).clock(clock.shared()).connect().await.unwrap();
    let names: Vec<_> = (0..ITEMS).map(|number| format!("key {number}")).collect();
    let deadline = clock.now().saturating_add(Duration::from_secs(1));
    let requests =
        names.iter().map(|name| SaveRequest::new(key(name), "old").expires_at(deadline).tag("name", name));
    assert!(first.save_many(requests.collect()).await.iter().all(Result::is_ok));
    clock.advance(Duration::from_secs(2));
    let mut cleaners = JoinSet::new();
    for store in [&first, &second, &first, &second] {
        let store = store.clone();
        cleaners.spawn(async move { store.cleanup().await.unwrap().expired });
    }
    let mut writers = JoinSet::new();
    for (number, name) in names.iter().enumerate().filter(|(number, _)| number % 3 == 0) {
        let store = if number % 2 == 0 { first.clone() } else { second.clone() };
        let name = name.clone();
        writers.spawn(async move { save(&store, &name, "new").await.unwrap() });
    }
    let saved = writers.join_all().await.len();
    let mut removed: u64 = cleaners.join_all().await.iter().sum();
    removed += first.cleanup().await.unwrap().expired;
    assert!(removed as usize >= ITEMS - saved && removed as usize <= ITEMS, "{removed} removed");
    for (number, name) in names.iter().enumerate() {
        let expected = (number % 3 == 0).then_some("new");
        assert_eq!(load(&second, name).await.unwrap().as_deref(), expected, "{name}");
    }
    let report = first.verify().await.unwrap();
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(report.intact as usize, saved);
    first.close().await.unwrap();
    second.close().await.unwrap();
}
