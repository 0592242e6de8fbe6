//! The provider: what callers hold.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
    time::Instant as StdInstant,
};

use async_trait::async_trait;
use storage_core::{
    Capabilities, CleanupReport, Condition, ErrorKind, Health, ItemKey, ProviderInfo, Result, SaveRequest,
    SearchPage, SharedClock, StorageError, StorageItem, StorageMetadata, StorageProvider, StorageQuery,
    SystemClock, Timestamp, Usage, VerifyReport,
};
use tokio::{
    task::{AbortHandle, spawn_blocking},
    time::{Instant, timeout_at},
};

use crate::{
    blobs::NewBlob,
    cleaning,
    config::FsConfig,
    engine::Engine,
    error::{FULL, PROVIDER, failure, io_error},
    fault::Faults,
    item::{Payload, Stored},
    keys::Name,
    opening::open_store,
    queue::too_late,
    reads::{self, Pace},
    salvage::{SalvageReport, salvage},
    search,
    shared::Shared,
    transaction::{Answer, Op, Save},
    verify,
};

/// A store in a directory of the local file system. Cloning it is cheap; the clones share the open directory.
///
/// It needs a `tokio` runtime (of either kind) with its timer enabled. The directory is free again after
/// [`close`](StorageProvider::close), or once the last clone is dropped.
///
/// ```
/// use storage_core::{ItemKey, SaveRequest, StorageProvider};
/// use storage_fs::FsProvider;
///
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path();
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
/// # runtime.block_on(async {
/// let store = FsProvider::open(path).await?;
/// let key = ItemKey::new("note", "n1")?;
/// store.save(SaveRequest::new(key, "hello").tag("lang", "en")).await?;
/// assert_eq!(store.load(key).await?.map(|item| item.data), Some("hello".into()));
/// store.close().await?;
/// # Ok::<(), storage_core::StorageError>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct FsProvider {
    handle: Arc<Handle>,
}

/// Opens a store with other settings than the default ones.
#[derive(Debug)]
#[must_use]
pub struct FsBuilder {
    path: PathBuf,
    config: FsConfig,
    clock: SharedClock,
    faults: Faults,
}

impl FsBuilder {
    /// Sets the configuration.
    pub fn config(mut self, config: FsConfig) -> Self {
        self.config = config;
        self
    }

    /// Reads the time from this clock instead of the system's.
    pub fn clock(mut self, clock: SharedClock) -> Self {
        self.clock = clock;
        self
    }

    /// Plants a bug.
    #[cfg(feature = "fault-injection")]
    #[doc(hidden)]
    pub fn fault(mut self, fault: crate::Fault) -> Self {
        self.faults.planted = Some(fault);
        self
    }

    /// Opens the store, making a new one if the directory does not exist or is empty.
    ///
    /// # Errors
    /// [`ErrorKind::Locked`] at once if another process or handle has it open; [`ErrorKind::Config`] for a bad
    /// configuration, a path that is a file, and a store of a newer format; [`ErrorKind::PermissionDenied`] for a directory
    /// that cannot be written; [`ErrorKind::Corrupted`] for a directory that holds something else, and for a store whose
    /// files are damaged or miss acknowledged writes. In none of these cases is anything changed.
    pub async fn open(self) -> Result<FsProvider> {
        self.config.validate()?;
        let Self { path, config, clock, faults } = self;
        let opened = spawn_blocking(move || open_store(&path, config, clock, faults)).await;
        let (shared, writer) =
            opened.map_err(panicked).flatten().map_err(|error| error.with_operation("open"))?;
        let thread = writer.start().map_err(|cause| io_error("the writer cannot be started", cause))?;
        let sweeper = cleaning::start(&shared);
        Ok(FsProvider { handle: Arc::new(Handle { shared, thread: Mutex::new(Some(thread)), sweeper }) })
    }
}

/// What the clones of a provider have in common: the owner of the writer and of the background work.
#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
    sweeper: Option<AbortHandle>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Some(sweeper) = &self.sweeper {
            sweeper.abort();
        }
        self.shared.begin_close(false);
        let thread = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        // Waiting for the writer takes as long as the commit under way; afterwards the directory is free.
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the writer of a store panicked");
        }
    }
}

impl FsProvider {
    /// Opens the store in a directory with the default configuration and the system's clock.
    ///
    /// # Errors
    /// As [`FsBuilder::open`].
    pub async fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::builder(path).open().await
    }

    /// A store in a directory that is opened with other settings.
    pub fn builder(path: impl AsRef<Path>) -> FsBuilder {
        FsBuilder {
            path: path.as_ref().to_owned(),
            config: FsConfig::default(),
            clock: SystemClock::shared(),
            faults: Faults::default(),
        }
    }

    /// Reads every record, payload file and index entry, and names what is damaged.
    ///
    /// Saves and deletes go on meanwhile. The operation timeout does not apply, as it takes as long as reading the whole
    /// store.
    ///
    /// # Errors
    /// [`ErrorKind::Closed`], and failures to read the disk; damage is an entry of the report and no error.
    pub async fn verify(&self) -> Result<VerifyReport> {
        self.blocking(None, verify::verify).await.map_err(|error| error.with_operation("verify"))
    }

    /// Wins back what is readable from a store that does not open any more, because its files are damaged.
    ///
    /// Journals that are damaged somewhere give up what is readable before and behind; every record that has its checksum
    /// is kept, and its index entries are made anew. The originals are kept in a folder of their own, which the report
    /// names. Afterwards the store opens as usual. It needs about as much room again as the store has.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupted`] if the tables of the items cannot be opened at all; [`ErrorKind::Locked`] if the store is
    /// open; failures of the file system. The store is then as it was.
    pub async fn salvage(path: impl AsRef<Path>) -> Result<SalvageReport> {
        let path = path.as_ref().to_owned();
        let salvaged = spawn_blocking(move || salvage(&path, &FsConfig::default())).await;
        salvaged.map_err(panicked).flatten().map_err(about("salvage", None))
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.handle.shared
    }

    /// Runs a read on the blocking pool; it stops when this future is dropped or the deadline passes.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        deadline: Option<Instant>,
        read: impl FnOnce(&Engine, &Pace) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let engine = self.shared().engine().await?;
        let (pace, _give_up) = Pace::new(Arc::clone(self.shared()));
        let task = spawn_blocking(move || read(&engine, &pace));
        match deadline {
            None => task.await.map_err(panicked)?,
            Some(deadline) => match timeout_at(deadline, task).await {
                Ok(done) => done.map_err(panicked)?,
                Err(_) => Err(too_late("the read was not done before the deadline")),
            },
        }
    }

    /// Hands one operation to the writer and waits for its answer.
    async fn write(&self, op: Op, bytes: u64, deadline: Instant) -> Result<Answer> {
        let permit = self.shared().queue.reserve(bytes, deadline).await?;
        let mut tickets = self.shared().queue.push([(op, bytes)], permit)?;
        match tickets.pop() {
            Some(ticket) => ticket.wait(deadline).await,
            None => Err(failure(ErrorKind::Internal, "the queue gave no ticket")),
        }
    }

    /// Checks a save and detaches it from its caller.
    fn detach(&self, request: SaveRequest<'_>) -> Result<Box<Save>> {
        request.validate(self.shared().clock.now(), self.shared().config.max_payload)?;
        let key = Name::from(request.key).item();
        let SaveRequest { data, encoding, expires_at, tags, condition, .. } = request;
        Ok(Box::new(Save { key, data, encoding, expires_at, tags, condition, blob: None }))
    }

    /// Brings a large payload to its file.
    async fn prepare(&self, save: &mut Save, deadline: Instant) -> Result<()> {
        if save.data.len() as u64 > self.shared().config.large_payload {
            save.blob = Some(Box::pin(self.write_file(save.data.clone(), deadline)).await?);
        }
        Ok(())
    }

    async fn write_file(&self, data: storage_core::Bytes, deadline: Instant) -> Result<NewBlob> {
        let shared = Arc::clone(self.shared());
        // Fails if the store is closed, and waits while it is away.
        drop(shared.engine().await?);
        // Bytes under way to files are bounded like those in the queue.
        let permit = shared.queue.reserve(data.len() as u64, deadline).await?;
        let write = move || {
            let _permit = permit;
            let what = "the payload file cannot be written";
            let size = data.len() as u64;
            if !shared.room.fits_file(size).map_err(|cause| io_error(what, cause))? {
                // The writer takes this back at the next commit that has room.
                shared.trouble.send_if_modified(|trouble| trouble.replace(FULL).is_none());
                return Err(failure(ErrorKind::Full, FULL));
            }
            shared.blobs.write(&data).map_err(|cause| io_error(what, cause))
        };
        match timeout_at(deadline, spawn_blocking(write)).await {
            Ok(done) => done.map_err(panicked)?,
            Err(_) => {
                Err(too_late("the payload file was not written before the deadline; nothing was changed"))
            }
        }
    }

    /// The stored item under an engine key: inline while reads are quick, else on the blocking pool.
    async fn fetch(&self, key: &[u8], deadline: Instant) -> Result<Option<Stored>> {
        let shared = self.shared();
        if shared.warmth.is_warm()
            && let Some(engine) = shared.engine_now()?
        {
            return timed(shared, || reads::fetch(&engine, key));
        }
        let key = key.to_vec();
        let read = move |engine: &Engine, pace: &Pace| timed(pace.shared(), || reads::fetch(engine, &key));
        // What is rare is boxed, so that every call need not make room for it.
        Box::pin(self.blocking(Some(deadline), read)).await
    }

    async fn load_item(&self, key: ItemKey<'_>) -> Result<Option<StorageItem>> {
        let now = self.shared().clock.now();
        let deadline = self.shared().deadline();
        let key = Name::from(key).item();
        match self.fetch(&key, deadline).await? {
            None => Ok(None),
            Some(stored) if !stored.metadata.is_live(now) => Ok(None),
            Some(Stored { metadata, payload: Payload::Inline(data) }) => {
                Ok(Some(StorageItem { data, metadata }))
            }
            Some(stored) => {
                let read = move |engine: &Engine, pace: &Pace| {
                    reads::with_payload(pace.shared(), engine, &key, stored, now)
                };
                Box::pin(self.blocking(Some(deadline), read)).await
            }
        }
    }

    async fn save_item(&self, save: Result<Box<Save>>) -> Result<StorageItem> {
        let mut save = save?;
        let deadline = self.shared().deadline();
        self.prepare(&mut save, deadline).await?;
        let (data, bytes) = (save.data.clone(), queued_bytes(&save));
        let answer = self.write(Op::Save(save), bytes, deadline).await?;
        saved(answer, data)
    }

    async fn delete_item(&self, key: ItemKey<'_>, condition: Condition) -> Result<bool> {
        // Refused before anything is sent, whatever is stored.
        condition_of_delete(condition)?;
        let op = Op::Delete { key: Name::from(key).item(), condition };
        match self.write(op, 0, self.shared().deadline()).await? {
            Answer::Deleted(deleted) => Ok(deleted),
            _ => Err(unexpected()),
        }
    }

    async fn touch_item(
        &self,
        key: ItemKey<'_>,
        expires_at: Option<Timestamp>,
    ) -> Result<Option<Arc<StorageMetadata>>> {
        // The one rule for deadlines lives in the check of a save.
        SaveRequest::new(key, "").expires_at(expires_at).validate(self.shared().clock.now(), 0)?;
        let op = Op::Touch { key: Name::from(key).item(), expires_at };
        match self.write(op, 0, self.shared().deadline()).await? {
            Answer::Touched(metadata) => Ok(metadata),
            _ => Err(unexpected()),
        }
    }
}

/// What a save takes in the queue: its payload, unless that is in its file already, and its tags.
fn queued_bytes(save: &Save) -> u64 {
    let payload = if save.blob.is_some() { 0 } else { save.data.len() };
    let tags: usize = save.tags.iter().map(|(name, value)| name.len() + value.len()).sum();
    (payload + tags) as u64
}

fn saved(answer: Answer, data: storage_core::Bytes) -> Result<StorageItem> {
    match answer {
        Answer::Saved(metadata) => Ok(StorageItem { data, metadata }),
        _ => Err(unexpected()),
    }
}

fn condition_of_delete(condition: Condition) -> Result<()> {
    condition.check_delete(None).map(|_| ())
}

pub(crate) fn unexpected() -> StorageError {
    failure(ErrorKind::Internal, "the writer answered another question")
}

fn panicked(cause: tokio::task::JoinError) -> StorageError {
    let (kind, what) = if cause.is_cancelled() {
        (ErrorKind::Unavailable, "the runtime is shutting down")
    } else {
        (ErrorKind::Internal, "work on the blocking pool panicked")
    };
    failure(kind, what).with_source(cause)
}

fn timed<T>(shared: &Shared, read: impl FnOnce() -> T) -> T {
    let started = StdInstant::now();
    let done = read();
    shared.warmth.note(started.elapsed());
    done
}

/// Says of a failure which provider, operation and item it is about, unless that is known already.
pub(crate) fn about<'a>(
    operation: &'static str,
    key: impl Into<Option<ItemKey<'a>>>,
) -> impl FnOnce(StorageError) -> StorageError {
    let key = key.into();
    move |error| {
        let error = error.with_provider(PROVIDER).with_operation(operation);
        match key {
            Some(key) => error.with_key(key),
            None => error,
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl StorageProvider for FsProvider {
    fn info(&self) -> ProviderInfo {
        let config = &self.shared().config;
        // Buffered writes survive a restart of the process too; only a power cut can take the last ones.
        let capabilities = Capabilities::default().durable(true).max_payload(config.max_payload);
        ProviderInfo::new(PROVIDER, capabilities)
    }

    fn identity(&self) -> usize {
        Arc::as_ptr(&self.handle).addr()
    }

    async fn save(&self, request: SaveRequest<'_>) -> Result<StorageItem> {
        let key = request.key;
        self.save_item(self.detach(request)).await.map_err(about("save", key))
    }

    async fn load(&self, key: ItemKey<'_>) -> Result<Option<StorageItem>> {
        self.load_item(key).await.map_err(about("load", key))
    }

    async fn delete(&self, key: ItemKey<'_>, condition: Condition) -> Result<bool> {
        self.delete_item(key, condition).await.map_err(about("delete", key))
    }

    async fn search(&self, query: &StorageQuery) -> Result<SearchPage> {
        let run = async {
            drop(self.shared().engine().await?);
            let query = query.compile()?;
            let now = self.shared().clock.now();
            let deadline = self.shared().deadline();
            self.blocking(Some(deadline), move |engine, pace| search::page(engine, &query, now, pace)).await
        };
        run.await.map_err(about("search", None))
    }

    async fn cleanup(&self) -> Result<CleanupReport> {
        cleaning::cleanup(self.shared()).await.map_err(about("cleanup", None))
    }

    async fn close(&self) -> Result<()> {
        if let Some(sweeper) = &self.handle.sweeper {
            sweeper.abort();
        }
        let shared = self.shared();
        shared.begin_close(true);
        let mut ended = shared.ended.subscribe();
        let outcome = match timeout_at(shared.deadline(), ended.wait_for(Option::is_some)).await {
            Ok(Ok(outcome)) => outcome.clone().unwrap_or(Ok(())),
            Ok(Err(_)) => Ok(()),
            Err(_) => Err((ErrorKind::Timeout, "closing goes on behind the deadline".to_owned())),
        };
        outcome.map_err(|(kind, message)| about("close", None)(failure(kind, message)))
    }

    async fn save_many(&self, requests: Vec<SaveRequest<'_>>) -> Vec<Result<StorageItem>> {
        let keys: Vec<ItemKey<'_>> = requests.iter().map(|request| request.key).collect();
        let deadline = self.shared().deadline();
        let mut data = Vec::with_capacity(requests.len());
        let mut ops = Vec::with_capacity(requests.len());
        for request in requests {
            data.push(request.data.clone());
            ops.push(match self.detach(request) {
                Ok(mut save) => self.prepare(&mut save, deadline).await.map(|()| {
                    let bytes = queued_bytes(&save);
                    (Op::Save(save), bytes)
                }),
                Err(error) => Err(error),
            });
        }
        let answers = self.write_many(ops).await.into_iter().zip(data).zip(keys);
        let answers = answers.map(|((answer, data), key)| {
            answer.and_then(|answer| saved(answer, data)).map_err(about("save_many", key))
        });
        answers.collect()
    }

    async fn load_many(&self, keys: &[ItemKey<'_>]) -> Vec<Result<Option<StorageItem>>> {
        // Where the blocking pool begins to pay.
        const FEW: usize = 8;
        if keys.len() > FEW {
            return self.load_on_pool(keys).await;
        }
        let mut answers = Vec::with_capacity(keys.len());
        for key in keys {
            answers.push(self.load_item(*key).await.map_err(about("load_many", *key)));
        }
        answers
    }

    async fn delete_many(&self, keys: &[ItemKey<'_>]) -> Vec<Result<bool>> {
        let ops = keys
            .iter()
            .map(|key| Ok((Op::Delete { key: Name::from(*key).item(), condition: Condition::None }, 0)));
        let answers = self.write_many(ops.collect()).await.into_iter().zip(keys);
        let answers = answers.map(|(answer, key)| match answer {
            Ok(Answer::Deleted(deleted)) => Ok(deleted),
            Ok(_) => Err(about("delete_many", *key)(unexpected())),
            Err(error) => Err(about("delete_many", *key)(error)),
        });
        answers.collect()
    }

    async fn touch(
        &self,
        key: ItemKey<'_>,
        expires_at: Option<Timestamp>,
    ) -> Result<Option<Arc<StorageMetadata>>> {
        self.touch_item(key, expires_at).await.map_err(about("touch", key))
    }

    async fn count(&self, query: &StorageQuery) -> Result<u64> {
        let run = async {
            drop(self.shared().engine().await?);
            let query = query.filters().compile()?;
            let now = self.shared().clock.now();
            let deadline = self.shared().deadline();
            self.blocking(Some(deadline), move |engine, pace| search::count(engine, &query, now, pace)).await
        };
        run.await.map_err(about("count", None))
    }

    async fn usage(&self) -> Result<Usage> {
        let now = self.shared().clock.now();
        let deadline = self.shared().deadline();
        let usage = self.blocking(Some(deadline), move |engine, pace| search::usage(engine, now, pace));
        usage.await.map_err(about("usage", None))
    }

    async fn health(&self) -> Health {
        let trouble = *self.shared().trouble.borrow();
        match (self.shared().engine().await, trouble) {
            (Err(error), _) => Health::Unhealthy(error.to_string()),
            (Ok(_), Some(trouble)) => Health::Degraded(trouble.to_owned()),
            (Ok(_), None) => Health::Healthy,
        }
    }
}
