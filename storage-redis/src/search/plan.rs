//! Chooses how a query is answered.

use std::sync::Arc;

use storage_core::{OrderBy, StorageMetadata, TimeRange};

use crate::{
    index::{self, Span},
    record::{Time, time},
    reply,
    wire::Call,
};

use super::{
    Outcome, Part, Search,
    candidate::{Candidate, Names},
    lanes::{Lane, Lanes},
};

/// What a section of the index is sorted by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Section {
    Keys,
    Created,
    Updated,
    Tag(String, String),
    Deadlines,
}

impl Section {
    /// Whether an item has the entry of this section from which it was found.
    pub(super) fn has(&self, candidate: &Candidate, metadata: &StorageMetadata) -> bool {
        match self {
            Self::Keys => true,
            Self::Created => candidate.time() == time(metadata.created_at),
            Self::Updated => candidate.time() == time(metadata.updated_at),
            Self::Tag(name, value) => metadata.tags.contains(name, value),
            Self::Deadlines => {
                index::read_deadline(&candidate.entry).is_some_and(|entry| entry.is_of(metadata))
            }
        }
    }
}

/// How a query is answered.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) way: Way,
    /// The section with the fewest entries, for gathering.
    pub(super) narrowest: Section,
    /// Entries that a walk may look at before gathering is cheaper after all.
    pub(super) budget: usize,
}

#[derive(Debug)]
pub(super) enum Way {
    Walk(Section),
    Gather,
}

/// Buckets asked for an estimate. Items are spread evenly, so that a few speak for all.
const SAMPLE: usize = 4;

/// What gathering costs for each entry, in entries read by a walk: the metadata of every candidate is read.
const GATHERING: usize = 3;

impl Search<'_> {
    /// Chooses the way that looks at the fewest entries to find `wanted` hits.
    pub(super) async fn plan(&self, parts: &[Part], wanted: usize) -> Outcome<Plan> {
        let sections = self.sections();
        let ordered = self.ordered();
        if let [only] = sections.as_slice()
            && ordered.contains(only)
        {
            return Ok(Plan { way: Way::Walk(only.clone()), narrowest: only.clone(), budget: usize::MAX });
        }
        let estimates = self.estimates(parts, &sections, &ordered).await?;
        let entries = |section: &Section| {
            estimates.iter().find(|(other, _)| other == section).map_or(usize::MAX, |(_, entries)| *entries)
        };
        // What was estimated is never empty, because some section always applies.
        let narrowest =
            sections.iter().min_by_key(|section| entries(section)).cloned().unwrap_or(Section::Keys);
        let hits = entries(&narrowest).max(1);
        let gathering = hits.saturating_mul(GATHERING);
        // Hits are assumed to lie evenly in the order.
        let steps = |section: &Section| {
            entries(section).min(wanted.saturating_mul(entries(section)) / hits).max(wanted.min(hits))
        };
        let walk = ordered.into_iter().min_by_key(|section| steps(section));
        let way = match walk {
            Some(section) if steps(&section) <= gathering => Way::Walk(section),
            _ => Way::Gather,
        };
        Ok(Plan { way, narrowest, budget: gathering.saturating_mul(2).saturating_add(1_000) })
    }

    /// The sections that hold every hit: each filter has one, and without any filter it is the order's.
    pub(super) fn sections(&self) -> Vec<Section> {
        let query = &self.query;
        let mut sections: Vec<_> = query
            .tags()
            .iter()
            .map(|(name, value)| Section::Tag(name.to_owned(), value.to_owned()))
            .collect();
        let bounded = |range: TimeRange| !range.is_unbounded();
        sections.extend(bounded(query.created()).then_some(Section::Created));
        sections.extend(bounded(query.updated()).then_some(Section::Updated));
        sections.extend(bounded(query.expires()).then_some(Section::Deadlines));
        // Sections by tag are sorted by key as well, and so know the prefix.
        if sections.is_empty() && !query.literal_prefix().is_empty() {
            sections.push(Section::Keys);
        }
        if sections.is_empty() {
            sections.push(self.order_section());
        }
        sections
    }

    fn order_section(&self) -> Section {
        match self.query.order().by {
            OrderBy::Key => Section::Keys,
            OrderBy::Created => Section::Created,
            OrderBy::Updated => Section::Updated,
        }
    }

    /// The sections that lie in the order of the query and hold every hit.
    fn ordered(&self) -> Vec<Section> {
        let mut ordered = vec![self.order_section()];
        if self.query.order().by == OrderBy::Key {
            let tags = self.query.tags().iter();
            ordered.extend(tags.map(|(name, value)| Section::Tag(name.to_owned(), value.to_owned())));
        }
        ordered
    }

    /// About how many entries each section has within the query's range.
    async fn estimates(
        &self,
        parts: &[Part],
        sections: &[Section],
        ordered: &[Section],
    ) -> Outcome<Vec<(Section, usize)>> {
        let mut all: Vec<Section> = sections.to_vec();
        all.extend(ordered.iter().filter(|section| !sections.contains(section)).cloned());
        let buckets = &self.store.layout.buckets;
        let sampled = buckets.len().min(SAMPLE);
        let parts: Vec<Part> = parts.iter().filter(|part| part.bucket < sampled).cloned().collect();
        let (mut calls, mut owners) = (Vec::new(), Vec::new());
        for (owner, section) in all.iter().enumerate() {
            for (bucket, _, span) in self.spans(&parts, section, false) {
                let Some(bucket) = buckets.get(bucket) else { continue };
                calls.push(
                    Call::read(bucket.slot, "ZLEXCOUNT").key(&bucket.index).arg(span.min).arg(span.max),
                );
                owners.push(owner);
            }
        }
        let mut estimates: Vec<_> = all.into_iter().map(|section| (section, 0)).collect();
        let answers = self.store.wire.call_all(calls, self.deadline()).await;
        for (owner, answer) in owners.into_iter().zip(answers) {
            let entries = reply::number(&answer?)?;
            if let Some((_, sum)) = estimates.get_mut(owner) {
                *sum += usize::try_from(entries).unwrap_or(usize::MAX);
            }
        }
        for (_, sum) in &mut estimates {
            *sum = sum.saturating_mul(buckets.len()) / sampled.max(1);
        }
        Ok(estimates)
    }

    /// Lanes through a section, from the cursor on if they are read in the order of the query.
    pub(super) fn lanes(&self, parts: &[Part], section: &Section, in_order: bool, wanted: usize) -> Lanes {
        let spans = self.spans(parts, section, in_order);
        let lanes = spans.into_iter().map(|(bucket, names, span)| {
            let filters = match &names {
                Names::Within { content_type, .. } => self.filters(content_type, section),
                Names::Deadline => Vec::new(),
            };
            Lane::new(bucket, names, span, filters)
        });
        Lanes::new(lanes.collect(), self.query.order(), wanted)
    }

    /// What stands before the key in the entries of all tags but that of the section itself.
    fn filters(&self, content_type: &str, section: &Section) -> Vec<Vec<u8>> {
        let tags = self.query.tags().iter();
        let others =
            tags.filter(|(name, value)| !matches!(section, Section::Tag(n, v) if n == name && v == value));
        others.map(|(name, value)| index::tag_section(content_type, name, value)).collect()
    }

    /// The part of a section that may hold hits, in each bucket and content type.
    fn spans(&self, parts: &[Part], section: &Section, from_cursor: bool) -> Vec<(usize, Names, Span)> {
        if *section == Section::Deadlines {
            let mut span = Span::of_prefix(index::DEADLINES);
            narrow(&mut span, index::DEADLINES, self.query.expires());
            let buckets = 0..self.store.layout.buckets.len();
            return buckets.map(|bucket| (bucket, Names::Deadline, span.clone())).collect();
        }
        parts.iter().map(|part| self.span_within(part, section, from_cursor)).collect()
    }

    fn span_within(&self, part: &Part, section: &Section, from_cursor: bool) -> (usize, Names, Span) {
        let content_type = &*part.content_type;
        let start = match section {
            Section::Keys | Section::Deadlines => index::key_section(content_type),
            Section::Created => index::created_section(content_type),
            Section::Updated => index::updated_section(content_type),
            Section::Tag(name, value) => index::tag_section(content_type, name, value),
        };
        let is_by_time = matches!(section, Section::Created | Section::Updated);
        let mut span = if is_by_time {
            Span::of_prefix(&start)
        } else {
            Span::of_prefix(&[&start, self.query.literal_prefix().as_bytes()].concat())
        };
        match section {
            Section::Created => narrow(&mut span, &start, self.query.created()),
            Section::Updated => narrow(&mut span, &start, self.query.updated()),
            _ => {}
        }
        if from_cursor {
            self.behind_cursor(&mut span, &start, is_by_time, content_type);
        }
        let order = start.len();
        let key = if is_by_time { order + size_of::<Time>() } else { order };
        (part.bucket, Names::Within { content_type: Arc::clone(&part.content_type), order, key }, span)
    }

    fn behind_cursor(&self, span: &mut Span, start: &[u8], is_by_time: bool, content_type: &str) {
        let Some(position) = self.query.position() else { return };
        let descending = self.query.order().is_descending();
        let time = time(position.time);
        let time: &[u8] = if is_by_time { &time } else { &[] };
        let entry = [start, time, position.key.as_bytes()].concat();
        // Of the same time and key, the content type decides.
        let behind = content_type.cmp(position.content_type.as_str());
        let included = if descending { behind.is_lt() } else { behind.is_gt() };
        span.behind(&entry, included, descending);
    }
}

/// Narrows a span of entries by time to a range.
fn narrow(span: &mut Span, start: &[u8], range: TimeRange) {
    if let Some(after) = range.after {
        span.start_at(start, after);
    }
    if let Some(before) = range.before {
        span.end_before(start, before);
    }
}
