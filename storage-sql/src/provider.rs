//! The provider: what callers hold.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use storage_core::{
    CleanupReport, CompiledQuery, Condition, ErrorKind, Health, ItemKey, ProviderInfo, Result, SaveRequest,
    SearchPage, SharedClock, StorageError, StorageItem, StorageMetadata, StorageProvider, StorageQuery,
    SystemClock, Timestamp, Usage, Uuid, VerifyReport,
};
use tokio::{
    sync::Semaphore,
    task::AbortHandle,
    time::{Instant, timeout, timeout_at},
};
use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};

use crate::{
    cleaning,
    config::SqlConfig,
    engine::{Delete, Engine, Moment, Save, Touch, Write, Written},
    error::{closed, copy, failure, too_late},
    url::Target,
    writer::Writer,
};

/// A store in a SQL database. Cloning it is cheap; the clones share the connections.
///
/// It needs a `tokio` runtime (of either kind) with its timer and, for servers, its network enabled.
#[derive(Debug, Clone)]
pub struct SqlProvider {
    handle: Arc<Handle>,
}

/// Connects to a store with other settings than the default ones.
#[derive(Debug)]
#[must_use]
pub struct SqlBuilder {
    config: SqlConfig,
    clock: SharedClock,
    create: bool,
}

impl SqlBuilder {
    /// Reads the time from this clock instead of the system's.
    pub fn clock(mut self, clock: SharedClock) -> Self {
        self.clock = clock;
        self
    }

    /// Whether the tables of the full schema are created where there are none. Default: they are. A plain table is never
    /// created.
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// Connects, and creates the tables or brings them up to date.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is no store and none may be created; [`ErrorKind::Config`] for a bad configuration,
    /// an engine that this program was built without, a missing plain table, and for tables of a newer version;
    /// [`ErrorKind::Unauthenticated`] and [`ErrorKind::PermissionDenied`] for what the database refuses;
    /// [`ErrorKind::Unavailable`] if it cannot be reached.
    pub async fn connect(self) -> Result<SqlProvider> {
        let Self { config, clock, create } = self;
        let (config, target) = config.resolved().map_err(|error| error.with_provider("sql"))?;
        let engine = open(&config, target, create, clock.now())
            .await
            .map_err(|error| error.with_operation("connect"))?;
        let writer = Writer::start(&engine, &clock, config.queue_bytes);
        let store = Arc::new(Store {
            engine,
            config,
            clock,
            writer,
            closed: AtomicBool::new(false),
            calls: TaskTracker::new(),
            cleaner: Semaphore::new(1),
            released: tokio::sync::OnceCell::new(),
        });
        let sweeper = cleaning::start(&store);
        Ok(SqlProvider { handle: Arc::new(Handle { store, sweeper }) })
    }
}

/// Opens the engine that the URL names.
#[cfg_attr(
    not(all(feature = "postgres", feature = "sqlite", feature = "mysql")),
    allow(clippy::unused_async, unused_variables, reason = "without an engine there is nothing to wait for")
)]
async fn open(config: &SqlConfig, target: Target, create: bool, now: Timestamp) -> Result<Arc<dyn Engine>> {
    match target {
        #[cfg(feature = "sqlite")]
        Target::Sqlite(path) => crate::sqlite::open(config, &path, create).await,
        #[cfg(not(feature = "sqlite"))]
        Target::Sqlite(_) => Err(without("sqlite", "SQLite")),
        #[cfg(feature = "postgres")]
        Target::Postgres(url) => crate::postgres::open(config, &url, create, now).await,
        #[cfg(not(feature = "postgres"))]
        Target::Postgres(_) => Err(without("postgres", "PostgreSQL")),
        #[cfg(feature = "mysql")]
        Target::Mysql(url) => crate::mysql::open(config, &url, create).await,
        #[cfg(not(feature = "mysql"))]
        Target::Mysql(_) => Err(without("mysql", "MySQL and MariaDB")),
    }
}

#[allow(dead_code, reason = "with all engines there is nothing that a program is built without")]
fn without(feature: &str, engine: &str) -> StorageError {
    let message =
        format!("this program was built without {engine}: feature {feature} of storage-sql adds it");
    failure(ErrorKind::Config, message).with_provider(feature.to_owned())
}

/// What the clones of a provider have in common: the owner of the writers and of the background work.
#[derive(Debug)]
struct Handle {
    store: Arc<Store>,
    sweeper: Option<AbortHandle>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Some(sweeper) = &self.sweeper {
            sweeper.abort();
        }
        // The writers end by themselves after what they have begun, and with them the engine.
        self.store.writer.begin_close();
    }
}

/// One open store, as its callers and its background work see it.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) config: SqlConfig,
    clock: SharedClock,
    writer: Writer,
    closed: AtomicBool,
    /// One token for each call under way.
    calls: TaskTracker,
    /// Held by the one cleanup of this provider that is under way.
    pub(crate) cleaner: Semaphore,
    /// Set once the engine is closed.
    released: tokio::sync::OnceCell<()>,
}

impl Store {
    /// When a call that starts now happens.
    pub(crate) fn moment(&self) -> Moment {
        Moment { now: self.clock.now(), deadline: Instant::now() + self.config.operation_timeout }
    }

    /// Begins a call; it is under way until the token is dropped.
    ///
    /// # Errors
    /// [`ErrorKind::Closed`].
    pub(crate) fn enter(&self) -> Result<TaskTrackerToken> {
        // The token first: whoever closes afterwards waits for it, and whoever closed before is seen.
        let token = self.calls.token();
        if self.closed.load(Ordering::SeqCst) { Err(closed()) } else { Ok(token) }
    }

    /// Waits for a call of the engine that changes nothing, or that may be cut off at any point.
    ///
    /// # Errors
    /// Those of the call, and [`ErrorKind::Timeout`].
    pub(crate) async fn until<T>(
        &self,
        deadline: Instant,
        call: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let answer = timeout_at(deadline, call).await;
        answer.unwrap_or_else(|_| Err(too_late("the database did not answer before the deadline")))
    }

    async fn close(&self) -> Result<()> {
        self.closed.store(true, Ordering::SeqCst);
        self.calls.close();
        // Calls under way get their answers; those that take too long are cut.
        let patience = self.config.operation_timeout;
        let _ = timeout(patience, self.calls.wait()).await;
        self.writer.begin_close();
        let _ = timeout(patience, self.writer.ended()).await;
        self.released.get_or_try_init(|| self.engine.close()).await.copied()
    }

    async fn save(&self, request: SaveRequest<'_>) -> Result<StorageItem> {
        let at = self.moment();
        let write = self.save_write(request, at)?;
        saved(self.writer.write(write, at.deadline).await?)
    }

    async fn save_many(&self, requests: Vec<SaveRequest<'_>>) -> Vec<Result<StorageItem>> {
        let at = self.moment();
        let writes = requests.into_iter().map(|request| self.save_write(request, at)).collect();
        let answers = self.writer.write_many(writes, at.deadline).await;
        answers.into_iter().map(|answer| answer.and_then(saved)).collect()
    }

    fn save_write(&self, request: SaveRequest<'_>, at: Moment) -> Result<Write> {
        let offered = self.engine.capabilities();
        request.validate(at.now, offered.max_payload)?;
        if !offered.tags && !request.tags.is_empty() {
            return Err(unsupported("tags"));
        }
        if !offered.conditions && request.condition != Condition::None {
            return Err(unsupported("conditions"));
        }
        let SaveRequest { key, data, encoding, expires_at, tags, condition } = request;
        let save = Save {
            content_type: key.content_type().to_owned(),
            key: key.key().to_owned(),
            id: Uuid::new_v4(),
            data,
            encoding,
            expires_at: self.kept(expires_at),
            tags,
            condition,
        };
        self.engine.check_save(&save)?;
        Ok(Write::Save(save))
    }

    async fn delete(&self, key: ItemKey<'_>, condition: Condition) -> Result<bool> {
        // Refused before anything is sent, whatever is stored.
        condition.check_delete(None)?;
        if !self.engine.capabilities().conditions && condition != Condition::None {
            return Err(unsupported("conditions"));
        }
        let at = self.moment();
        deleted(&self.writer.write(delete_write(key, condition), at.deadline).await?)
    }

    async fn delete_many(&self, keys: &[ItemKey<'_>]) -> Vec<Result<bool>> {
        let at = self.moment();
        let writes = keys.iter().map(|key| Ok(delete_write(*key, Condition::None))).collect();
        let answers = self.writer.write_many(writes, at.deadline).await;
        answers.into_iter().map(|answer| answer.and_then(|answer| deleted(&answer))).collect()
    }

    async fn touch(
        &self,
        key: ItemKey<'_>,
        expires_at: Option<Timestamp>,
    ) -> Result<Option<Arc<StorageMetadata>>> {
        let at = self.moment();
        // The one rule for deadlines lives in the check of a save.
        SaveRequest::new(key, "").expires_at(expires_at).validate(at.now, 0)?;
        let touch = Touch {
            content_type: key.content_type().to_owned(),
            key: key.key().to_owned(),
            expires_at: self.kept(expires_at),
        };
        match self.writer.write(Write::Touch(touch), at.deadline).await? {
            (_, Written::Touched(metadata)) => Ok(metadata.map(Arc::new)),
            _ => Err(unexpected()),
        }
    }

    async fn load(&self, key: ItemKey<'_>) -> Result<Option<StorageItem>> {
        let at = self.moment();
        self.until(at.deadline, self.engine.load(key, at)).await
    }

    async fn load_many(&self, keys: &[ItemKey<'_>]) -> Vec<Result<Option<StorageItem>>> {
        let at = self.moment();
        let load = async { Ok(self.engine.load_many(keys, at).await) };
        match self.until(at.deadline, load).await {
            Ok(answers) => answers,
            Err(error) => keys.iter().map(|_| Err(copy(&error))).collect(),
        }
    }

    async fn search(&self, query: &StorageQuery) -> Result<SearchPage> {
        let query = self.compiled(query)?;
        let at = self.moment();
        self.until(at.deadline, self.engine.search(&query, at)).await
    }

    async fn count(&self, query: &StorageQuery) -> Result<u64> {
        let query = self.compiled(&query.filters())?;
        let at = self.moment();
        self.until(at.deadline, self.engine.count(&query, at)).await
    }

    fn kept(&self, expires_at: Option<Timestamp>) -> Option<Timestamp> {
        expires_at.map(|expires_at| self.engine.kept_deadline(expires_at))
    }

    fn compiled(&self, query: &StorageQuery) -> Result<CompiledQuery> {
        let compiled = query.compile()?;
        self.engine.check_query(&compiled)?;
        Ok(compiled)
    }

    async fn usage(&self) -> Result<Usage> {
        let at = self.moment();
        self.until(at.deadline, self.engine.usage(at)).await
    }

    async fn health(&self) -> Result<Health> {
        let _call = self.enter()?;
        let at = self.moment();
        self.until(at.deadline, async { Ok(self.engine.health(at).await) }).await
    }
}

fn delete_write(key: ItemKey<'_>, condition: Condition) -> Write {
    let (content_type, key) = (key.content_type().to_owned(), key.key().to_owned());
    Write::Delete(Delete { content_type, key, condition })
}

fn saved(answer: (Write, Written)) -> Result<StorageItem> {
    let (Write::Save(save), Written::Saved(stamp)) = answer else { return Err(unexpected()) };
    let metadata = StorageMetadata {
        id: stamp.id,
        key: save.key,
        content_type: save.content_type,
        created_at: stamp.created_at,
        updated_at: stamp.updated_at,
        expires_at: save.expires_at,
        version: stamp.version,
        encoding: save.encoding,
        tags: save.tags,
        size: save.data.len() as u64,
    };
    Ok(StorageItem { data: save.data, metadata: Arc::new(metadata) })
}

fn deleted((_, written): &(Write, Written)) -> Result<bool> {
    match written {
        Written::Deleted(was_there) => Ok(*was_there),
        _ => Err(unexpected()),
    }
}

fn unexpected() -> StorageError {
    failure(ErrorKind::Internal, "the engine answered another question")
}

fn unsupported(what: &str) -> StorageError {
    failure(ErrorKind::Unsupported, format!("a plain table has no {what}"))
}

impl SqlProvider {
    /// Connects with the system's clock.
    ///
    /// # Errors
    /// As [`SqlBuilder::connect`].
    pub async fn connect(config: SqlConfig) -> Result<Self> {
        Self::builder(config).connect().await
    }

    /// A store that is connected to with other settings.
    pub fn builder(config: SqlConfig) -> SqlBuilder {
        SqlBuilder { config, clock: SystemClock::shared(), create: true }
    }

    /// Reads every item back, and names each damaged one.
    ///
    /// Writers may go on meanwhile. The operation timeout does not hold for the whole, which takes as long as there are
    /// items.
    ///
    /// # Errors
    /// As every method. Damage is no error but part of the report.
    pub async fn verify(&self) -> Result<VerifyReport> {
        let run = async {
            let _call = self.store().enter()?;
            self.store().engine.verify().await
        };
        run.await.map_err(self.about("verify", None))
    }

    fn store(&self) -> &Store {
        &self.handle.store
    }

    /// Says of a failure which provider, operation and item it is about, unless that is known already.
    fn about<'a, K: Into<Option<ItemKey<'a>>>>(
        &self,
        operation: &'static str,
        key: K,
    ) -> impl FnOnce(StorageError) -> StorageError + use<'a, K> {
        let (name, key) = (self.store().engine.name(), key.into());
        move |error| {
            let error = error.with_provider(name).with_operation(operation);
            match key {
                Some(key) => error.with_key(key),
                None => error,
            }
        }
    }

    /// The answers of a batch, each naming its item if it is a failure.
    fn named<T>(
        &self,
        operation: &'static str,
        keys: &[ItemKey<'_>],
        answers: Vec<Result<T>>,
    ) -> Vec<Result<T>> {
        let answers = answers.into_iter().zip(keys);
        answers.map(|(answer, key)| answer.map_err(self.about(operation, *key))).collect()
    }
}

/// The answers of a batch that comes after `close`.
fn all_closed<T>(length: usize) -> Vec<Result<T>> {
    std::iter::repeat_with(|| Err(closed())).take(length).collect()
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl StorageProvider for SqlProvider {
    fn info(&self) -> ProviderInfo {
        let engine = &self.store().engine;
        ProviderInfo::new(engine.name(), engine.capabilities())
    }

    fn identity(&self) -> usize {
        Arc::as_ptr(&self.handle).addr()
    }

    async fn save(&self, request: SaveRequest<'_>) -> Result<StorageItem> {
        let key = request.key;
        let run = async {
            let _call = self.store().enter()?;
            self.store().save(request).await
        };
        run.await.map_err(self.about("save", key))
    }

    async fn load(&self, key: ItemKey<'_>) -> Result<Option<StorageItem>> {
        let run = async {
            let _call = self.store().enter()?;
            self.store().load(key).await
        };
        run.await.map_err(self.about("load", key))
    }

    async fn delete(&self, key: ItemKey<'_>, condition: Condition) -> Result<bool> {
        let run = async {
            let _call = self.store().enter()?;
            self.store().delete(key, condition).await
        };
        run.await.map_err(self.about("delete", key))
    }

    async fn search(&self, query: &StorageQuery) -> Result<SearchPage> {
        let run = async {
            let _call = self.store().enter()?;
            self.store().search(query).await
        };
        run.await.map_err(self.about("search", None))
    }

    async fn cleanup(&self) -> Result<CleanupReport> {
        let run = async {
            let _call = self.store().enter()?;
            cleaning::cleanup(self.store()).await
        };
        run.await.map_err(self.about("cleanup", None))
    }

    async fn close(&self) -> Result<()> {
        if let Some(sweeper) = &self.handle.sweeper {
            sweeper.abort();
        }
        self.store().close().await.map_err(self.about("close", None))
    }

    async fn save_many(&self, requests: Vec<SaveRequest<'_>>) -> Vec<Result<StorageItem>> {
        let keys: Vec<_> = requests.iter().map(|request| request.key).collect();
        let answers = match self.store().enter() {
            Ok(_call) => self.store().save_many(requests).await,
            Err(_) => all_closed(keys.len()),
        };
        self.named("save_many", &keys, answers)
    }

    async fn load_many(&self, keys: &[ItemKey<'_>]) -> Vec<Result<Option<StorageItem>>> {
        let answers = match self.store().enter() {
            Ok(_call) => self.store().load_many(keys).await,
            Err(_) => all_closed(keys.len()),
        };
        self.named("load_many", keys, answers)
    }

    async fn delete_many(&self, keys: &[ItemKey<'_>]) -> Vec<Result<bool>> {
        let answers = match self.store().enter() {
            Ok(_call) => self.store().delete_many(keys).await,
            Err(_) => all_closed(keys.len()),
        };
        self.named("delete_many", keys, answers)
    }

    async fn touch(
        &self,
        key: ItemKey<'_>,
        expires_at: Option<Timestamp>,
    ) -> Result<Option<Arc<StorageMetadata>>> {
        let run = async {
            let _call = self.store().enter()?;
            self.store().touch(key, expires_at).await
        };
        run.await.map_err(self.about("touch", key))
    }

    async fn count(&self, query: &StorageQuery) -> Result<u64> {
        let run = async {
            let _call = self.store().enter()?;
            self.store().count(query).await
        };
        run.await.map_err(self.about("count", None))
    }

    async fn usage(&self) -> Result<Usage> {
        let run = async {
            let _call = self.store().enter()?;
            self.store().usage().await
        };
        run.await.map_err(self.about("usage", None))
    }

    async fn health(&self) -> Health {
        match self.store().health().await.map_err(self.about("health", None)) {
            Ok(health) => health,
            Err(error) => Health::Unhealthy(error.to_string()),
        }
    }
}
