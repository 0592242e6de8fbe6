//! Answers queries: chooses between looking at what the narrowest index names and walking the order of the answer.

use storage_core::{
    Bytes, CompiledQuery, OrderBy, Result, SearchPage, StorageItem, StorageQuery, StorageResult, TimeRange,
    Timestamp,
};

use crate::{
    candidates::{Narrowed, count_within},
    entries::Prefix,
    index::{content_type_hash, tag_hash},
    shard::Shard,
    store::{Store, yield_now},
    walk::Lanes,
};

/// Shards looked at to choose a way. Items are spread evenly, so that a few speak for all.
const SAMPLE: usize = 8;

/// Other tasks get a turn after this many items: some milliseconds.
const TURN: usize = 16_384;

/// A query on its way through the shards.
#[derive(Debug)]
pub(crate) struct Search {
    pub(crate) query: CompiledQuery,
    /// Under which numbers every hit is posted: its tags and its content type.
    pub(crate) hashes: Vec<u32>,
    /// What the pattern says about the start of the key.
    pub(crate) prefix: Prefix,
    pub(crate) now: Timestamp,
}

impl Search {
    fn new(store: &Store, query: &StorageQuery) -> Result<Self> {
        let query = query.compile()?;
        let tags = query.tags().iter().map(|(name, value)| tag_hash(store.hashes(), name, value));
        let content_type = query.content_type().map(|name| content_type_hash(store.hashes(), name));
        let prefix = Prefix::new(query.literal_prefix());
        Ok(Self { hashes: tags.chain(content_type).collect(), prefix, now: store.now(), query })
    }

    /// Whether `item` is a hit, on this page or another.
    pub(crate) fn matches(&self, item: &StorageItem) -> bool {
        self.query.matches(&item.metadata, self.now)
    }

    /// What the caller gets of a hit.
    pub(crate) fn project(&self, item: &StorageItem) -> StorageItem {
        let data = if self.query.is_metadata_only() { Bytes::new() } else { item.data.clone() };
        StorageItem { data, metadata: item.metadata.clone() }
    }

    /// How many steps a walk along the order of the answer may take, if it promises to fill the page sooner than looking
    /// at every candidate and sorting the hits; `None` if it does not.
    fn walk_within(&self, store: &Store) -> Result<Option<usize>> {
        let (mut candidates, mut walkable) = (0, 0);
        let sample = store.cells().len().min(SAMPLE);
        for cell in store.cells().iter().take(sample) {
            let shard = cell.read_indexes()?;
            candidates += Narrowed::to_fewest(&shard, self).len();
            walkable += self.walkable(&shard);
        }
        // Hits are assumed to lie evenly in the order: one in `walkable / candidates` steps.
        let scale = store.cells().len().div_ceil(sample.max(1));
        let steps =
            (self.query.page_len().saturating_mul(walkable) / candidates.max(1)).min(walkable * scale);
        let every_candidate = candidates * scale;
        Ok((steps < every_candidate).then_some(every_candidate))
    }

    /// Entries of one shard that a walk to the end would meet.
    fn walkable(&self, shard: &Shard) -> usize {
        let (indexes, slots) = (shard.indexes(), shard.slots());
        match self.query.order().by {
            OrderBy::Key => count_within(&indexes.keys, slots, &self.prefix),
            OrderBy::Created => count_within(&indexes.created, slots, &self.query.created()),
            OrderBy::Updated => count_within(&indexes.updated, slots, &self.query.updated()),
        }
    }

    /// Whether the query asks for nothing but a content type, or for everything.
    fn is_plain(&self) -> bool {
        let query = &self.query;
        query.glob().is_none()
            && query.tags().is_empty()
            && [query.created(), query.updated(), query.expires()].into_iter().all(TimeRange::is_unbounded)
    }
}

impl Store {
    /// One page of hits.
    pub(crate) async fn search(&self, query: &StorageQuery) -> Result<SearchPage> {
        let search = Search::new(self, query)?;
        // One more than the page tells whether there is another page.
        let wanted = search.query.page_len().saturating_add(1);
        let walked = match search.walk_within(self)? {
            Some(steps) => self.walk(&search, wanted, steps).await?,
            None => None,
        };
        let mut hits = match walked {
            Some(hits) => hits,
            None => self.gather(&search, wanted).await?,
        };
        let more = hits.len() == wanted;
        hits.truncate(wanted - 1);
        Ok(search.query.page(hits.into_iter().map(StorageResult::hit).collect(), more))
    }

    /// The first `wanted` hits, by following the order through all shards at once; `None` if that takes more than about
    /// `steps`, because the hits do not lie as evenly as was hoped.
    async fn walk(&self, search: &Search, wanted: usize, steps: usize) -> Result<Option<Vec<StorageItem>>> {
        let mut pace = Pace::default();
        let mut lanes = Lanes::new(self, search, wanted);
        let mut hits = Vec::new();
        while hits.len() < wanted {
            while let Some(visited) = lanes.fill()? {
                pace.count(visited).await;
                if pace.total > steps.saturating_add(steps / 2) {
                    return Ok(None);
                }
            }
            let Some(hit) = lanes.next() else { break };
            hits.push(hit);
        }
        Ok(Some(hits))
    }

    /// The first `wanted` hits, by looking at every candidate.
    async fn gather(&self, search: &Search, wanted: usize) -> Result<Vec<StorageItem>> {
        let mut pace = Pace::default();
        let mut hits = Vec::new();
        for cell in self.cells() {
            let candidates = {
                let shard = cell.read_indexes()?;
                let candidates = Narrowed::to_fewest(&shard, search);
                let on_page = |item: &&StorageItem| search.query.is_after_cursor(&item.metadata);
                hits.extend(candidates.hits(search).filter(on_page).map(|item| search.project(item)));
                candidates.len()
            };
            // Trimmed at some pages, so that memory stays bounded and selecting costs little per hit.
            if hits.len() > 4 * wanted {
                keep_first(&mut hits, wanted, search);
            }
            pace.count(candidates).await;
        }
        keep_first(&mut hits, wanted, search);
        hits.sort_unstable_by(|a, b| search.query.compare(&a.metadata, &b.metadata));
        Ok(hits)
    }

    /// The number of hits.
    pub(crate) async fn count(&self, query: &StorageQuery) -> Result<u64> {
        let search = Search::new(self, &query.filters())?;
        if search.is_plain() {
            let usage = self.usage().await?;
            let amount = |name: &str| usage.content_types.get(name).copied().unwrap_or_default();
            return Ok(search.query.content_type().map_or_else(|| usage.total(), amount).items);
        }
        let mut pace = Pace::default();
        let mut count = 0;
        for cell in self.cells() {
            let candidates = {
                let shard = cell.read_indexes()?;
                let candidates = Narrowed::to_fewest(&shard, &search);
                count += candidates.hits(&search).count() as u64;
                candidates.len()
            };
            pace.count(candidates).await;
        }
        Ok(count)
    }
}

/// Keeps the first `count` of `hits`, in no order.
fn keep_first(hits: &mut Vec<StorageItem>, count: usize, search: &Search) {
    if hits.len() > count {
        hits.select_nth_unstable_by(count, |a, b| search.query.compare(&a.metadata, &b.metadata));
        hits.truncate(count);
    }
}

/// Gives other tasks a turn now and then.
#[derive(Debug, Default)]
struct Pace {
    /// Items since the last turn of others.
    visited: usize,
    total: usize,
}

impl Pace {
    async fn count(&mut self, visited: usize) {
        self.visited += visited;
        self.total += visited;
        if self.visited >= TURN {
            self.visited = 0;
            yield_now().await;
        }
    }
}
