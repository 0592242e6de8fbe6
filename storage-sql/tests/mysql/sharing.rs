//! Several programs over one store.

use std::collections::HashSet;

use storage_core::{Condition, ErrorKind, SaveRequest, StorageProvider as _};
use storage_sql::SqlProvider;
use tokio::task::JoinSet;

use super::{open, support::key};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_that_create_the_tables_at_once_all_find_them() {
    let config = super::config();
    let mut tasks = JoinSet::new();
    for _ in 0..6 {
        tasks.spawn(SqlProvider::connect(config.clone()));
    }
    for store in tasks.join_all().await {
        let store = store.unwrap();
        store.save(SaveRequest::new(key("a"), "data")).await.unwrap();
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_programs_that_create_an_item_one_wins() {
    let config = super::config();
    let stores = [open(config.clone()).await, open(config.clone()).await, open(config).await];
    for round in 0..15 {
        let name = format!("key {round}");
        let mut tasks = JoinSet::new();
        for store in &stores {
            let (store, name) = (store.clone(), name.clone());
            tasks.spawn(async move {
                let request = SaveRequest::new(key(&name), "data").tag("a", "b").condition(Condition::Absent);
                store.save(request).await.map(|_| ())
            });
        }
        let answers = tasks.join_all().await;
        let wins = answers.iter().filter(|answer| answer.is_ok()).count();
        assert_eq!(wins, 1, "{answers:?}");
        let lost = answers.iter().filter_map(|answer| answer.as_ref().err());
        assert!(lost.map(storage_core::StorageError::kind).all(|kind| kind == ErrorKind::AlreadyExists));
    }
    for store in stores {
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_that_delete_and_create_an_item_never_see_a_version_twice() {
    let config = super::config();
    // A clock that stands still: only marks keep the versions growing.
    let clock = storage_core::ManualClock::default();
    let mut tasks = JoinSet::new();
    for _ in 0..3 {
        let store = SqlProvider::builder(config.clone()).clock(clock.shared()).connect().await.unwrap();
        tasks.spawn(async move {
            let mut versions = Vec::new();
            for round in 0..30 {
                if round % 3 == 2 {
                    store.delete(key("a"), Condition::None).await.unwrap();
                } else {
                    versions
                        .push(store.save(SaveRequest::new(key("a"), "data")).await.unwrap().metadata.version);
                }
            }
            store.close().await.unwrap();
            versions
        });
    }
    let versions: Vec<_> = tasks.join_all().await;
    assert!(versions.iter().all(|versions| versions.is_sorted_by(|a, b| a < b)), "{versions:?}");
    let all: Vec<_> = versions.concat();
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len(), "{versions:?}");
}
