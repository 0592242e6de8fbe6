//! One commit in the making: the operations of many callers, applied in order to one picture of the store.
//!
//! Later operations see earlier ones. Index entries are worked out once per item at the end, from what is in the engine
//! before and what shall be there after.

use std::{
    collections::{
        HashMap,
        hash_map::{self, OccupiedEntry},
    },
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
    keys::{Entry, Name},
    shared::Shared,
};

/// What a caller wants changed.
#[derive(Debug)]
pub(crate) enum Op {
    /// Boxed, because operations are moved from hand to hand.
    Save(Box<Save>),
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
    /// A commit of about this many operations, which goes on from the version `mark`.
    pub(crate) fn new(engine: &'a Engine, shared: &'a Shared, mark: u64, ops: usize) -> Self {
        let Shared { clock, seed, faults, .. } = shared;
        Self {
            engine,
            clock: &**clock,
            seed: *seed,
            faults: *faults,
            mark,
            items: HashMap::with_capacity(ops),
            strays: Vec::new(),
        }
    }

    /// Applies an operation; a failure leaves the picture as it was.
    pub(crate) fn apply(&mut self, op: Op) -> Result<Answer> {
        match op {
            Op::Save(save) => self.save(*save),
            Op::Delete { key, condition } => self.delete(key, condition),
            Op::Touch { key, expires_at } => self.touch(key, expires_at),
            Op::Sweep { entries } => self.sweep(entries),
        }
    }

    fn save(&mut self, save: Save) -> Result<Answer> {
        let Save { key, data, encoding, expires_at, tags, condition, blob } = save;
        let now = self.clock.now();
        let version = next_version(self.mark, now);
        let mut place = self.pending(key)?;
        let current = match place.get().current() {
            // A damaged item can be replaced, but nothing can be said of its version or of its life.
            Err(_) if condition == Condition::None => None,
            Err(why) => return Err(corrupted(place.key(), why.to_owned())),
            Ok(current) => current.map(|stored| &*stored.metadata).filter(|metadata| metadata.is_live(now)),
        };
        condition.check_save(current).map_err(|error| named(place.key(), error))?;
        let request =
            SaveRequest { key: item_key(place.key())?, data, encoding, expires_at, tags, condition };
        let (data, metadata) = request.into_item(current, now, version);
        let metadata = Arc::new(metadata);
        let payload = match &blob {
            Some(new) => Payload::File(new.blob),
            None => Payload::Inline(data),
        };
        place.get_mut().after = Some(After::Item(Stored { metadata: Arc::clone(&metadata), payload }, blob));
        self.mark = version;
        Ok(Answer::Saved(metadata))
    }

    fn delete(&mut self, key: Vec<u8>, condition: Condition) -> Result<Answer> {
        let now = self.clock.now();
        let mut place = self.pending(key)?;
        let live = match place.get().current() {
            // There is something under the key, and afterwards there is nothing.
            Err(_) if condition == Condition::None => true,
            Err(why) => return Err(corrupted(place.key(), why.to_owned())),
            Ok(current) => {
                let live = current.map(|stored| &*stored.metadata).filter(|metadata| metadata.is_live(now));
                condition.check_delete(live).map_err(|error| named(place.key(), error))?
            }
        };
        if live {
            place.get_mut().after = Some(After::Absent);
        }
        Ok(Answer::Deleted(live))
    }

    fn touch(&mut self, key: Vec<u8>, expires_at: Option<Timestamp>) -> Result<Answer> {
        let now = self.clock.now();
        let version = next_version(self.mark, now);
        let mut place = self.pending(key)?;
        let current = place.get().current().map_err(|why| corrupted(place.key(), why.to_owned()))?;
        let Some(stored) = current.filter(|stored| stored.metadata.is_live(now)) else {
            return Ok(Answer::Touched(None));
        };
        let metadata = Arc::new(stored.metadata.touched(expires_at, now, version));
        let touched = Stored { metadata: Arc::clone(&metadata), payload: stored.payload.clone() };
        // A file written in this very commit goes on belonging to the item.
        let pending = place.get_mut();
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
            let mut place = self.pending(name.item())?;
            let pending = place.get_mut();
            // What cannot be read may be live: it stays until it is deleted or replaced by name.
            let Ok(current) = pending.current() else { continue };
            match current {
                Some(stored) if !stored.metadata.is_live(now) => {
                    report += CleanupReport::new(1, stored.metadata.size);
                    pending.after = Some(After::Absent);
                }
                Some(stored) if Entry::expiry(&stored.metadata).is_some_and(|own| own.key(name) == entry) => {
                }
                _ => {
                    self.strays.push(entry);
                    report.orphans += 1;
                }
            }
        }
        Ok(Answer::Swept(report))
    }

    fn pending(&mut self, key: Vec<u8>) -> Result<OccupiedEntry<'_, Vec<u8>, Pending>> {
        match self.items.entry(key) {
            hash_map::Entry::Occupied(place) => Ok(place),
            hash_map::Entry::Vacant(place) => {
                let before = read(self.engine, place.key())?;
                Ok(place.insert_entry(Pending { before, after: None }))
            }
        }
    }

    /// Writes all changes into a batch.
    pub(crate) fn write(&self, batch: &mut Batch<'_>) {
        for entry in &self.strays {
            batch.remove(Space::Expires, entry);
        }
        let mut memory = Vec::new();
        for (key, pending) in &self.items {
            if let Some(after) = &pending.after {
                self.write_indexes(batch, key, &pending.before, after, &mut memory);
                write_record(batch, key, after_item(after), &mut memory);
                write_files(batch, key, before_item(&pending.before), after_item(after));
            }
        }
    }

    fn write_indexes(
        &self,
        batch: &mut Batch<'_>,
        key: &[u8],
        before: &Before,
        after: &After,
        memory: &mut Vec<u8>,
    ) {
        let Some(name) = Name::of_item(key) else { return };
        let all_of = |stored: &Stored| Entry::all_of(&stored.metadata, self.seed);
        let old = before_item(before).map(all_of).unwrap_or_default();
        let new = after_item(after).map(all_of).unwrap_or_default();
        if let Before::Damaged(_) = before {
            remove_all_entries(self.engine, batch, name, &new);
        }
        for entry in old.iter().filter(|entry| !new.contains(entry)) {
            let forgotten = self.faults.has(Fault::KeepIndexEntry) && entry.space == Space::Created;
            if !(forgotten && new.is_empty() && self.mark.is_multiple_of(16)) {
                batch.remove(entry.space, entry.key_in(name, memory));
            }
        }
        for entry in new.iter().filter(|entry| !old.contains(entry)) {
            let left_out = self.faults.has(Fault::SkipIndexEntry) && entry.space == Space::Tags;
            if !(left_out && self.mark.is_multiple_of(16)) {
                batch.put(entry.space, entry.key_in(name, memory), &[]);
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

fn write_record(batch: &mut Batch<'_>, key: &[u8], new: Option<&Stored>, memory: &mut Vec<u8>) {
    match new {
        Some(stored) => {
            stored.encode_into(key, memory);
            batch.put(Space::Items, key, memory);
        }
        None => batch.remove(Space::Items, key),
    }
}

fn write_files(batch: &mut Batch<'_>, key: &[u8], old: Option<&Stored>, new: Option<&Stored>) {
    let (old, new) = (old.and_then(Stored::file), new.and_then(Stored::file));
    if old == new {
        return;
    }
    if let Some(file) = old {
        batch.remove(Space::Blobs, &file.id.to_bytes());
    }
    if let Some(file) = new {
        batch.put(Space::Blobs, &file.id.to_bytes(), key);
    }
}

/// Removes all index entries that name an item but `kept`, by looking at every entry there is: the record that would tell is
/// damaged.
fn remove_all_entries(engine: &Engine, batch: &mut Batch<'_>, name: Name<'_>, kept: &[Entry]) {
    let view = engine.view();
    for space in Space::INDEXES {
        for guard in view.prefix(space, &[]) {
            // A block of an index that cannot be read does not keep anyone from getting rid of a damaged item.
            let Ok(entry) = guard.key() else {
                tracing::warn!(index = ?space, "an index cannot be read whole; `verify` names what is left over");
                break;
            };
            let owner =
                if space == Space::Tags { Name::of_tag_entry(&entry) } else { Name::of_time_entry(&entry) };
            let is_kept = || kept.iter().any(|kept| kept.space == space && kept.key(name) == *entry);
            if owner == Some(name) && !is_kept() {
                batch.remove(space, &entry);
            }
        }
    }
}
