//! SQLite: one thread that writes, connections that read beside it. Several processes may share the file.

mod access;
mod apply;
mod connection;
mod error;
mod plain;
#[cfg(test)]
mod plans;
mod pool;
mod read;
mod room;
mod schema;
mod search;
mod sql;
mod statements;
mod tables;
mod thread;
mod verify;

use std::{path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use rusqlite::Connection;
use storage_core::{
    Capabilities, CompiledQuery, ErrorKind, Health, ItemKey, Result, SearchPage, StorageItem, Usage,
    VerifyReport,
};
use tokio::sync::oneshot;

use self::{
    plain::PlainSqlite,
    pool::{Pool, Reader},
    read::Found,
    statements::Statements,
    thread::{Job, WriterThread},
};
use crate::{
    config::{Schema, SqlConfig},
    engine::{Engine, Moment, Swept, Write, Written},
    error::{copy, failure},
};

const NAME: &str = "sqlite";
/// Most writes in one transaction.
const MOST_WRITES: usize = 512;
/// Largest payload that is read on the caller's own thread, in bytes.
const SMALL: u64 = 64 * 1_024;
/// Files up to this size are checked whole when they are opened, in bytes: it takes some tens of milliseconds.
const CHECKED_AT_OPENING: u64 = 8 << 20;

/// Opens the store in the file at `path`.
pub(crate) async fn open(config: &SqlConfig, path: &Path, create: bool) -> Result<Arc<dyn Engine>> {
    let (config, path) = (config.clone(), path.to_owned());
    let opened = tokio::task::spawn_blocking(move || -> Result<Arc<dyn Engine>> {
        Ok(match config.schema {
            Schema::Full => Arc::new(Sqlite::open(&config, &path, create)?),
            Schema::Plain => Arc::new(PlainSqlite::open(&config, &path)?),
        })
    });
    let opened = opened
        .await
        .unwrap_or_else(|cause| Err(failure(ErrorKind::Internal, "opening panicked").with_source(cause)));
    opened.map_err(|error| error.with_provider(NAME))
}

/// The full schema in a file.
#[derive(Debug)]
struct Sqlite {
    statements: Arc<Statements>,
    writer: Arc<WriterThread>,
    readers: Arc<Pool>,
    max_payload: u64,
}

impl Sqlite {
    fn open(config: &SqlConfig, path: &Path, create: bool) -> Result<Self> {
        let table = config.table()?;
        let statements = Arc::new(Statements::new(&table));
        let mut connection = connection::open(path, create, config.lock_timeout)?;
        check_small_file(&connection, path)?;
        schema::prepare(&mut connection, &table, &statements, create)?;
        let writer = WriterThread::start(
            connection,
            path.to_owned(),
            Arc::<Statements>::clone(&statements),
            config.lock_timeout,
        )?;
        Ok(Self {
            statements,
            writer: Arc::new(writer),
            readers: Pool::new(path.to_owned(), config.pool_size, config.lock_timeout),
            max_payload: config.max_payload,
        })
    }

    /// Reads on a thread for what may take long.
    async fn read<T: Send + 'static>(
        &self,
        at: Moment,
        read: impl FnOnce(&Connection, &Statements) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let reader = self.readers.take(at.deadline).await?;
        let statements = Arc::clone(&self.statements);
        reader.read_long(Some(at.deadline), move |connection| read(connection, &statements)).await
    }
}

/// SQLite has no checksums: a damaged page of an index can hide rows from a search. Where it costs little, the file is looked
/// through before it is used.
fn check_small_file(connection: &Connection, path: &Path) -> Result<()> {
    if std::fs::metadata(path).is_ok_and(|file| file.len() > CHECKED_AT_OPENING) {
        return Ok(());
    }
    match verify::faults(connection, 1)?.first() {
        None => Ok(()),
        Some(_) => Err(failure(
            ErrorKind::Corrupted,
            "the file is damaged: put back a backup, or recover it with sqlite3",
        )),
    }
}

/// A key that outlives the caller's.
#[derive(Debug)]
struct OwnedKey {
    content_type: String,
    key: String,
}

impl OwnedKey {
    fn new(key: ItemKey<'_>) -> Self {
        Self { content_type: key.content_type().to_owned(), key: key.key().to_owned() }
    }

    fn get(&self) -> Result<ItemKey<'_>> {
        ItemKey::new(&self.content_type, &self.key)
    }
}

fn load(
    connection: &Connection,
    statements: &Statements,
    key: ItemKey<'_>,
    at: Moment,
) -> Result<Option<StorageItem>> {
    match read::load(connection, statements, key, at.now, u64::MAX)? {
        Found::Item(item) => Ok(Some(item)),
        Found::Nothing | Found::Large => Ok(None),
    }
}

/// Has the writer's thread apply a batch.
async fn apply_on(writer: &WriterThread, writes: Vec<Arc<Write>>, at: Moment) -> Vec<Result<Written>> {
    let length = writes.len();
    let all = |error: &storage_core::StorageError| (0..length).map(|_| Err(copy(error))).collect();
    let (answer, answers) = oneshot::channel();
    if let Err(error) = writer.send(Job::Apply { writes, at, answer }) {
        return all(&error);
    }
    match answers.await {
        Ok(answers) => answers,
        Err(_) => all(&no_answer()),
    }
}

/// Has the writer's thread remove expired items.
async fn sweep_on(writer: &WriterThread, limit: usize, at: Moment) -> Result<Swept> {
    let (answer, swept) = oneshot::channel();
    writer.send(Job::Sweep { limit, at, answer })?;
    swept.await.unwrap_or_else(|_| Err(no_answer()))
}

fn no_answer() -> storage_core::StorageError {
    failure(ErrorKind::OutcomeUnknown, "the writer's thread ended without an answer")
}

/// A connection for a read that has no deadline; the wait for it has a bound.
async fn patient_reader(readers: &Arc<Pool>) -> Result<Reader> {
    readers.take(tokio::time::Instant::now() + Duration::from_secs(60)).await
}

async fn close(readers: &Pool, writer: &Arc<WriterThread>) -> Result<()> {
    readers.close();
    let writer = Arc::clone(writer);
    // The last connection brings the log into the file, which may take a moment.
    let joined = tokio::task::spawn_blocking(move || writer.join()).await;
    joined.unwrap_or_else(|cause| Err(failure(ErrorKind::Internal, "closing panicked").with_source(cause)))
}

#[async_trait]
impl Engine for Sqlite {
    fn name(&self) -> &'static str {
        NAME
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::default().durable(true).shared(true).max_payload(self.max_payload)
    }

    fn writers(&self) -> usize {
        1
    }

    fn takes_repeats(&self) -> bool {
        true
    }

    fn most_writes(&self) -> usize {
        MOST_WRITES
    }

    async fn apply(&self, writes: Vec<Arc<Write>>, at: Moment) -> Vec<Result<Written>> {
        apply_on(&self.writer, writes, at).await
    }

    async fn load(&self, key: ItemKey<'_>, at: Moment) -> Result<Option<StorageItem>> {
        let reader = self.readers.take(at.deadline).await?;
        match reader.read(|connection| read::load(connection, &self.statements, key, at.now, SMALL))? {
            Found::Nothing => Ok(None),
            Found::Item(item) => Ok(Some(item)),
            Found::Large => {
                let (statements, key) = (Arc::clone(&self.statements), OwnedKey::new(key));
                let read = move |connection: &Connection| load(connection, &statements, key.get()?, at);
                reader.read_long(Some(at.deadline), read).await
            }
        }
    }

    async fn load_many(&self, keys: &[ItemKey<'_>], at: Moment) -> Vec<Result<Option<StorageItem>>> {
        let owned: Vec<_> = keys.iter().copied().map(OwnedKey::new).collect();
        let loaded = self.read(at, move |connection, statements| {
            Ok(owned.iter().map(|key| load(connection, statements, key.get()?, at)).collect())
        });
        loaded.await.unwrap_or_else(|error| keys.iter().map(|_| Err(copy(&error))).collect())
    }

    async fn search(&self, query: &CompiledQuery, at: Moment) -> Result<SearchPage> {
        let query = query.clone();
        self.read(at, move |connection, tables| search::page(connection, tables, &query, at.now)).await
    }

    async fn count(&self, query: &CompiledQuery, at: Moment) -> Result<u64> {
        let query = query.clone();
        self.read(at, move |connection, tables| search::count(connection, tables, &query, at.now)).await
    }

    async fn usage(&self, at: Moment) -> Result<Usage> {
        self.read(at, move |connection, tables| search::usage(connection, tables, at.now)).await
    }

    async fn cleanup_step(&self, at: Moment, limit: usize) -> Result<Swept> {
        sweep_on(&self.writer, limit, at).await
    }

    async fn verify(&self) -> Result<VerifyReport> {
        let reader = patient_reader(&self.readers).await?;
        let statements = Arc::clone(&self.statements);
        reader.read_long(None, move |connection| verify::verify(connection, &statements)).await
    }

    async fn health(&self, at: Moment) -> Health {
        let probe = self.read(at, schema::mark).await;
        match probe {
            Ok(_) if self.writer.is_poisoned() => Health::Degraded(error::POISONED.to_owned()),
            Ok(_) => Health::Healthy,
            Err(error) => Health::Unhealthy(error.to_string()),
        }
    }

    async fn close(&self) -> Result<()> {
        close(&self.readers, &self.writer).await
    }
}
