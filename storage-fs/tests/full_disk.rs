//! A disk that runs full: saves are refused, everything else goes on, and saves come back with the room.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests state what they expect")]

#[expect(dead_code, reason = "every test file uses its part")]
mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use storage_core::{Condition, ErrorKind, Health, StorageProvider, StorageQuery};
use storage_fs::FsProvider;
use support::{key, load, open, open_error, save};

/// A small file system of its own.
struct Disk {
    folder: tempfile::TempDir,
}

impl Disk {
    /// `None`, with a loud word, where mounting is not allowed; that fails if `REQUIRE_BACKENDS=1`.
    fn new(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o"]).arg(format!("size={size}")).arg("tmpfs");
        let mounted = mount_at(&mut mount, folder.path());
        if mounted {
            return Some(Self { folder });
        }
        assert!(
            std::env::var("REQUIRE_BACKENDS").as_deref() != Ok("1"),
            "no file system can be mounted here"
        );
        eprintln!(
            "SKIPPED: no file system can be mounted here; tests of a full and of a read-only disk need root"
        );
        None
    }

    fn path(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    fn remount(&self, options: &str) {
        assert!(mount_at(
            Command::new("mount").args(["-o"]).arg(format!("remount,{options}")),
            self.folder.path()
        ));
    }
}

fn mount_at(mount: &mut Command, path: &Path) -> bool {
    mount.arg(path).output().is_ok_and(|done| done.status.success())
}

impl Drop for Disk {
    fn drop(&mut self) {
        let done = Command::new("umount").arg("-l").arg(self.folder.path()).status();
        assert!(done.is_ok_and(|status| status.success()), "the small disk stays mounted");
    }
}

/// Bytes that do not get smaller when they are compressed.
fn payload(seed: usize, size: usize) -> Vec<u8> {
    let mut state = seed as u64 + 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..size).map(|_| next()).collect()
}

async fn fill(store: &FsProvider, size: usize) -> usize {
    for n in 0.. {
        match save(store, &format!("k{n}"), payload(n, size)).await {
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Full, "{error:?}");
                return n;
            }
        }
    }
    unreachable!("the disk has no end")
}

async fn check_filled(store: &FsProvider, count: usize, size: usize) {
    for n in 0..count {
        let data = load(store, &format!("k{n}")).await.unwrap();
        assert_eq!(data, Some(payload(n, size)), "k{n}");
    }
    assert_eq!(store.count(&StorageQuery::new()).await.unwrap(), count as u64);
}

#[tokio::test]
async fn a_full_disk_refuses_saves_while_loads_and_deletes_go_on_until_there_is_room() {
    for (disk, size) in [("8m", 500), ("8m", 20_000), ("32m", 3_000), ("24m", 200_000)] {
        let Some(mounted) = Disk::new(disk) else { return };
        let path = mounted.path().join("store");
        let store = open(&path).await;
        let count = fill(&store, size).await;
        assert!(count * size > 1_000_000, "{disk}: only {count} items of {size} bytes fit");
        check_filled(&store, count, size).await;
        assert!(matches!(store.health().await, Health::Degraded(_)));
        for n in 0..count {
            assert!(store.delete(key(&format!("k{n}")), Condition::None).await.unwrap(), "{disk}: k{n}");
        }
        // What was deleted makes room.
        let again = fill(&store, size).await;
        assert!(again * 2 >= count, "{disk}: {count} items of {size} bytes fit at first, then {again}");
        check_filled(&store, again, size).await;
        let report = store.verify().await.unwrap();
        assert!(report.is_clean(), "{disk}: {report:?}");
        store.close().await.unwrap();
        let store = open(&path).await;
        check_filled(&store, again, size).await;
        drop(store);
    }
}

#[tokio::test]
async fn a_disk_filled_by_others_to_the_last_byte_still_takes_deletes_and_recovers() {
    let Some(disk) = Disk::new("32m") else { return };
    let store = open(&disk.path().join("store")).await;
    for n in 0..1_000 {
        save(&store, &format!("k{n}"), vec![1; 1_000]).await.unwrap();
    }
    let filler = disk.path().join("filler");
    let written = fs::write(&filler, vec![1; 64 << 20]);
    assert!(written.is_err(), "the disk is larger than it should be");
    for n in 0..100 {
        assert_eq!(load(&store, &format!("k{n}")).await.unwrap(), Some(vec![1; 1_000]));
        assert_eq!(save(&store, "more", "x").await.unwrap_err().kind(), ErrorKind::Full);
        assert_eq!(save(&store, "large", vec![0; 300_000]).await.unwrap_err().kind(), ErrorKind::Full);
        assert!(store.delete(key(&format!("k{n}")), Condition::None).await.unwrap());
    }
    fs::remove_file(&filler).unwrap();
    save(&store, "more", "x").await.unwrap();
    assert!(store.health().await.is_healthy());
    assert_eq!(store.count(&StorageQuery::new()).await.unwrap(), 901);
    store.close().await.unwrap();
    let store = open(&disk.path().join("store")).await;
    assert_eq!(store.count(&StorageQuery::new()).await.unwrap(), 901);
    assert!(store.verify().await.unwrap().is_clean());
}

#[tokio::test]
async fn a_full_disk_can_be_opened_and_closed_and_opened() {
    let Some(disk) = Disk::new("16m") else { return };
    let path = disk.path().join("store");
    let store = open(&path).await;
    let count = fill(&store, 2_000).await;
    drop(store);
    let filler = disk.path().join("filler");
    assert!(fs::write(&filler, vec![1; 64 << 20]).is_err());
    for _ in 0..3 {
        let store = open(&path).await;
        check_filled(&store, count, 2_000).await;
        store.close().await.unwrap();
    }
    fs::remove_file(&filler).unwrap();
    check_filled(&open(&path).await, count, 2_000).await;
}

#[tokio::test]
async fn a_read_only_disk_is_refused_with_the_reason_and_nothing_is_lost() {
    let Some(disk) = Disk::new("8m") else { return };
    let path = disk.path().join("store");
    let store = open(&path).await;
    save(&store, "a", "x").await.unwrap();
    store.close().await.unwrap();
    disk.remount("ro");
    let error = open_error(&path).await;
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
    assert!(error.to_string().contains("read-only"), "{error}");
    assert_eq!(open_error(&disk.path().join("new")).await.kind(), ErrorKind::PermissionDenied);
    disk.remount("rw");
    assert_eq!(load(&open(&path).await, "a").await.unwrap().unwrap(), b"x");
}
