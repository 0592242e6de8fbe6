//! The tests of these tests: a bug that is planted must be caught, or they count for nothing.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use integration_tests::{HeldClock, Ledger};
use storage_core::{
    CleanupReport, Condition, ItemKey, ProviderInfo, Result, SaveRequest, SearchPage, StorageItem,
    StorageProvider, StorageQuery,
};
use storage_memory::{MemoryConfig, MemoryProvider};
use test_servers::{found, redis::Server};

use crate::{
    load::Load,
    stopwatch::Stopwatch,
    support::{DEADLINE, config, names},
};

/// What a wrong provider does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bug {
    /// Acknowledges one save in a hundred without doing it.
    LosesSaves,
    /// Acknowledges one save in a hundred and stores other data under its metadata.
    TearsItems,
    /// Leaves the last hit out of every page of a search.
    HidesFromSearch,
    /// Says of one save in a hundred that it was not applied, though it was.
    DeniesSaves,
    /// Takes longer than it may, once in a hundred saves.
    Stalls,
}

#[derive(Debug)]
struct Wrong {
    bug: Bug,
    inner: MemoryProvider,
    saves: std::sync::atomic::AtomicU64,
}

impl Wrong {
    fn strikes(&self) -> bool {
        self.saves.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % 100 == 99
    }
}

#[async_trait]
impl StorageProvider for Wrong {
    fn info(&self) -> ProviderInfo {
        self.inner.info()
    }

    async fn save(&self, mut request: SaveRequest<'_>) -> Result<StorageItem> {
        // A provider that never waits would not let the other tasks of the test run.
        tokio::task::yield_now().await;
        let (strikes, asked) = (self.strikes(), request.clone());
        match self.bug {
            Bug::TearsItems if strikes => request.data = vec![0; request.data.len()].into(),
            Bug::Stalls if strikes => tokio::time::sleep(DEADLINE + Duration::from_millis(200)).await,
            _ => {}
        }
        let saved = self.inner.save(request).await?;
        match self.bug {
            Bug::LosesSaves if strikes => drop(self.inner.delete(asked.key, Condition::None).await?),
            Bug::DeniesSaves if strikes => {
                return Err(storage_core::StorageError::new(storage_core::ErrorKind::Timeout, "not applied"));
            }
            _ => {}
        }
        Ok(saved)
    }

    async fn load(&self, key: ItemKey<'_>) -> Result<Option<StorageItem>> {
        self.inner.load(key).await
    }

    async fn delete(&self, key: ItemKey<'_>, condition: Condition) -> Result<bool> {
        self.inner.delete(key, condition).await
    }

    async fn search(&self, query: &StorageQuery) -> Result<SearchPage> {
        let mut page = self.inner.search(query).await?;
        if self.bug == Bug::HidesFromSearch {
            // Not one chosen by its version or key: whether such an item lives at the end would be luck.
            page.results.pop();
        }
        Ok(page)
    }

    async fn cleanup(&self) -> Result<CleanupReport> {
        self.inner.cleanup().await
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}

async fn caught(bug: Bug, ledger: Ledger) -> std::result::Result<(), String> {
    let clock = HeldClock::default();
    let config = MemoryConfig { max_entries: 0, ..MemoryConfig::default() };
    let inner = MemoryProvider::with_clock(config, Arc::new(clock.clone()));
    let wrong = Arc::new(Wrong { bug, inner, saves: Default::default() });
    let mut load = Load::on(wrong, clock, ledger);
    load.proceeds(3_000).await;
    load.stop().await;
    load.agrees(&*load.store).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_acknowledgement_is_caught() {
    let why = caught(Bug::LosesSaves, Ledger::new()).await.unwrap_err();
    assert!(why.contains("lost") || why.contains("did not find"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_item_is_caught_even_where_losses_are_allowed() {
    let why = caught(Bug::TearsItems, Ledger::of_a_server_that_loses()).await.unwrap_err();
    assert!(why.contains("not of the save"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_missing_from_a_search_is_caught_even_where_losses_are_allowed() {
    let why = caught(Bug::HidesFromSearch, Ledger::of_a_server_that_loses()).await.unwrap_err();
    assert!(why.contains("an index disagrees"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_was_denied_and_applied_is_caught() {
    let why = caught(Bug::DeniesSaves, Ledger::new()).await.unwrap_err();
    assert!(why.contains("nobody asked") || why.contains("answered"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
#[should_panic(expected = "> 600ms")]
async fn a_call_that_outlives_its_deadline_is_caught() {
    let wrong = Wrong { bug: Bug::Stalls, inner: MemoryProvider::default(), saves: Default::default() };
    let store = Stopwatch::over(Arc::new(wrong));
    for name in names(100) {
        crate::support::put(&*store, &name).await.unwrap();
    }
    store.assert_within(DEADLINE);
}

/// What a real failover loses is lost here by hand: the ledger counts it, and a ledger that allows no loss names it.
#[tokio::test(flavor = "multi_thread")]
async fn an_item_that_the_server_lost_is_counted_where_that_is_allowed_and_named_where_not() {
    for allowed in [true, false] {
        let Some(server) = found(Server::start()) else { return };
        let mut load = match allowed {
            true => Load::start_with_losses(config(&server.url())).await,
            false => Load::start(config(&server.url())).await,
        };
        load.proceeds(500).await;
        load.stop().await;
        let _ok: String = server.command(&["FLUSHALL"]);
        let answer = load.agrees(&load.another(config(&server.url())).await).await;
        match allowed {
            true => assert!(answer.unwrap().lost > 10),
            false => assert!(answer.unwrap_err().contains("lost")),
        }
    }
}

/// Entries of an index that are removed behind our back must not go unnoticed by the comparison.
#[tokio::test(flavor = "multi_thread")]
async fn missing_index_entries_are_caught() {
    let Some(server) = found(Server::start()) else { return };
    let mut load = Load::start(config(&server.url())).await;
    load.proceeds(500).await;
    load.stop().await;
    let store = load.another(config(&server.url())).await;
    load.agrees(&store).await.unwrap();
    remove_index_entries(&server);
    let why = load.agrees(&store).await.unwrap_err();
    assert!(why.contains("an index disagrees"), "{why}");
}

/// Removes the order by the time of the last write from the largest index.
fn remove_index_entries(server: &Server) {
    let keys: Vec<String> = server.command(&["KEYS", "*:x"]);
    let size = |key: &String| server.command::<u64>(&["ZCARD", key]);
    let largest = keys.iter().max_by_key(|key| size(key)).unwrap();
    let removed: u64 = server.command(&["ZREMRANGEBYLEX", largest, "[u", "(v"]);
    assert!(removed > 0, "does that section have another letter now?");
}
