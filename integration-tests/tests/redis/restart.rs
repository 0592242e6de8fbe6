//! Fault 17: the server is killed and started again while we work.

use std::time::{Duration, Instant};

use storage_core::{ErrorKind, StorageProvider};
use test_servers::{found, redis::Server};

use crate::{
    load::Load,
    support::{DEADLINE, config, connect, get, is_gone, kind, put, recovers},
};

#[tokio::test(flavor = "multi_thread")]
async fn fault_17_a_server_killed_and_restarted_under_load_loses_nothing_acknowledged() {
    let Some(mut server) = found(Server::builder().append_only().start()) else { return };
    let load = Load::start(config(&server.url())).await;
    for _ in 0..5 {
        load.proceeds(300).await;
        server.kill();
        load.runs_for(150).await;
        server.restart();
    }
    let recovered = load.proceeds(300).await;
    load.store.assert_within(DEADLINE);
    let tally = load.check(config(&server.url())).await;
    println!("300 writes after the last restart took {recovered:?}");
    assert!(tally.failures(ErrorKind::Unavailable) > 0, "{tally:?}");
    assert!(tally.failures(ErrorKind::OutcomeUnknown) > 0, "{tally:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_17_an_orderly_restart_loses_nothing_acknowledged() {
    let Some(mut server) = found(Server::builder().append_only().start()) else { return };
    let load = Load::start(config(&server.url())).await;
    for _ in 0..3 {
        load.proceeds(200).await;
        server.shut_down();
        server.restart();
    }
    load.proceeds(200).await;
    load.store.assert_within(DEADLINE);
    load.check(config(&server.url())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_17_while_the_server_is_gone_calls_were_not_applied_and_tasks_do_not_pile_up() {
    let Some(mut server) = found(Server::builder().append_only().start()) else { return };
    let store = connect(&server.url()).await;
    put(&*store, "before").await.unwrap();
    let tasks = tasks();
    server.kill();
    // The first call may still be handed to the dead connection.
    assert!(is_gone(kind(&put(&*store, "first").await)));
    for _ in 0..20 {
        let started = Instant::now();
        let (saved, loaded) = tokio::join!(put(&*store, "gone"), get(&*store, "before"));
        assert!(matches!(kind(&saved), Some(ErrorKind::Unavailable | ErrorKind::Timeout)), "{saved:?}");
        assert!(matches!(kind(&loaded), Some(ErrorKind::Unavailable | ErrorKind::Timeout)), "{loaded:?}");
        assert!(started.elapsed() < DEADLINE + Duration::from_millis(250), "{:?}", started.elapsed());
        assert!(tasks_are_at_most(tasks + 2), "{} tasks", self::tasks());
    }
    assert!(!store.health().await.is_healthy());
    server.restart();
    println!("recovered after {:?}", recovers(&*store).await);
    assert!(get(&*store, "before").await.unwrap());
    assert!(!get(&*store, "gone").await.unwrap(), "a call that was said not to be applied was");
}

/// Tasks that are alive in this runtime.
fn tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

fn tasks_are_at_most(most: usize) -> bool {
    tasks() <= most
}
