//! Wins back what is readable from a store that does not open any more, and keeps the originals.
//!
//! It works on a copy (tables as hard links, as they never change): batches of the journal that cannot be read are left
//! out, then every record that has its checksum is written to a new engine together with its index entries. Only at the
//! end the new engine takes the place of the old one, which moves aside whole.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use storage_core::{Damaged, ErrorKind, Result};

use crate::{
    blobs,
    config::{Durability, FsConfig},
    directory::{Directory, sync_folder},
    engine::{Batch, Engine, Space, View},
    error::{engine_error, failure, io_error},
    item::Stored,
    journal::Journals,
    keys::{Entry, Name},
    manifests,
    mark::{Found, Mark},
    opening::read_state,
    reads::decode,
    room::Room,
    state::State,
    verify::damaged_item,
};

/// What [`FsProvider::salvage`](crate::FsProvider::salvage) did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SalvageReport {
    /// Items that were read whole and are in the store now.
    pub recovered: u64,
    /// Items that are known to have been there and could not be read.
    pub lost: Vec<Damaged>,
    /// Places in the journal that could not be read. Each may have held writes of any items; those have an older value
    /// now, or are gone, or are there again although they were deleted.
    pub unreadable_places: u64,
    /// Where the originals are kept. Nothing ever removes them; that is left to you.
    pub originals: PathBuf,
}

const WHAT: &str = "the store cannot be salvaged";
/// Room for the versions that lost batches may have given.
const VERSIONS_SKIPPED: u64 = 1 << 20;
const PATIENCE: Duration = Duration::from_secs(600);

/// Salvages the store in a directory that nobody has open. Blocks.
pub(crate) fn salvage(path: &Path, config: &FsConfig) -> Result<SalvageReport> {
    if !path.is_dir() {
        return Err(failure(ErrorKind::Config, format!("{} is no directory", path.display())));
    }
    let directory = Directory::open(path)?;
    let disk = Room::new(&directory, config)?.disk;
    let work = Work::new(directory.root()).map_err(|cause| io_error(WHAT, cause))?;
    let unreadable_places = work.copy(&directory.engine()).map_err(|cause| io_error(WHAT, cause))?;
    let old = work.open_copy(&directory.engine(), config, disk)?;
    let new = Engine::open(&work.new_engine(), config, disk)?;
    let mut transfer = Transfer {
        directory: &directory,
        new: &new,
        recovered: 0,
        lost: Vec::new(),
        versions: 0,
        session: 0,
    };
    transfer.run(&old)?;
    let Transfer { recovered, lost, versions, session, .. } = transfer;
    let (mark, found) = Mark::open(&directory.mark())?;
    let state = State { floor: new.next_sequence(), ..next_state(&old, versions, session, found)? };
    commit(&new, |batch| batch.put(Space::Meta, State::KEY, &state.to_bytes()))?;
    if !new.flush(PATIENCE).map_err(|cause| engine_error(WHAT, cause))? {
        return Err(failure(ErrorKind::Timeout, "the engine does not come to an end of writing"));
    }
    drop((old, new));
    Engine::empty_journals(&work.new_engine()).map_err(|cause| io_error(WHAT, cause))?;
    let originals = work.swap(&directory.engine()).map_err(|cause| io_error(WHAT, cause))?;
    keep_unreadable_files(&directory, &lost, &originals).map_err(|cause| io_error(WHAT, cause))?;
    mark.write(state.sequence).and_then(|()| mark.sync()).map_err(|cause| io_error(WHAT, cause))?;
    let lost = lost.into_iter().map(|(lost, _)| lost).collect();
    Ok(SalvageReport { recovered, lost, unreadable_places, originals })
}

/// Opens an engine whose manifests are whole: it would believe damaged ones, or take the whole process down over them.
fn open(path: &Path, config: &FsConfig, disk: u64) -> Result<Engine> {
    match manifests::find_damaged(path).map_err(|cause| io_error(WHAT, cause))? {
        None => Engine::open(path, config, disk),
        Some(_) => Err(failure(ErrorKind::Corrupted, "a manifest of the engine is damaged or missing")),
    }
}

/// The folders that salvaging works in.
struct Work {
    root: PathBuf,
    folder: PathBuf,
}

impl Work {
    fn new(root: &Path) -> io::Result<Self> {
        let folder = root.join("salvage");
        match fs::remove_dir_all(&folder) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(cause),
            _ => {}
        }
        fs::create_dir(&folder)?;
        Ok(Self { root: root.to_owned(), folder })
    }

    fn old(&self) -> PathBuf {
        self.folder.join("old")
    }

    fn new_engine(&self) -> PathBuf {
        self.folder.join("new")
    }

    /// Copies the engine's files without what its journals hold of unreadable places; returns how many those are.
    fn copy(&self, engine: &Path) -> io::Result<u64> {
        copy_folder(engine, &self.old())?;
        let journals = Journals::read(&self.old())?;
        for (journal, batches) in journals.damaged() {
            rewrite(journal, &batches)?;
        }
        Ok(journals.broken_places())
    }

    /// Opens the copy; if that fails, a second one with nothing but the items in it, from which all else follows.
    fn open_copy(&self, engine: &Path, config: &FsConfig, disk: u64) -> Result<Engine> {
        let first = match open(&self.old(), config, disk) {
            Ok(engine) => return Ok(engine),
            Err(error) => error,
        };
        let spare = self.folder.join("spare");
        drop(Engine::open(&spare, config, disk)?);
        fs::remove_dir_all(self.old())
            .and_then(|()| self.copy(engine))
            .and_then(|_| Engine::keep_items_alone(&self.old(), &spare))
            .map_err(|cause| io_error(WHAT, cause))?;
        open(&self.old(), config, disk).map_err(|_| {
            let why =
                "the tables of the items themselves cannot be opened; nothing was changed, use a backup";
            failure(ErrorKind::Corrupted, why).with_source(first)
        })
    }

    /// Puts the new engine in the place of the old one; returns where the old one is now.
    fn swap(self, engine: &Path) -> io::Result<PathBuf> {
        let originals = unused(&self.root)?;
        fs::rename(engine, originals.join("engine"))?;
        fs::rename(self.new_engine(), engine)?;
        sync_folder(&self.root)?;
        fs::remove_dir_all(&self.folder)?;
        Ok(originals)
    }
}

/// Makes a folder of a name that is not in use.
fn unused(root: &Path) -> io::Result<PathBuf> {
    let mut number = 1_u32;
    loop {
        let path = root.join(format!("originals-{number}"));
        match fs::create_dir(&path) {
            Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => number += 1,
            done => return done.map(|()| path),
        }
    }
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy_folder(&source, &target)?;
        } else if from.file_name() == Some(OsStr::new("tables")) && fs::hard_link(&source, &target).is_ok() {
            // Tables never change, so that a second name for one is as good as a copy.
        } else {
            fs::copy(&source, &target)?;
        }
    }
    Ok(())
}

/// Writes the readable batches of a journal one after the other.
fn rewrite(journal: &Path, batches: &[std::ops::Range<u64>]) -> io::Result<()> {
    let draft = journal.with_extension("draft");
    let mut from = File::open(journal)?;
    let mut to = File::create_new(&draft)?;
    for range in batches {
        from.seek(SeekFrom::Start(range.start))?;
        io::copy(&mut (&mut from).take(range.end - range.start), &mut to)?;
    }
    to.flush()?;
    fs::rename(draft, journal)
}

struct Transfer<'a> {
    directory: &'a Directory,
    new: &'a Engine,
    recovered: u64,
    // Each with its payload file, if that is what cannot be read.
    lost: Vec<(Damaged, Option<blobs::BlobId>)>,
    versions: u64,
    // The latest opening that wrote one of the payload files.
    session: u32,
}

impl Transfer<'_> {
    fn run(&mut self, old: &Engine) -> Result<()> {
        const MOST_AT_ONCE: usize = 256;
        let view = old.view();
        let keys: Vec<Vec<u8>> = all_keys(&view).into_iter().collect();
        for keys in keys.chunks(MOST_AT_ONCE) {
            let mut batch = self.new.batch();
            for key in keys {
                self.take(&view, key, &mut batch);
            }
            if !batch.is_empty() {
                finish(self.new, batch)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, view: &View<'_>, key: &[u8], batch: &mut Batch<'_>) {
        let stored = match decode(key, view.get(Space::Items, key)) {
            Ok(Some(stored)) => stored,
            // An index entry that belongs to no item.
            Ok(None) => return,
            Err(error) => return self.lost.push((damaged_item(key, error.message()), None)),
        };
        self.versions = self.versions.max(stored.metadata.version);
        if let Some(file) = stored.file() {
            if let Err(unread) = blobs::read(&self.directory.blobs(), file, stored.metadata.size) {
                let error = unread.into_error();
                return self.lost.push((damaged_item(key, error.message()), Some(file.id)));
            }
            // Names of new payload files must not meet those that are in use.
            self.session = self.session.max(file.id.session);
            batch.put(Space::Blobs, &file.id.to_bytes(), key);
        }
        put_item(batch, key, &stored, self.directory.seed);
        self.recovered += 1;
    }
}

fn put_item(batch: &mut Batch<'_>, key: &[u8], stored: &Stored, seed: u64) {
    batch.put(Space::Items, key, &stored.encode(key));
    for entry in Entry::all_of(&stored.metadata, seed) {
        batch.put(entry.space, &entry.key(Name::from(&*stored.metadata)), &[]);
    }
}

/// The keys of all items that anything tells of: the items from both ends up to what cannot be read, and all indexes.
fn all_keys(view: &View<'_>) -> BTreeSet<Vec<u8>> {
    let mut keys = BTreeSet::new();
    let forwards = view.prefix(Space::Items, &[]).map_while(|guard| guard.key().ok());
    keys.extend(forwards.map(|key| key.to_vec()));
    let backwards = view.prefix(Space::Items, &[]).rev().map_while(|guard| guard.key().ok());
    keys.extend(backwards.map(|key| key.to_vec()).take_while(|key| !keys.contains(key)).collect::<Vec<_>>());
    for space in Space::INDEXES {
        for entry in view.prefix(space, &[]).map_while(|guard| guard.key().ok()) {
            let name =
                if space == Space::Tags { Name::of_tag_entry(&entry) } else { Name::of_time_entry(&entry) };
            keys.extend(name.map(Name::item));
        }
    }
    keys
}

fn next_state(old: &Engine, versions: u64, session: u32, found: Found) -> Result<State> {
    // A damaged state is no reason to give up: what follows from the records is enough.
    let state = match read_state(old) {
        Ok(state) => state,
        Err(error) if error.kind() == ErrorKind::Corrupted => State::default(),
        Err(error) => return Err(error),
    };
    let marked = if let Found::Sequence(sequence) = found { sequence } else { 0 };
    Ok(State {
        sequence: state.sequence.max(marked).saturating_add(1),
        mark: state.mark.max(versions).saturating_add(VERSIONS_SKIPPED),
        session: state.session.max(session).wrapping_add(1),
        floor: 0,
    })
}

fn commit(engine: &Engine, fill: impl FnOnce(&mut Batch<'_>)) -> Result<()> {
    let mut batch = engine.batch();
    fill(&mut batch);
    finish(engine, batch)
}

fn finish(engine: &Engine, batch: Batch<'_>) -> Result<()> {
    // Everything is brought into tables at the end; until then the originals are in their place.
    engine
        .wait_for_room()
        .and_then(|()| batch.commit(Durability::Buffered))
        .map_err(|cause| engine_error(WHAT, cause))
}

/// Moves payload files that cannot be read to the originals, because the next opening would sweep them.
fn keep_unreadable_files(
    directory: &Directory,
    lost: &[(Damaged, Option<blobs::BlobId>)],
    originals: &Path,
) -> io::Result<()> {
    for id in lost.iter().filter_map(|(_, file)| *file) {
        let name = id.to_string();
        match fs::rename(directory.blobs().join(&name), originals.join(&name)) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(cause),
            _ => {}
        }
    }
    Ok(())
}
