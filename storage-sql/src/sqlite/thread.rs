//! The one thread that writes to the file.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI32, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use rusqlite::{Connection, hooks::Wal};
use storage_core::{ErrorKind, Result};
use tokio::sync::oneshot;

use super::{
    apply::{self, Failed},
    error::{POISONED, is_failed_sync, sqlite_error},
    statements::Statements,
};
use crate::{
    engine::{Moment, Swept, Write, Written},
    error::failure,
};

/// Pages in the write-ahead log beyond which they are brought into the file.
const MANY_PAGES: i32 = 1_000;

/// What the thread is asked to do.
#[derive(Debug)]
pub(super) enum Job {
    Apply { writes: Vec<Arc<Write>>, at: Moment, answer: oneshot::Sender<Vec<Result<Written>>> },
    Sweep { limit: usize, at: Moment, answer: oneshot::Sender<Result<Swept>> },
}

/// The thread that writes. It ends once this is dropped, after the job under way.
#[derive(Debug)]
pub(super) struct WriterThread {
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    poisoned: Arc<AtomicBool>,
}

impl WriterThread {
    pub(super) fn start(
        mut connection: Connection,
        statements: Arc<Statements>,
        lock_timeout: Duration,
    ) -> Result<Self> {
        let pages = Arc::new(AtomicI32::new(0));
        let seen = Arc::clone(&pages);
        let hook = move |_: &mut Wal, pages: i32| {
            seen.store(pages, Ordering::Relaxed);
            Ok(())
        };
        connection
            .wal_hook(Some(hook))
            .map_err(|cause| sqlite_error("the writer cannot be started", cause))?;
        let (jobs, waiting) = mpsc::channel();
        let poisoned = Arc::new(AtomicBool::new(false));
        let state = State { connection, statements, lock_timeout, pages, poisoned: Arc::clone(&poisoned) };
        let thread =
            thread::Builder::new().name("storage-sql sqlite".into()).spawn(move || state.run(&waiting));
        let thread = thread.map_err(|cause| {
            failure(ErrorKind::Unavailable, "the writer's thread cannot be started").with_source(cause)
        })?;
        Ok(Self { jobs: Mutex::new(Some(jobs)), thread: Mutex::new(Some(thread)), poisoned })
    }

    /// Hands a job over.
    ///
    /// # Errors
    /// [`ErrorKind::Closed`].
    pub(super) fn send(&self, job: Job) -> Result<()> {
        let jobs = self.jobs.lock();
        let sent = jobs.as_ref().is_some_and(|jobs| jobs.send(job).is_ok());
        if sent { Ok(()) } else { Err(crate::error::closed()) }
    }

    /// Whether an earlier write to disk failed.
    pub(super) fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::Relaxed)
    }

    /// Ends the thread and waits for it, which gives the file back.
    pub(super) fn join(&self) -> Result<()> {
        drop(self.jobs.lock().take());
        let thread = self.thread.lock().take();
        match thread.map(JoinHandle::join) {
            Some(Err(_)) => Err(failure(ErrorKind::Internal, "the writer's thread panicked")),
            _ => Ok(()),
        }
    }
}

/// What the thread works with.
struct State {
    connection: Connection,
    statements: Arc<Statements>,
    lock_timeout: Duration,
    /// Pages in the write-ahead log after the last commit.
    pages: Arc<AtomicI32>,
    poisoned: Arc<AtomicBool>,
}

impl State {
    fn run(mut self, jobs: &mpsc::Receiver<Job>) {
        while let Ok(job) = jobs.recv() {
            // Nobody waits for the answer if the caller is gone.
            match job {
                Job::Apply { writes, at, answer } => drop(answer.send(self.apply(&writes, at))),
                Job::Sweep { limit, at, answer } => drop(answer.send(self.sweep(limit, at))),
            }
            self.tidy();
        }
    }

    fn apply(&mut self, writes: &[Arc<Write>], at: Moment) -> Vec<Result<Written>> {
        if let Err(error) = self.prepare(at) {
            return writes.iter().map(|_| Err(crate::error::copy(&error))).collect();
        }
        let (answers, disk_failed) = apply::apply(&mut self.connection, &self.statements, writes, at.now);
        self.poison(disk_failed);
        answers
    }

    fn sweep(&mut self, limit: usize, at: Moment) -> Result<Swept> {
        self.prepare(at)?;
        apply::sweep(&mut self.connection, &self.statements, at.now, limit).map_err(|failed| match failed {
            Failed::Nothing(error) => error,
            Failed::Unknown(error) => {
                self.poison(true);
                error
            }
        })
    }

    /// Bounds the wait for other processes by the deadline.
    fn prepare(&self, at: Moment) -> Result<()> {
        if self.poisoned.load(Ordering::Relaxed) {
            return Err(failure(ErrorKind::ReadOnly, POISONED));
        }
        let left = at.deadline.into_std().saturating_duration_since(Instant::now());
        let patience = left.min(self.lock_timeout);
        self.connection.busy_timeout(patience).map_err(|cause| sqlite_error("the write failed", cause))
    }

    /// Brings a long write-ahead log into the file. Callers have their answers already.
    fn tidy(&mut self) {
        if self.pages.load(Ordering::Relaxed) < MANY_PAGES || self.poisoned.load(Ordering::Relaxed) {
            return;
        }
        self.pages.store(0, Ordering::Relaxed);
        if let Err(cause) = self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", (), |_| Ok(())) {
            self.poison(is_failed_sync(&cause));
            let error = sqlite_error("the write-ahead log cannot be brought into the file", cause);
            tracing::warn!(%error, "the log of a SQLite store grows");
        }
    }

    fn poison(&self, disk_failed: bool) {
        if disk_failed {
            self.poisoned.store(true, Ordering::Relaxed);
        }
    }
}
