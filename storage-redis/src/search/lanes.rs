//! Reads one section of the index in all buckets and content types at once, and merges what it reads.

use std::{
    cmp::Ordering,
    collections::{BinaryHeap, VecDeque},
};

use redis::Value;
use storage_core::Order;

use crate::{
    index::Span,
    keys::Bucket,
    reply, scripts,
    wire::{Access, Call},
};

use super::{
    Outcome, Search, Stop,
    candidate::{Candidate, Names},
};

/// Entries that one script may compare with tags: some hundred microseconds.
const MOST_PER_SCRIPT: usize = 1_000;
/// Entries read in one round trip, all lanes together.
const MOST_PER_ROUND: usize = 16_384;

/// One section of one bucket.
#[derive(Debug)]
pub(super) struct Lane {
    bucket: usize,
    names: Names,
    /// What was not read yet.
    span: Span,
    /// What stands before the key in the entries of tags that a candidate must have.
    filters: Vec<Vec<u8>>,
    ready: VecDeque<Candidate>,
    /// Up to where the lane was read, if it may hold more.
    wall: Option<Candidate>,
    is_done: bool,
}

impl Lane {
    pub(super) fn new(bucket: usize, names: Names, span: Span, filters: Vec<Vec<u8>>) -> Self {
        Self { bucket, names, span, filters, ready: VecDeque::new(), wall: None, is_done: false }
    }

    fn candidate(&self, entry: Vec<u8>) -> Candidate {
        Candidate::new(self.bucket, entry, self.names.clone())
    }

    /// The call that reads on.
    fn call(&self, bucket: &Bucket, marker: &[u8], descending: bool, most: usize) -> Call {
        let (from, to) =
            if descending { (&self.span.max, &self.span.min) } else { (&self.span.min, &self.span.max) };
        if self.filters.is_empty() {
            let call = Call::read(bucket.slot, "ZRANGE").key(&bucket.index).arg(from).arg(to).arg("BYLEX");
            let call = if descending { call.arg("REV") } else { call };
            return call.arg("LIMIT").arg("0").arg(most.to_string());
        }
        let call = Call::script(bucket.slot, &scripts::MEET, Access::Read).key(&bucket.index).arg(marker);
        let call = call.arg(from).arg(to).arg(if descending { "REV" } else { "" });
        let before_key = match &self.names {
            Names::Within { key, .. } => *key,
            Names::Deadline => 0,
        };
        let mut call = call.arg(most.min(MOST_PER_SCRIPT).to_string()).arg(before_key.to_string());
        for filter in &self.filters {
            call.push(filter);
        }
        call
    }

    /// Takes in what was read; the number of entries that the server looked at, as far as is known.
    fn take(&mut self, answer: Value, descending: bool, most: usize) -> Outcome<usize> {
        let Some(mut entries) = reply::optional_list(answer)? else {
            return Err(Stop::Unmarked(self.bucket));
        };
        let looked_at;
        let last = if self.filters.is_empty() {
            looked_at = entries.len();
            entries.last().filter(|_| entries.len() >= most).cloned()
        } else {
            let last = if entries.is_empty() { Vec::new() } else { entries.remove(0) };
            looked_at = if last.is_empty() { entries.len() } else { most.min(MOST_PER_SCRIPT) };
            Some(last).filter(|last| !last.is_empty())
        };
        self.ready
            .extend(entries.into_iter().map(|entry| Candidate::new(self.bucket, entry, self.names.clone())));
        if let Some(last) = &last {
            self.span.behind(last, false, descending);
        }
        self.is_done = last.is_none();
        self.wall = last.map(|last| self.candidate(last));
        Ok(looked_at)
    }
}

/// All lanes of one section, merged.
#[derive(Debug)]
pub(super) struct Lanes {
    lanes: Vec<Lane>,
    order: Order,
    /// The next candidate of each lane, or the wall behind which it is not known.
    heads: BinaryHeap<Head>,
    /// Lanes without a head that may hold more.
    hungry: Vec<usize>,
    /// Entries read next time from each hungry lane.
    batch: usize,
    /// Entries that the server looked at.
    pub(super) looked_at: usize,
}

impl Lanes {
    pub(super) fn new(lanes: Vec<Lane>, order: Order, wanted: usize) -> Self {
        let hungry = (0..lanes.len()).collect();
        // A fair share and what chance adds to it: a second round is rare.
        let share = wanted / lanes.len().max(1);
        let batch = share.saturating_add(3 * share.isqrt() + 4);
        Self { batch: batch.min(wanted.max(1)), lanes, order, heads: BinaryHeap::new(), hungry, looked_at: 0 }
    }

    /// The next candidates in order, at most `most` of those that `accept` takes; fewer only if there are no more, or if so
    /// many were refused that the caller may want to think again.
    pub(super) async fn next(
        &mut self,
        search: &Search<'_>,
        most: usize,
        accept: impl Fn(&Candidate) -> bool,
    ) -> Outcome<Vec<Candidate>> {
        let mut found = Vec::new();
        while found.len() < most {
            if !self.hungry.is_empty() {
                self.fill(search).await?;
            }
            let Some(head) = self.heads.pop() else { break };
            let lane = head.lane;
            match head.kind {
                Kind::Candidate => {
                    if accept(&head.candidate) {
                        found.push(head.candidate);
                    }
                    self.feed(lane);
                }
                Kind::Wall => self.hungry.push(lane),
            }
            // Everything that stands before its own wall has to be read on as well, sooner or later: together is cheaper.
        }
        Ok(found)
    }

    /// The next candidates in any order; none if there are no more.
    pub(super) async fn drain(&mut self, search: &Search<'_>) -> Outcome<Vec<Candidate>> {
        self.batch = (MOST_PER_ROUND / self.hungry.len().max(1)).clamp(1, MOST_PER_SCRIPT);
        let mut found = Vec::new();
        while found.is_empty() && !self.hungry.is_empty() {
            self.read(search).await?;
            for (place, lane) in self.lanes.iter_mut().enumerate() {
                found.extend(lane.ready.drain(..));
                if !lane.is_done {
                    self.hungry.push(place);
                }
            }
        }
        Ok(found)
    }

    /// Whether there may be more.
    pub(super) fn is_done(&self) -> bool {
        self.hungry.is_empty() && self.heads.is_empty()
    }

    async fn fill(&mut self, search: &Search<'_>) -> Outcome<()> {
        let filled = self.read(search).await?;
        for lane in filled {
            self.feed(lane);
        }
        Ok(())
    }

    /// Reads on in the hungry lanes, which are none afterwards, and says which they were.
    async fn read(&mut self, search: &Search<'_>) -> Outcome<Vec<usize>> {
        let marker = search.store.marker();
        let descending = self.order.is_descending();
        let most = self.batch.min((MOST_PER_ROUND / self.hungry.len().max(1)).max(1));
        let mut reads = Vec::with_capacity(self.hungry.len() + search.store.layout.buckets.len());
        let mut calls = Vec::with_capacity(reads.capacity());
        let mut checked = None;
        for place in std::mem::take(&mut self.hungry) {
            let Some(lane) = self.lanes.get(place) else { continue };
            let Some(bucket) = search.store.layout.buckets.get(lane.bucket) else { continue };
            if lane.filters.is_empty() && checked != Some(lane.bucket) {
                checked = Some(lane.bucket);
                reads.push(Read::Marker(lane.bucket));
                calls.push(Call::read(bucket.slot, "ZSCORE").key(&bucket.index).arg(marker));
            }
            reads.push(Read::Lane(place));
            calls.push(lane.call(bucket, &marker, descending, most));
        }
        let answers = search.store.wire.call_all(calls, search.deadline()).await;
        let mut filled = Vec::with_capacity(reads.len());
        for (read, answer) in reads.into_iter().zip(answers) {
            let answer = answer?;
            match read {
                Read::Marker(bucket) if reply::is_nothing(&answer) => return Err(Stop::Unmarked(bucket)),
                Read::Marker(_) => {}
                Read::Lane(place) => {
                    if let Some(lane) = self.lanes.get_mut(place) {
                        self.looked_at += lane.take(answer, descending, most)?;
                        filled.push(place);
                    }
                }
            }
        }
        self.batch = (self.batch * 2).min(MOST_PER_SCRIPT);
        Ok(filled)
    }

    /// Lifts the next candidate of a lane among the heads, or its wall.
    fn feed(&mut self, place: usize) {
        let descending = self.order.is_descending();
        let Some(lane) = self.lanes.get_mut(place) else { return };
        let (candidate, kind) = match (lane.ready.pop_front(), &lane.wall) {
            (Some(candidate), _) => (candidate, Kind::Candidate),
            (None, Some(wall)) => (wall.clone(), Kind::Wall),
            (None, None) => return,
        };
        self.heads.push(Head { candidate, kind, lane: place, descending });
    }
}

/// What a call was made for.
#[derive(Debug)]
enum Read {
    Marker(usize),
    Lane(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Wall,
    Candidate,
}

/// The next of a lane; the greatest head is the first in the order of the query, as the heap wants it.
#[derive(Debug)]
struct Head {
    candidate: Candidate,
    kind: Kind,
    lane: usize,
    descending: bool,
}

impl Ord for Head {
    fn cmp(&self, other: &Self) -> Ordering {
        let ascending = self.candidate.compare(&other.candidate);
        let first = if self.descending { ascending } else { ascending.reverse() };
        // A candidate comes before a wall of the same place: what is behind the wall comes later.
        first.then(self.kind.cmp(&other.kind)).then(other.lane.cmp(&self.lane))
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Head {}
