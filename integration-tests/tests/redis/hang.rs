//! Fault 18: the server hangs. It keeps its connections and answers nothing.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use storage_core::{Condition, ErrorKind, ItemKey, SaveRequest, StorageProvider, StorageQuery};
use storage_manager::{ManagerProvider, UnifiedStorageManager};
use storage_memory::MemoryProvider;
use storage_redis::RedisProvider;
use test_servers::{found, redis::Server};

use crate::{
    load::Load,
    stopwatch::Stopwatch,
    support::{DEADLINE, config, connect, eventually, get, is_gone, key, kind, put, recovers, request},
};

#[tokio::test(flavor = "multi_thread")]
async fn fault_18_every_call_returns_within_its_deadline_while_the_server_is_stopped() {
    let Some(server) = found(Server::start()) else { return };
    let store = Stopwatch::over(connect(&server.url()).await);
    put(&*store, "before").await.unwrap();
    server.pause();
    for _ in 0..3 {
        every_verb_fails(&store).await;
        let cleanup = tokio::time::timeout(DEADLINE + DEADLINE / 2, store.cleanup()).await;
        assert!(is_gone(kind(&cleanup.unwrap())));
    }
    store.assert_within(DEADLINE);
    server.resume();
    println!("recovered after {:?}", recovers(&*store).await);
    assert!(get(&*store, "before").await.unwrap());
}

async fn every_verb_fails(store: &Arc<Stopwatch>) {
    let all = StorageQuery::new();
    let keys = [key("before"), key("other")];
    let answers = tokio::join!(
        async { kind(&store.save(request("during")).await) },
        async { kind(&store.load(key("before")).await) },
        async { kind(&store.delete(key("other"), Condition::None).await) },
        async { kind(&store.touch(key("other"), None).await) },
        async { kind(&store.search(&all).await) },
        async { kind(&store.count(&all).await) },
        async { kind(&store.usage().await) },
        async { kind(&store.cleanup().await) },
        async { store.load_many(&keys).await.iter().map(kind).find(|kind| !is_gone(*kind)) },
        async { store.delete_many(&keys[1..]).await.iter().map(kind).find(|kind| !is_gone(*kind)) },
        async {
            store.save_many(vec![request("during")]).await.iter().map(kind).find(|kind| !is_gone(*kind))
        },
        async { store.health().await },
    );
    for kind in [answers.0, answers.1, answers.2, answers.3, answers.4, answers.5, answers.6, answers.7] {
        assert!(is_gone(kind), "{answers:?}");
    }
    // A read is never in doubt.
    assert_ne!(answers.1, Some(ErrorKind::OutcomeUnknown));
    assert_eq!((answers.8, answers.9, answers.10), (None, None, None));
    assert!(!answers.11.is_healthy());
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_18_a_server_stopped_under_load_loses_nothing_acknowledged() {
    let Some(server) = found(Server::start()) else { return };
    let load = Load::start(config(&server.url())).await;
    for pause in [100, 400, 900, 1_500] {
        load.proceeds(200).await;
        server.pause();
        load.runs_for(pause).await;
        server.resume();
    }
    load.proceeds(200).await;
    load.store.assert_within(DEADLINE);
    let tally = load.check(config(&server.url())).await;
    assert!(tally.failures(ErrorKind::OutcomeUnknown) > 0, "{tally:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_18_clients_paused_by_the_server_are_served_again_and_nothing_is_lost() {
    let Some(server) = found(Server::start()) else { return };
    let load = Load::start(config(&server.url())).await;
    for (pause, what) in [("200", "ALL"), ("1500", "ALL"), ("1200", "WRITE")] {
        load.proceeds(200).await;
        let _ok: String = server.command(&["CLIENT", "PAUSE", pause, what]);
        load.runs_for(pause.parse().unwrap()).await;
    }
    load.proceeds(200).await;
    load.store.assert_within(DEADLINE);
    load.check(config(&server.url())).await;
}

/// Ten thousand calls against a hanging server: each returns in time, and none of them stays behind as a task.
#[tokio::test(flavor = "multi_thread")]
async fn fault_18_a_flood_of_calls_to_a_hanging_server_returns_in_time_and_leaves_nothing_behind() {
    let Some(server) = found(Server::start()) else { return };
    let store = Stopwatch::over(connect(&server.url()).await);
    put(&*store, "before").await.unwrap();
    let tasks = tasks();
    server.pause();
    let mut flood = tokio::task::JoinSet::new();
    for number in 0..10_000 {
        let store = Arc::clone(&store);
        flood.spawn(async move {
            match number % 2 {
                0 => kind(&get(&*store, "before").await),
                _ => kind(&put(&*store, &format!("flood-{number}")).await),
            }
        });
    }
    while let Some(answer) = flood.join_next().await {
        assert!(is_gone(answer.unwrap()));
    }
    // Ten thousand tasks that wake at once keep two processors busy for a while.
    store.assert_within(DEADLINE + Duration::from_millis(250));
    server.resume();
    recovers(&*store).await;
    eventually("the tasks are gone", || async { self::tasks() <= tasks + 2 }).await;
}

fn tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_18_other_providers_of_the_same_manager_are_not_slowed_by_a_hanging_server() {
    let Some(server) = found(Server::start()) else { return };
    let manager = manager(&server.url()).await;
    let before = slow_share(&manager).await;
    server.pause();
    let mut hanging = tokio::task::JoinSet::new();
    for number in 0..200 {
        let manager = manager.clone();
        hanging.spawn(async move {
            let key = format!("k{number}");
            kind(&manager.save(SaveRequest::new(item("remote", &key), "data")).await)
        });
    }
    let during = slow_share(&manager).await;
    while let Some(answer) = hanging.join_next().await {
        assert!(is_gone(answer.unwrap()));
    }
    server.resume();
    println!("the slowest percent of calls to memory took {before:?} before and {during:?} while redis hung");
    assert!(during <= before * 3 + Duration::from_millis(5), "{before:?} {during:?}");
}

async fn manager(url: &str) -> ManagerProvider {
    let provider = RedisProvider::connect(config(url)).await.unwrap();
    let routes = UnifiedStorageManager::builder().register("local", MemoryProvider::default());
    routes.register("remote", provider).build().unwrap().as_provider()
}

fn item<'a>(content_type: &'a str, key: &'a str) -> ItemKey<'a> {
    ItemKey::new(content_type, key).unwrap()
}

/// What the slowest percent of the calls to the local provider takes, for as long as calls to a hanging one take.
async fn slow_share(manager: &ManagerProvider) -> Duration {
    let mut times = Vec::new();
    let started = Instant::now();
    while started.elapsed() < DEADLINE {
        let one = Instant::now();
        let key = format!("k{}", times.len() % 1_000);
        manager.save(SaveRequest::new(item("local", &key), "data")).await.unwrap();
        assert!(manager.load(item("local", &key)).await.unwrap().is_some());
        times.push(one.elapsed());
        tokio::task::yield_now().await;
    }
    times.sort_unstable();
    times[times.len() * 99 / 100]
}
