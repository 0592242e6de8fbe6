//! Fault 30: connections are lost and servers go away while we work.

use std::time::{Duration, Instant};

use storage_core::{Condition, ErrorKind, StorageProvider};
use test_servers::{found, postgres::Server};

use crate::{
    load::Load,
    support::{DEADLINE, config, eventually, get, key, kind, open, patient, put, recovers, request, shared},
};

const OTHERS: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE application_name = 'storage-sql' AND pid <> pg_backend_pid()";

#[tokio::test(flavor = "multi_thread")]
async fn fault_30_connections_ended_by_the_server_under_load_lose_nothing_acknowledged() {
    let Some(server) = found(Server::start()) else { return };
    let load = Load::start(config(&server.url(), "ended")).await;
    for _ in 0..10 {
        load.proceeds(150).await;
        server.sql(OTHERS);
    }
    load.proceeds(150).await;
    let tally = load.check(&server.url(), "ended").await;
    assert!(tally.failures(ErrorKind::OutcomeUnknown) > 0, "{tally:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_30_a_server_that_crashes_and_comes_back_under_load_loses_nothing_acknowledged() {
    let Some(mut server) = found(Server::start()) else { return };
    let load = Load::start(config(&server.url(), "crashed")).await;
    for round in 0..4 {
        load.proceeds(300).await;
        if round % 2 == 0 {
            server.kill();
        } else {
            server.shut_down();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        server.start_again();
    }
    let recovered = load.proceeds(300).await;
    println!("300 writes after the last restart took {recovered:?}");
    let tally = load.check(&server.url(), "crashed").await;
    assert!(tally.failures(ErrorKind::Unavailable) > 0, "{tally:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_30_while_the_server_is_gone_calls_were_not_applied_and_none_takes_too_long() {
    let Some(mut server) = found(Server::start()) else { return };
    let store = open(config(&server.url(), "gone")).await.unwrap();
    put(&store, "before").await.unwrap();
    server.kill();
    // The first call may still be handed to a dead connection.
    let first = kind(&put(&store, "first").await);
    assert!(matches!(first, Some(ErrorKind::Unavailable | ErrorKind::OutcomeUnknown)), "{first:?}");
    for _ in 0..20 {
        let started = Instant::now();
        let (saved, loaded) = tokio::join!(put(&store, "gone"), get(&store, "before"));
        assert_eq!(kind(&saved), Some(ErrorKind::Unavailable), "{saved:?}");
        assert_eq!(kind(&loaded), Some(ErrorKind::Unavailable), "{loaded:?}");
        assert!(started.elapsed() < DEADLINE + Duration::from_millis(250), "{:?}", started.elapsed());
    }
    assert!(!store.health().await.is_healthy());
    server.start_again();
    recovers(&store).await;
    assert!(get(&store, "before").await.unwrap());
    assert!(!get(&store, "gone").await.unwrap(), "a call that was said not to be applied was");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_is_waited_for_until_the_deadline_and_used_again_afterwards() {
    let Some(server) = found(Server::start()) else { return };
    let store = open(config(&server.url(), "hangs")).await.unwrap();
    put(&store, "before").await.unwrap();
    get(&store, "before").await.unwrap();
    let backends = server.sql("SELECT pid FROM pg_stat_activity WHERE application_name = 'storage-sql'");
    let backends: Vec<_> = backends.lines().map(str::to_owned).collect();
    signal(&backends, "STOP");
    server.pause();
    for _ in 0..3 {
        let started = Instant::now();
        let (saved, loaded) = tokio::join!(put(&store, "hung"), get(&store, "before"));
        let unanswered = |kind| matches!(kind, Some(ErrorKind::Timeout | ErrorKind::Unavailable));
        assert!(unanswered(kind(&loaded)), "{loaded:?}");
        assert!(unanswered(kind(&saved)) || kind(&saved) == Some(ErrorKind::OutcomeUnknown), "{saved:?}");
        assert!(started.elapsed() < DEADLINE + Duration::from_millis(250), "{:?}", started.elapsed());
    }
    server.resume();
    signal(&backends, "CONT");
    recovers(&store).await;
    assert!(get(&store, "before").await.unwrap());
}

fn signal(processes: &[String], signal: &str) {
    let status = std::process::Command::new("kill").arg(format!("-{signal}")).args(processes).status();
    assert!(status.unwrap().success());
}

#[tokio::test]
async fn a_load_is_not_troubled_by_connections_that_ended_while_nobody_looked() {
    let Some(server) = shared() else { return };
    let mut config = patient(&server.url(), "idle");
    config.url = storage_core::Secret::new(format!("{}?application_name=idle", server.url()));
    let store = open(config).await.unwrap();
    put(&store, "a").await.unwrap();
    for _ in 0..5 {
        get(&store, "a").await.unwrap();
        server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'idle'");
        assert!(get(&store, "a").await.unwrap());
    }
}

#[tokio::test]
async fn a_write_cut_off_by_the_server_is_of_unknown_outcome_and_one_cancelled_by_it_was_not_applied() {
    let Some(server) = shared() else { return };
    let store = open(patient(&server.url(), "cut")).await.unwrap();
    put(&store, "a").await.unwrap();
    for (action, expected) in [("terminate", ErrorKind::OutcomeUnknown), ("cancel", ErrorKind::Timeout)] {
        let held = Held::row(server, "cut", "a");
        let waiting = tokio::spawn({
            let store = store.clone();
            async move { store.save(request("a").tag("new", "yes")).await }
        });
        let blocked =
            "pg_blocking_pids(pid) <> '{}' AND application_name = 'storage-sql' AND query LIKE '%\"cut\"%'";
        let end = format!("SELECT pg_{action}_backend(pid) FROM pg_stat_activity WHERE {blocked}");
        eventually("the write waits for the lock", || async { server.sql(&end) == "t" }).await;
        assert_eq!(kind(&waiting.await.unwrap()), Some(expected));
        held.release();
    }
    // Neither was applied, as it happens, and the next one is.
    let item = store.load(key("a")).await.unwrap().unwrap();
    assert_eq!(item.metadata.tags.get("new"), None);
    assert!(store.delete(key("a"), Condition::None).await.unwrap());
}

/// A row that somebody else has locked.
pub(crate) struct Held(std::process::Child);

impl Held {
    pub(crate) fn row(server: &Server, table: &str, key: &str) -> Self {
        let lock = format!("SELECT 1 FROM {table} WHERE key = '{key}' FOR UPDATE");
        let mut child = server.session(&format!("BEGIN; {lock};"));
        let mut line = String::new();
        let output = child.stdout.as_mut().unwrap();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut line).unwrap();
        assert_eq!(line.trim(), "1");
        Self(child)
    }

    pub(crate) fn release(mut self) {
        drop(self.0.stdin.take());
        assert!(self.0.wait().unwrap().success());
    }
}
