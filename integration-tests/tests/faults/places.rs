//! Faults 7, 9, 11 and 13: directories that are missing, read-only, foreign, held by another, newer, or booby-trapped.

use std::{fs, os::unix::fs::symlink, path::Path, time::Instant};

use integration_tests::{Child, Job, Line, Mount, Plan, Settings, can_mount, unavailable};
use storage_core::{ErrorKind, StorageError, StorageProvider};

use crate::support::{PROGRAM, key, open, put, try_open};

async fn refusal(directory: &Path) -> StorageError {
    match try_open(directory).await {
        Ok(_) => panic!("{} was opened", directory.display()),
        Err(error) => error,
    }
}

/// Names and contents of the plain files in a folder.
fn listing(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    let mut files: Vec<_> = entries
        .filter(|entry| entry.file_type().unwrap().is_file())
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .collect();
    files.sort();
    files
}

#[tokio::test]
async fn fault_07_a_missing_directory_is_made_with_its_parents() {
    let temp = tempfile::tempdir().unwrap();
    let root = temp.path().join("a/b/c");
    let store = open(&root).await;
    put(&store, "x", 1).await.unwrap();
    store.close().await.unwrap();
    assert!(open(&root).await.load(key("x")).await.unwrap().is_some());
}

#[tokio::test]
async fn fault_07_a_file_in_place_of_the_directory_is_a_config_error() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("file");
    fs::write(&file, "mine").unwrap();
    for path in [file.clone(), file.join("below")] {
        let error = refusal(&path).await;
        assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
    }
    assert_eq!(fs::read(&file).unwrap(), b"mine");
}

#[tokio::test]
async fn fault_07_a_read_only_disk_is_refused_and_opens_once_it_is_writable() {
    if let Err(why) = can_mount() {
        return unavailable("a read-only disk", &why);
    }
    let disk = Mount::in_memory(32 << 20).unwrap();
    let root = disk.path().join("store");
    let store = open(&root).await;
    put(&store, "x", 9).await.unwrap();
    store.close().await.unwrap();
    drop(store);

    disk.set_read_only(true).unwrap();
    for path in [root.clone(), disk.path().join("new")] {
        let error = refusal(&path).await;
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error:?}");
        assert!(format!("{error:?}").to_lowercase().contains("read-only"), "{error:?}");
    }
    disk.set_read_only(false).unwrap();
    let store = open(&root).await;
    assert_eq!(store.load(key("x")).await.unwrap().unwrap().data.len(), 9);
    store.close().await.unwrap();
}

#[tokio::test]
async fn fault_09_a_second_handle_is_locked_out_at_once_until_the_first_closes() {
    let temp = tempfile::tempdir().unwrap();
    let first = open(temp.path()).await;
    let started = Instant::now();
    let error = refusal(temp.path()).await;
    assert_eq!(error.kind(), ErrorKind::Locked, "{error:?}");
    assert!(started.elapsed().as_secs() < 2, "{:?}", started.elapsed());
    put(&first, "x", 1).await.unwrap();
    first.close().await.unwrap();
    assert!(open(temp.path()).await.load(key("x")).await.unwrap().is_some());
}

#[tokio::test]
async fn fault_09_a_second_process_is_locked_out_at_once_and_kill_9_frees_the_lock() {
    let temp = tempfile::tempdir().unwrap();
    let job = |plan| Job { directory: temp.path().to_owned(), settings: Settings::default(), plan };
    let mut holder = Child::start(PROGRAM, &job(Plan::Hold));
    assert!(matches!(holder.line(), Some(Line::Opened)));

    let started = Instant::now();
    let mut second = Child::start(PROGRAM, &job(Plan::Hold));
    let Some(Line::NotOpened(kind, text)) = second.line() else { panic!("the second process got in") };
    assert_eq!(kind, "Locked", "{text}");
    assert!(started.elapsed().as_secs() < 2, "{:?}", started.elapsed());
    assert_eq!(second.wait().code(), Some(4));
    assert_eq!(refusal(temp.path()).await.kind(), ErrorKind::Locked);

    holder.kill();
    let store = open(temp.path()).await;
    put(&store, "x", 1).await.unwrap();
    store.close().await.unwrap();
}

#[tokio::test]
async fn fault_11_links_planted_in_the_store_are_never_followed() {
    let temp = tempfile::tempdir().unwrap();
    let outside = temp.path().join("outside");
    for name in ["engine", "blobs"] {
        let root = temp.path().join(format!("store-{name}"));
        let store = open(&root).await;
        put(&store, "large", 9_000).await.unwrap();
        store.close().await.unwrap();
        drop(store);
        // The folder is a link to a copy elsewhere.
        fs::rename(root.join(name), &outside).unwrap();
        symlink(&outside, root.join(name)).unwrap();
        let error = refusal(&root).await;
        assert_eq!(error.kind(), ErrorKind::Corrupted, "{name}: {error:?}");
        fs::remove_dir_all(&outside).unwrap();
    }
}

#[tokio::test]
async fn fault_11_a_payload_file_that_became_a_link_is_corrupted_and_its_target_stays() {
    let temp = tempfile::tempdir().unwrap();
    let (root, secret) = (temp.path().join("store"), temp.path().join("secret"));
    let store = open(&root).await;
    put(&store, "large", 9_000).await.unwrap();
    let blob = fs::read_dir(root.join("blobs")).unwrap().next().unwrap().unwrap().path();
    // Even with the very bytes that were saved.
    fs::rename(&blob, &secret).unwrap();
    symlink(&secret, &blob).unwrap();
    let error = store.load(key("large")).await.unwrap_err();
    assert_eq!((error.kind(), error.key()), (ErrorKind::Corrupted, Some("large")), "{error:?}");
    assert!(store.delete(key("large"), storage_core::Condition::None).await.unwrap());
    store.close().await.unwrap();
    assert_eq!(fs::read(&secret).unwrap().len(), 9_000);
}

/// The top level of a store is written to as well, so that links there matter as much.
#[tokio::test]
async fn fault_11_links_in_place_of_the_stores_own_files_do_not_lead_outside() {
    let temp = tempfile::tempdir().unwrap();
    let made = temp.path().join("made");
    let store = open(&made).await;
    put(&store, "x", 1).await.unwrap();
    store.close().await.unwrap();
    drop(store);
    let image = crate::image::Image::of(&made);
    for (number, name) in image.files.keys().enumerate() {
        let root = temp.path().join(format!("store-{number}"));
        image.restore(&root);
        let victim = temp.path().join(format!("victim-{number}"));
        fs::write(&victim, "untouched").unwrap();
        fs::remove_file(root.join(name)).unwrap();
        symlink(&victim, root.join(name)).unwrap();
        if let Ok(store) = try_open(&root).await {
            drop(put(&store, "y", 1).await);
            drop(store.close().await);
        }
        assert_eq!(fs::read(&victim).unwrap(), b"untouched", "{}", name.display());
    }
}

#[tokio::test]
async fn fault_13_a_foreign_directory_is_refused_and_left_as_it_was() {
    let temp = tempfile::tempdir().unwrap();
    fs::write(temp.path().join("thesis.txt"), "years of work").unwrap();
    fs::create_dir(temp.path().join("engine")).unwrap();
    let before = listing(temp.path());
    let error = refusal(temp.path()).await;
    assert_eq!(error.kind(), ErrorKind::Corrupted, "{error:?}");
    assert_eq!(listing(temp.path()), before);
}

#[tokio::test]
async fn fault_13_a_newer_format_is_refused_by_number_and_an_empty_or_damaged_format_file_is_corrupted() {
    let temp = tempfile::tempdir().unwrap();
    let store = open(temp.path()).await;
    put(&store, "x", 1).await.unwrap();
    store.close().await.unwrap();
    drop(store);
    let format = temp.path().join("FORMAT");
    let good = fs::read_to_string(&format).unwrap();
    let newer = good.replace("format 1", "format 2");
    assert_ne!(good, newer);
    for (text, kind) in [
        (newer.as_str(), ErrorKind::Config),
        ("", ErrorKind::Corrupted),
        ("\0\0\0\0", ErrorKind::Corrupted),
        ("storage-fs format 18446744073709551616\n", ErrorKind::Corrupted),
    ] {
        fs::write(&format, text).unwrap();
        let before = listing(temp.path());
        let error = refusal(temp.path()).await;
        assert_eq!(error.kind(), kind, "{text:?}: {error:?}");
        if kind == ErrorKind::Config {
            assert!(error.message().contains("2 > 1"), "{error:?}");
        }
        assert_eq!(listing(temp.path()), before, "{text:?}");
    }
    fs::write(&format, good).unwrap();
    let store = open(temp.path()).await;
    assert!(store.load(key("x")).await.unwrap().is_some());
    store.close().await.unwrap();
}
