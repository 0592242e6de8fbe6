//! Follows the order of an answer through all shards at once.

use std::{
    cmp::Ordering,
    collections::{BinaryHeap, VecDeque},
};

use storage_core::{OrderBy, Result, StorageItem, StorageMetadata};

use crate::{
    entries::{Ordered, Place, window},
    runs::Runs,
    search::Search,
    shard::Shard,
    slots::{Slots, identity},
    store::{Cell, Store},
};

/// Entries visited while a shard is locked once: some 100 µs.
const VISITS: usize = 1_024;

/// A cursor into each shard, merged. Shards are visited one at a time and a few hits each, so that no lock is held while
/// another is taken.
#[derive(Debug)]
pub(crate) struct Lanes<'a> {
    search: &'a Search,
    lanes: Vec<Lane<'a>>,
    /// The next hit of each lane that has one.
    heads: BinaryHeap<Head<'a>>,
    /// Lanes that have no head and may have more.
    hungry: Vec<usize>,
    batch: usize,
}

#[derive(Debug)]
struct Lane<'a> {
    cell: &'a Cell,
    /// Hits after the head.
    hits: VecDeque<StorageItem>,
    /// Where the lane goes on, if it has more.
    rest: Option<Rest>,
}

/// The part of a shard that was not visited yet.
#[derive(Debug, Clone)]
enum Rest {
    All,
    After(Place),
}

impl<'a> Lanes<'a> {
    /// Lanes through all shards, from the cursor of the query on, in expectation of `wanted` hits.
    pub(crate) fn new(store: &'a Store, search: &'a Search, wanted: usize) -> Self {
        let start = search.query.position().map_or(Rest::All, |position| {
            Rest::After(Place {
                time: position.time,
                identity: identity(&position.key, &position.content_type),
            })
        });
        let cells = store.cells();
        let lane = |cell| Lane { cell, hits: VecDeque::new(), rest: Some(start.clone()) };
        Self {
            search,
            lanes: cells.iter().map(lane).collect(),
            heads: BinaryHeap::new(),
            hungry: (0..cells.len()).collect(),
            // A little more than a fair share: few shards need a second visit.
            batch: wanted / cells.len().max(1) + 3,
        }
    }

    /// Visits one shard that must be visited before [`next`](Self::next) is right, and says how many entries were seen;
    /// `None` if there is none.
    pub(crate) fn fill(&mut self) -> Result<Option<usize>> {
        let Some(place) = self.hungry.pop() else { return Ok(None) };
        let Some(lane) = self.lanes.get_mut(place) else { return Ok(Some(0)) };
        let Some(rest) = lane.rest.take() else { return Ok(Some(0)) };
        let batch = {
            let shard = lane.cell.read_indexes()?;
            visit(&shard, self.search, &rest, self.batch)
        };
        lane.hits = batch.hits.into();
        lane.rest = batch.rest;
        self.feed(place);
        Ok(Some(batch.visited))
    }

    /// The next hit of all shards, if every lane was filled.
    pub(crate) fn next(&mut self) -> Option<StorageItem> {
        let head = self.heads.pop()?;
        self.feed(head.lane);
        Some(head.item)
    }

    /// Lifts the next hit of a lane among the heads, or notes that the lane must be filled.
    fn feed(&mut self, place: usize) {
        let Some(lane) = self.lanes.get_mut(place) else { return };
        match lane.hits.pop_front() {
            Some(item) => self.heads.push(Head { item, lane: place, search: self.search }),
            None if lane.rest.is_some() => self.hungry.push(place),
            None => {}
        }
    }
}

/// The next hit of a lane; the greatest head is the first in the order of the query, as the heap wants it.
#[derive(Debug)]
struct Head<'a> {
    item: StorageItem,
    lane: usize,
    search: &'a Search,
}

impl Ord for Head<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.search.query.compare(&other.item.metadata, &self.item.metadata)
    }
}

impl PartialOrd for Head<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Head<'_> {}

/// What one visit of a shard brought.
#[derive(Debug)]
struct Batch {
    hits: Vec<StorageItem>,
    rest: Option<Rest>,
    visited: usize,
}

fn visit(shard: &Shard, search: &Search, rest: &Rest, most: usize) -> Batch {
    let (indexes, query) = (shard.indexes(), &search.query);
    let after = match rest {
        Rest::All => None,
        Rest::After(place) => Some(place),
    };
    let step = Step { slots: shard.slots(), search, after, most };
    match query.order().by {
        OrderBy::Key => step.through(&indexes.keys, &search.prefix, |_, _| true),
        OrderBy::Created => {
            step.through(&indexes.created, &query.created(), |time, metadata| time == metadata.created_at)
        }
        OrderBy::Updated => {
            step.through(&indexes.updated, &query.updated(), |time, metadata| time == metadata.updated_at)
        }
    }
}

/// One visit of one shard.
struct Step<'a> {
    slots: &'a Slots,
    search: &'a Search,
    after: Option<&'a Place>,
    most: usize,
}

impl Step<'_> {
    /// Collects hits from an index, in its order or against it.
    fn through<E: Ordered>(
        &self,
        runs: &Runs<E>,
        range: &E::Range,
        is_current: impl Fn(storage_core::Timestamp, &StorageMetadata) -> bool,
    ) -> Batch {
        let mut merged = self.remaining(runs, range);
        let mut batch = Batch { hits: Vec::new(), rest: None, visited: 0 };
        let (mut last, mut last_hit) = (None::<E>, None);
        while let Some(entry) = merged.next(self.slots) {
            let enough = batch.hits.len() >= self.most || batch.visited >= VISITS;
            // Entries of one place stay together: the next visit begins after the whole place.
            if let Some(last) =
                last.filter(|last| enough && last.order(&entry, self.slots) != Ordering::Equal)
            {
                batch.rest = Some(Rest::After(last.place(self.slots)));
                break;
            }
            batch.visited += 1;
            last = Some(entry);
            // An item that got a time back which it had before has two entries.
            if last_hit == Some(entry.slot()) {
                continue;
            }
            let current =
                self.slots.item(entry.slot()).filter(|item| is_current(entry.time(), &item.metadata));
            if let Some(item) = current.filter(|item| self.search.matches(item)) {
                batch.hits.push(self.search.project(item));
                last_hit = Some(entry.slot());
            }
        }
        batch
    }

    /// The entries in `range` that come after the place where the last visit ended.
    fn remaining<'r, E: Ordered>(&'r self, runs: &'r Runs<E>, range: &E::Range) -> Merged<'r, E> {
        let descending = self.search.query.order().is_descending();
        let versus = |entry: &E| self.after.map(|place| entry.versus(place, self.slots));
        let done_below =
            |entry: &E| !descending && matches!(versus(entry), Some(Ordering::Less | Ordering::Equal));
        let done_above =
            |entry: &E| descending && matches!(versus(entry), Some(Ordering::Greater | Ordering::Equal));
        let parts =
            window(runs, self.slots, range, done_below, done_above).filter(|part| !part.is_empty()).collect();
        Merged { parts, descending }
    }
}

/// Sorted slices, merged.
struct Merged<'a, E> {
    parts: Vec<&'a [E]>,
    descending: bool,
}

impl<E: Ordered> Merged<'_, E> {
    fn next(&mut self, slots: &Slots) -> Option<E> {
        let descending = self.descending;
        let (_, part) = self
            .parts
            .iter_mut()
            .filter_map(|part| Some((if descending { part.last() } else { part.first() }.copied()?, part)))
            .min_by(|(a, _), (b, _)| {
                let order = a.order(b, slots);
                if descending { order.reverse() } else { order }
            })?;
        let (entry, rest) = if descending { part.split_last()? } else { part.split_first()? };
        *part = rest;
        Some(*entry)
    }
}
