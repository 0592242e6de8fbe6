//! Connections and servers that go away while they are needed.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use storage_core::{Condition, ErrorKind, StorageProvider as _};
use storage_sql::{SqlConfig, SqlProvider};
use test_servers::{Direction, Network, Proxy, mariadb::Server};
use tokio::task::JoinSet;

use super::{
    open,
    support::{self, eventually, key, load, save},
};

/// Tasks that each write rising numbers under a key of their own, and know what must be there afterwards.
struct Load {
    tasks: JoinSet<Outcome>,
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
}

/// What one task wrote: the last number that was acknowledged, and those after it whose fate nobody knows.
struct Outcome {
    name: String,
    last: Option<u64>,
    unknown: HashSet<u64>,
}

impl Load {
    fn start(store: &SqlProvider) -> Self {
        let (stop, acknowledged, failed) = <(Arc<AtomicBool>, Arc<AtomicU64>, Arc<AtomicU64>)>::default();
        let mut tasks = JoinSet::new();
        for task in 0..8 {
            let (store, stop) = (store.clone(), Arc::clone(&stop));
            let (acknowledged, failed) = (Arc::clone(&acknowledged), Arc::clone(&failed));
            tasks.spawn(async move {
                let mut outcome =
                    Outcome { name: format!("task {task}"), last: None, unknown: HashSet::new() };
                for number in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    match save(&store, &outcome.name, &number.to_string()).await {
                        Ok(_) => {
                            outcome.last = Some(number);
                            outcome.unknown.clear();
                            acknowledged.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(error) => {
                            failed.fetch_add(1, Ordering::Relaxed);
                            match error.kind() {
                                ErrorKind::OutcomeUnknown => {
                                    outcome.unknown.insert(number);
                                }
                                ErrorKind::Unavailable | ErrorKind::Timeout => {}
                                kind => panic!("{kind}: {error:?}"),
                            }
                            tokio::time::sleep(Duration::from_millis(5)).await;
                        }
                    }
                }
                outcome
            });
        }
        Self { tasks, stop, acknowledged, failed }
    }

    /// Waits until so many more saves are acknowledged.
    async fn go_on(&self, saves: u64) {
        let target = self.acknowledged.load(Ordering::Relaxed) + saves;
        eventually("the saves go on", || async {
            (self.acknowledged.load(Ordering::Relaxed) >= target).then_some(())
        })
        .await;
    }

    /// Waits until a save fails that began after this call.
    async fn notice(&self) {
        let before = self.failed.load(Ordering::Relaxed);
        eventually("a save fails", || async { (self.failed.load(Ordering::Relaxed) > before).then_some(()) })
            .await;
    }

    /// Ends the load and compares what is stored with what was acknowledged.
    async fn check(mut self, store: &SqlProvider) {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(outcome) = self.tasks.join_next().await {
            let Outcome { name, last, unknown } = outcome.unwrap();
            let stored = load(store, &name).await.unwrap().map(|text| text.parse::<u64>().unwrap());
            assert!(
                stored == last || stored.is_some_and(|stored| unknown.contains(&stored)),
                "{name}: {stored:?} is stored, {last:?} was acknowledged, then {unknown:?} unknown"
            );
        }
        assert!(store.verify().await.unwrap().is_clean());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_killed_under_load_cost_nothing_that_was_acknowledged() {
    let server = Server::start().unwrap();
    let store = open(support::mysql::on(&server, "killed")).await;
    let load = Load::start(&store);
    for _ in 0..8 {
        load.go_on(20).await;
        server.kill_connections();
    }
    load.go_on(20).await;
    load.check(&store).await;
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_and_restarted_under_load_loses_nothing_that_was_acknowledged() {
    let mut server = Server::builder().durable().start().unwrap();
    let store = open(support::mysql::on(&server, "restarted")).await;
    let load = Load::start(&store);
    for _ in 0..2 {
        load.go_on(20).await;
        server.kill();
        load.notice().await;
        server.restart();
        load.go_on(20).await;
    }
    server.shut_down();
    load.notice().await;
    server.restart();
    load.go_on(20).await;
    load.check(&store).await;
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_cut_at_any_byte_tells_the_truth_about_a_save() {
    let server = Server::start().unwrap();
    let proxy = Proxy::start(server.address()).await;
    let direct = open(support::mysql::on(&server, "cut")).await;
    let config =
        SqlConfig { pool_size: 1, ..support::mysql::at(&server.url_through(&proxy.address()), "cut") };
    let store = open(config).await;
    let mut unknown = 0;
    for (number, bytes) in (0..1_400).step_by(29).enumerate() {
        let name = format!("key {number}");
        let direction = if number % 2 == 0 { Direction::ToServer } else { Direction::ToClient };
        proxy.cut_after(direction, bytes);
        let answer = save(&store, &name, "data").await;
        let stored = load(&direct, &name).await.unwrap();
        match answer.map_err(|error| error.kind()) {
            Ok(_) => assert_eq!(stored.as_deref(), Some("data"), "cut after {bytes} bytes"),
            Err(ErrorKind::OutcomeUnknown) => unknown += 1,
            Err(ErrorKind::Unavailable) => assert_eq!(stored, None, "cut after {bytes} bytes"),
            Err(kind) => panic!("{kind} after {bytes} bytes"),
        }
    }
    println!("{unknown} saves of unknown outcome");
    // What is left of the last cut must not disturb the rest.
    eventually("the store is whole again", || async { save(&store, "last", "data").await.ok() }).await;
    assert!(direct.verify().await.unwrap().is_clean());
    store.close().await.unwrap();
    direct.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_does_not_answer_is_waited_for_until_the_deadline_and_no_longer() {
    let server = Server::start().unwrap();
    let proxy = Proxy::start(server.address()).await;
    let config = SqlConfig {
        operation_timeout: Duration::from_millis(700),
        connect_timeout: Duration::from_millis(300),
        ..support::mysql::at(&server.url_through(&proxy.address()), "deaf")
    };
    let store = open(config).await;
    save(&store, "a", "before").await.unwrap();
    proxy.set(Network::Dead);
    let kind = |kind| matches!(kind, ErrorKind::Timeout | ErrorKind::Unavailable);
    assert!(kind(load(&store, "a").await.unwrap_err().kind()));
    let error = save(&store, "a", "during").await.unwrap_err().kind();
    assert!(kind(error) || error == ErrorKind::OutcomeUnknown, "{error}");
    assert!(!store.health().await.is_healthy());
    proxy.cut();
    proxy.set(Network::Good);
    eventually("the store is whole again", || async { save(&store, "a", "after").await.ok() }).await;
    assert_eq!(load(&store, "a").await.unwrap().as_deref(), Some("after"));
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelled_calls_leave_the_pool_full_and_no_transaction_open() {
    let server = Server::start().unwrap();
    let config = SqlConfig { pool_size: 3, ..support::mysql::on(&server, "cancelled") };
    let store = open(config).await;
    for number in 0..200 {
        save(&store, &format!("key {number}"), "data").await.unwrap();
    }
    for round in 0..150_u64 {
        let call = async {
            let name = format!("key {round}");
            match round % 5 {
                0 => drop(save(&store, &name, "again").await),
                1 => drop(load(&store, &name).await),
                2 => drop(store.delete(key(&name), Condition::None).await),
                3 => drop(store.search(&storage_core::StorageQuery::new()).await),
                _ => drop(store.cleanup().await),
            }
        };
        let _cut = tokio::time::timeout(Duration::from_micros(fastrand::u64(..1_500)), call).await;
    }
    let mut tasks = JoinSet::new();
    for number in 0..12 {
        let store = store.clone();
        tasks.spawn(async move { load(&store, &format!("key {}", 190 + number % 10)).await.unwrap() });
    }
    assert!(tasks.join_all().await.iter().all(Option::is_some));
    eventually("no transaction is open", || async {
        // The server shows for a tenth of a second what it has shown before.
        tokio::time::sleep(Duration::from_millis(150)).await;
        (server.execute("SELECT COUNT(*) FROM information_schema.innodb_trx") == "0").then_some(())
    })
    .await;
    assert!(store.verify().await.unwrap().is_clean());
    store.close().await.unwrap();
    eventually("the connections are closed", || async {
        let count = "SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'storage'";
        (server.execute(count) == "0").then_some(())
    })
    .await;
}
