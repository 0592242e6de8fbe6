//! Damaged records, index entries and payload files: named, never a miss, never a wrong value, and possible to get rid of.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests state what they expect"
)]

#[expect(dead_code, reason = "every test file uses its part")]
mod support;

use std::{fs, path::Path};

use fjall::{Database, Keyspace};
use storage_core::{Condition, ErrorKind, SaveRequest, StorageProvider, StorageQuery};
use storage_fs::{FsProvider, VerifyReport};
use support::{key, load, open, save};

/// Changes a closed store behind its back.
fn tamper(path: &Path, change: impl FnOnce(&dyn Fn(&str) -> Keyspace)) {
    let database = Database::builder(path.join("engine")).open().unwrap();
    change(&|name| database.keyspace(name, || panic!("{name} is missing")).unwrap());
    database.persist(fjall::PersistMode::SyncAll).unwrap();
}

async fn damaged_store(path: &Path) -> FsProvider {
    let store = open(path).await;
    for name in ["a", "b", "c"] {
        save(&store, name, format!("data of {name}")).await.unwrap();
    }
    store.close().await.unwrap();
    tamper(path, |space| {
        let items = space("items");
        let mut record = items.get("note\0b").unwrap().unwrap().to_vec();
        let middle = record.len() / 2;
        record[middle] ^= 1;
        items.insert("note\0b", record).unwrap();
    });
    open(path).await
}

fn keys(report: &VerifyReport) -> Vec<&str> {
    report.damaged.iter().filter_map(|damaged| damaged.key.as_deref()).collect()
}

#[tokio::test]
async fn a_damaged_record_is_named_and_the_others_stay_readable() {
    let temp = tempfile::tempdir().unwrap();
    let store = damaged_store(temp.path()).await;
    let error = load(&store, "b").await.unwrap_err();
    assert_eq!(
        (error.kind(), error.key(), error.content_type()),
        (ErrorKind::Corrupted, Some("b"), Some("note"))
    );
    assert_eq!(load(&store, "a").await.unwrap().unwrap(), b"data of a");
    for query in
        [StorageQuery::new(), StorageQuery::new().tag("name", "b"), StorageQuery::new().metadata_only()]
    {
        let error = store.search(&query).await.unwrap_err();
        assert_eq!((error.kind(), error.key()), (ErrorKind::Corrupted, Some("b")));
        assert_eq!(store.count(&query).await.unwrap_err().kind(), ErrorKind::Corrupted);
    }
    assert_eq!(store.search(&StorageQuery::new().tag("name", "c")).await.unwrap().results.len(), 1);
    let report = store.verify().await.unwrap();
    assert_eq!((report.intact, keys(&report)), (2, vec!["b"]));
}

#[tokio::test]
async fn a_damaged_record_can_be_deleted_or_replaced_but_not_under_a_condition() {
    for replace in [true, false] {
        let temp = tempfile::tempdir().unwrap();
        let store = damaged_store(temp.path()).await;
        for condition in [Condition::Absent, Condition::Version(1)] {
            let refused = store.save(SaveRequest::new(key("b"), "x").condition(condition)).await.unwrap_err();
            assert_eq!((refused.kind(), refused.key()), (ErrorKind::Corrupted, Some("b")));
        }
        assert_eq!(
            store.delete(key("b"), Condition::Version(1)).await.unwrap_err().kind(),
            ErrorKind::Corrupted
        );
        assert_eq!(store.touch(key("b"), None).await.unwrap_err().kind(), ErrorKind::Corrupted);
        if replace {
            save(&store, "b", "new").await.unwrap();
            assert_eq!(load(&store, "b").await.unwrap().unwrap(), b"new");
        } else {
            assert!(store.delete(key("b"), Condition::None).await.unwrap());
            assert_eq!(load(&store, "b").await.unwrap(), None);
        }
        // Nothing of the damaged item is left, in no index.
        let report = store.verify().await.unwrap();
        assert!(report.is_clean(), "{report:?}");
        assert_eq!(report.intact, if replace { 3 } else { 2 });
    }
}

#[tokio::test]
async fn a_record_under_another_key_is_damage_and_not_an_answer() {
    let temp = tempfile::tempdir().unwrap();
    let store = open(temp.path()).await;
    save(&store, "a", "secret of a").await.unwrap();
    save(&store, "b", "b").await.unwrap();
    store.close().await.unwrap();
    tamper(temp.path(), |space| {
        let items = space("items");
        let record = items.get("note\0a").unwrap().unwrap();
        items.insert("note\0b", record).unwrap();
    });
    let store = open(temp.path()).await;
    assert_eq!(load(&store, "b").await.unwrap_err().kind(), ErrorKind::Corrupted);
}

#[tokio::test]
async fn missing_and_surplus_index_entries_are_found_and_never_make_a_search_wrong() {
    let temp = tempfile::tempdir().unwrap();
    let store = open(temp.path()).await;
    save(&store, "a", "x").await.unwrap();
    save(&store, "b", "x").await.unwrap();
    store.close().await.unwrap();
    tamper(temp.path(), |space| {
        let tags = space("tags");
        let entries: Vec<Vec<u8>> = tags.iter().map(|guard| guard.key().unwrap().to_vec()).collect();
        let of_a = entries.iter().find(|entry| entry.ends_with(b"note\0a")).unwrap();
        // The tag of `a` now proposes `b` and an item that does not exist.
        tags.remove(of_a.as_slice()).unwrap();
        for name in ["note\0b", "note\0nobody"] {
            tags.insert([&of_a[..8], name.as_bytes()].concat(), "").unwrap();
        }
    });
    let store = open(temp.path()).await;
    assert_eq!(store.search(&StorageQuery::new().tag("name", "a")).await.unwrap().results.len(), 0);
    let report = store.verify().await.unwrap();
    let mut found = keys(&report);
    found.sort_unstable();
    assert_eq!((report.intact, found), (1, vec!["a", "b", "nobody"]), "{report:?}");
}

#[tokio::test]
async fn a_damaged_or_missing_payload_file_is_named() {
    let temp = tempfile::tempdir().unwrap();
    let store = open(temp.path()).await;
    for name in ["damaged", "missing", "short"] {
        save(&store, name, vec![1; 200_000]).await.unwrap();
        let mut files: Vec<_> =
            fs::read_dir(temp.path().join("blobs")).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let file = files.last().unwrap();
        match name {
            "damaged" => {
                let mut bytes = fs::read(file).unwrap();
                bytes[100_000] ^= 4;
                fs::write(file, bytes).unwrap();
            }
            "missing" => fs::remove_file(file).unwrap(),
            _ => fs::write(file, "short").unwrap(),
        }
        let error = load(&store, name).await.unwrap_err();
        assert_eq!((error.kind(), error.key()), (ErrorKind::Corrupted, Some(name)), "{error}");
    }
    // Metadata is not affected, and asking for it alone reads no file.
    assert_eq!(store.search(&StorageQuery::new().metadata_only()).await.unwrap().results.len(), 3);
    assert_eq!(store.count(&StorageQuery::new()).await.unwrap(), 3);
    assert_eq!(store.search(&StorageQuery::new()).await.unwrap_err().kind(), ErrorKind::Corrupted);
    let report = store.verify().await.unwrap();
    assert_eq!(keys(&report), ["damaged", "missing", "short"], "{report:?}");
    for name in ["damaged", "missing", "short"] {
        assert!(store.delete(key(name), Condition::None).await.unwrap());
    }
    assert!(store.verify().await.unwrap().is_clean());
}
