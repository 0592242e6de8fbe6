//! The one thread that writes to the file.

use std::{
    path::PathBuf,
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
    error::{FULL, POISONED, is_failed_sync, sqlite_error},
    room::{free_bytes, log_bytes},
    tables::{self, Failed, Tables},
};
use crate::{
    engine::{Moment, Swept, Write, Written},
    error::{copy, failure},
};

/// Pages in the write-ahead log beyond which they are brought into the file.
const MANY_PAGES: i32 = 1_000;
/// Size of a page, in bytes.
const PAGE: u64 = 4_096;
/// Room on the disk that saves leave, so that deletes can be written on a disk that is full, in bytes.
const RESERVE: u64 = 256 * 1_024;
/// What a save writes beside its payload, in bytes: about a page in each of the indexes.
const OVERHEAD: u64 = 16 * PAGE;
/// The part of a sweep that is tried where the whole of it found no room.
const SMALL_PART: usize = 16;

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
        file: PathBuf,
        tables: Arc<dyn Tables>,
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
        let state = State { connection, file, tables, lock_timeout, pages, poisoned: Arc::clone(&poisoned) };
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
    file: PathBuf,
    tables: Arc<dyn Tables>,
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
            return writes.iter().map(|_| Err(copy(&error))).collect();
        }
        if self.makes_room_for(writes) {
            return self.apply_now(writes, at);
        }
        // What grows is refused, and the rest goes on.
        let (saves, others): (Vec<_>, Vec<_>) =
            writes.iter().cloned().partition(|write| matches!(**write, Write::Save(_)));
        drop(saves);
        let mut others = self.apply_now(&others, at).into_iter();
        let refused = || Err(failure(ErrorKind::Full, FULL));
        let answer = |write: &Arc<Write>| match **write {
            Write::Save(_) => refused(),
            Write::Delete(_) | Write::Touch(_) => others.next().unwrap_or_else(refused),
        };
        writes.iter().map(answer).collect()
    }

    fn apply_now(&mut self, writes: &[Arc<Write>], at: Moment) -> Vec<Result<Written>> {
        if writes.is_empty() {
            return Vec::new();
        }
        let (mut answers, mut disk_failed) =
            tables::apply(&mut self.connection, &*self.tables, writes, at.now);
        for (answer, write) in answers.iter_mut().zip(writes) {
            let full = answer.as_ref().is_err_and(|error| error.kind() == ErrorKind::Full);
            if full && !matches!(**write, Write::Save(_)) && self.bring_in() {
                let alone = std::slice::from_ref(write);
                let (again, failed) = tables::apply(&mut self.connection, &*self.tables, alone, at.now);
                disk_failed |= failed;
                *answer = again.into_iter().next().unwrap_or_else(|| Err(failure(ErrorKind::Full, FULL)));
            }
        }
        self.poison(disk_failed);
        answers
    }

    /// Whether the disk has room for the payloads, and for bringing the log into the file afterwards: only then can what is
    /// deleted on a full disk be written where the log begins anew.
    fn makes_room_for(&mut self, writes: &[Arc<Write>]) -> bool {
        let grows = |write: &&Arc<Write>| matches!(***write, Write::Save(_));
        // Written bytes stand in the log first and in the file later.
        let bytes: u64 = writes.iter().filter(grows).map(|write| write.bytes() + OVERHEAD).sum();
        bytes == 0 || self.has_room(bytes) || (self.bring_in() && self.has_room(bytes))
    }

    fn has_room(&self, bytes: u64) -> bool {
        // Where the system does not say, the write itself will tell.
        let Some(free) = free_bytes(&self.file) else { return true };
        let log = u64::try_from(self.pages.load(Ordering::Relaxed)).unwrap_or(0) * PAGE;
        if free >= 2 * bytes + log + RESERVE {
            return true;
        }
        // Pages that deletes left empty are used again, and so is the log once its content is in the file.
        let empty = self.empty_pages() * PAGE;
        let unused = log_bytes(&self.file).saturating_sub(log);
        free >= (bytes + RESERVE).saturating_sub(unused) + (bytes + log).saturating_sub(empty)
    }

    fn empty_pages(&self) -> u64 {
        let counted = self.connection.query_row("PRAGMA freelist_count", (), |row| row.get::<_, i64>(0));
        counted.ok().and_then(|pages| u64::try_from(pages).ok()).unwrap_or(0)
    }

    fn sweep(&mut self, limit: usize, at: Moment) -> Result<Swept> {
        self.prepare(at)?;
        match self.sweep_now(limit, at) {
            Err(error) if error.kind() == ErrorKind::Full && self.bring_in() => {
                let swept = self.sweep_now(limit.div_ceil(SMALL_PART), at)?;
                Ok(Swept { more: swept.report.expired > 0, ..swept })
            }
            swept => swept,
        }
    }

    fn sweep_now(&mut self, limit: usize, at: Moment) -> Result<Swept> {
        tables::sweep(&mut self.connection, &*self.tables, at.now, limit).map_err(|failed| match failed {
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

    /// Keeps the write-ahead log short. Callers have their answers already.
    fn tidy(&mut self) {
        if self.pages.load(Ordering::Relaxed) >= MANY_PAGES && !self.poisoned.load(Ordering::Relaxed) {
            self.bring_in();
        }
    }

    /// Brings the write-ahead log into the file; the next write begins it anew. Answers whether that was done.
    fn bring_in(&mut self) -> bool {
        self.pages.store(0, Ordering::Relaxed);
        match self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", (), |_| Ok(())) {
            Ok(()) => true,
            Err(cause) => {
                self.poison(is_failed_sync(&cause));
                let error = sqlite_error("the write-ahead log cannot be brought into the file", cause);
                tracing::warn!(%error, "the log of a SQLite store grows");
                false
            }
        }
    }

    fn poison(&self, disk_failed: bool) {
        if disk_failed {
            self.poisoned.store(true, Ordering::Relaxed);
        }
    }
}
