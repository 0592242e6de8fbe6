//! The items of one shard that can match a query, found by its narrowest index.

use storage_core::{StorageItem, TimeRange};

use crate::{
    entries::{Ranged, within},
    runs::Runs,
    search::Search,
    shard::Shard,
    slots::Slots,
};

/// Below this many candidates, looking at them costs less than narrowing them further.
const FEW: usize = 8;

/// The narrowest way into a shard.
#[derive(Debug, Clone, Copy)]
enum Source {
    All,
    /// Place of the number among those of the query.
    Posted(u32),
    Created,
    Updated,
    Deadlines,
    Prefix,
}

/// Candidates of one shard.
#[derive(Debug)]
pub(crate) struct Narrowed<'a> {
    shard: &'a Shard,
    source: Source,
    len: usize,
}

impl<'a> Narrowed<'a> {
    /// The smallest set of candidates that one index can name.
    pub(crate) fn to_fewest(shard: &'a Shard, search: &Search) -> Self {
        let (query, indexes, slots) = (&search.query, shard.indexes(), shard.slots());
        let bounded = |range: TimeRange| (!range.is_unbounded()).then_some(range);
        let postings = search
            .hashes
            .iter()
            .map(|hash| (count_within(&indexes.postings, slots, hash), Source::Posted(*hash)));
        let created = bounded(query.created())
            .map(|range| (count_within(&indexes.created, slots, &range), Source::Created));
        let updated = bounded(query.updated())
            .map(|range| (count_within(&indexes.updated, slots, &range), Source::Updated));
        let expires = bounded(query.expires())
            .map(|range| (count_within(&indexes.deadlines, slots, &range), Source::Deadlines));
        let prefix = (!search.prefix.is_empty())
            .then(|| (count_within(&indexes.keys, slots, &search.prefix), Source::Prefix));
        let (len, source) = postings
            .chain(created)
            .chain(updated)
            .chain(expires)
            .chain(prefix)
            .min_by_key(|(len, _)| *len)
            .unwrap_or((slots.len(), Source::All));
        Self { shard, source, len }
    }

    /// How many candidates there are, those that are out of date included.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// The candidates that match.
    pub(crate) fn hits(&self, search: &'a Search) -> impl Iterator<Item = &'a StorageItem> + use<'a> {
        let slots = self.shard.slots();
        self.numbers(search)
            .into_iter()
            .filter_map(|slot| slots.item(slot))
            .filter(|item| search.matches(item))
    }

    /// The slots of the candidates, each once.
    fn numbers(&self, search: &Search) -> Vec<u32> {
        let (query, indexes, slots) = (&search.query, self.shard.indexes(), self.shard.slots());
        let mut numbers = match self.source {
            Source::All => return (0..slots.len() as u32).collect(),
            Source::Posted(hash) => {
                self.narrow(numbers_within(&indexes.postings, slots, &hash), hash, search)
            }
            Source::Created => numbers_within(&indexes.created, slots, &query.created()),
            Source::Updated => numbers_within(&indexes.updated, slots, &query.updated()),
            Source::Deadlines => numbers_within(&indexes.deadlines, slots, &query.expires()),
            Source::Prefix => numbers_within(&indexes.keys, slots, &search.prefix),
        };
        // An item that got a value back which it had before is named twice.
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }

    /// Drops those that are not posted under the other numbers of the query.
    fn narrow(&self, mut numbers: Vec<u32>, by: u32, search: &Search) -> Vec<u32> {
        for hash in search.hashes.iter().filter(|hash| **hash != by) {
            if numbers.len() <= FEW {
                break;
            }
            let postings: Vec<_> = within(&self.shard.indexes().postings, self.shard.slots(), hash)
                .filter(|run| !run.is_empty())
                .collect();
            numbers.retain(|number| {
                postings.iter().any(|run| run.binary_search_by_key(number, Ranged::slot).is_ok())
            });
        }
        numbers
    }
}

/// Number of entries in `range`.
pub(crate) fn count_within<E: Ranged>(runs: &Runs<E>, slots: &Slots, range: &E::Range) -> usize {
    within(runs, slots, range).map(<[E]>::len).sum()
}

fn numbers_within<E: Ranged>(runs: &Runs<E>, slots: &Slots, range: &E::Range) -> Vec<u32> {
    within(runs, slots, range).flatten().map(Ranged::slot).collect()
}
