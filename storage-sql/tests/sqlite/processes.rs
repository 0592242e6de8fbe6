//! Several processes on one file, and processes that are killed.

use std::{collections::HashMap, io::Write as _, path::PathBuf};

use storage_core::{Condition, ErrorKind, SaveRequest, StorageProvider, StorageQuery};

use super::{
    open,
    support::{
        key, load,
        processes::{Process, argument},
    },
};

/// Saves what the parent can check, and says of each save that it was acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "runs as a child of another test"]
async fn child_saves_until_it_is_killed() {
    let Some(file) = argument() else { return };
    let store = open(&PathBuf::from(file)).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..8 {
        let store = store.clone();
        tasks.spawn(async move {
            for n in 0_u64.. {
                let (name, data) = (format!("k{task}"), n.to_string());
                store.save(SaveRequest::new(key(&name), data.clone()).tag("n", &data)).await.unwrap();
                let mut out = std::io::stdout().lock();
                writeln!(out, "acknowledged {name} {n}").unwrap();
                out.flush().unwrap();
            }
        });
    }
    tasks.join_all().await;
}

#[tokio::test]
async fn what_was_acknowledged_survives_kill_minus_nine() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("store.db");
    for round in 0..5 {
        let mut child =
            Process::start("processes::child_saves_until_it_is_killed", &file.display().to_string());
        let mut acknowledged = HashMap::new();
        let mut take = |line: String| {
            let (name, n) = line.split_once(' ').unwrap();
            acknowledged.insert(name.to_owned(), n.parse::<u64>().unwrap());
        };
        for _ in 0..60 + 30 * round {
            take(child.next("acknowledged").expect("the child goes on until it is killed"));
        }
        child.kill();
        while let Some(line) = child.next("acknowledged") {
            take(line);
        }
        let store = open(&file).await.unwrap();
        for (name, n) in acknowledged {
            let stored: u64 =
                load(&store, &name).await.unwrap().expect("it was acknowledged").parse().unwrap();
            assert!(stored >= n, "{name} was acknowledged as {n} and is {stored} after the kill");
            let query = StorageQuery::new().tag("n", stored.to_string());
            let found = store.search(&query).await.unwrap();
            assert!(found.results.iter().any(|hit| hit.item.metadata.key == name), "{name} has lost its tag");
        }
        assert!(store.verify().await.unwrap().is_clean());
        store.close().await.unwrap();
    }
}

const SAVES: u64 = 200;

/// Raises one counter together with other processes.
#[tokio::test]
#[ignore = "runs as a child of another test"]
async fn child_counts_with_others() {
    let Some(file) = argument() else { return };
    let store = open(&PathBuf::from(file)).await.unwrap();
    for _ in 0..SAVES {
        count_up(&store).await;
    }
    store.close().await.unwrap();
}

async fn count_up(store: &storage_sql::SqlProvider) {
    loop {
        let item = store.load(key("counter")).await.unwrap();
        let (condition, n) = match &item {
            Some(item) => (
                Condition::Version(item.metadata.version),
                std::str::from_utf8(&item.data).unwrap().parse::<u64>().unwrap(),
            ),
            None => (Condition::Absent, 0),
        };
        let request = SaveRequest::new(key("counter"), (n + 1).to_string()).condition(condition);
        match store.save(request).await {
            Ok(_) => return,
            Err(error) => assert!(
                matches!(error.kind(), ErrorKind::VersionConflict | ErrorKind::AlreadyExists),
                "{error}"
            ),
        }
    }
}

#[tokio::test]
async fn processes_that_write_the_same_item_lose_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("store.db");
    // The store is made by both at once as well.
    let start = || Process::start("processes::child_counts_with_others", &file.display().to_string());
    let mut children = [start(), start()];
    for child in &mut children {
        while child.next("never").is_some() {}
        assert!(child.succeeded());
    }
    let store = open(&file).await.unwrap();
    assert_eq!(load(&store, "counter").await.unwrap(), Some((2 * SAVES).to_string()));
}
