//! Opens the engine of a store: journals are examined first, and what the engine knows is compared with the mark.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
};

use storage_core::{ErrorKind, Result, SharedClock, StorageError};
use tokio::sync::watch;

use crate::{
    blobs::{self, Blobs},
    config::FsConfig,
    directory::{Directory, find_link, sync_folder},
    engine::{Engine, Space},
    error::{engine_error, failure, io_error},
    fault::Faults,
    journal::{self, Condition},
    manifests,
    mark::{Found, Mark},
    queue::Queue,
    remover::Remover,
    room::Room,
    shared::{Shared, Slot},
    state::State,
    warmth::Warmth,
    writer::Writer,
};

/// Opens a store up to the writer that is ready to start. Blocks.
///
/// # Errors
/// As [`FsBuilder::open`](crate::FsBuilder::open).
pub(crate) fn open_store(
    path: &Path,
    config: FsConfig,
    clock: SharedClock,
    faults: Faults,
) -> Result<(Arc<Shared>, Writer)> {
    let directory = Directory::open(path)?;
    let room = Room::new(&directory, &config)?;
    let (mark, found) = Mark::open(&directory.mark())?;
    let acknowledged = match found {
        Found::Sequence(sequence) => Some(sequence),
        Found::Nothing => None,
        Found::Damaged => {
            tracing::warn!(
                "the store's mark is damaged, so that a loss of the last writes would go unnoticed"
            );
            None
        }
    };
    let (engine, mut state) = open_engine(&directory, &config, room.disk, acknowledged)?;
    // The first commit makes the number last. Without one nothing lasts of this session: its files are swept.
    state.session = state.session.wrapping_add(1);
    blobs::sweep(&directory.blobs(), |id| is_named(&engine, id))?;
    let started = Remover::start(directory.blobs());
    let (remover, removals) =
        started.map_err(|cause| io_error("the remover of files cannot be started", cause))?;
    let shared = Arc::new(Shared {
        clock,
        seed: directory.seed,
        queue: Queue::new(config.queue_bytes),
        blobs: Arc::new(Blobs::new(directory.blobs(), state.session, removals)),
        room,
        warmth: Warmth::default(),
        slot: watch::Sender::new(Slot::Open(Arc::new(engine))),
        ended: watch::Sender::new(None),
        wanted: AtomicBool::new(false),
        tidy: AtomicBool::new(false),
        faults,
        trouble: watch::Sender::new(None),
        config,
    });
    let writer = Writer::new(Arc::clone(&shared), directory, mark, state, remover);
    Ok((shared, writer))
}

fn is_named(engine: &Engine, id: blobs::BlobId) -> Result<bool> {
    let owner = engine.get(Space::Blobs, &id.to_bytes());
    owner
        .map(|owner| owner.is_some())
        .map_err(|cause| engine_error("the list of payload files cannot be read", cause))
}

const JOURNALS: &str = "the engine's journals cannot be examined";

/// Opens the engine; `acknowledged` is the last batch that callers were told of, if known.
///
/// # Errors
/// [`ErrorKind::Corrupted`] if acknowledged writes are missing or the engine's files are damaged. The files are then as they
/// were before.
pub(crate) fn open_engine(
    directory: &Directory,
    config: &FsConfig,
    disk: u64,
    acknowledged: Option<u64>,
) -> Result<(Engine, State)> {
    let path = directory.engine();
    make_engine(directory, config, disk, acknowledged)?;
    check_files(&path)?;
    let kept = prepare_journals(&path, acknowledged)?;
    let engine = Engine::open(&path, config, disk)?;
    let state = read_state(&engine)?;
    let missing = acknowledged.unwrap_or(0).saturating_sub(state.sequence);
    if missing == 0 {
        return kept
            .map_or(Ok(()), Kept::drop)
            .map_err(|cause| io_error(JOURNALS, cause))
            .map(|()| (engine, state));
    }
    drop(engine);
    kept.map_or(Ok(()), Kept::restore).map_err(|cause| io_error(JOURNALS, cause))?;
    Err(lost(&format!("the last {missing} committed batches are missing")))
}

/// What every failure of this kind says: what happened, and what can be done.
fn lost(what: &str) -> StorageError {
    let advice = "`salvage` opens what is readable and keeps the originals";
    failure(ErrorKind::Corrupted, format!("{what}; nothing was changed; {advice}"))
}

/// Makes a new engine beside its place and moves it there when it is whole: one that was interrupted while it made itself
/// would never open again.
fn make_engine(directory: &Directory, config: &FsConfig, disk: u64, acknowledged: Option<u64>) -> Result<()> {
    let (path, draft) = (directory.engine(), directory.root().join("engine.new"));
    let what = "the engine cannot be made";
    let prepare = || -> io::Result<bool> {
        match fs::remove_dir_all(&draft) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(cause),
            _ => Ok(fs::read_dir(&path)?.next().is_some()),
        }
    };
    if prepare().map_err(|cause| io_error(what, cause))? {
        return Ok(());
    }
    if acknowledged.is_some_and(|sequence| sequence > 0) {
        return Err(lost("the engine's files are gone"));
    }
    drop(Engine::open(&draft, config, disk)?);
    fs::rename(&draft, &path)
        .and_then(|()| sync_folder(directory.root()))
        .map_err(|cause| io_error(what, cause))
}

/// Looks for what the engine would not notice: links that lead elsewhere, and manifests that are not the right ones.
fn check_files(engine: &Path) -> Result<()> {
    let what = "the engine's files cannot be examined";
    if let Some(link) = find_link(engine).map_err(|cause| io_error(what, cause))? {
        return Err(lost(&format!("{} is a link", link.display())));
    }
    match manifests::find_damaged(engine).map_err(|cause| io_error(what, cause))? {
        None => Ok(()),
        Some(place) => {
            let name = place.file_name().unwrap_or_default().display().to_string();
            Err(lost(&format!("a manifest of the engine is damaged or missing (keyspace {name})")))
        }
    }
}

fn prepare_journals(engine: &Path, acknowledged: Option<u64>) -> Result<Option<Kept>> {
    match journal::examine(engine, acknowledged).map_err(|cause| io_error(JOURNALS, cause))? {
        Condition::Whole => Ok(None),
        Condition::Damaged { journal, at } => {
            let name = journal.file_name().unwrap_or_default().display().to_string();
            Err(lost(&format!("journal {name} is damaged at byte {at}")))
        }
        Condition::Torn { journal, end, certain } => {
            let prepare = || {
                let kept = if certain { None } else { Some(Kept::copy(&journal)?) };
                journal::cut(&journal, end).map(|()| kept)
            };
            prepare().map_err(|cause| io_error(JOURNALS, cause))
        }
    }
}

/// A copy of a journal, until it is known that its end was not needed.
struct Kept {
    journal: PathBuf,
    copy: PathBuf,
}

impl Kept {
    fn copy(journal: &Path) -> io::Result<Self> {
        let copy = journal.with_extension("kept");
        fs::copy(journal, &copy)?;
        Ok(Self { journal: journal.to_owned(), copy })
    }

    fn drop(self) -> io::Result<()> {
        fs::remove_file(self.copy)
    }

    fn restore(self) -> io::Result<()> {
        fs::rename(self.copy, self.journal)
    }
}

/// What the engine knows of the store; the beginning if it is new.
pub(crate) fn read_state(engine: &Engine) -> Result<State> {
    let what = "the state of the store cannot be read";
    match engine.get(Space::Meta, State::KEY).map_err(|cause| engine_error(what, cause))? {
        None => Ok(State::default()),
        Some(bytes) => State::from_bytes(&bytes)
            .ok_or_else(|| failure(ErrorKind::Corrupted, "the state of the store is damaged")),
    }
}
