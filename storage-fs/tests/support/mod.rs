//! What the tests of this crate have in common.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use storage_core::{ItemKey, Result, SaveRequest, StorageError, StorageItem, StorageProvider};
use storage_fs::{FsConfig, FsProvider};

pub(crate) fn key(key: &str) -> ItemKey<'_> {
    ItemKey::new("note", key).unwrap()
}

pub(crate) async fn save(
    store: &FsProvider,
    name: &str,
    data: impl Into<storage_core::Bytes>,
) -> Result<StorageItem> {
    store.save(SaveRequest::new(key(name), data).tag("name", name)).await
}

pub(crate) async fn load(store: &FsProvider, name: &str) -> Result<Option<Vec<u8>>> {
    Ok(store.load(key(name)).await?.map(|item| item.data.to_vec()))
}

pub(crate) async fn open(path: &Path) -> FsProvider {
    FsProvider::open(path).await.unwrap()
}

pub(crate) async fn open_with(path: &Path, config: FsConfig) -> Result<FsProvider> {
    FsProvider::builder(path).config(config).open().await
}

pub(crate) async fn open_error(path: &Path) -> StorageError {
    match FsProvider::open(path).await {
        Ok(_) => panic!("{} could be opened", path.display()),
        Err(error) => error,
    }
}

/// Runs one test of the calling test binary in a process of its own, with `FS_TEST_CHILD` set to `argument`.
pub(crate) fn child(test: &str, argument: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture", "--ignored"])
        .env("FS_TEST_CHILD", argument)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The argument of a test that runs as a child; `None` if it was started by hand.
pub(crate) fn child_argument() -> Option<String> {
    std::env::var("FS_TEST_CHILD").ok()
}

/// Waits until `done` answers something, at most half a minute.
pub(crate) fn eventually<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(answer) = done() {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(2));
    }
}
