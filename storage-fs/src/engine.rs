//! The engine: seven ordered keyspaces that change together, batch by batch. Everything that is fjall is in here.

use std::{
    fs, io,
    ops::Bound,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use fjall::{
    CompressionType, Database, Guard, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode,
    Readable, Slice, Snapshot, compaction::Leveled, config::FilterPolicy,
};
use storage_core::{ErrorKind, Result};

use crate::{
    config::{Durability, FsConfig},
    error::{engine_error, failure, io_error},
    journal, tables,
};

const KIB: u64 = 1_024;
const MIB: u64 = 1_024 * KIB;

/// One of the engine's keyspaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Space {
    /// Content type and key → record. Its order is the index of content types and keys.
    Items,
    /// Tag and item → nothing.
    Tags,
    /// Time of creation and item → nothing.
    Created,
    /// Time of the last write and item → nothing.
    Updated,
    /// Deadline and item → nothing.
    Expires,
    /// Payload file → the item that names it.
    Blobs,
    /// The state of the store.
    Meta,
}

impl Space {
    pub(crate) const ALL: [Self; 7] =
        [Self::Meta, Self::Items, Self::Tags, Self::Created, Self::Updated, Self::Expires, Self::Blobs];
    /// The keyspaces whose entries follow from the records.
    pub(crate) const INDEXES: [Self; 4] = [Self::Tags, Self::Created, Self::Updated, Self::Expires];

    const fn name(self) -> &'static str {
        match self {
            Self::Items => "items",
            Self::Tags => "tags",
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Expires => "expires",
            Self::Blobs => "blobs",
            Self::Meta => "meta",
        }
    }

    fn options(self, disk: u64) -> KeyspaceCreateOptions {
        // On a small disk nothing may be as large as a default table, or flushing it would fill the disk.
        let memtable = (disk / 64).clamp(256 * KIB, 16 * MIB);
        let strategy = std::sync::Arc::new(Leveled::default().with_table_target_size(table_size(disk)));
        let options =
            KeyspaceCreateOptions::default().manual_journal_persist(true).compaction_strategy(strategy);
        match self {
            Self::Items => options.max_memtable_size(memtable),
            // Indexes are only walked, never asked for single keys, so that filters would be wasted on them.
            Self::Tags | Self::Created | Self::Updated | Self::Expires => {
                options.max_memtable_size(memtable / 2).filter_policy(FilterPolicy::disabled())
            }
            Self::Blobs | Self::Meta => options.max_memtable_size(memtable / 4),
        }
    }
}

/// The size of a table, in bytes.
fn table_size(disk: u64) -> u64 {
    (disk / 32).clamp(MIB, 16 * MIB)
}

/// The opened engine.
pub(crate) struct Engine {
    path: PathBuf,
    disk: u64,
    database: Database,
    items: Keyspace,
    tags: Keyspace,
    created: Keyspace,
    updated: Keyspace,
    expires: Keyspace,
    blobs: Keyspace,
    meta: Keyspace,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("path", &self.path).finish_non_exhaustive()
    }
}

const OPENING: &str = "the engine cannot be opened";

impl Engine {
    /// Opens the engine in a folder, or makes a new one on a disk of `disk` bytes.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupted`] if its files are damaged, and failures of the file system.
    pub(crate) fn open(path: &Path, config: &FsConfig, disk: u64) -> Result<Self> {
        if tables::find_overlong(path).map_err(|cause| io_error(OPENING, cause))?.is_some() {
            let message = "a table of the engine is damaged: its list of contents is longer than the table";
            return Err(failure(ErrorKind::Corrupted, message));
        }
        // The engine asserts some things about its files; on damaged ones that must not take the process.
        catch_unwind(AssertUnwindSafe(|| Self::try_open(path, config, disk)))
            .map_err(|_| {
                failure(ErrorKind::Corrupted, "the engine's files are damaged: it gave up opening them")
            })?
            .map_err(|cause| engine_error(OPENING, cause))
    }

    fn try_open(path: &Path, config: &FsConfig, disk: u64) -> fjall::Result<Self> {
        let database = Database::builder(path)
            .cache_size(config.cache_size)
            .max_journaling_size(config.journal_size)
            .journal_compression(CompressionType::None)
            .manual_journal_persist(true)
            .open()?;
        let open = |space: Space| database.keyspace(space.name(), || space.options(disk));
        Ok(Self {
            path: path.to_owned(),
            disk,
            meta: open(Space::Meta)?,
            items: open(Space::Items)?,
            tags: open(Space::Tags)?,
            created: open(Space::Created)?,
            updated: open(Space::Updated)?,
            expires: open(Space::Expires)?,
            blobs: open(Space::Blobs)?,
            database,
        })
    }

    fn space(&self, space: Space) -> &Keyspace {
        match space {
            Space::Items => &self.items,
            Space::Tags => &self.tags,
            Space::Created => &self.created,
            Space::Updated => &self.updated,
            Space::Expires => &self.expires,
            Space::Blobs => &self.blobs,
            Space::Meta => &self.meta,
        }
    }

    /// The value under a key, as of now.
    pub(crate) fn get(&self, space: Space, key: &[u8]) -> fjall::Result<Option<Slice>> {
        self.space(space).get(key)
    }

    /// All keyspaces as they are now, together.
    pub(crate) fn view(&self) -> View<'_> {
        View { engine: self, snapshot: self.database.snapshot() }
    }

    pub(crate) fn batch(&self) -> Batch<'_> {
        Batch { engine: self, inner: self.database.batch() }
    }

    /// The engine's number of the next batch is at least this.
    pub(crate) fn next_sequence(&self) -> u64 {
        self.database.supervisor.seqno.get()
    }

    /// Whether the engine takes no more writes.
    pub(crate) fn is_poisoned(&self) -> bool {
        self.database.persist(PersistMode::Buffer).is_err()
    }

    /// Bytes that are in memory and in the journal, but not yet in tables.
    pub(crate) fn unflushed_bytes(&self) -> u64 {
        self.database.write_buffer_size()
    }

    /// Bytes that the engine may need on top for a while, to merge tables.
    pub(crate) fn merging_bytes(&self) -> u64 {
        // A merge takes the newest tables and those of the next level that they overlap, at most about this many.
        const MOST_TABLES: u64 = 12;
        self.table_bytes().min(MOST_TABLES * table_size(self.disk))
    }

    /// Bytes of the tables.
    pub(crate) fn table_bytes(&self) -> u64 {
        Space::ALL.iter().map(|space| self.space(*space).disk_space()).sum()
    }

    /// Bytes that the tables would have without garbage, by looking at every entry.
    pub(crate) fn live_bytes(&self) -> fjall::Result<u64> {
        let view = self.view();
        let mut bytes = 0;
        for space in Space::ALL {
            for guard in view.prefix(space, &[]) {
                let (key, value) = guard.into_inner()?;
                bytes += (key.len() + value.len()) as u64;
            }
        }
        Ok(bytes)
    }

    /// Waits while the engine is behind with its tables, so that it never has to stall inside a commit.
    ///
    /// The engine would wait there without end if the thread that works on it died.
    pub(crate) fn wait_for_room(&self) -> fjall::Result<()> {
        const MOST_WAITING_MEMTABLES: usize = 2;
        const MOST_LOOSE_TABLES: usize = 16;
        let is_behind = |space: Space| {
            let keyspace = self.space(space);
            keyspace.sealed_memtable_count() >= MOST_WAITING_MEMTABLES
                || keyspace.l0_table_count() >= MOST_LOOSE_TABLES
        };
        while Space::ALL.into_iter().any(is_behind) {
            if self.is_poisoned() {
                return Err(fjall::Error::Poisoned);
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Brings everything into tables, so that the journal holds nothing that matters; `false` if it takes too long.
    pub(crate) fn flush(&self, patience: Duration) -> fjall::Result<bool> {
        let deadline = Instant::now() + patience;
        for space in Space::ALL {
            self.space(space).rotate_memtable()?;
        }
        let is_waiting = |space: Space| self.space(space).sealed_memtable_count() > 0;
        while Space::ALL.into_iter().any(is_waiting) {
            if self.is_poisoned() {
                return Err(fjall::Error::Poisoned);
            }
            if Instant::now() >= deadline {
                return Ok(false);
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(true)
    }

    /// Rewrites all tables without what was deleted. Takes as much room again while it runs.
    pub(crate) fn compact(&self) -> fjall::Result<()> {
        Space::ALL.into_iter().try_for_each(|space| self.space(space).major_compact())
    }

    /// Replaces every keyspace of a closed engine but the items by those of `other`, which was just made: the engine's own
    /// is the same in both, as the keyspaces are numbered from one in the order in which they are made.
    pub(crate) fn keep_items_alone(path: &Path, other: &Path) -> io::Result<()> {
        let number = Space::ALL.iter().position(|space| *space == Space::Items).map(|index| index + 1);
        let items = number.map(|number| number.to_string());
        for entry in fs::read_dir(other.join("keyspaces"))? {
            let entry = entry?;
            let target = path.join("keyspaces").join(entry.file_name());
            if entry.file_name().to_str() == items.as_deref() {
                continue;
            }
            if target.exists() {
                fs::remove_dir_all(&target)?;
            }
            fs::rename(entry.path(), target)?;
        }
        Ok(())
    }

    /// Bytes on the disk that the journals of an engine take.
    pub(crate) fn journal_bytes(path: &Path) -> io::Result<u64> {
        use std::os::unix::fs::MetadataExt;
        journal::list(path)?
            .iter()
            .try_fold(0, |sum, journal| Ok(sum + fs::metadata(journal)?.blocks() * 512))
    }

    /// Empties the journals of a closed engine whose content is in tables.
    ///
    /// They stay as empty files, because the engine looks for its sequence numbers only where it finds a journal.
    pub(crate) fn empty_journals(path: &Path) -> io::Result<()> {
        journal::list(path)?.iter().try_for_each(|journal| journal::cut(journal, 0))
    }
}

/// All keyspaces at one instant.
pub(crate) struct View<'a> {
    engine: &'a Engine,
    snapshot: Snapshot,
}

impl View<'_> {
    pub(crate) fn get(&self, space: Space, key: &[u8]) -> fjall::Result<Option<Slice>> {
        self.snapshot.get(self.engine.space(space), key)
    }

    pub(crate) fn range(&self, space: Space, range: (Bound<Vec<u8>>, Bound<Vec<u8>>)) -> Entries {
        // The engine's ranges panic if they run backwards; such a range is empty.
        let inner =
            if is_empty(&range) { None } else { Some(self.snapshot.range(self.engine.space(space), range)) };
        Entries { inner }
    }

    pub(crate) fn prefix(&self, space: Space, prefix: &[u8]) -> Entries {
        Entries { inner: Some(self.snapshot.prefix(self.engine.space(space), prefix)) }
    }
}

fn is_empty(range: &(Bound<Vec<u8>>, Bound<Vec<u8>>)) -> bool {
    match range {
        (Bound::Included(start), Bound::Included(end)) => start > end,
        (Bound::Included(start) | Bound::Excluded(start), Bound::Included(end) | Bound::Excluded(end)) => {
            start >= end
        }
        _ => false,
    }
}

/// Entries of a keyspace in their order, from either end.
pub(crate) struct Entries {
    inner: Option<fjall::Iter>,
}

impl Iterator for Entries {
    type Item = Guard;

    fn next(&mut self) -> Option<Guard> {
        self.inner.as_mut()?.next()
    }
}

impl DoubleEndedIterator for Entries {
    fn next_back(&mut self) -> Option<Guard> {
        self.inner.as_mut()?.next_back()
    }
}

/// Changes that become visible and durable together, or not at all.
pub(crate) struct Batch<'a> {
    engine: &'a Engine,
    inner: OwnedWriteBatch,
}

impl Batch<'_> {
    pub(crate) fn put(&mut self, space: Space, key: &[u8], value: &[u8]) {
        self.inner.insert(self.engine.space(space), key, value);
    }

    pub(crate) fn remove(&mut self, space: Space, key: &[u8]) {
        self.inner.remove(self.engine.space(space), key);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.inner.is_empty()
    }

    pub(crate) fn commit(self, durability: Durability) -> fjall::Result<()> {
        let mode = match durability {
            // The journal is allocated ahead and its creation is synced with its folder, so that syncing the data is
            // enough; where the file does grow, its size is data in this sense.
            Durability::Immediate => PersistMode::SyncData,
            Durability::Buffered => PersistMode::Buffer,
        };
        self.inner.durability(Some(mode)).commit()
    }
}
