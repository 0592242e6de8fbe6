//! Searches: the cheapest source of candidates is found by a race, every candidate is checked against its record.
//!
//! Indexes only propose. A hit is a hit because the one matcher of `storage-core` says so of the record, so that a search
//! can be slow at worst, but never wrong.

use storage_core::{CompiledQuery, OrderBy, Result, SearchPage, StorageResult, Timestamp, Usage};

use crate::{
    engine::{Engine, Space, View},
    item::Stored,
    keys::Name,
    reads::{Pace, decode, with_payload, without_payload},
    sources::{Candidate, Source},
};

/// A source with at most this many candidates is read whole and sorted; above it, the walk in order is the cheaper way.
const MOST_COLLECTED: usize = 4_096;
/// A page ends early once its payloads have this many bytes, so that a page of large items does not fill the memory.
const MOST_PAGE_BYTES: u64 = 64 << 20;

/// One page of the hits of a query. Blocks.
pub(crate) fn page(
    engine: &Engine,
    query: &CompiledQuery,
    now: Timestamp,
    pace: &Pace,
) -> Result<SearchPage> {
    if query.page_len() == 0 {
        return Ok(query.page(Vec::new(), false));
    }
    loop {
        pace.step()?;
        let (results, more) = try_page(engine, query, now, pace)?;
        // Without a hit there is no cursor: if all were deleted meanwhile, the next look begins behind them by itself.
        if !(results.is_empty() && more) {
            return Ok(query.page(results, more));
        }
    }
}

fn try_page(
    engine: &Engine,
    query: &CompiledQuery,
    now: Timestamp,
    pace: &Pace,
) -> Result<(Vec<StorageResult>, bool)> {
    let wanted = query.page_len();
    let view = engine.view();
    let search = Search { view: &view, query, now, pace };
    let mut hits = search.hits(wanted + 1)?;
    let mut more = hits.len() > wanted;
    hits.truncate(wanted);
    if query.is_metadata_only() {
        let results = hits.into_iter().map(|hit| StorageResult::hit(without_payload(hit))).collect();
        return Ok((results, more));
    }
    let mut results = Vec::with_capacity(hits.len());
    let mut bytes = 0;
    for hit in hits {
        bytes += hit.metadata.size;
        if bytes > MOST_PAGE_BYTES && !results.is_empty() {
            more = true;
            break;
        }
        results.extend(search.with_payload(engine, hit)?.map(StorageResult::hit));
    }
    Ok((results, more))
}

/// The number of hits of a query. Blocks.
pub(crate) fn count(engine: &Engine, query: &CompiledQuery, now: Timestamp, pace: &Pace) -> Result<u64> {
    let view = engine.view();
    let search = Search { view: &view, query, now, pace };
    let mut count = 0;
    let mut walk = search.smallest()?.walk(&view, query, false)?;
    while let Some(candidate) = walk.next()? {
        pace.step()?;
        count += u64::from(search.check(candidate)?.is_some());
    }
    Ok(count)
}

/// What the store holds. Blocks.
pub(crate) fn usage(engine: &Engine, now: Timestamp, pace: &Pace) -> Result<Usage> {
    let view = engine.view();
    let query = storage_core::StorageQuery::new().compile()?;
    let search = Search { view: &view, query: &query, now, pace };
    let everything = Source::ByName { space: Space::Items, prefix: Vec::new() };
    let mut walk = everything.walk(&view, &query, false)?;
    let mut usage = Usage::default();
    while let Some(candidate) = walk.next()? {
        pace.step()?;
        if let Some(hit) = search.check(candidate)? {
            usage.add_item(&hit.metadata.content_type, hit.metadata.size);
        }
    }
    Ok(usage)
}

struct Search<'a> {
    view: &'a View<'a>,
    query: &'a CompiledQuery,
    now: Timestamp,
    pace: &'a Pace,
}

impl Search<'_> {
    /// The first hits behind the cursor, in order.
    fn hits(&self, wanted: usize) -> Result<Vec<Stored>> {
        let sources = Source::of(self.query, self.pace.shared().seed);
        match self.race(&sources)? {
            Some(candidates) if self.query.order().by == OrderBy::Key => self.take_by_key(candidates, wanted),
            Some(candidates) => self.take_sorted(candidates, wanted),
            None => self.take_in_order(&sources, wanted),
        }
    }

    /// Walks all sources in step until one of them ends: the candidates of the smallest, if it is small at all.
    fn race(&self, sources: &[Source]) -> Result<Option<Vec<Candidate>>> {
        if sources.len() < 2 {
            return Ok(None);
        }
        let mut walks = Vec::with_capacity(sources.len());
        for source in sources {
            walks.push((source.walk(self.view, self.query, false)?, Vec::new()));
        }
        for _ in 0..=MOST_COLLECTED {
            for (walk, candidates) in &mut walks {
                self.pace.step()?;
                match walk.next()? {
                    Some(candidate) => candidates.push(candidate),
                    None => return Ok(Some(std::mem::take(candidates))),
                }
            }
        }
        Ok(None)
    }

    /// The source with the fewest candidates.
    fn smallest(&self) -> Result<Source> {
        let mut sources = Source::of(self.query, self.pace.shared().seed);
        if sources.len() < 2 {
            return Ok(sources.swap_remove(0));
        }
        let mut walks = Vec::with_capacity(sources.len());
        for source in &sources {
            walks.push(source.walk(self.view, self.query, false)?);
        }
        loop {
            for (index, walk) in walks.iter_mut().enumerate() {
                self.pace.step()?;
                if walk.next()?.is_none() {
                    drop(walks);
                    return Ok(sources.swap_remove(index));
                }
            }
        }
    }

    /// Few candidates in the order of keys: read one after the other until the page is full.
    fn take_by_key(&self, mut candidates: Vec<Candidate>, wanted: usize) -> Result<Vec<Stored>> {
        candidates.sort_unstable_by(|a, b| Name::of_item(&a.key).cmp(&Name::of_item(&b.key)));
        if self.query.order().is_descending() {
            candidates.reverse();
        }
        let mut hits = Vec::new();
        for candidate in candidates {
            self.pace.step()?;
            if self.is_passed(&candidate.key) {
                continue;
            }
            hits.extend(self.check(candidate)?);
            if hits.len() == wanted {
                break;
            }
        }
        Ok(hits)
    }

    /// Few candidates in the order of a time: all are read, then sorted.
    fn take_sorted(&self, candidates: Vec<Candidate>, wanted: usize) -> Result<Vec<Stored>> {
        let mut hits = Vec::new();
        for candidate in candidates {
            self.pace.step()?;
            hits.extend(self.check(candidate)?.filter(|hit| self.query.is_after_cursor(&hit.metadata)));
        }
        hits.sort_unstable_by(|a, b| self.query.compare(&a.metadata, &b.metadata));
        hits.truncate(wanted);
        Ok(hits)
    }

    /// Many candidates: walked in order from the cursor on.
    fn take_in_order(&self, sources: &[Source], wanted: usize) -> Result<Vec<Stored>> {
        let mut hits = Vec::new();
        let Some(source) = sources.first() else { return Ok(hits) };
        let mut walk = source.walk(self.view, self.query, true)?;
        while let Some(candidate) = walk.next()? {
            self.pace.step()?;
            hits.extend(self.check(candidate)?.filter(|hit| self.query.is_after_cursor(&hit.metadata)));
            if hits.len() == wanted {
                break;
            }
        }
        Ok(hits)
    }

    /// Whether a key lies before the cursor, in the order of keys; it spares reading its record.
    fn is_passed(&self, key: &[u8]) -> bool {
        let (Some(position), Some(name)) = (self.query.position(), Name::of_item(key)) else { return false };
        let place = Name { key: &position.key, content_type: &position.content_type };
        if self.query.order().is_descending() { name >= place } else { name <= place }
    }

    /// The candidate's item if it is a hit.
    fn check(&self, candidate: Candidate) -> Result<Option<Stored>> {
        let answer = match candidate.record {
            Some(record) => Ok(Some(record)),
            None => self.view.get(Space::Items, &candidate.key),
        };
        let stored = decode(&candidate.key, answer)?;
        Ok(stored.filter(|stored| self.query.matches(&stored.metadata, self.now)))
    }

    /// The hit with its payload. If a later save took its file away, that save is the hit, if it still is one in this place.
    fn with_payload(&self, engine: &Engine, hit: Stored) -> Result<Option<storage_core::StorageItem>> {
        let metadata = std::sync::Arc::clone(&hit.metadata);
        let key = Name::from(&*metadata).item();
        let item = with_payload(self.pace.shared(), engine, &key, hit, self.now)?;
        Ok(item.filter(|item| {
            self.query.matches(&item.metadata, self.now)
                && self.query.compare(&item.metadata, &metadata).is_eq()
        }))
    }
}
