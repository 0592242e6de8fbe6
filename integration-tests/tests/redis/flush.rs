//! Fault 22: somebody empties the server, or its cache of scripts, or forbids commands that are not needed.

use storage_core::{Condition, StorageProvider, StorageQuery};
use test_servers::{found, redis::Server};

use crate::{
    load::Load,
    support::{DEADLINE, config, connect, get, key, names, put, put_all, search},
};

#[tokio::test(flavor = "multi_thread")]
async fn fault_22_after_a_flush_items_are_missing_and_everything_works() {
    let Some(server) = found(Server::start()) else { return };
    let store = connect(&server.url()).await;
    for command in ["FLUSHALL", "FLUSHDB"] {
        put_all(&*store, &names(50)).await;
        let before = put(&*store, "again").await.unwrap().metadata;
        let _ok: String = server.command(&[command]);
        assert!(!get(&*store, "again").await.unwrap());
        assert!(!store.delete(key("again"), Condition::None).await.unwrap());
        assert!(search(&*store, &StorageQuery::new()).await.unwrap().is_empty());
        assert_eq!(store.cleanup().await.unwrap().expired, 0);
        let after = put(&*store, "again").await.unwrap().metadata;
        assert!(after.version > before.version && after.id != before.id);
        assert_eq!(search(&*store, &StorageQuery::new()).await.unwrap(), [(*after).clone()]);
    }
}

/// The first call after the flush may be a save: what it puts back must not look like a damaged store.
#[tokio::test(flavor = "multi_thread")]
async fn fault_22_a_save_may_be_the_first_to_meet_an_emptied_server() {
    let Some(server) = found(Server::start()) else { return };
    let store = connect(&server.url()).await;
    put_all(&*store, &names(50)).await;
    let _ok: String = server.command(&["FLUSHALL"]);
    let names = names(5);
    put_all(&*store, &names).await;
    let found = search(&*store, &StorageQuery::new()).await.unwrap();
    assert_eq!(
        found.iter().map(|metadata| &metadata.key).collect::<Vec<_>>(),
        names.iter().collect::<Vec<_>>()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_22_scripts_that_the_server_forgot_are_sent_again_and_no_call_fails() {
    let Some(server) = found(Server::start()) else { return };
    let load = Load::start(config(&server.url())).await;
    for _ in 0..40 {
        load.proceeds(20).await;
        let _ok: String = server.command(&["SCRIPT", "FLUSH"]);
    }
    load.store.assert_within(DEADLINE);
    let tally = load.check(config(&server.url())).await;
    assert!(tally.failed.is_empty(), "{tally:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_22_commands_of_administrators_are_not_needed() {
    let rules = "on >secret ~storage:* &* +@all -@dangerous -@admin -client -info";
    let Some(server) = found(Server::builder().user("app", rules).start()) else { return };
    let url = server.url().replace("redis://", "redis://app:secret@");
    let load = Load::start(config(&url)).await;
    load.proceeds(500).await;
    let tally = load.check(config(&url)).await;
    assert!(tally.failed.is_empty(), "{tally:?}");
}
