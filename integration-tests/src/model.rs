//! What the parent knows of a store: what was acknowledged, and which calls had not returned.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};
use storage_core::{ErrorKind, StorageMetadata, Timestamp};

use crate::protocol::{Action, Entry, Outcome, name};

/// What is known of a store.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Model {
    known: BTreeMap<String, Known>,
    /// The calls that had not returned, by task.
    in_flight: BTreeMap<u32, Vec<Entry>>,
    /// Entries whose call said that it does not know.
    unknown: Vec<Entry>,
    /// Whether calls may fail at all.
    failures_allowed: bool,
    /// The highest version that an earlier process was told of.
    highest_before: u64,
    highest: u64,
    #[serde(skip)]
    versions: HashSet<(String, u64)>,
}

/// What is known of one item.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Known {
    /// The acknowledged item of the highest version.
    last: Option<StorageMetadata>,
    /// Versions up to this one are deleted.
    gone_up_to: u64,
}

impl Known {
    /// The item that must be there unless a call was in flight.
    fn expected(&self, now: Timestamp) -> Option<&StorageMetadata> {
        self.last.as_ref().filter(|last| last.version > self.gone_up_to && last.is_live(now))
    }

    /// Whether the item cannot have gone by itself.
    fn is_certain(&self) -> bool {
        self.last.as_ref().is_some_and(|last| last.version > self.gone_up_to && last.expires_at.is_none())
    }

    fn floor(&self) -> u64 {
        self.last.as_ref().map_or(0, |last| last.version).max(self.gone_up_to)
    }
}

/// Items that only one task ever writes begin with this, so that their calls follow each other.
pub(crate) const OWNED: &str = "own";

/// Whether only one task ever writes the item.
pub(crate) fn is_owned(name: &str) -> bool {
    name.split_once('|').is_some_and(|(_, key)| key.starts_with(OWNED))
}

impl Model {
    /// Allows calls to fail. A failure says that nothing was applied, unless it says that it does not know.
    #[must_use]
    pub fn failures_allowed(mut self) -> Self {
        self.failures_allowed = true;
        self
    }

    /// Whether calls may fail.
    pub fn are_failures_allowed(&self) -> bool {
        self.failures_allowed
    }

    /// Notes that a task is about to make a call.
    pub fn intend(&mut self, task: u32, entries: Vec<Entry>) {
        self.in_flight.insert(task, entries);
    }

    /// Notes what a call answered.
    ///
    /// # Errors
    /// What the answer contradicts.
    pub fn acknowledge(&mut self, task: u32, outcomes: Vec<Outcome>) -> Result<(), String> {
        let entries = self.in_flight.remove(&task).ok_or("an answer without a call")?;
        if entries.len() != outcomes.len() {
            return Err(format!("{} answers to {} entries", outcomes.len(), entries.len()));
        }
        entries.iter().zip(outcomes).try_for_each(|(entry, outcome)| self.note(entry, outcome))
    }

    /// Notes that a call returned too late to count: its answer may have come from a disk that was gone already.
    pub fn doubt(&mut self, task: u32) {
        self.unknown.extend(self.in_flight.remove(&task).unwrap_or_default());
    }

    fn note(&mut self, entry: &Entry, outcome: Outcome) -> Result<(), String> {
        let is_unsure = self.unknown.iter().any(|unknown| unknown.name == entry.name);
        let known = self.known.entry(entry.name.clone()).or_default();
        let missed = is_owned(&entry.name) && known.is_certain() && !is_unsure;
        match (&entry.action, outcome) {
            (Action::Save { .. } | Action::Touch { .. }, Outcome::Live(metadata)) => {
                self.note_live(entry, metadata)
            }
            (Action::Delete { version }, Outcome::Gone(true)) => {
                let version = version.unwrap_or_else(|| known.floor());
                known.gone_up_to = known.gone_up_to.max(version);
                Ok(())
            }
            (Action::Delete { .. }, Outcome::Gone(false)) | (Action::Touch { .. }, Outcome::Missing)
                if missed =>
            {
                Err(format!("{entry:?} did not find the acknowledged {:?}", known.last))
            }
            (_, Outcome::Gone(false) | Outcome::Missing | Outcome::Refused) => Ok(()),
            (_, Outcome::Failed(kind, _)) if self.failures_allowed => {
                if kind == ErrorKind::OutcomeUnknown.as_str() {
                    self.unknown.push(entry.clone());
                }
                Ok(())
            }
            (_, outcome) => Err(format!("{entry:?} answered {outcome:?}")),
        }
    }

    fn note_live(&mut self, entry: &Entry, metadata: StorageMetadata) -> Result<(), String> {
        if !fits(&entry.action, &metadata) || name(&metadata.content_type, &metadata.key) != entry.name {
            return Err(format!("{entry:?} answered with another item: {metadata:?}"));
        }
        if metadata.version <= self.highest_before
            || !self.versions.insert((entry.name.clone(), metadata.version))
        {
            let before = self.highest_before;
            return Err(format!("a version was used again (earlier ones went to {before}): {metadata:?}"));
        }
        self.highest = self.highest.max(metadata.version);
        let known = self.known.entry(entry.name.clone()).or_default();
        if known.last.as_ref().is_none_or(|last| last.version < metadata.version) {
            known.last = Some(metadata);
        }
        Ok(())
    }

    /// Whether a store may hold `found` under `name` at `now`.
    ///
    /// # Errors
    /// Why it may not.
    pub fn explain(&self, name: &str, found: Option<&StorageMetadata>, now: Timestamp) -> Result<(), String> {
        let nothing = Known::default();
        let known = self.known.get(name).unwrap_or(&nothing);
        let expected = known.expected(now);
        if expected == found {
            return Ok(());
        }
        let pending: Vec<&Action> = self.pending(name).collect();
        match found {
            None => explain_absence(expected, &pending, now),
            Some(found) => explain_presence(known, found, &pending, now),
        }
        .map_err(|why| {
            format!("{name}: {why}\n  found    {found:?}\n  known    {known:?}\n  in flight {pending:?}")
        })
    }

    fn pending<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Action> {
        let entries = self.in_flight.values().flatten().chain(&self.unknown);
        entries.filter(move |entry| entry.name == name).map(|entry| &entry.action)
    }

    /// Takes over what a store was found to hold.
    pub fn adopt(&mut self, items: Vec<StorageMetadata>) {
        for known in self.known.values_mut() {
            known.gone_up_to = known.floor();
        }
        for metadata in items {
            self.highest = self.highest.max(metadata.version);
            let known = self.known.entry(name(&metadata.content_type, &metadata.key)).or_default();
            known.gone_up_to = metadata.version - 1;
            known.last = Some(metadata);
        }
        self.in_flight.clear();
        self.unknown.clear();
        self.highest_before = self.highest;
    }

    /// Every item that was ever spoken of.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let pending = self.in_flight.values().flatten().chain(&self.unknown);
        let pending = pending.map(|entry| entry.name.as_str());
        let mut names: Vec<&str> = self.known.keys().map(String::as_str).chain(pending).collect();
        names.sort_unstable();
        names.dedup();
        names.into_iter()
    }

    /// The number of calls that had not returned.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }
}

/// Whether an answered or found item is what the call asked for.
fn fits(action: &Action, metadata: &StorageMetadata) -> bool {
    match action {
        Action::Save { expires_at, .. } => {
            is_written_by(action, metadata) && *expires_at == metadata.expires_at
        }
        Action::Touch { expires_at } => *expires_at == metadata.expires_at,
        Action::Delete { .. } => false,
    }
}

/// Whether everything but the deadline comes from this save.
pub(crate) fn is_written_by(action: &Action, metadata: &StorageMetadata) -> bool {
    let Action::Save { tags, encoding, size, .. } = action else { return false };
    *tags == metadata.tags && *encoding == metadata.encoding && *size == metadata.size
}

pub(crate) fn deadline(action: &Action) -> Option<Timestamp> {
    match action {
        Action::Save { expires_at, .. } | Action::Touch { expires_at } => *expires_at,
        Action::Delete { .. } => None,
    }
}

fn explain_absence(
    expected: Option<&StorageMetadata>,
    pending: &[&Action],
    now: Timestamp,
) -> Result<(), String> {
    let may_go = |action: &&Action| {
        matches!(action, Action::Delete { .. }) || deadline(action).is_some_and(|deadline| deadline <= now)
    };
    if expected.is_none() || pending.iter().any(may_go) {
        Ok(())
    } else {
        Err("an acknowledged item is lost".into())
    }
}

fn explain_presence(
    known: &Known,
    found: &StorageMetadata,
    pending: &[&Action],
    now: Timestamp,
) -> Result<(), String> {
    if found.version <= known.floor() {
        return Err("an old or deleted version is back".into());
    }
    let touched = pending
        .iter()
        .any(|action| matches!(action, Action::Touch { expires_at } if *expires_at == found.expires_at));
    let saved = pending
        .iter()
        .any(|action| is_written_by(action, found) && (touched || deadline(action) == found.expires_at));
    let kept = known.last.as_ref().is_some_and(|last| {
        (&last.tags, &last.encoding, last.size) == (&found.tags, &found.encoding, found.size)
    });
    let explained = saved || (touched && kept);
    if !explained {
        return Err("nobody asked for this item".into());
    }
    // The item it replaced was live, unless a call in flight may have ended it in between.
    let may_end = pending.iter().any(|action| {
        matches!(action, Action::Delete { .. }) || deadline(action).is_some_and(|deadline| deadline <= now)
    });
    match known.expected(now) {
        Some(last) if !may_end && (last.id, last.created_at) != (found.id, found.created_at) => {
            Err("the identity of a live item changed".into())
        }
        _ => Ok(()),
    }
}
