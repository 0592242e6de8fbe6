//! One commit in the making: the operations of many callers, applied in order to one picture of the store.
//!
//! Later operations see earlier ones. Index entries are worked out once per item at the end, from what is in the engine
//! before and what shall be there after.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use bytes::Bytes;
use storage_core::{
    CleanupReport, Clock, Condition, Encoding, ErrorKind, Result, SaveRequest, StorageError, StorageMetadata,
    Tags, Timestamp, next_version,
};

use crate::{
    blobs::{BlobId, NewBlob},
    engine::{Batch, Engine, Space},
    error::{engine_error, failure},
    fault::{Fault, Faults},
    item::{Payload, Stored, named},
    keys::{Entries, Name},
    shared::Shared,
};

/// What a caller wants changed.
#[derive(Debug)]
pub(crate) enum Op {
    Save(Save),
    Delete {
        key: Vec<u8>,
        condition: Condition,
    },
    Touch {
        key: Vec<u8>,
        expires_at: Option<Timestamp>,
    },
    /// Removes items if they have expired; entries of the expiry index.
    Sweep {
        entries: Vec<Vec<u8>>,
    },
}

/// A save, detached from its caller.
#[derive(Debug)]
pub(crate) struct Save {
    pub(crate) key: Vec<u8>,
    pub(crate) data: Bytes,
    pub(crate) encoding: Encoding,
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) tags: Tags,
    pub(crate) condition: Condition,
    /// The file of a large payload, written already.
    pub(crate) blob: Option<NewBlob>,
}

impl Op {
    /// Whether it can make the store larger.
    pub(crate) fn grows(&self) -> bool {
        matches!(self, Self::Save(_) | Self::Touch { .. })
    }
}

/// What a caller is told.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Saved(Arc<StorageMetadata>),
    Deleted(bool),
    Touched(Option<Arc<StorageMetadata>>),
    Swept(CleanupReport),
}

/// What the engine holds of an item before the commit.
#[derive(Debug)]
enum Before {
    Absent,
    Item(Stored),
    /// Something that cannot be read, and why.
    Damaged(String),
}

/// What shall be in the engine.
#[derive(Debug)]
enum After {
    Absent,
    Item(Stored, Option<NewBlob>),
}

#[derive(Debug)]
struct Pending {
    before: Before,
    after: Option<After>,
}

impl Pending {
    /// The item as the next operation sees it, live or expired.
    fn current(&self) -> std::result::Result<Option<&Stored>, &str> {
        match (&self.after, &self.before) {
            (Some(After::Item(stored, _)), _) | (None, Before::Item(stored)) => Ok(Some(stored)),
            (Some(After::Absent), _) | (None, Before::Absent) => Ok(None),
            (None, Before::Damaged(why)) => Err(why),
        }
    }
}

/// One commit in the making.
pub(crate) struct Transaction<'a> {
    engine: &'a Engine,
    clock: &'a dyn Clock,
    seed: u64,
    faults: Faults,
    /// The highest version given so far.
    pub(crate) mark: u64,
    items: HashMap<Vec<u8>, Pending>,
    // Entries of the expiry index that belong to no item.
    strays: Vec<Vec<u8>>,
}

impl<'a> Transaction<'a> {
    pub(crate) fn new(engine: &'a Engine, shared: &'a Shared, mark: u64) -> Self {
        let Shared { clock, seed, faults, .. } = shared;
        Self {
            engine,
            clock: &**clock,
            seed: *seed,
            faults: *faults,
            mark,
            items: HashMap::new(),
            strays: Vec::new(),
        }
    }

    /// Applies an operation; a failure leaves the picture as it was.
    pub(crate) fn apply(&mut self, op: Op) -> Result<Answer> {
        match op {
            Op::Save(save) => self.save(save),
            Op::Delete { key, condition } => self.delete(&key, condition),
            Op::Touch { key, expires_at } => self.touch(&key, expires_at),
            Op::Sweep { entries } => self.sweep(entries),
        }
    }

    fn save(&mut self, save: Save) -> Result<Answer> {
        let Save { key, data, encoding, expires_at, tags, condition, blob } = save;
        let now = self.clock.now();
        let version = next_version(self.mark, now);
        let pending = self.pending(&key)?;
        let current = match pending.current() {
            // A damaged item can be replaced, but nothing can be said of its version or of its life.
            Err(_) if condition == Condition::None => None,
            Err(why) => return Err(corrupted(&key, why.to_owned())),
            Ok(current) => current.map(|stored| &*stored.metadata).filter(|metadata| metadata.is_live(now)),
        };
        condition.check_save(current).map_err(|error| named(&key, error))?;
        let request = SaveRequest { key: item_key(&key)?, data, encoding, expires_at, tags, condition };
        let (data, metadata) = request.into_item(current, now, version);
        let metadata = Arc::new(metadata);
        let payload = match &blob {
            Some(new) => Payload::File(new.blob),
            None => Payload::Inline(data),
        };
        pending.after = Some(After::Item(Stored { metadata: Arc::clone(&metadata), payload }, blob));
        self.mark = version;
        Ok(Answer::Saved(metadata))
    }

    fn delete(&mut self, key: &[u8], condition: Condition) -> Result<Answer> {
        let now = self.clock.now();
        let pending = self.pending(key)?;
        let live = match pending.current() {
            // There is something under the key, and afterwards there is nothing.
            Err(_) if condition == Condition::None => true,
            Err(why) => return Err(corrupted(key, why.to_owned())),
            Ok(current) => {
                let live = current.map(|stored| &*stored.metadata).filter(|metadata| metadata.is_live(now));
                condition.check_delete(live).map_err(|error| named(key, error))?
            }
        };
        if live {
            pending.after = Some(After::Absent);
        }
        Ok(Answer::Deleted(live))
    }

    fn touch(&mut self, key: &[u8], expires_at: Option<Timestamp>) -> Result<Answer> {
        let now = self.clock.now();
        let version = next_version(self.mark, now);
        let pending = self.pending(key)?;
        let current = pending.current().map_err(|why| corrupted(key, why.to_owned()))?;
        let Some(stored) = current.filter(|stored| stored.metadata.is_live(now)) else {
            return Ok(Answer::Touched(None));
        };
        let metadata = Arc::new(stored.metadata.touched(expires_at, now, version));
        let touched = Stored { metadata: Arc::clone(&metadata), payload: stored.payload.clone() };
        // A file written in this very commit goes on belonging to the item.
        let blob = match pending.after.take() {
            Some(After::Item(_, blob)) => blob,
            _ => None,
        };
        pending.after = Some(After::Item(touched, blob));
        self.mark = version;
        Ok(Answer::Touched(Some(metadata)))
    }

    fn sweep(&mut self, entries: Vec<Vec<u8>>) -> Result<Answer> {
        let now = self.clock.now();
        let mut report = CleanupReport::default();
        for entry in entries {
            let Some(name) = Name::of_time_entry(&entry) else {
                self.strays.push(entry);
                report.orphans += 1;
                continue;
            };
            let seed = self.seed;
            let pending = self.pending(&name.item())?;
            // What cannot be read may be live: it stays until it is deleted or replaced by name.
            let Ok(current) = pending.current() else { continue };
            match current {
                Some(stored) if !stored.metadata.is_live(now) => {
                    report += CleanupReport::new(1, stored.metadata.size);
                    pending.after = Some(After::Absent);
                }
                Some(stored) if Entries::of(&stored.metadata, seed).expires.as_ref() == Some(&entry) => {}
                _ => {
                    self.strays.push(entry);
                    report.orphans += 1;
                }
            }
        }
        Ok(Answer::Swept(report))
    }

    fn pending(&mut self, key: &[u8]) -> Result<&mut Pending> {
        if !self.items.contains_key(key) {
            let pending = Pending { before: read(self.engine, key)?, after: None };
            self.items.insert(key.to_owned(), pending);
        }
        self.items.get_mut(key).ok_or_else(|| failure(ErrorKind::Internal, "an item of a commit is gone"))
    }

    /// Writes all changes into a batch.
    pub(crate) fn write(&self, batch: &mut Batch<'_>) {
        for entry in &self.strays {
            batch.remove(Space::Expires, entry);
        }
        for (key, pending) in &self.items {
            if let Some(after) = &pending.after {
                self.write_item(batch, key, &pending.before, after);
            }
        }
    }

    fn write_item(&self, batch: &mut Batch<'_>, key: &[u8], before: &Before, after: &After) {
        let (old, new) = (before_item(before), after_item(after));
        let old_entries = match before {
            Before::Damaged(_) => find_entries(self.engine, key),
            _ => old.map(|stored| listed(Entries::of(&stored.metadata, self.seed))).unwrap_or_default(),
        };
        let new_entries =
            new.map(|stored| listed(Entries::of(&stored.metadata, self.seed))).unwrap_or_default();
        for (space, entry) in old_entries.iter().filter(|entry| !new_entries.contains(entry)) {
            let forgotten = self.faults.has(Fault::KeepIndexEntry) && *space == Space::Created;
            if !(forgotten && new.is_none() && self.mark.is_multiple_of(16)) {
                batch.remove(*space, entry);
            }
        }
        for (space, entry) in new_entries.iter().filter(|entry| !old_entries.contains(entry)) {
            let left_out = self.faults.has(Fault::SkipIndexEntry) && *space == Space::Tags;
            if !(left_out && self.mark.is_multiple_of(16)) {
                batch.put(*space, entry, &[]);
            }
        }
        match new {
            Some(stored) => batch.put(Space::Items, key, &stored.encode(key)),
            None => batch.remove(Space::Items, key),
        }
        let (old_file, new_file) = (old.and_then(Stored::file), new.and_then(Stored::file));
        if old_file != new_file {
            if let Some(file) = old_file {
                batch.remove(Space::Blobs, &file.id.to_bytes());
            }
            if let Some(file) = new_file {
                batch.put(Space::Blobs, &file.id.to_bytes(), key);
            }
        }
    }

    /// The payload files that no record names once this is committed.
    pub(crate) fn released_files(&self) -> Vec<BlobId> {
        let released = self.items.values().filter_map(|pending| {
            let old = before_item(&pending.before)?.file()?;
            let new = after_item(pending.after.as_ref()?).and_then(Stored::file);
            (new != Some(old)).then_some(old.id)
        });
        released.collect()
    }

    /// Leaves the new payload files where they are: records name them now, or may do so.
    pub(crate) fn keep_files(&mut self) {
        for pending in self.items.values_mut() {
            if let Some(After::Item(_, Some(blob))) = &mut pending.after {
                blob.keep();
            }
        }
    }

    /// About how many bytes of what was in the engine are replaced or removed.
    pub(crate) fn garbage(&self) -> u64 {
        // What a record and its index entries have beside the payload.
        const ABOUT: u64 = 512;
        let replaced = self.items.values().filter(|pending| pending.after.is_some());
        let inline = replaced.filter_map(|pending| match before_item(&pending.before)?.payload {
            Payload::Inline(ref data) => Some(ABOUT + data.len() as u64),
            Payload::File(_) => Some(ABOUT),
        });
        inline.sum()
    }
}

fn before_item(before: &Before) -> Option<&Stored> {
    if let Before::Item(stored) = before { Some(stored) } else { None }
}

fn after_item(after: &After) -> Option<&Stored> {
    if let After::Item(stored, _) = after { Some(stored) } else { None }
}

fn read(engine: &Engine, key: &[u8]) -> Result<Before> {
    match engine.get(Space::Items, key) {
        Ok(None) => Ok(Before::Absent),
        Ok(Some(record)) => Ok(match Stored::decode(key, record) {
            Ok(stored) => Before::Item(stored),
            Err(damage) => Before::Damaged(damage.describe()),
        }),
        Err(cause) => match engine_error("the stored item cannot be read", cause) {
            error if error.kind() == ErrorKind::Corrupted => Ok(Before::Damaged(error.message().to_owned())),
            error => Err(named(key, error)),
        },
    }
}

fn corrupted(key: &[u8], why: String) -> StorageError {
    named(key, failure(ErrorKind::Corrupted, why))
}

fn item_key(key: &[u8]) -> Result<storage_core::ItemKey<'_>> {
    Name::of_item(key).ok_or_else(|| failure(ErrorKind::Internal, "an item key is not one"))?.item_key()
}

type Listed = Vec<(Space, Vec<u8>)>;

fn listed(entries: Entries) -> Listed {
    let Entries { tags, created, updated, expires } = entries;
    let mut list = Listed::with_capacity(tags.len() + 3);
    list.extend(tags.into_iter().map(|entry| (Space::Tags, entry)));
    list.push((Space::Created, created));
    list.push((Space::Updated, updated));
    list.extend(expires.map(|entry| (Space::Expires, entry)));
    list
}

/// All index entries that name an item, by looking at every entry there is: the record that would tell is damaged.
fn find_entries(engine: &Engine, key: &[u8]) -> Listed {
    let view = engine.view();
    let name = Name::of_item(key);
    let mut found = HashSet::new();
    for space in Space::INDEXES {
        for guard in view.prefix(space, &[]) {
            // A block of an index that cannot be read does not keep anyone from getting rid of a damaged item.
            let Ok(entry) = guard.key() else {
                tracing::warn!(index = ?space, "an index cannot be read whole; `verify` names what is left over");
                break;
            };
            let owner =
                if space == Space::Tags { Name::of_tag_entry(&entry) } else { Name::of_time_entry(&entry) };
            if owner.is_some() && owner == name {
                found.insert((space, entry.to_vec()));
            }
        }
    }
    found.into_iter().collect()
}
