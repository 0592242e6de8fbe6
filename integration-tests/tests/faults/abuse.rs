//! Faults 39 to 42 on a store with files below: sizes at the limits, hostile keys, hostile records, hostile tags.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use integration_tests::{HeldClock, payload};
use storage_core::{ErrorKind, ItemKey, SaveRequest, StorageItem, StorageProvider, StorageQuery, Tags};
use storage_fs::{FsConfig, FsProvider};

use crate::support::{assert_holds, key, open, put};

const MIB: u64 = 1 << 20;

#[tokio::test]
async fn fault_39_payloads_around_every_limit_are_whole_or_too_large() {
    let temp = tempfile::tempdir().unwrap();
    let config = FsConfig { max_payload: MIB, ..FsConfig::default() };
    let builder = FsProvider::builder(temp.path()).config(config.clone());
    let store = builder.clock(Arc::new(HeldClock::default())).open().await.unwrap();
    let threshold = config.large_payload;
    let mut items = BTreeMap::new();
    for size in [0, 1, threshold - 1, threshold, threshold + 1, MIB - 1, MIB] {
        let name = format!("size-{size}");
        let item = put(&store, &name, size).await.unwrap();
        items.insert(name, item);
    }
    for size in [MIB + 1, 8 * MIB] {
        let error = put(&store, "size-0", size).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge { size, max: MIB }, "{error:?}");
    }
    assert_holds(&store, &items).await;
    store.close().await.unwrap();
    assert_holds(&open(temp.path()).await, &items).await;
}

#[tokio::test]
async fn fault_12_40_hostile_keys_are_distinct_items_and_never_names_of_files() {
    let temp = tempfile::tempdir().unwrap();
    let root = temp.path().join("store");
    let store = open(&root).await;
    let long = "k".repeat(1_024);
    let keys = [
        "a",
        "A",
        "é",
        "e\u{301}",
        "..",
        "../../escape",
        "/etc/passwd",
        "\\",
        "C:\\CON",
        "NUL",
        ".",
        " ",
        "a ",
        "*",
        "?",
        "[a]",
        "{}",
        "{a}:b",
        "%2e",
        "'; DROP TABLE",
        "\u{202e}txt",
        "日本",
        "🦀",
        "FORMAT",
        "LOCK",
        &long,
    ];
    let mut items = BTreeMap::new();
    for (index, name) in keys.iter().enumerate() {
        // Every other one is large, so that it lies in a file.
        let size = if index % 2 == 0 { 10 } else { 5_000 + index as u64 };
        let item = put(&store, name, size).await.unwrap();
        items.insert((*name).to_owned(), item);
    }
    assert_holds(&store, &items).await;
    store.close().await.unwrap();
    drop(store);
    for bad in ["", "a\0", "a\nb", "\r", &"k".repeat(1_025)] {
        assert_eq!(ItemKey::new("note", bad).unwrap_err().kind(), ErrorKind::InvalidKey);
    }
    let outside: Vec<_> =
        std::fs::read_dir(temp.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(outside, std::slice::from_ref(&root), "nothing lies outside of the store");
    for path in crate::image::Image::of(&root).files.keys() {
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte)), "{name}");
    }
    assert_holds(&open(&root).await, &items).await;
}

/// Lengths that promise gigabytes must not be believed: every file of a store is filled with the largest numbers there are.
#[tokio::test]
async fn fault_41_files_full_of_huge_lengths_are_corrupted_and_take_no_memory() {
    let temp = tempfile::tempdir().unwrap();
    let root = temp.path().join("store");
    let store = open(&root).await;
    put(&store, "small", 100).await.unwrap();
    put(&store, "large", 9_000).await.unwrap();
    let good = crate::image::Image::of(&root);
    store.close().await.unwrap();
    drop(store);
    for path in good.targets() {
        for from in [0, 1, 5, 13, 17, 26, 40] {
            let mut bomb = good.clone();
            let bytes = &mut bomb.content(&path).bytes;
            let from = from.min(bytes.len());
            bytes[from..].fill(0xff);
            bomb.restore(&root);
            let Ok(store) = crate::support::try_open(&root).await else { continue };
            for name in ["small", "large"] {
                match store.load(key(name)).await {
                    Ok(Some(item)) => assert_eq!(item.data, payload(name, item.metadata.size), "{path:?}"),
                    Ok(None) => panic!("{name} is lost in silence: {path:?} from {from}"),
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupted, "{error:?}"),
                }
            }
            drop(store.close().await);
        }
    }
    let peak = peak_memory_mib();
    assert!(peak < 2_048, "the process took {peak} MiB");
}

fn peak_memory_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1_024
}

#[tokio::test]
async fn fault_42_tags_at_their_limits_are_kept_and_many_distinct_values_stay_linear() {
    let temp = tempfile::tempdir().unwrap();
    let store = open(temp.path()).await;
    let tags: Tags = (0..64).map(|tag| (format!("{tag:0>128}"), "v".repeat(1_024))).collect();
    let saved: StorageItem = store.save(SaveRequest::new(key("tags"), "x").tags(tags.clone())).await.unwrap();
    assert_eq!(saved.metadata.tags, tags);
    let more: Tags = (0..65).map(|tag| (tag.to_string(), "")).collect();
    let error = store.save(SaveRequest::new(key("more"), "x").tags(more)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error:?}");

    let (few, many) =
        (time_of_distinct_values(&store, 500).await, time_of_distinct_values(&store, 4_000).await);
    // Eight times the values may take eight times as long, and as much again for a busy machine, not 64 times.
    assert!(many < few * 32, "500 values took {few:?}, 4,000 took {many:?}");
    let found = store.search(&StorageQuery::new().tag("value", "4000-17")).await.unwrap();
    assert_eq!(found.results.len(), 1);
    store.close().await.unwrap();
}

async fn time_of_distinct_values(store: &FsProvider, count: u32) -> std::time::Duration {
    let names: Vec<String> = (0..count).map(|number| format!("{count}-{number}")).collect();
    let requests =
        names.iter().map(|name| SaveRequest::new(key(name), "x").tag("value", name.as_str())).collect();
    let started = Instant::now();
    for answer in store.save_many(requests).await {
        answer.unwrap();
    }
    started.elapsed()
}
