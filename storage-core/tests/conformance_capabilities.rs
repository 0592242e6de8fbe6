//! The suite holds providers to their word both ways: what is lacking must be said, and what is claimed must work.

#![expect(clippy::unwrap_used, reason = "tests state what they expect by panicking")]

#[path = "../examples/map_provider/provider.rs"]
mod provider;

use std::{
    collections::{HashMap, HashSet},
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use provider::MapProvider;
use storage_core::{
    Capabilities, CleanupReport, Condition, ErrorKind, Health, ItemKey, ProviderInfo, Result, SaveRequest,
    SearchPage, StorageError, StorageItem, StorageMetadata, StorageProvider, StorageQuery, Timestamp, Usage,
    async_trait,
    conformance::{CHECKS, Setup, Suite},
};

/// The right provider with another set of capabilities, and with an opening of its own.
#[derive(Debug)]
struct Limited {
    inner: Arc<MapProvider>,
    capabilities: Capabilities,
    closed: AtomicBool,
}

impl Limited {
    fn new(inner: Arc<MapProvider>, capabilities: Capabilities) -> Self {
        Self { inner, capabilities, closed: AtomicBool::new(false) }
    }

    fn fresh(setup: &Setup, capabilities: Capabilities) -> Self {
        Self::new(Arc::new(MapProvider::new(setup.clock())), capabilities)
    }

    /// One store for each directory, which outlives its openings.
    fn durable(setup: &Setup) -> Self {
        static STORES: LazyLock<Mutex<HashMap<PathBuf, Arc<MapProvider>>>> = LazyLock::new(Mutex::default);
        let mut stores = STORES.lock().unwrap();
        let store = stores.entry(setup.directory().to_owned());
        let store = store.or_insert_with(|| Arc::new(MapProvider::new(setup.clock())));
        Self::new(Arc::clone(store), Capabilities::default().durable(true))
    }

    fn fail<T>(kind: ErrorKind, operation: &'static str) -> Result<T> {
        Err(StorageError::new(kind, "not here").with_provider("map").with_operation(operation))
    }

    fn open(&self, operation: &'static str) -> Result<()> {
        if self.closed.load(Ordering::SeqCst) { Self::fail(ErrorKind::Closed, operation) } else { Ok(()) }
    }

    fn offered(&self, operation: &'static str, offered: bool) -> Result<()> {
        self.open(operation)?;
        if offered { Ok(()) } else { Self::fail(ErrorKind::Unsupported, operation) }
    }

    fn conditional(&self, operation: &'static str, condition: Condition) -> Result<()> {
        self.offered(operation, self.capabilities.conditions || condition == Condition::None)
    }
}

#[async_trait]
impl StorageProvider for Limited {
    fn info(&self) -> ProviderInfo {
        ProviderInfo::new("map", self.capabilities)
    }

    async fn save(&self, request: SaveRequest<'_>) -> Result<StorageItem> {
        let key = request.key;
        self.conditional("save", request.condition)
            .and_then(|()| self.offered("save", self.capabilities.tags || request.tags.is_empty()))
            .map_err(|error| error.with_key(key))?;
        self.inner.save(request).await
    }

    async fn load(&self, key: ItemKey<'_>) -> Result<Option<StorageItem>> {
        self.open("load").map_err(|error| error.with_key(key))?;
        self.inner.load(key).await
    }

    async fn delete(&self, key: ItemKey<'_>, condition: Condition) -> Result<bool> {
        self.conditional("delete", condition).map_err(|error| error.with_key(key))?;
        self.inner.delete(key, condition).await
    }

    async fn search(&self, query: &StorageQuery) -> Result<SearchPage> {
        self.offered("search", self.capabilities.search)?;
        self.inner.search(query).await
    }

    async fn cleanup(&self) -> Result<CleanupReport> {
        self.open("cleanup")?;
        self.inner.cleanup().await
    }

    async fn close(&self) -> Result<()> {
        self.closed.store(true, Ordering::SeqCst);
        Ok(())
    }

    // Made of a load and a conditional save unless overridden, which not everyone has.
    async fn touch(
        &self,
        key: ItemKey<'_>,
        expires_at: Option<Timestamp>,
    ) -> Result<Option<Arc<StorageMetadata>>> {
        self.open("touch").map_err(|error| error.with_key(key))?;
        self.inner.touch(key, expires_at).await
    }

    async fn usage(&self) -> Result<Usage> {
        self.offered("usage", self.capabilities.search)?;
        self.inner.usage().await
    }

    async fn health(&self) -> Health {
        match self.open("health") {
            Ok(()) => Health::Healthy,
            Err(error) => Health::Unhealthy(error.to_string()),
        }
    }
}

mod without_search {
    use super::*;

    storage_core::conformance_suite!(|setup: Setup| async move {
        Limited::fresh(&setup, Capabilities::default().search(false))
    });
}

mod without_tags {
    use super::*;

    storage_core::conformance_suite!(|setup: Setup| async move {
        Limited::fresh(&setup, Capabilities::default().tags(false))
    });
}

mod without_conditions {
    use super::*;

    storage_core::conformance_suite!(|setup: Setup| async move {
        Limited::fresh(&setup, Capabilities::default().conditions(false))
    });
}

mod with_durability {
    use super::*;

    storage_core::conformance_suite!(|setup: Setup| async move { Limited::durable(&setup) });
}

/// A durable provider that believes whatever its files say.
#[derive(Debug)]
struct Credulous {
    inner: Limited,
    directory: PathBuf,
}

impl Credulous {
    fn file(&self, key: ItemKey<'_>) -> PathBuf {
        self.directory.join(key.key())
    }
}

#[async_trait]
impl StorageProvider for Credulous {
    fn info(&self) -> ProviderInfo {
        self.inner.info()
    }

    async fn save(&self, request: SaveRequest<'_>) -> Result<StorageItem> {
        fs::write(self.file(request.key), &request.data).unwrap();
        self.inner.save(request).await
    }

    async fn load(&self, key: ItemKey<'_>) -> Result<Option<StorageItem>> {
        let item = self.inner.load(key).await?;
        Ok(item.map(|item| StorageItem { data: fs::read(self.file(key)).unwrap().into(), ..item }))
    }

    async fn delete(&self, key: ItemKey<'_>, condition: Condition) -> Result<bool> {
        self.inner.delete(key, condition).await
    }

    async fn search(&self, query: &StorageQuery) -> Result<SearchPage> {
        self.inner.search(query).await
    }

    async fn cleanup(&self) -> Result<CleanupReport> {
        self.inner.cleanup().await
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}

#[test]
fn damage_that_is_read_as_a_value_is_caught() {
    let check = CHECKS.iter().find(|check| check.module == "damage").unwrap();
    let right = Suite::new(|setup: Setup| async move { Limited::durable(&setup) });
    assert_eq!(right.try_run(check), Ok(()));
    let wrong = Suite::new(|setup: Setup| async move {
        Credulous { inner: Limited::durable(&setup), directory: setup.directory().to_owned() }
    });
    let report = wrong.try_run(check).unwrap_err();
    assert!(report.contains("after a flip in"), "{report}");
}

/// A check that is not in the list would never run.
#[test]
fn every_check_is_in_the_list_once() {
    let listed: Vec<_> = CHECKS.iter().map(|check| format!("{check:?}")).collect();
    let distinct: HashSet<_> = listed.iter().cloned().collect();
    assert_eq!(distinct.len(), listed.len(), "a check is listed twice");
    assert_eq!(distinct, written_checks(), "the list differs from the functions");
    assert!(listed.len() >= 120, "{} checks", listed.len());
}

fn written_checks() -> HashSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/conformance/checks");
    let mut found = HashSet::new();
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let module = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let source = fs::read_to_string(&path).unwrap();
        for line in source.lines().filter_map(|line| line.strip_prefix("pub async fn ")) {
            found.insert(format!("{module}::{}", line.split('(').next().unwrap()));
        }
    }
    found
}

/// Every check names its promise in one line of documentation, and takes the fixture alone.
#[test]
fn every_check_is_documented() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/conformance/checks");
    for file in fs::read_dir(folder).unwrap() {
        let source = fs::read_to_string(file.unwrap().path()).unwrap();
        let lines: Vec<_> = source.lines().collect();
        for (at, line) in lines.iter().enumerate().filter(|(_, line)| line.starts_with("pub async fn ")) {
            assert!(lines[at - 1].starts_with("/// "), "{line} has no documentation");
        }
    }
}
