//! Opening, closing, and who may open what.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests state what they expect")]

mod support;

use std::{fs, path::Path, process::Child, time::Duration};

use storage_core::{Condition, ErrorKind, Health, ManualClock, SaveRequest, StorageProvider, StorageQuery};
use storage_fs::{Durability, FsConfig, FsProvider};
use support::{child, child_argument, eventually, key, load, open, open_error, open_with, save};

#[tokio::test]
async fn what_was_acknowledged_is_there_after_close_after_drop_and_after_a_kill() {
    let temp = tempfile::tempdir().unwrap();
    let large = vec![7; 300_000];
    for durability in [Durability::Immediate, Durability::Buffered] {
        let folder = temp.path().join(format!("{durability:?}"));
        let path = folder.join("store");
        let config = FsConfig { durability, ..FsConfig::default() };
        let store = open_with(&path, config.clone()).await.unwrap();
        save(&store, "a", "one").await.unwrap();
        save(&store, "large", large.clone()).await.unwrap();
        store.close().await.unwrap();

        let store = open_with(&path, config.clone()).await.unwrap();
        save(&store, "a", "two").await.unwrap();
        drop(store);

        kill(holder_of(&folder));
        let store = open(&path).await;
        assert_eq!(load(&store, "a").await.unwrap().unwrap(), b"two");
        assert_eq!(load(&store, "b").await.unwrap().unwrap(), b"held");
        assert_eq!(load(&store, "large").await.unwrap().unwrap(), large);
        let report = store.verify().await.unwrap();
        assert!(report.is_clean(), "{report:?}");
        assert_eq!(report.intact, 3);
    }
}

#[tokio::test]
async fn a_cleanly_closed_store_has_nothing_in_its_journals() {
    let temp = tempfile::tempdir().unwrap();
    let store = open(temp.path()).await;
    save(&store, "a", "one").await.unwrap();
    store.close().await.unwrap();
    let journals = fs::read_dir(temp.path().join("engine")).unwrap().map(|entry| entry.unwrap());
    let journals: Vec<_> =
        journals.filter(|entry| entry.path().extension().is_some_and(|e| e == "jnl")).collect();
    assert!(!journals.is_empty());
    for journal in journals {
        assert_eq!(journal.metadata().unwrap().len(), 0, "{journal:?}");
    }
    let store = open(temp.path()).await;
    assert_eq!(load(&store, "a").await.unwrap().unwrap(), b"one");
    save(&store, "a", "two").await.unwrap();
    drop(store);
    assert_eq!(load(&open(temp.path()).await, "a").await.unwrap().unwrap(), b"two");
}

#[tokio::test]
async fn versions_never_go_back_over_openings_whatever_the_clock_says() {
    let temp = tempfile::tempdir().unwrap();
    let clock = ManualClock::default();
    let mut last = 0;
    for round in 0..4 {
        let store = FsProvider::builder(temp.path()).clock(clock.shared()).open().await.unwrap();
        let version = save(&store, "a", "x").await.unwrap().metadata.version;
        assert!(version > last, "{round}: {version} after {last}");
        last = version;
        store.delete(key("a"), Condition::None).await.unwrap();
        clock.set(storage_core::Timestamp::UNIX_EPOCH);
        if round % 2 == 0 {
            store.close().await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_second_handle_is_locked_out_at_once_until_the_first_is_closed() {
    let temp = tempfile::tempdir().unwrap();
    let store = open(temp.path()).await;
    let started = std::time::Instant::now();
    let error = open_error(temp.path()).await;
    assert_eq!(error.kind(), ErrorKind::Locked, "{error}");
    assert!(started.elapsed() < Duration::from_millis(500), "{:?}", started.elapsed());
    assert_eq!(FsProvider::salvage(temp.path()).await.unwrap_err().kind(), ErrorKind::Locked);
    save(&store, "a", "still working").await.unwrap();
    store.close().await.unwrap();
    // The closed handle is still there, and holds nothing.
    open(temp.path()).await.close().await.unwrap();
    drop(store);
}

#[tokio::test]
async fn a_second_process_is_locked_out_until_the_first_is_killed() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("store");
    let holder = holder_of(temp.path());
    let error = open_error(&path).await;
    assert_eq!(error.kind(), ErrorKind::Locked, "{error}");
    kill(holder);
    assert_eq!(load(&open(&path).await, "b").await.unwrap().unwrap(), b"held");
}

/// A process that has saved item `b` in the store of `folder` and keeps that store open.
fn holder_of(folder: &Path) -> Child {
    let holder = child("hold_a_store", folder.to_str().unwrap());
    let ready = folder.join("ready");
    eventually("the child saves its item", || ready.exists().then_some(()));
    holder
}

fn kill(mut holder: Child) {
    holder.kill().unwrap();
    holder.wait().unwrap();
}

#[tokio::test]
#[ignore = "runs as the child of another test"]
async fn hold_a_store() {
    let Some(argument) = child_argument() else { return };
    let folder = Path::new(&argument);
    let durability = if folder.ends_with("Buffered") { Durability::Buffered } else { Durability::Immediate };
    let config = FsConfig { durability, ..FsConfig::default() };
    let store = open_with(&folder.join("store"), config).await.unwrap();
    save(&store, "b", "held").await.unwrap();
    fs::write(folder.join("ready"), "").unwrap();
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn after_close_every_call_is_closed_and_close_is_idempotent() {
    let temp = tempfile::tempdir().unwrap();
    let store = open(temp.path()).await;
    let (first, second) = tokio::join!(store.close(), store.close());
    assert!(first.is_ok() && second.is_ok());
    store.close().await.unwrap();
    let kinds = [
        save(&store, "a", "x").await.unwrap_err().kind(),
        save(&store, "a", vec![0; 1 << 20]).await.unwrap_err().kind(),
        load(&store, "a").await.unwrap_err().kind(),
        store.delete(key("a"), Condition::None).await.unwrap_err().kind(),
        store.touch(key("a"), None).await.unwrap_err().kind(),
        store.search(&StorageQuery::new()).await.unwrap_err().kind(),
        store.count(&StorageQuery::new()).await.unwrap_err().kind(),
        store.usage().await.unwrap_err().kind(),
        store.cleanup().await.unwrap_err().kind(),
        store.verify().await.unwrap_err().kind(),
        store.save_many(vec![SaveRequest::new(key("a"), "x")]).await.pop().unwrap().unwrap_err().kind(),
        store.load_many(&[key("a"); 20]).await.pop().unwrap().unwrap_err().kind(),
        store.delete_many(&[key("a")]).await.pop().unwrap().unwrap_err().kind(),
    ];
    assert_eq!(kinds, [ErrorKind::Closed; 13]);
    assert!(matches!(store.health().await, Health::Unhealthy(_)));
    assert_eq!(store.info().name, "fs");
}

#[tokio::test]
async fn writes_that_wait_when_the_store_is_closed_are_all_answered() {
    let temp = tempfile::tempdir().unwrap();
    let store = open(temp.path()).await;
    let saves: Vec<_> = (0..500)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move { save(&store, &format!("k{n}"), "x").await })
        })
        .collect();
    tokio::task::yield_now().await;
    store.close().await.unwrap();
    let mut acknowledged = Vec::new();
    for (n, save) in saves.into_iter().enumerate() {
        match save.await.unwrap() {
            Ok(_) => acknowledged.push(n),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Closed, "{error}"),
        }
    }
    let store = open(temp.path()).await;
    assert_eq!(store.count(&StorageQuery::new()).await.unwrap(), acknowledged.len() as u64);
}

#[tokio::test]
async fn what_an_interrupted_save_left_behind_is_swept_at_opening() {
    let temp = tempfile::tempdir().unwrap();
    let store = open(temp.path()).await;
    save(&store, "large", vec![1; 200_000]).await.unwrap();
    drop(store);
    let blobs = temp.path().join("blobs");
    let named = fs::read_dir(&blobs).unwrap().next().unwrap().unwrap().file_name();
    fs::write(blobs.join("00000001-00000000000000ff"), "never committed").unwrap();
    fs::write(blobs.join("00000001-0000000000000100.new"), "never finished").unwrap();
    let store = open(temp.path()).await;
    let left: Vec<_> = fs::read_dir(&blobs).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, [named]);
    assert_eq!(load(&store, "large").await.unwrap().unwrap(), vec![1; 200_000]);
}

#[tokio::test]
async fn replaced_and_deleted_payload_files_go_and_touched_ones_stay() {
    let temp = tempfile::tempdir().unwrap();
    let store = open(temp.path()).await;
    let files = || fs::read_dir(temp.path().join("blobs")).unwrap().map(|entry| entry.unwrap().file_name());
    save(&store, "a", vec![1; 200_000]).await.unwrap();
    let first: Vec<_> = files().collect();
    store.touch(key("a"), Some(storage_core::Timestamp::MAX)).await.unwrap().unwrap();
    assert_eq!(files().collect::<Vec<_>>(), first);
    save(&store, "a", vec![2; 200_000]).await.unwrap();
    eventually("the replaced file goes", || {
        (files().count() == 1 && files().next() != first.first().cloned()).then_some(())
    });
    // A save that is refused leaves no file behind.
    let refused = SaveRequest::new(key("a"), vec![3; 200_000]).condition(Condition::Absent);
    assert_eq!(store.save(refused).await.unwrap_err().kind(), ErrorKind::AlreadyExists);
    eventually("the refused file goes", || (files().count() == 1).then_some(()));
    save(&store, "a", "small").await.unwrap();
    eventually("the file of a large payload goes", || (files().count() == 0).then_some(()));
    save(&store, "a", vec![4; 200_000]).await.unwrap();
    assert!(store.delete(key("a"), Condition::None).await.unwrap());
    eventually("the deleted file goes", || (files().count() == 0).then_some(()));
    assert!(store.verify().await.unwrap().is_clean());
}

#[test]
fn the_provider_works_without_worker_threads_and_survives_a_runtime_that_goes_away() {
    let temp = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let store = runtime.block_on(async {
        let store = open(temp.path()).await;
        let saves = (0..100).map(|n| {
            let store = store.clone();
            tokio::spawn(async move { save(&store, &format!("k{n}"), vec![0; 200_000]).await })
        });
        drop(saves.collect::<Vec<_>>());
        tokio::task::yield_now().await;
        store
    });
    runtime.shutdown_background();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        save(&store, "after", "x").await.unwrap();
        let report = store.verify().await.unwrap();
        assert!(report.is_clean(), "{report:?}");
        store.close().await.unwrap();
    });
}

#[tokio::test]
async fn the_background_sweeper_removes_expired_items_and_ends_with_the_store() {
    let temp = tempfile::tempdir().unwrap();
    let clock = ManualClock::default();
    let config = FsConfig { cleanup_interval: Some(Duration::from_millis(5)), ..FsConfig::default() };
    let store = FsProvider::builder(temp.path()).config(config).clock(clock.shared()).open().await.unwrap();
    let deadline = storage_core::Clock::now(&clock).saturating_add(Duration::from_secs(1));
    store.save(SaveRequest::new(key("a"), vec![0; 200_000]).expires_at(deadline)).await.unwrap();
    let blobs = temp.path().join("blobs");
    assert_eq!(fs::read_dir(&blobs).unwrap().count(), 1);
    clock.advance(Duration::from_secs(1));
    let waited = std::time::Instant::now();
    while fs::read_dir(&blobs).unwrap().count() > 0 {
        assert!(waited.elapsed() < Duration::from_secs(30), "the sweeper did not come");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(store);
    // Nobody holds the directory any more, the sweeper included.
    open(temp.path()).await.close().await.unwrap();
}
