//! The connections that read.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use rusqlite::Connection;
use storage_core::{ErrorKind, Result};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

use super::{connection, error::sqlite_error};
use crate::error::failure;

/// After how many steps of SQLite's machine a read looks whether it is still wanted: some tens of microseconds.
const STEPS: i32 = 2_000;

/// Connections for reading, opened as they are needed.
#[derive(Debug)]
pub(super) struct Pool {
    path: PathBuf,
    patience: Duration,
    free: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
}

/// A connection that is in use. Dropping it gives it back.
#[derive(Debug)]
pub(super) struct Reader {
    pool: Arc<Pool>,
    connection: Option<Connection>,
    _permit: OwnedSemaphorePermit,
}

impl Pool {
    pub(super) fn new(path: PathBuf, size: u16, patience: Duration) -> Arc<Self> {
        Arc::new(Self {
            path,
            patience,
            free: Mutex::default(),
            permits: Arc::new(Semaphore::new(usize::from(size))),
        })
    }

    /// Takes a connection.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] if none is free until the deadline; those of opening one.
    pub(super) async fn take(self: &Arc<Self>, deadline: Instant) -> Result<Reader> {
        let permits = Arc::clone(&self.permits);
        let permit = match Arc::clone(&permits).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => match Box::pin(timeout_at(deadline, permits.acquire_owned())).await {
                Ok(Ok(permit)) => permit,
                Ok(Err(_)) => return Err(crate::error::closed()),
                Err(_) => {
                    let message = "all connections were in use until the deadline";
                    return Err(failure(ErrorKind::Unavailable, message));
                }
            },
        };
        let free = self.free.lock().pop();
        let connection = match free {
            Some(connection) => connection,
            // A file of the process's own: opened in some hundred microseconds, a few times in the life of a store.
            None => self.open()?,
        };
        Ok(Reader { pool: Arc::clone(self), connection: Some(connection), _permit: permit })
    }

    fn open(&self) -> Result<Connection> {
        let opened = connection::open(&self.path, false, self.patience);
        let connection = opened.map_err(|error| match error.kind() {
            // What was there when the store was opened is no item that is missing.
            ErrorKind::NotFound => failure(ErrorKind::Config, "the file of the store is gone"),
            _ => error,
        })?;
        let only_reads = connection.pragma_update(None, "query_only", true);
        only_reads.map_err(|cause| sqlite_error("the connection cannot be set up", cause))?;
        Ok(connection)
    }

    /// Closes all connections; those in use as soon as they are given back.
    pub(super) fn close(&self) {
        self.permits.close();
        self.free.lock().clear();
    }
}

impl Reader {
    /// Reads something quick where the caller is.
    ///
    /// # Errors
    /// Those of `read`.
    pub(super) fn read<T>(&self, read: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        match &self.connection {
            Some(connection) => read(connection),
            None => Err(failure(ErrorKind::Internal, "a connection is gone")),
        }
    }

    /// Reads something that may take long, on a thread for that. It ends early if this future is dropped, and at the
    /// deadline if there is one.
    ///
    /// # Errors
    /// Those of `read`; [`ErrorKind::Timeout`].
    pub(super) async fn read_long<T: Send + 'static>(
        mut self,
        deadline: Option<Instant>,
        read: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let given_up = GivenUp::default();
        let flag = Arc::clone(&given_up.0);
        let deadline = deadline.map(Instant::into_std);
        let unwanted = move || {
            flag.load(Ordering::Relaxed)
                || deadline.is_some_and(|deadline| std::time::Instant::now() >= deadline)
        };
        let task = tokio::task::spawn_blocking(move || {
            self.watch(Some(unwanted))?;
            let answer = self.read(read);
            self.watch(None::<fn() -> bool>)?;
            answer
        });
        task.await
            .unwrap_or_else(|cause| Err(failure(ErrorKind::Internal, "a read panicked").with_source(cause)))
    }
}

impl Reader {
    /// Ends what the connection does as soon as `unwanted` answers true.
    fn watch(&mut self, unwanted: Option<impl FnMut() -> bool + Send + 'static>) -> Result<()> {
        let failed = |cause| sqlite_error("the connection cannot be set up", cause);
        self.connection
            .as_mut()
            .map_or(Ok(()), |connection| connection.progress_handler(STEPS, unwanted).map_err(failed))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if self.pool.permits.is_closed() {
            return;
        }
        // A transaction that a failed read left open would hold its snapshot for ever.
        if let Some(connection) = self.connection.take().filter(Connection::is_autocommit) {
            self.pool.free.lock().push(connection);
        }
    }
}

/// Tells a read on another thread that nobody waits for it any more.
#[derive(Debug, Default)]
struct GivenUp(Arc<AtomicBool>);

impl Drop for GivenUp {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
