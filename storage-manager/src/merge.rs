//! One order out of the answers of several providers.

use std::{cmp::Ordering, collections::VecDeque};

use storage_core::{CompiledQuery, SearchPage, StorageResult};

/// The hits of one provider that were not given out yet, in order.
#[derive(Debug, Default)]
pub(crate) struct Hits {
    pub(crate) ready: VecDeque<StorageResult>,
    /// Whether the provider has more behind these.
    pub(crate) more: bool,
}

/// Which of these holds the next hit; `None` if one that has more ran dry and must be refilled first, or all are empty.
pub(crate) fn next_of<'a>(query: &CompiledQuery, hits: impl IntoIterator<Item = &'a Hits>) -> Option<usize> {
    let mut best: Option<(usize, &StorageResult)> = None;
    for (at, hits) in hits.into_iter().enumerate() {
        match hits.ready.front() {
            // Any hit could come after one that is not known yet.
            None if hits.more => return None,
            None => {}
            Some(hit) if best.is_none_or(|(_, first)| compare(query, hit, first).is_lt()) => {
                best = Some((at, hit));
            }
            Some(_) => {}
        }
    }
    best.map(|(at, _)| at)
}

/// The page of several providers, each of which answered the same query with the same cursor.
pub(crate) fn pages(query: &CompiledQuery, pages: Vec<SearchPage>) -> SearchPage {
    let mut hits: Vec<_> = pages
        .into_iter()
        .map(|page| Hits { ready: page.results.into(), more: page.next.is_some() })
        .collect();
    let wanted = query.page_len();
    let mut results: Vec<StorageResult> = Vec::new();
    while results.len() < wanted
        && let Some(at) = next_of(query, &hits)
        && let Some(hit) = hits.get_mut(at).and_then(|hits| hits.ready.pop_front())
    {
        // An item that lies in two providers has one place in the order, and a cursor points behind that place. Both
        // copies must be on one page, or the second would be on none.
        let is_twin =
            |other: &&mut Hits| other.ready.front().is_some_and(|other| compare(query, &hit, other).is_eq());
        let twins = hits.iter_mut().filter(is_twin).filter_map(|hits| hits.ready.pop_front());
        let twins: Vec<_> = twins.collect();
        results.push(hit);
        results.extend(twins);
    }
    let more = hits.iter().any(|hits| hits.more || !hits.ready.is_empty());
    query.page(results, more)
}

fn compare(query: &CompiledQuery, a: &StorageResult, b: &StorageResult) -> Ordering {
    query.compare(&a.item.metadata, &b.item.metadata)
}
