//! Where the candidates of a query can come from, and walking them in an order.

use std::{collections::BTreeMap, ops::Bound};

use fjall::Slice;
use storage_core::{CompiledQuery, ErrorKind, OrderBy, Position, Result, Timestamp};

use crate::{
    engine::{Entries, Space, View},
    error::{engine_error, failure},
    keys::{self, Name, after_prefix},
};

/// An item that may be a hit: its engine key, and its record where that came along.
#[derive(Debug)]
pub(crate) struct Candidate {
    pub(crate) key: Vec<u8>,
    pub(crate) record: Option<Slice>,
}

/// Where the candidates of a query can come from: entries that every hit has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// Entries in the order of content type and key, below a prefix: the items themselves, or those of one tag.
    ByName { space: Space, prefix: Vec<u8> },
    /// Entries in the order of a time, within a range.
    ByTime { space: Space, after: Option<Timestamp>, before: Option<Timestamp> },
}

impl Source {
    /// Every source of a query. The first one can give its candidates in the order of the query.
    pub(crate) fn of(query: &CompiledQuery, seed: u64) -> Vec<Self> {
        let tags = query.tags().iter().map(|(name, value)| Self::ByName {
            space: Space::Tags,
            prefix: keys::tag(seed, name, value).to_vec(),
        });
        let mut by_name: Vec<Self> = tags.collect();
        if by_name.is_empty() {
            by_name.push(Self::ByName { space: Space::Items, prefix: Vec::new() });
        }
        let times = [
            (Space::Created, query.created(), OrderBy::Created),
            (Space::Updated, query.updated(), OrderBy::Updated),
            (Space::Expires, query.expires(), OrderBy::Key),
        ];
        let by = query.order().by;
        let mut first = Vec::new();
        let mut by_time = Vec::new();
        for (space, range, orders) in times {
            let source = Self::ByTime { space, after: range.after, before: range.before };
            if orders == by && by != OrderBy::Key {
                first.push(source);
            } else if !range.is_unbounded() {
                by_time.push(source);
            }
        }
        // The items as a whole narrow nothing down, unless it is by content type or by the start of the key.
        let narrows =
            query.content_type().is_some() || !query.literal_prefix().is_empty() || !query.tags().is_empty();
        if by != OrderBy::Key && !narrows {
            by_name.clear();
        }
        first.into_iter().chain(by_name).chain(by_time).collect()
    }

    /// Walks the candidates, from the place of the query's cursor on if `ordered`.
    pub(crate) fn walk<'a>(
        &self,
        view: &'a View<'a>,
        query: &'a CompiledQuery,
        ordered: bool,
    ) -> Result<Walk<'a>> {
        let position = query.position().filter(|_| ordered);
        let descending = ordered && query.order().is_descending();
        let runs = match self {
            Self::ByTime { space, after, before } => {
                let range = time_range(*after, *before, position, descending);
                vec![view.range(*space, range)]
            }
            Self::ByName { space, prefix } => {
                let content_types = match query.content_type() {
                    Some(content_type) => vec![content_type.to_owned()],
                    None => content_types(view, *space, prefix)?,
                };
                let range = |content_type: &String| {
                    let range =
                        name_range(prefix, content_type, query.literal_prefix(), position, descending);
                    view.range(*space, range)
                };
                content_types.iter().map(range).collect()
            }
        };
        Walk::new(self, query, runs, descending)
    }

    fn space(&self) -> Space {
        match self {
            Self::ByName { space, .. } | Self::ByTime { space, .. } => *space,
        }
    }
}

fn time_range(
    after: Option<Timestamp>,
    before: Option<Timestamp>,
    position: Option<&Position>,
    descending: bool,
) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
    let mut start = after.map_or(Bound::Unbounded, |after| Bound::Included(keys::time(after).to_vec()));
    let mut end = before.map_or(Bound::Unbounded, |before| Bound::Excluded(keys::time(before).to_vec()));
    if let Some(position) = position {
        let name = Name { key: &position.key, content_type: &position.content_type };
        let place = Bound::Excluded(keys::time_entry(position.time, name));
        if descending { end = place } else { start = place }
    }
    (start, end)
}

fn name_range(
    prefix: &[u8],
    content_type: &str,
    literal: &str,
    position: Option<&Position>,
    descending: bool,
) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
    let entry = |key: &str| [prefix, content_type.as_bytes(), &[0], key.as_bytes()].concat();
    let first = entry(literal);
    let mut end = after_prefix(&first).map_or(Bound::Unbounded, Bound::Excluded);
    let mut start = Bound::Included(first);
    if let Some(position) = position {
        let key = position.key.as_str();
        let place = entry(key);
        // Of items with the same key, those of other content types may still come.
        if descending && key >= literal {
            let is_left = content_type < position.content_type.as_str();
            let place = if is_left { Bound::Included(place) } else { Bound::Excluded(place) };
            if key.starts_with(literal) {
                end = place;
            }
        } else if descending {
            // Everything below the prefix lies behind the place.
            end = Bound::Excluded(entry(literal));
        } else if key >= literal {
            let is_left = content_type > position.content_type.as_str();
            start = if is_left { Bound::Included(place) } else { Bound::Excluded(place) };
        }
    }
    (start, end)
}

/// The content types below a prefix, found by leaps: one look per content type, however many items there are.
fn content_types(view: &View<'_>, space: Space, prefix: &[u8]) -> Result<Vec<String>> {
    let end = after_prefix(prefix).map_or(Bound::Unbounded, Bound::Excluded);
    let mut found = Vec::new();
    let mut start = prefix.to_vec();
    while let Some(guard) = view.range(space, (Bound::Included(start), end.clone())).next() {
        let entry = guard.key().map_err(|cause| unreadable(space, &cause_of(found.last()), cause))?;
        let name = entry.get(prefix.len()..).and_then(Name::of_item).ok_or_else(|| strange(space))?;
        found.push(name.content_type.to_owned());
        // The byte above NUL: behind every entry of this content type.
        start = [prefix, name.content_type.as_bytes(), &[1]].concat();
    }
    Ok(found)
}

fn cause_of(last: Option<&String>) -> String {
    last.map_or_else(|| "the beginning".into(), |content_type| format!("content type {content_type:?}"))
}

/// Candidates one after the other, merged over content types where the order asks for it.
pub(crate) struct Walk<'a> {
    space: Space,
    query: &'a CompiledQuery,
    runs: Vec<Entries>,
    descending: bool,
    // The next candidate of every run, by key and content type; empty while there is but one run.
    heads: BTreeMap<(Vec<u8>, Vec<u8>), (usize, Candidate)>,
    last: Option<Vec<u8>>,
}

impl<'a> Walk<'a> {
    fn new(source: &Source, query: &'a CompiledQuery, runs: Vec<Entries>, descending: bool) -> Result<Self> {
        let mut walk =
            Self { space: source.space(), query, runs, descending, heads: BTreeMap::new(), last: None };
        if walk.runs.len() > 1 {
            for run in 0..walk.runs.len() {
                walk.fill(run)?;
            }
        }
        Ok(walk)
    }

    /// The next candidate.
    ///
    /// # Errors
    /// Failures to read the entries; damage says behind which item it is.
    pub(crate) fn next(&mut self) -> Result<Option<Candidate>> {
        if self.runs.len() <= 1 {
            return self.step(0);
        }
        let head = if self.descending { self.heads.pop_last() } else { self.heads.pop_first() };
        let Some((_, (run, candidate))) = head else { return Ok(None) };
        self.fill(run)?;
        Ok(Some(candidate))
    }

    fn fill(&mut self, run: usize) -> Result<()> {
        if let Some(candidate) = self.step(run)? {
            let name = Name::of_item(&candidate.key).ok_or_else(|| strange(self.space))?;
            let place = (name.key.as_bytes().to_vec(), name.content_type.as_bytes().to_vec());
            self.heads.insert(place, (run, candidate));
        }
        Ok(())
    }

    fn step(&mut self, run: usize) -> Result<Option<Candidate>> {
        loop {
            let Some(entries) = self.runs.get_mut(run) else { return Ok(None) };
            let guard = if self.descending { entries.next_back() } else { entries.next() };
            let Some(guard) = guard else { return Ok(None) };
            if let Some(candidate) = self.candidate(guard)? {
                return Ok(Some(candidate));
            }
        }
    }

    /// The candidate of an entry; `None` if its name alone rules it out.
    fn candidate(&mut self, guard: fjall::Guard) -> Result<Option<Candidate>> {
        let entry = match self.space {
            Space::Items => guard.into_inner().map(|(key, record)| (key, Some(record))),
            _ => guard.key().map(|key| (key, None)),
        };
        let (entry, record) = entry.map_err(|cause| {
            let last = self.last.as_deref().and_then(Name::of_item);
            let place = last.map_or_else(
                || "the beginning".into(),
                |name| format!("{:?}", (name.content_type, name.key)),
            );
            unreadable(self.space, &place, cause)
        })?;
        let name = match self.space {
            Space::Items => Name::of_item(&entry),
            Space::Tags => Name::of_tag_entry(&entry),
            _ => Name::of_time_entry(&entry),
        };
        let name = name.ok_or_else(|| strange(self.space))?;
        let fits = self.query.content_type().is_none_or(|content_type| content_type == name.content_type)
            && name.key.starts_with(self.query.literal_prefix());
        if !fits {
            return Ok(None);
        }
        let key = name.item();
        self.last = Some(key.clone());
        Ok(Some(Candidate { key, record }))
    }
}

fn unreadable(space: Space, place: &str, cause: fjall::Error) -> storage_core::StorageError {
    let what = match space {
        Space::Items => "items",
        _ => "an index",
    };
    engine_error(&format!("{what} cannot be read behind {place}"), cause)
}

fn strange(space: Space) -> storage_core::StorageError {
    failure(ErrorKind::Corrupted, format!("an entry of {space:?} is none; `verify` names it"))
}
