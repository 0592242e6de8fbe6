//! Fault 6: the disk is full. Old data stays readable, deletes go on, and once there is room saves do too.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use integration_tests::{HeldClock, Mount, Settings, can_mount, unavailable};
use storage_core::{Condition, ErrorKind, StorageItem, StorageProvider};
use storage_fs::FsProvider;

use crate::support::{assert_holds, eventually, key, put};

const MIB: u64 = 1 << 20;

/// The default of the space that is kept free, which is a quarter of a small disk; payloads above 4 KiB in files.
async fn open(root: &Path) -> FsProvider {
    let settings = Settings { min_free_space: 64 * MIB, ..Settings::default() };
    settings.open(root, Arc::new(HeldClock::default())).await.unwrap()
}

type Items = BTreeMap<String, StorageItem>;

/// Saves until the store is full; that and nothing else may be the failure.
async fn fill(store: &FsProvider, prefix: &str, size: u64, items: &mut Items) {
    for number in 0..200_000 {
        let name = format!("{prefix}-{number}");
        match put(store, &name, size).await {
            Ok(item) => drop(items.insert(name, item)),
            Err(error) => return assert_eq!(error.kind(), ErrorKind::Full, "{error:?}"),
        }
    }
    panic!("the disk is never full");
}

async fn delete(store: &FsProvider, name: &str, items: &mut Items) {
    let gone = store.delete(key(name), Condition::None).await;
    assert!(gone.unwrap_or_else(|error| panic!("delete of {name}: {error:?}")), "{name}");
    items.remove(name);
}

async fn saves_again(store: &FsProvider, name: &str, items: &mut Items) {
    eventually("saves go on once there is room", || async {
        match put(store, name, 1_000).await {
            Ok(_) => true,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Full, "{error:?}");
                false
            }
        }
    })
    .await;
    items.insert(name.to_owned(), store.load(key(name)).await.unwrap().unwrap());
}

async fn survive(megabytes: u64) {
    if let Err(why) = can_mount() {
        return unavailable("a full disk", &why);
    }
    let disk = Mount::in_memory(megabytes * MIB).unwrap();
    let root = disk.path().join("store");
    let mut items = Items::new();

    // Small payloads, then large ones, until nothing more fits.
    let store = open(&root).await;
    fill(&store, "small", 3_000, &mut items).await;
    assert!(items.len() as u64 > megabytes * 20, "only {} items fit", items.len());
    fill(&store, "large", 200_000, &mut items).await;
    assert_holds(&store, &items).await;

    // It opens again on the full disk.
    store.close().await.unwrap();
    let store = open(&root).await;
    assert_holds(&store, &items).await;

    // Deletes go on, and make room for saves.
    let names: Vec<String> = items.keys().step_by(2).cloned().collect();
    for name in &names {
        delete(&store, name, &mut items).await;
    }
    saves_again(&store, "after-deletes", &mut items).await;
    assert_holds(&store, &items).await;
    store.close().await.unwrap();

    let store = open(&root).await;
    assert_holds(&store, &items).await;
    store.close().await.unwrap();
}

#[tokio::test]
async fn fault_06_a_full_disk_of_8_mib_is_survived() {
    survive(8).await;
}

#[tokio::test]
async fn fault_06_a_full_disk_of_16_mib_is_survived() {
    survive(16).await;
}

#[tokio::test]
async fn fault_06_a_full_disk_of_64_mib_is_survived() {
    survive(64).await;
}

/// Takes every byte that the disk still has.
fn take_all_room(path: &Path) {
    let mut file = fs::File::create(path).unwrap();
    let chunk = [1_u8; 4_096];
    while std::io::Write::write_all(&mut file, &chunk).is_ok() {}
}

#[tokio::test]
async fn fault_06_somebody_else_fills_the_disk_to_the_last_byte_and_frees_it_again() {
    if let Err(why) = can_mount() {
        return unavailable("a full disk", &why);
    }
    let disk = Mount::in_memory(32 * MIB).unwrap();
    let (root, filler) = (disk.path().join("store"), disk.path().join("filler"));
    let mut items = Items::new();
    let store = open(&root).await;
    for number in 0..500 {
        let name = format!("item-{number}");
        let item = put(&store, &name, 2_000).await.unwrap();
        items.insert(name, item);
    }
    take_all_room(&filler);
    // The store may win some room back by tidying up, and use it.
    fill(&store, "small", 1_000, &mut items).await;
    fill(&store, "large", 100_000, &mut items).await;
    assert_holds(&store, &items).await;
    for number in 0..20 {
        delete(&store, &format!("item-{number}"), &mut items).await;
    }
    assert_holds(&store, &items).await;
    store.close().await.unwrap();

    let store = open(&root).await;
    assert_holds(&store, &items).await;
    fill(&store, "reopened", 1_000, &mut items).await;
    fs::remove_file(&filler).unwrap();
    saves_again(&store, "after-room", &mut items).await;
    assert_holds(&store, &items).await;
    store.close().await.unwrap();
}
