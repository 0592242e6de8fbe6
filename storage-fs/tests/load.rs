//! Many callers at once: nobody is lost, memory stays bounded, and no call outlives its deadline.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests state what they expect")]

#[expect(dead_code, reason = "every test file uses its part")]
mod support;

use std::{fs, path::Path, time::Duration};

use storage_core::{Bytes, Condition, ErrorKind, Order, SaveRequest, StorageProvider, StorageQuery};
use storage_fs::FsConfig;
use support::{child, child_argument, key, load, open, open_with, save};

const SAVES: usize = 100_000;
const SIZE: usize = 4_096;
const MOST_OVER_THE_DATA: u64 = 256 << 20;

#[tokio::test]
async fn a_hundred_thousand_concurrent_saves_all_arrive_within_bounded_memory() {
    let temp = tempfile::tempdir().unwrap();
    let output = child("save_a_hundred_thousand", temp.path().to_str().unwrap()).wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let peak: u64 = fs::read_to_string(temp.path().join("peak")).unwrap().parse().unwrap();
    eprintln!("peak over the data: {} MiB", peak >> 20);
    assert!(peak <= MOST_OVER_THE_DATA, "the peak is {} MiB over the data", peak >> 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "runs as the child of another test"]
async fn save_a_hundred_thousand() {
    let Some(argument) = child_argument() else { return };
    let folder = Path::new(&argument);
    // Slow machines take their time; nothing may be lost for that.
    let config = FsConfig { operation_timeout: Duration::from_secs(600), ..FsConfig::default() };
    let store = open_with(&folder.join("store"), config).await.unwrap();
    let before = memory("VmRSS:");
    let payload = |n: usize| Bytes::from(vec![u8::try_from(n % 251).unwrap(); SIZE]);
    let saves: Vec<_> = (0..SAVES)
        .map(|n| {
            let (store, data) = (store.clone(), payload(n));
            tokio::spawn(async move { save(&store, &format!("k{n}"), data).await.map(|_| ()) })
        })
        .collect();
    for save in saves {
        save.await.unwrap().unwrap();
    }
    let peak = memory("VmHWM:") - before;
    fs::write(folder.join("peak"), peak.saturating_sub((SAVES * SIZE) as u64).to_string()).unwrap();
    assert_eq!(store.count(&StorageQuery::new()).await.unwrap(), SAVES as u64);
    for n in (0..SAVES).step_by(997) {
        assert_eq!(load(&store, &format!("k{n}")).await.unwrap().unwrap(), payload(n));
    }
    store.close().await.unwrap();
}

/// A line of `/proc/self/status`, in bytes.
fn memory(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1_024
}

#[tokio::test]
async fn a_call_that_cannot_be_served_in_time_says_so_and_later_ones_work() {
    let temp = tempfile::tempdir().unwrap();
    // The smallest queue, and a deadline that the last of many callers cannot meet.
    let config = FsConfig {
        operation_timeout: Duration::from_millis(30),
        queue_bytes: 1 << 20,
        large_payload: 1 << 20,
        ..FsConfig::default()
    };
    let store = open_with(temp.path(), config).await.unwrap();
    let saves: Vec<_> = (0..400)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move { save(&store, &format!("k{n}"), vec![0; 500_000]).await })
        })
        .collect();
    let (mut saved, mut late, mut unknown) = (0, 0, 0);
    for save in saves {
        match save.await.unwrap() {
            Ok(_) => saved += 1,
            Err(error) if error.kind() == ErrorKind::Timeout => late += 1,
            Err(error) if error.kind() == ErrorKind::OutcomeUnknown => unknown += 1,
            Err(error) => panic!("{error:?}"),
        }
    }
    assert!(late > 0, "{saved} saved, {late} late, {unknown} unknown");
    drop(store);
    let store = open(temp.path()).await;
    let there = store.count(&StorageQuery::new()).await.unwrap();
    assert!((saved..=saved + unknown).contains(&there), "{there} there, {saved} saved, {unknown} unknown");
    // No permit was lost.
    for n in 0..50 {
        save(&store, &format!("again{n}"), vec![0; 500_000]).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_of_large_payloads_never_see_a_mix_while_they_are_replaced() {
    let temp = tempfile::tempdir().unwrap();
    let store = open(temp.path()).await;
    let payload = |n: u8| vec![n; 150_000 + usize::from(n)];
    save(&store, "a", payload(0)).await.unwrap();
    let writer = {
        let store = store.clone();
        tokio::spawn(async move {
            for n in 1..=60 {
                save(&store, "a", vec![n; 150_000 + usize::from(n)]).await.unwrap();
            }
        })
    };
    while !writer.is_finished() {
        let item = store.load(key("a")).await.unwrap().unwrap();
        assert_eq!(item.data, payload(item.data[0]));
        assert_eq!(item.metadata.size, item.data.len() as u64);
        let page = store.search(&StorageQuery::new().tag("name", "a").order(Order::CREATED)).await.unwrap();
        for hit in page.results {
            assert_eq!(hit.item.data, payload(hit.item.data[0]));
        }
    }
    writer.await.unwrap();
}

#[tokio::test]
async fn a_batch_larger_than_every_bound_is_split_and_answered_in_order() {
    let temp = tempfile::tempdir().unwrap();
    let config = FsConfig { queue_bytes: 1 << 20, max_payload: 2 << 20, ..FsConfig::default() };
    let store = open_with(temp.path(), config).await.unwrap();
    let names: Vec<String> = (0..3_000).map(|n| format!("k{}", n % 2_900)).collect();
    let requests = names.iter().enumerate().map(|(n, name)| {
        let size = match n % 500 {
            7 => 3 << 20,
            8 => 1 << 20,
            _ => 2_000,
        };
        SaveRequest::new(key(name), vec![1; size])
    });
    let answers = store.save_many(requests.collect()).await;
    assert_eq!(answers.len(), names.len());
    let mut last = 0;
    for ((n, answer), name) in answers.into_iter().enumerate().zip(&names) {
        match answer {
            Ok(item) => {
                assert_eq!(item.metadata.key, *name);
                assert!(item.metadata.version > last, "applied in order");
                last = item.metadata.version;
            }
            Err(error) => {
                assert!(matches!(error.kind(), ErrorKind::TooLarge { .. }), "{error}");
                assert_eq!(n % 500, 7);
            }
        }
    }
    let keys: Vec<_> = names.iter().map(|name| key(name)).collect();
    let loaded = store.load_many(&keys).await;
    assert!(loaded.iter().enumerate().all(|(n, item)| n % 500 == 7 || item.as_ref().unwrap().is_some()));
    let deleted = store.delete_many(&keys).await;
    let deleted = deleted.into_iter().filter(|deleted| *deleted.as_ref().unwrap()).count();
    assert_eq!(store.count(&StorageQuery::new()).await.unwrap(), 0);
    assert!(deleted <= 2_900);
    assert!(!store.delete(key("k0"), Condition::None).await.unwrap());
}
