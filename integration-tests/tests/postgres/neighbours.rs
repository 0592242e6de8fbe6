//! Several providers of one store, as several programs have them: cleaners beside writers, writers beside each other.

use std::{sync::Arc, time::Duration};

use storage_core::{Clock, Condition, ErrorKind, ManualClock, StorageProvider, StorageQuery};
use storage_sql::SqlProvider;

use crate::{
    lost::Held,
    support::{get, key, kind, names, open, patient, put, request, shared},
};

#[tokio::test(flavor = "multi_thread")]
async fn cleaners_beside_each_other_and_beside_writers_remove_each_expired_item_once_and_no_other() {
    let Some(server) = shared() else { return };
    let clock = ManualClock::default();
    let builder = || SqlProvider::builder(patient(&server.url(), "cleaned")).clock(clock.shared());
    let store = builder().connect().await.unwrap();
    let names = names(2_000);
    let soon = clock.now().saturating_add(Duration::from_secs(1));
    for chunk in names.chunks(500) {
        let requests = chunk.iter().map(|name| request(name).expires_at(soon)).collect();
        store.save_many(requests).await.into_iter().for_each(|answer| drop(answer.unwrap()));
    }
    clock.advance(Duration::from_secs(2));
    let mut cleaners = Vec::new();
    for _ in 0..4 {
        let cleaner = builder().connect().await.unwrap();
        cleaners.push(tokio::spawn(async move { cleaner.cleanup().await.unwrap().expired }));
    }
    // Every tenth item is saved again meanwhile.
    for name in names.iter().step_by(10) {
        put(&store, name).await.unwrap();
    }
    let mut removed = 0;
    for cleaner in cleaners {
        removed += cleaner.await.unwrap();
    }
    removed += store.cleanup().await.unwrap().expired;
    let kept = names.len() as u64 / 10;
    assert!((names.len() as u64 - kept..=names.len() as u64).contains(&removed), "{removed}");
    assert_eq!(store.count(&StorageQuery::new()).await.unwrap(), kept);
    assert_eq!(server.sql("SELECT count(*) FROM cleaned"), kept.to_string());
    for name in names.iter().step_by(10) {
        assert!(get(&store, name).await.unwrap(), "{name}");
    }
}

#[tokio::test]
async fn a_cleaner_leaves_what_somebody_else_holds_and_does_not_wait_for_it() {
    let Some(server) = shared() else { return };
    let clock = ManualClock::default();
    let builder = SqlProvider::builder(patient(&server.url(), "skipped")).clock(clock.shared());
    let store = builder.connect().await.unwrap();
    for name in ["a", "b"] {
        let soon = clock.now().saturating_add(Duration::from_secs(1));
        store.save(request(name).expires_at(soon)).await.unwrap();
    }
    clock.advance(Duration::from_secs(2));
    let held = Held::row(server, "skipped", "a");
    assert_eq!(store.cleanup().await.unwrap().expired, 1);
    held.release();
    assert_eq!(store.cleanup().await.unwrap().expired, 1);
    assert_eq!(server.sql("SELECT count(*) FROM skipped"), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn providers_that_count_with_conditions_on_one_item_lose_no_step() {
    let Some(server) = shared() else { return };
    let url = server.url();
    let stores = [
        Arc::new(open(patient(&url, "counted")).await.unwrap()),
        Arc::new(open(patient(&url, "counted")).await.unwrap()),
    ];
    let tasks: Vec<_> = (0..8)
        .map(|number| {
            let store = Arc::clone(&stores[number % stores.len()]);
            tokio::spawn(async move {
                for _ in 0..25 {
                    while !step(&store).await {}
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let item = stores[0].load(key("counter")).await.unwrap().unwrap();
    assert_eq!(&item.data[..], b"200");
}

/// Adds one to the counter, unless somebody else was faster.
async fn step(store: &SqlProvider) -> bool {
    let (count, condition) = match store.load(key("counter")).await.unwrap() {
        Some(item) => {
            let count: u32 = std::str::from_utf8(&item.data).unwrap().parse().unwrap();
            (count + 1, Condition::Version(item.metadata.version))
        }
        None => (1, Condition::Absent),
    };
    let request = storage_core::SaveRequest::new(key("counter"), count.to_string());
    let answer = store.save(request.condition(condition)).await;
    match kind(&answer) {
        None => true,
        Some(ErrorKind::AlreadyExists | ErrorKind::VersionConflict) => false,
        other => panic!("{other:?}: {answer:?}"),
    }
}

#[tokio::test]
async fn damage_in_the_table_is_told_with_its_key_and_the_others_stay_readable() {
    let Some(server) = shared() else { return };
    let store = open(patient(&server.url(), "damaged")).await.unwrap();
    for (name, damage) in [
        ("data", "data = '\\x00'"),
        ("size", "size = 3"),
        ("tags", "tags = '[1]'"),
        ("other tags", "tags = tags || '{\"a\":\"b\"}'"),
        ("encoding", "encoding = 'a b'"),
        ("time", "created_at = 9223372036854775807"),
        ("version", "version = -1"),
        ("none", "key = key"),
    ] {
        put(&store, name).await.unwrap();
        server.sql(&format!("UPDATE damaged SET {damage} WHERE key = '{name}'"));
    }
    for name in ["data", "size", "tags", "other tags", "encoding", "time", "version"] {
        let error = store.load(key(name)).await.unwrap_err();
        assert_eq!((error.kind(), error.key()), (ErrorKind::Corrupted, Some(name)), "{error:?}");
    }
    assert!(get(&store, "none").await.unwrap());
    let report = store.verify().await.unwrap();
    assert_eq!((report.intact, report.damaged.len()), (1, 7), "{report:?}");
    assert!(report.damaged.iter().all(|damaged| damaged.key.is_some()), "{report:?}");
    put(&store, "data").await.unwrap();
    assert!(get(&store, "data").await.unwrap());
}
