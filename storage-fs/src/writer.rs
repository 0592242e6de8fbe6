//! The writer: the one thread that changes the store.
//!
//! It takes whatever is waiting, applies it in order to one picture, commits that as one batch with one sync, and answers
//! everyone. It does not linger for more: while it commits, the next batch gathers by itself.

use std::{
    io,
    sync::{Arc, atomic::Ordering},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use storage_core::{ErrorKind, Result, StorageError};

use crate::{
    config::Durability,
    directory::Directory,
    engine::{Engine, Space},
    error::{FULL, POISONED, engine_error, failure, io_error, is_disk_full},
    fault::Fault,
    mark::Mark,
    opening::open_engine,
    queue::{Entry, Reply, Taken},
    remover::Remover,
    room::Fits,
    shared::{Closed, Shared, Slot},
    state::State,
    transaction::{Answer, Op, Transaction},
};

/// Most operations in one commit.
const MOST_OPS: usize = 1_024;
/// Most bytes of payload in one commit, unless one operation alone has more.
const MOST_BYTES: u64 = 4 << 20;
/// Garbage beyond which winning back room on a full disk is worth closing the engine for a moment, in bytes.
const MUCH_GARBAGE: u64 = 16 << 20;
/// How long to wait before an engine that ran out of room is opened again.
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(100);
/// How long readers may take to let go of the engine.
const PATIENCE_WITH_READERS: Duration = Duration::from_secs(5);
/// How long the engine may take to bring everything into tables.
const PATIENCE_WITH_FLUSH: Duration = Duration::from_secs(20);
const TOO_FULL: &str = "the disk is so full that not even a delete can be written";

/// Why the writer commits nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    None,
    /// A write to disk failed: the store must be opened again.
    Poisoned,
    /// The engine met a full disk; it is opened again once there is room.
    NoRoom,
}

/// The state of the writer's thread.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    directory: Directory,
    mark: Mark,
    state: State,
    trouble: Trouble,
    last_fits: Fits,
    last_reopened: Instant,
    // About how many bytes were replaced or removed since room was last won back.
    garbage: u64,
    // Dropped last: it ends when the store has given up its last file.
    remover: Remover,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer")
            .field("state", &self.state)
            .field("trouble", &self.trouble)
            .finish_non_exhaustive()
    }
}

impl Writer {
    pub(crate) fn new(
        shared: Arc<Shared>,
        directory: Directory,
        mark: Mark,
        state: State,
        remover: Remover,
    ) -> Self {
        Self {
            shared,
            directory,
            mark,
            state,
            trouble: Trouble::None,
            last_fits: Fits::Nothing,
            last_reopened: Instant::now(),
            garbage: 0,
            remover,
        }
    }

    /// Starts the thread. It ends when the queue is closed and empty.
    pub(crate) fn start(self) -> io::Result<JoinHandle<()>> {
        thread::Builder::new().name("storage-fs writer".into()).spawn(move || {
            // Whatever happens, nobody is left waiting for an answer that cannot come.
            let _last_words = LastWords(Arc::clone(&self.shared));
            self.run();
        })
    }

    fn run(mut self) {
        while let Taken::Entries(entries) = self.shared.queue.take(MOST_OPS, MOST_BYTES) {
            self.process(entries);
        }
        self.shut_down();
    }

    fn process(&mut self, entries: Vec<Entry>) {
        if matches!(*self.shared.slot.borrow(), Slot::Lost(_)) {
            self.open_again(Ok(()));
        }
        let bytes = entries.iter().map(|entry| entry.bytes + 1_024).sum();
        let fits = self.fits(bytes, entries.iter().any(|entry| entry.op.grows()));
        let answers = match self.shared.engine_now() {
            Ok(Some(engine)) => self.apply(&engine, entries, fits),
            Ok(None) => refuse(entries, || failure(ErrorKind::Unavailable, "the engine is away")),
            Err(error) => refuse(entries, || error.duplicate()),
        };
        for (reply, answer) in answers {
            reply.send(answer);
        }
    }

    /// Applies operations and commits them.
    fn apply(&mut self, engine: &Engine, entries: Vec<Entry>, fits: Fits) -> Vec<(Reply, Result<Answer>)> {
        let shared = Arc::clone(&self.shared);
        let mut transaction = Transaction::new(engine, &shared, self.state.mark, entries.len());
        let mut answers = Vec::with_capacity(entries.len());
        for entry in entries.into_iter().filter(Entry::claim) {
            let (op, reply) = entry.split();
            let answer = match self.refusal(&op, fits) {
                Some(refusal) => Err(refusal),
                None => transaction.apply(op),
            };
            answers.push((reply, answer));
        }
        if shared.faults.has(Fault::AcknowledgeBeforeSync) {
            answers.drain(..).for_each(|(reply, answer)| reply.send(answer));
            thread::sleep(Duration::from_millis(2));
        }
        if let Err(failed) = self.commit(engine, transaction) {
            // Answers may build on one another, so that none of them stands if the commit does not.
            for (_, answer) in &mut answers {
                *answer = Err(failed.duplicate());
            }
        }
        answers
    }

    fn refusal(&self, op: &Op, fits: Fits) -> Option<StorageError> {
        match (self.trouble, fits) {
            (Trouble::Poisoned, _) => Some(failure(ErrorKind::ReadOnly, POISONED)),
            (Trouble::NoRoom, _) => Some(failure(ErrorKind::Full, TOO_FULL)),
            (Trouble::None, Fits::Everything) => None,
            (Trouble::None, Fits::Deletes) if !op.grows() => None,
            (Trouble::None, Fits::Deletes) => Some(failure(ErrorKind::Full, FULL)),
            (Trouble::None, Fits::Nothing) => Some(failure(ErrorKind::Full, TOO_FULL)),
        }
    }

    fn commit(&mut self, engine: &Engine, mut transaction: Transaction<'_>) -> Result<()> {
        let mut batch = engine.batch();
        transaction.write(&mut batch);
        if batch.is_empty() {
            return Ok(());
        }
        let state = State {
            sequence: self.state.sequence + 1,
            mark: transaction.mark,
            session: self.state.session,
            floor: engine.next_sequence(),
        };
        batch.put(Space::Meta, State::KEY, &state.to_bytes());
        let released = transaction.released_files();
        // A payload file may only go once the record that named it is gone for good.
        let durability =
            if released.is_empty() { self.shared.config.durability } else { Durability::Immediate };
        if let Err(cause) = engine.wait_for_room().and_then(|()| batch.commit(durability)) {
            return Err(self.failed(cause, &mut transaction));
        }
        self.state = state;
        self.garbage += transaction.garbage();
        transaction.keep_files();
        if durability == Durability::Immediate {
            self.note_sequence();
        }
        for id in released {
            self.shared.blobs.give_up(id);
        }
        Ok(())
    }

    fn note_sequence(&self) {
        if let Err(cause) = self.mark.write(self.state.sequence) {
            // The commit stands; only the loss of later ones could go unnoticed.
            tracing::warn!(%cause, "the store's mark cannot be written");
        }
    }

    /// Draws the conclusions of a failed commit.
    fn failed(&mut self, cause: fjall::Error, transaction: &mut Transaction<'_>) -> StorageError {
        let was_refused = matches!(cause, fjall::Error::Poisoned);
        let no_room = is_disk_full(&cause) || self.last_fits != Fits::Everything;
        self.set_trouble(if no_room { Trouble::NoRoom } else { Trouble::Poisoned });
        if was_refused {
            // The engine took nothing of this batch.
            return match self.trouble {
                Trouble::NoRoom => failure(ErrorKind::Full, TOO_FULL),
                _ => engine_error("the write was refused", cause),
            };
        }
        // The batch may be on the disk whole, and its records may name the new files.
        transaction.keep_files();
        failure(
            ErrorKind::OutcomeUnknown,
            "writing to disk failed while committing; whether the write is there shows when the store is opened again",
        )
        .with_source(cause)
    }

    fn set_trouble(&mut self, trouble: Trouble) {
        self.trouble = trouble;
        self.shared.trouble.send_replace(match trouble {
            Trouble::None => None,
            Trouble::Poisoned => Some(POISONED),
            Trouble::NoRoom => Some(FULL),
        });
    }

    /// What there is room for; wins back room first where that may help.
    fn fits(&mut self, bytes: u64, growing: bool) -> Fits {
        let mut fits = self.measure(bytes);
        if fits != Fits::Everything && self.trouble == Trouble::None && self.is_stopped() {
            self.set_trouble(Trouble::NoRoom);
        }
        if self.trouble == Trouble::NoRoom && self.last_reopened.elapsed() > BETWEEN_ATTEMPTS {
            // What the engine left half done when it ran out of room goes, and its writes are read from the journal.
            self.reopen_engine(false);
            self.last_reopened = Instant::now();
            fits = self.measure(bytes);
        }
        let is_tight = fits != Fits::Everything && (growing || self.shared.room.is_tight());
        if is_tight && self.trouble == Trouble::None && self.is_worth_tidying() {
            self.reopen_engine(true);
            fits = self.measure(bytes);
        }
        if fits == Fits::Everything
            && self.last_fits != Fits::Everything
            && let Err(cause) = self.shared.room.take_reserve()
        {
            tracing::warn!(%cause, "no room can be reserved for deletes on a full disk");
        }
        self.last_fits = fits;
        if self.trouble == Trouble::None {
            let full = (fits != Fits::Everything).then_some(FULL);
            self.shared.trouble.send_if_modified(|trouble| std::mem::replace(trouble, full) != full);
        }
        fits
    }

    /// Whether the engine has stopped, without having been asked for anything.
    fn is_stopped(&self) -> bool {
        self.shared.engine_now().is_ok_and(|engine| engine.is_some_and(|engine| engine.is_poisoned()))
    }

    fn measure(&self, bytes: u64) -> Fits {
        let (unflushed, merging) = match self.shared.engine_now() {
            Ok(Some(engine)) => (engine.unflushed_bytes(), engine.merging_bytes()),
            _ => (0, 0),
        };
        self.shared.room.fits(unflushed, merging, bytes).unwrap_or_else(|cause| {
            tracing::warn!(%cause, "the room on the disk cannot be measured");
            Fits::Everything
        })
    }

    /// Whether opening the engine again may win back room: its journals are large, or much in its tables is garbage.
    fn is_worth_tidying(&self) -> bool {
        let much = (self.shared.room.disk / 64).min(MUCH_GARBAGE);
        self.garbage > much || Engine::journal_bytes(&self.directory.engine()).unwrap_or(0) > 4 * much
    }

    /// Closes the engine and opens it again: with `tidy` its journals are emptied and its tables rewritten on the way.
    fn reopen_engine(&mut self, tidy: bool) {
        let Some(engine) = self.take_engine() else { return };
        let tidied = self.tidy(engine, tidy);
        self.open_again(tidied);
        self.shared.wanted.store(false, Ordering::Relaxed);
    }

    fn open_again(&mut self, closed: Result<()>) {
        let done = closed.and_then(|()| {
            let acknowledged =
                Some(self.state.sequence).filter(|_| self.shared.config.durability == Durability::Immediate);
            open_engine(&self.directory, &self.shared.config, self.shared.room.disk, acknowledged)
        });
        match done {
            Ok((engine, state)) => {
                self.state =
                    State { session: self.state.session, mark: self.state.mark.max(state.mark), ..state };
                self.set_trouble(Trouble::None);
                self.shared.slot.send_replace(Slot::Open(Arc::new(engine)));
            }
            Err(error) => {
                let path = self.directory.engine();
                tracing::error!(%error, path = %path.display(), "the engine cannot be opened again");
                self.shared
                    .slot
                    .send_replace(Slot::Lost(format!("the engine could not be opened again: {error}")));
            }
        }
    }

    /// Takes the engine away from the readers; `None` if they do not let go of it, which leaves it to them.
    fn take_engine(&self) -> Option<Engine> {
        let slot = self.shared.slot.send_replace(Slot::Away);
        let Slot::Open(engine) = slot else {
            self.shared.slot.send_replace(slot);
            return None;
        };
        self.shared.wanted.store(true, Ordering::Relaxed);
        match alone(engine) {
            Ok(engine) => Some(engine),
            Err(engine) => {
                self.shared.wanted.store(false, Ordering::Relaxed);
                self.shared.slot.send_replace(Slot::Open(engine));
                None
            }
        }
    }

    /// Closes the engine, with everything in tables and its journals empty if asked for and possible.
    fn tidy(&mut self, engine: Engine, tidy: bool) -> Result<()> {
        let path = self.directory.engine();
        let mut flushed = false;
        if tidy && self.trouble == Trouble::None {
            flushed = self.move_to_tables(&engine).unwrap_or_else(|cause| {
                // The journals still hold everything, and opening heals an engine that a full disk has stopped.
                tracing::warn!(%cause, "the engine cannot be tidied");
                false
            });
        }
        drop(engine);
        if flushed {
            Engine::empty_journals(&path)
                .map_err(|cause| io_error("the journals cannot be emptied", cause))?;
        }
        Ok(())
    }

    fn move_to_tables(&mut self, engine: &Engine) -> fjall::Result<bool> {
        let flushed = engine.flush(PATIENCE_WITH_FLUSH)?;
        if self.garbage > 0 && self.can_compact(engine)? {
            engine.compact()?;
            self.garbage = 0;
        }
        Ok(flushed)
    }

    /// Whether rewriting all tables fits on the disk: for a while there are the old ones and the new ones.
    fn can_compact(&self, engine: &Engine) -> fjall::Result<bool> {
        // Beyond this, finding out takes too long; there the engine's own compactions have to do.
        const MOST_COUNTED: u64 = 1 << 30;
        let free = self.shared.room.free()?;
        let tables = engine.table_bytes();
        if tables < free || tables > MOST_COUNTED {
            return Ok(tables < free);
        }
        let live = engine.live_bytes()?;
        Ok(live + live / 4 + (64 << 10) < free)
    }

    fn shut_down(self) {
        let closed = self.close_engine();
        if let Err((kind, message)) = &closed {
            tracing::warn!(%kind, message, "the store was not closed cleanly");
        }
        let Self { shared, directory, mark, remover, .. } = self;
        shared.blobs.stop_removals();
        drop((remover, mark, directory));
        shared.ended.send_replace(Some(closed));
    }

    fn close_engine(&self) -> Closed {
        self.shared.wanted.store(true, Ordering::Relaxed);
        let Slot::Open(engine) = self.shared.slot.send_replace(Slot::Closed) else { return Ok(()) };
        let engine = alone(engine).map_err(|_| {
            (
                ErrorKind::Timeout,
                "readers did not let go of the engine; the directory is free once they have".to_owned(),
            )
        })?;
        let tidy = self.shared.tidy.load(Ordering::Relaxed) && self.trouble == Trouble::None;
        let path = self.directory.engine();
        let flushed = if tidy { self.flush_and_sync(&engine)? } else { false };
        drop(engine);
        if flushed {
            Engine::empty_journals(&path)
                .map_err(|cause| told(&io_error("the journals cannot be emptied", cause)))?;
        }
        Ok(())
    }

    fn flush_and_sync(&self, engine: &Engine) -> std::result::Result<bool, (ErrorKind, String)> {
        let free = self.shared.room.free().unwrap_or(0);
        // On a full disk the journal keeps what has no room in tables.
        if free < 2 * engine.unflushed_bytes() {
            return Ok(false);
        }
        let flushed = match engine.flush(PATIENCE_WITH_FLUSH) {
            Ok(flushed) => flushed,
            // Every acknowledged write is on the disk already, in the journal, and that stays.
            Err(cause) if self.shared.config.durability == Durability::Immediate => {
                tracing::warn!(%cause, "the last writes stay in the journal");
                return Ok(false);
            }
            Err(cause) => {
                return Err(told(&engine_error("the last writes cannot be brought to the disk", cause)));
            }
        };
        self.note_sequence();
        self.mark.sync().map_err(|cause| told(&io_error("the store's mark cannot be synced", cause)))?;
        Ok(flushed)
    }
}

/// Waits until nobody else holds the engine.
fn alone(mut engine: Arc<Engine>) -> std::result::Result<Engine, Arc<Engine>> {
    let deadline = Instant::now() + PATIENCE_WITH_READERS;
    loop {
        match Arc::try_unwrap(engine) {
            Ok(engine) => return Ok(engine),
            Err(shared) if Instant::now() >= deadline => return Err(shared),
            Err(shared) => engine = shared,
        }
        thread::sleep(Duration::from_micros(200));
    }
}

fn refuse(entries: Vec<Entry>, why: impl Fn() -> StorageError) -> Vec<(Reply, Result<Answer>)> {
    entries.into_iter().filter(Entry::claim).map(|entry| (entry.split().1, Err(why()))).collect()
}

fn told(error: &StorageError) -> (ErrorKind, String) {
    (error.kind(), error.message().to_owned())
}

/// Closes everything behind a writer that ends, also if it panics.
struct LastWords(Arc<Shared>);

impl Drop for LastWords {
    fn drop(&mut self) {
        self.0.queue.abandon();
        self.0.slot.send_replace(Slot::Closed);
        self.0.blobs.stop_removals();
        self.0.ended.send_if_modified(|ended| {
            let is_news = ended.is_none();
            ended.get_or_insert(Err((ErrorKind::Internal, "the writer panicked".into())));
            is_news
        });
    }
}
