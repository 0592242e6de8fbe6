//! A disk that runs full, and one that can only be read.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use storage_core::{Condition, ErrorKind, StorageProvider};

use super::{
    open,
    support::{
        key, load,
        processes::{Process, argument},
        save,
    },
};

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
        if mounted(&mut mount, folder.path()) {
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

    fn file(&self) -> PathBuf {
        self.folder.path().join("store.db")
    }

    fn remount(&self, options: &str) {
        let mut remount = Command::new("mount");
        remount.args(["-o"]).arg(format!("remount,{options}"));
        assert!(mounted(&mut remount, self.folder.path()));
    }
}

fn mounted(mount: &mut Command, path: &Path) -> bool {
    mount.arg(path).output().is_ok_and(|done| done.status.success())
}

impl Drop for Disk {
    fn drop(&mut self) {
        let done = Command::new("umount").arg("-l").arg(self.folder.path()).status();
        assert!(done.is_ok_and(|status| status.success()), "the small disk stays mounted");
    }
}

#[tokio::test]
async fn on_a_full_disk_saves_are_refused_and_what_is_stored_stays() {
    let Some(disk) = Disk::new("3m") else { return };
    let store = open(&disk.file()).await.unwrap();
    let data = "x".repeat(20_000);
    let mut stored = 0;
    let error = loop {
        match save(&store, &format!("k{stored}"), &data).await {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Full, "{error:?}");
    assert!(stored > 10);
    for n in 0..stored {
        assert_eq!(load(&store, &format!("k{n}")).await.unwrap().as_deref(), Some(data.as_str()));
    }
    assert_eq!(load(&store, &format!("k{stored}")).await.unwrap(), None);
    // Deletes go on, and what they free can be used again.
    for n in 0..stored {
        assert!(store.delete(key(&format!("k{n}")), Condition::None).await.unwrap(), "k{n}");
    }
    save(&store, "again", &data).await.unwrap();
    assert!(store.verify().await.unwrap().is_clean());
    disk.remount("size=30m");
    for n in 0..stored {
        save(&store, &format!("k{n}"), &data).await.unwrap();
    }
    store.close().await.unwrap();
    let store = open(&disk.file()).await.unwrap();
    assert_eq!(load(&store, "again").await.unwrap(), Some(data));
    store.close().await.unwrap();
}

#[tokio::test]
async fn on_a_disk_that_becomes_read_only_saves_fail_and_nothing_is_lost() {
    let Some(disk) = Disk::new("10m") else { return };
    let store = open(&disk.file()).await.unwrap();
    save(&store, "a", "1").await.unwrap();
    store.close().await.unwrap();
    disk.remount("ro");
    let error = open(&disk.file()).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnly), "{error:?}");
    disk.remount("rw");
    let store = open(&disk.file()).await.unwrap();
    assert_eq!(load(&store, "a").await.unwrap().as_deref(), Some("1"));
    store.close().await.unwrap();
}

/// Saves until the disk fails, and says what happens then.
#[tokio::test]
#[ignore = "runs as a child of another test"]
async fn child_saves_until_the_disk_fails() {
    let Some(file) = argument() else { return };
    let store = open(Path::new(&file)).await.unwrap();
    let mut stored = 0;
    let error = loop {
        match save(&store, &format!("k{stored}"), "1").await {
            Ok(_) => println!("acknowledged {stored}"),
            Err(error) => break error,
        }
        stored += 1;
    };
    println!("failed {}", error.kind());
    println!("then {}", save(&store, "later", "1").await.unwrap_err().kind());
    println!("delete {}", store.delete(key("k0"), Condition::None).await.unwrap_err().kind());
    println!("healthy {}", store.health().await.is_healthy());
    println!("loads {}", load(&store, "k0").await.unwrap().unwrap());
}

#[test]
fn after_a_failed_sync_nothing_is_written_until_the_store_is_opened_again() {
    if Command::new("strace").arg("-V").output().is_err() {
        assert!(std::env::var("REQUIRE_BACKENDS").as_deref() != Ok("1"), "strace is missing");
        eprintln!("SKIPPED: strace is missing, which makes a disk fail");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("store.db");
    let test = "disk::child_saves_until_the_disk_fails";
    let mut child = Process::start_with_failing_syncs(test, &file.display().to_string(), 12);
    let mut acknowledged = 0;
    let mut failed = None;
    while let Some(line) = child.next_line() {
        match line.rsplit_once("acknowledged ") {
            Some((_, number)) => acknowledged = number.parse::<u32>().unwrap() + 1,
            None => {
                failed = line.rsplit_once("failed ").map(|(_, kind)| kind.to_owned());
                if failed.is_some() {
                    break;
                }
            }
        }
    }
    assert_eq!(failed.as_deref(), Some("OutcomeUnknown"));
    assert!(acknowledged > 3, "{acknowledged}");
    assert_eq!(child.next("then").as_deref(), Some("ReadOnly"));
    assert_eq!(child.next("delete").as_deref(), Some("ReadOnly"));
    assert_eq!(child.next("healthy").as_deref(), Some("false"));
    assert_eq!(child.next("loads").as_deref(), Some("1"));
    drop(child);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = open(&file).await.unwrap();
        for n in 0..acknowledged {
            assert_eq!(load(&store, &format!("k{n}")).await.unwrap().as_deref(), Some("1"), "k{n}");
        }
        save(&store, "later", "1").await.unwrap();
        assert!(store.verify().await.unwrap().is_clean());
        store.close().await.unwrap();
    });
}
