//! What the tests of all engines have in common.

#![allow(dead_code, reason = "each test program uses its own part of this")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests state what they expect by panicking"
)]

pub(crate) mod corpus;
pub(crate) mod differential;
#[cfg(feature = "mysql")]
pub(crate) mod mysql;
#[cfg(feature = "postgres")]
pub(crate) mod postgres;
pub(crate) mod processes;

use storage_core::{ItemKey, Result, SaveRequest, StorageItem, StorageProvider};

pub(crate) fn key(key: &str) -> ItemKey<'_> {
    ItemKey::new("note", key).unwrap()
}

/// Saves an item with a tag of its own name.
pub(crate) async fn save(store: &impl StorageProvider, name: &str, data: &str) -> Result<StorageItem> {
    store.save(SaveRequest::new(key(name), data.to_owned()).tag("name", name)).await
}

pub(crate) async fn load(store: &impl StorageProvider, name: &str) -> Result<Option<String>> {
    let item = store.load(key(name)).await?;
    Ok(item.map(|item| String::from_utf8(item.data.to_vec()).unwrap()))
}

/// Waits until `done` answers something, at most half a minute.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut done: impl FnMut() -> F,
) -> T {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        if let Some(answer) = done().await {
            return answer;
        }
        assert!(std::time::Instant::now() < deadline, "{what} did not happen");
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
}
