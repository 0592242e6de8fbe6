//! A provider over one ordered map: small, right, and not fast.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use storage_core::{
    Capabilities, CleanupReport, Condition, ErrorKind, ItemKey, ProviderInfo, Result, SaveRequest,
    SearchPage, SharedClock, StorageError, StorageItem, StorageProvider, StorageQuery, async_trait,
    next_version,
};

/// Keeps items in one ordered map behind one lock. Everything is lost when it is dropped.
pub(crate) struct MapProvider {
    clock: SharedClock,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By content type and key, expired items included until they are swept.
    items: BTreeMap<Identity, StorageItem>,
    /// The highest version given so far. It outlives the items, so that no version is used twice.
    mark: u64,
    closed: bool,
}

type Identity = (String, String);

impl MapProvider {
    /// An empty store that reads the time from `clock`.
    pub(crate) fn new(clock: SharedClock) -> Self {
        Self { clock, state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No call leaves the state half changed, so that the panic of another thread does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> Result<MutexGuard<'_, State>> {
        let state = self.lock();
        if state.closed {
            Err(StorageError::new(ErrorKind::Closed, "the store is closed"))
        } else {
            Ok(state)
        }
    }
}

// Not derived: the items of a store do not belong into a log.
impl fmt::Debug for MapProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MapProvider")
    }
}

const NAME: &str = "map";

/// Says which provider and operation failed.
fn during(operation: &'static str) -> impl Fn(StorageError) -> StorageError {
    move |error| error.with_provider(NAME).with_operation(operation)
}

/// Says which provider and operation failed, and at which item.
fn at(operation: &'static str, key: ItemKey<'_>) -> impl Fn(StorageError) -> StorageError {
    move |error| during(operation)(error).with_key(key)
}

#[async_trait]
impl StorageProvider for MapProvider {
    fn info(&self) -> ProviderInfo {
        ProviderInfo::new(NAME, Capabilities::default())
    }

    async fn save(&self, request: SaveRequest<'_>) -> Result<StorageItem> {
        self.put(&request).map_err(at("save", request.key))
    }

    async fn load(&self, key: ItemKey<'_>) -> Result<Option<StorageItem>> {
        self.get(key).map_err(at("load", key))
    }

    async fn delete(&self, key: ItemKey<'_>, condition: Condition) -> Result<bool> {
        self.remove(key, condition).map_err(at("delete", key))
    }

    async fn search(&self, query: &StorageQuery) -> Result<SearchPage> {
        self.page(query).map_err(during("search"))
    }

    async fn cleanup(&self) -> Result<CleanupReport> {
        self.sweep().map_err(during("cleanup"))
    }

    async fn close(&self) -> Result<()> {
        *self.lock() = State { closed: true, ..State::default() };
        Ok(())
    }
}

impl MapProvider {
    fn put(&self, request: &SaveRequest<'_>) -> Result<StorageItem> {
        let mut state = self.open()?;
        let now = self.clock.now();
        request.validate(now, self.info().capabilities.max_payload)?;
        let identity = identity(request.key);
        let live = state.items.get(&identity).map(|item| &*item.metadata).filter(|found| found.is_live(now));
        request.condition.check_save(live)?;
        let version = next_version(state.mark, now);
        let metadata = request.metadata(live, now, version);
        let item = StorageItem { data: request.data.clone(), metadata: metadata.into() };
        state.mark = version;
        state.items.insert(identity, item.clone());
        Ok(item)
    }
}

fn identity(key: ItemKey<'_>) -> Identity {
    (key.content_type().to_owned(), key.key().to_owned())
}

impl MapProvider {
    fn get(&self, key: ItemKey<'_>) -> Result<Option<StorageItem>> {
        let state = self.open()?;
        let now = self.clock.now();
        Ok(state.items.get(&identity(key)).filter(|item| item.metadata.is_live(now)).cloned())
    }

    fn remove(&self, key: ItemKey<'_>, condition: Condition) -> Result<bool> {
        let mut state = self.open()?;
        let now = self.clock.now();
        let identity = identity(key);
        let live = state.items.get(&identity).map(|item| &*item.metadata).filter(|found| found.is_live(now));
        let applies = condition.check_delete(live)?;
        if applies {
            state.items.remove(&identity);
        }
        Ok(applies)
    }
}

impl MapProvider {
    fn page(&self, query: &StorageQuery) -> Result<SearchPage> {
        let state = self.open()?;
        Ok(query.compile()?.page_of(state.items.values().cloned(), self.clock.now()))
    }
}

impl MapProvider {
    fn sweep(&self) -> Result<CleanupReport> {
        let mut state = self.open()?;
        let now = self.clock.now();
        let mut report = CleanupReport::default();
        for (_, item) in state.items.extract_if(.., |_, item| !item.metadata.is_live(now)) {
            report += CleanupReport::new(1, item.metadata.size);
        }
        Ok(report)
    }
}
