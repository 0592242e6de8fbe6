//! Reads everything and names what is damaged.

use std::collections::BTreeSet;

use storage_core::{Damaged, Result, VerifyReport};

use crate::{
    blobs::BlobId,
    engine::{Engine, Space, View},
    error::engine_error,
    item::Stored,
    keys::{Entry, Name},
    reads::{Pace, decode},
};

/// Damage of the item whose entry has this key.
pub(crate) fn damaged_item(key: &[u8], what: impl Into<String>) -> Damaged {
    let mut damaged = Damaged::of_store(what);
    if let Some(name) = Name::of_item(key) {
        damaged.content_type = Some(name.content_type.to_owned());
        damaged.key = Some(name.key.to_owned());
    }
    damaged
}

/// Reads everything. Blocks.
pub(crate) fn verify(engine: &Engine, pace: &Pace) -> Result<VerifyReport> {
    let view = engine.view();
    let mut check = Check { view: &view, pace, report: VerifyReport::default() };
    let unread = check.items()?;
    for space in Space::INDEXES {
        check.index(space, &unread)?;
    }
    check.files(&unread)?;
    Ok(check.report)
}

struct Check<'a> {
    view: &'a View<'a>,
    pace: &'a Pace,
    report: VerifyReport,
}

impl Check<'_> {
    /// Checks every item there is; returns those that could not be read, to be reported once.
    ///
    /// The items are found twice over, in their own keyspace and in the index of creation times, so that those in a block
    /// that cannot be read are named as well.
    fn items(&mut self) -> Result<BTreeSet<Vec<u8>>> {
        let mut unread = BTreeSet::new();
        for guard in self.view.prefix(Space::Items, &[]) {
            self.pace.step()?;
            let Ok(key) = guard.key() else { break };
            self.item(&key, &mut unread)?;
        }
        for guard in self.view.prefix(Space::Created, &[]) {
            self.pace.step()?;
            let Ok(entry) = guard.key() else { break };
            let Some(key) = Name::of_time_entry(&entry).map(Name::item) else { continue };
            if !unread.contains(&key)
                && let Err(error) = decode(&key, self.view.get(Space::Items, &key))
            {
                self.report.damaged.push(damaged_item(&key, error.message()));
                unread.insert(key);
            }
        }
        Ok(unread)
    }

    fn item(&mut self, key: &[u8], unread: &mut BTreeSet<Vec<u8>>) -> Result<()> {
        let found = match decode(key, self.view.get(Space::Items, key)) {
            Ok(Some(stored)) => self.faults(key, &stored)?,
            Ok(None) => Vec::new(),
            Err(error) => {
                unread.insert(key.to_vec());
                vec![error.message().to_owned()]
            }
        };
        if found.is_empty() {
            self.report.intact += 1;
        }
        self.report.damaged.extend(found.into_iter().map(|what| damaged_item(key, what)));
        Ok(())
    }

    /// What is wrong with an item whose record is whole: its payload file or its index entries.
    fn faults(&self, key: &[u8], stored: &Stored) -> Result<Vec<String>> {
        let mut faults = Vec::new();
        if let Some(file) = stored.file() {
            let is_current = |stored: &Stored, now: Option<Stored>| {
                now.is_some_and(|now| now.metadata.version == stored.metadata.version)
            };
            if let Err(unread) = self.pace.shared().blobs.read(file, stored.metadata.size) {
                // The file of an item that was replaced meanwhile may be gone.
                let now = self.pace.shared().engine_now()?.map(|engine| engine.get(Space::Items, key));
                if let Some(Ok(record)) = now
                    && is_current(stored, record.and_then(|record| Stored::decode(key, record).ok()))
                {
                    faults.push(unread.into_error().message().to_owned());
                }
            }
            if self.owner(file.id).as_deref() != Some(key) {
                faults.push("the payload file is not listed".into());
            }
        }
        let name = Name::from(&*stored.metadata);
        for entry in Entry::all_of(&stored.metadata, self.pace.shared().seed) {
            let space = entry.space;
            match self.view.get(space, &entry.key(name)) {
                Ok(Some(_)) => {}
                Ok(None) => faults.push(format!("an entry of the index {space:?} is missing")),
                Err(cause) => {
                    faults.push(engine_error(&format!("the index {space:?}"), cause).message().to_owned());
                }
            }
        }
        Ok(faults)
    }

    fn owner(&self, file: BlobId) -> Option<Vec<u8>> {
        self.view.get(Space::Blobs, &file.to_bytes()).ok().flatten().map(|key| key.to_vec())
    }

    /// Finds entries of an index that no item accounts for.
    fn index(&mut self, space: Space, unread: &BTreeSet<Vec<u8>>) -> Result<()> {
        for guard in self.view.prefix(space, &[]) {
            self.pace.step()?;
            let entry = match guard.key() {
                Ok(entry) => entry,
                Err(cause) => {
                    let error = engine_error(&format!("the index {space:?} cannot be read whole"), cause);
                    self.report.damaged.push(Damaged::of_store(error.message()));
                    return Ok(());
                }
            };
            let name =
                if space == Space::Tags { Name::of_tag_entry(&entry) } else { Name::of_time_entry(&entry) };
            let Some(key) = name.map(Name::item) else {
                self.report
                    .damaged
                    .push(Damaged::of_store(format!("the index {space:?} holds a strange entry")));
                continue;
            };
            if !unread.contains(&key) && !self.is_accounted_for(space, &entry, &key) {
                let what = format!("the index {space:?} holds an entry that does not belong to the item");
                self.report.damaged.push(damaged_item(&key, what));
            }
        }
        Ok(())
    }

    fn is_accounted_for(&self, space: Space, entry: &[u8], key: &[u8]) -> bool {
        let Ok(Some(stored)) = decode(key, self.view.get(Space::Items, key)) else { return false };
        let name = Name::from(&*stored.metadata);
        let own = Entry::all_of(&stored.metadata, self.pace.shared().seed);
        own.iter().any(|own| own.space == space && own.key(name) == entry)
    }

    /// Finds listed payload files that no item names.
    fn files(&mut self, unread: &BTreeSet<Vec<u8>>) -> Result<()> {
        for guard in self.view.prefix(Space::Blobs, &[]) {
            self.pace.step()?;
            let (id, key) = match guard.into_inner() {
                Ok(entry) => entry,
                Err(cause) => {
                    let error = engine_error("the list of payload files cannot be read whole", cause);
                    self.report.damaged.push(Damaged::of_store(error.message()));
                    return Ok(());
                }
            };
            let named = match decode(&key, self.view.get(Space::Items, &key)) {
                Ok(stored) => stored.and_then(|stored| stored.file()).map(|file| file.id),
                Err(_) if unread.contains(&*key) => continue,
                Err(error) => {
                    self.report.damaged.push(damaged_item(&key, error.message()));
                    continue;
                }
            };
            if named != BlobId::from_bytes(&id) {
                self.report
                    .damaged
                    .push(damaged_item(&key, "a payload file is listed that the item does not name"));
            }
        }
        Ok(())
    }
}
