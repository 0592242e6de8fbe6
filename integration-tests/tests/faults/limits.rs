//! Faults 10, 34, 35 and 36: no files, no memory, no patience.

use std::{
    collections::BTreeMap,
    future::poll_fn,
    path::Path,
    pin::pin,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use integration_tests::{Child, Job, Line, Plan, Settings, payload};
use storage_core::{Condition, ErrorKind, SaveRequest, StorageItem, StorageProvider};
use storage_fs::FsProvider;

use crate::support::{Heard, PROGRAM, assert_holds, key, open, put, try_open};

fn job(directory: &Path, plan: Plan) -> Job {
    Job { directory: directory.to_owned(), settings: Settings::default(), plan }
}

#[tokio::test]
async fn fault_10_without_files_to_open_saves_are_unavailable_and_recover() {
    let temp = tempfile::tempdir().unwrap();
    let root = temp.path().join("store");
    let limits = ["prlimit", "--nofile=200"];
    let mut child = Child::start_with(&limits, PROGRAM, &job(&root, Plan::FewFiles { files: 1 }));
    let mut heard = Heard::new();
    while let Some(line) = child.line() {
        match heard.take(line).unwrap() {
            None | Some(Line::Opened | Line::Closed) => {}
            Some(other) => panic!("{other:?} {}", child.errors()),
        }
    }
    let Heard { model, acknowledged, failed } = heard;
    assert!(child.wait().success(), "{}", child.errors());
    assert!(!failed.is_empty(), "the files were never scarce");
    for (kind, text) in &failed {
        assert_eq!(kind, "Unavailable", "{text}");
    }
    assert!(acknowledged >= 24, "saves did not recover: {acknowledged}");
    let store = open(&root).await;
    let now = storage_core::Clock::now(&storage_core::SystemClock);
    integration_tests::check(&store, &model, now).await.unwrap();
    integration_tests::scrub(&store).await.unwrap();
    store.close().await.unwrap();
}

#[test]
fn fault_36_a_hundred_thousand_saves_at_once_stay_within_256_mib_over_their_data() {
    const COUNT: u32 = 100_000;
    const SIZE: usize = 4_096;
    let temp = tempfile::tempdir().unwrap();
    let settings = Settings { large_payload: 128 * 1_024, ..Settings::default() };
    let plan = Plan::Flood { count: COUNT, size: SIZE };
    let mut child = Child::start(PROGRAM, &Job { directory: temp.path().join("store"), settings, plan });
    let mut peak = None;
    while let Some(line) = child.line_within(Duration::from_secs(120)) {
        match line.expect("the flood ends within two minutes") {
            Line::Memory(before, after) => peak = Some((before, after)),
            Line::Opened | Line::Closed => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(child.wait().success(), "{}", child.errors());
    let (before, after) = peak.expect("the child says how much memory it had");
    let data = u64::from(COUNT) * SIZE as u64;
    let over = after.saturating_sub(data) >> 20;
    println!("peak {} MiB, {over} MiB over the data, {} MiB before", after >> 20, before >> 20);
    assert!(over <= 256, "{over} MiB over the data");
}

/// Polls a future at most `polls` times, then drops it; whether it came to its end.
async fn drop_after<F: Future>(polls: u32, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => {
                // The next poll comes whether or not the future asks for it.
                context.waker().wake_by_ref();
                std::thread::sleep(Duration::from_micros(20));
                Poll::Pending
            }
        }
    })
    .await
}

async fn is_whole(store: &FsProvider, old: &StorageItem, name: &str) -> StorageItem {
    let found = store.load(key(name)).await.unwrap().expect("the item is there, old or new");
    if found.metadata.version == old.metadata.version {
        assert_eq!(found, *old);
    }
    assert_eq!(found.data, payload(found.metadata.tags.get("op").unwrap(), found.metadata.size));
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_34_a_future_dropped_after_any_poll_leaves_the_old_or_the_new_item() {
    let temp = tempfile::tempdir().unwrap();
    let store = open(temp.path()).await;
    let mut items = BTreeMap::new();
    for (name, size) in [("small", 60), ("large", 30_000)] {
        let mut old = put(&store, name, size).await.unwrap();
        for polls in (0..40).chain([200, 2_000, u32::MAX]) {
            let op = format!("{name}-{polls}");
            let data = payload(&op, size);
            let request = SaveRequest::new(key(name), data).tag("op", op.as_str());
            drop_after(polls, store.save(request)).await.map(Result::unwrap);
            old = is_whole(&store, &old, name).await;
            drop_after(polls, store.touch(key(name), None)).await.map(Result::unwrap);
            old = is_whole(&store, &old, name).await;
        }
        // A save that was not withdrawn in time may still be on its way; the next write comes after it.
        let last = put(&store, name, size).await.unwrap();
        items.insert(name.to_owned(), last);
        for polls in 0..40 {
            put(&store, "gone", 5_000).await.unwrap();
            drop_after(polls, store.delete(key("gone"), Condition::None)).await.map(Result::unwrap);
        }
        store.delete(key("gone"), Condition::None).await.unwrap();
    }
    assert_holds(&store, &items).await;
    store.close().await.unwrap();
    let store = open(temp.path()).await;
    assert_holds(&store, &items).await;
    store.close().await.unwrap();
}

#[test]
fn fault_35_a_runtime_that_ends_with_calls_under_way_leaves_a_store_that_opens_again() {
    let temp = tempfile::tempdir().unwrap();
    for round in 0..10_u32 {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let store = Arc::new(runtime.block_on(open_once_free(temp.path())));
        for task in 0..32_u32 {
            let store = Arc::clone(&store);
            runtime.spawn(async move {
                for call in 0.. {
                    let name = format!("task-{task}");
                    let size = if call % 4 == 0 { 6_000 } else { 200 };
                    drop(put(&store, &name, size).await);
                }
            });
        }
        std::thread::sleep(Duration::from_millis(u64::from(round)));
        runtime.shutdown_timeout(Duration::ZERO);
        drop(store);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = open_once_free(temp.path()).await;
        let report = store.verify().await.unwrap();
        assert!(report.is_clean(), "{report:?}");
        store.close().await.unwrap();
    });
}

/// The lock is free once the last handle is gone and its writer has ended.
async fn open_once_free(directory: &Path) -> FsProvider {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match try_open(directory).await {
            Ok(store) => return store,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Locked, "{error:?}");
                assert!(Instant::now() < deadline, "the lock is never free");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
}
