//! Answers queries from the indexes of all buckets.
//!
//! A query is answered in one of two ways. *Walking* follows a section of the index that has the order of the answer, in all
//! buckets at once, until the page is full. *Gathering* looks at everything that the narrowest section names and keeps the
//! first hits. The [`plan`] chooses by the number of entries each way would read. Whatever an index says, a hit is what its
//! record says.

mod candidate;
mod fetch;
mod gather;
mod lanes;
mod plan;
mod tally;
mod walk;

use std::{collections::BTreeSet, sync::Arc};

use futures_util::{
    FutureExt,
    future::{BoxFuture, try_join},
};
use storage_core::{
    CompiledQuery, ErrorKind, Result, SearchPage, StorageError, StorageItem, StorageQuery, StorageResult,
    Timestamp,
};
use tokio::time::Instant;

use crate::{
    error::failure,
    index, reply, scripts,
    store::Store,
    wire::{Access, Call},
};
use plan::Way;

pub(crate) use tally::{count, usage};

/// One search on its way.
#[derive(Debug)]
struct Search<'a> {
    store: &'a Store,
    query: CompiledQuery,
    now: Timestamp,
    /// When all of it must have ended; `None` if that holds for each step.
    deadline: Option<Instant>,
}

/// A content type in a bucket: entries of one content type lie together.
#[derive(Debug, Clone)]
struct Part {
    bucket: usize,
    content_type: Arc<str>,
}

/// The hits of a page, and whether there are more behind them.
#[derive(Debug)]
struct Hits {
    items: Vec<StorageItem>,
    more: bool,
}

/// Why a search stopped.
#[derive(Debug)]
enum Stop {
    /// The index of this bucket is not marked as whole.
    Unmarked(usize),
    Failed(StorageError),
}

impl From<StorageError> for Stop {
    fn from(error: StorageError) -> Self {
        Self::Failed(error)
    }
}

/// What the deadline of an operation holds for.
#[derive(Debug, Clone, Copy)]
enum Pace {
    /// The whole search.
    Whole,
    /// Each of its steps, because it takes as long as there are items.
    Steps,
}

type Outcome<T> = std::result::Result<T, Stop>;

/// Times a search begins again because the store was flushed or created anew meanwhile.
const ROUNDS: usize = 4;

/// Most content types that a search takes to be all there are, before it has asked.
const MOST_GUESSED: usize = 8;

/// Runs `search`, and once more if the store was flushed or created anew meanwhile.
async fn examined<'a, T>(
    store: &'a Store,
    query: &StorageQuery,
    pace: Pace,
    search: impl for<'s> Fn(&'s Search<'a>) -> BoxFuture<'s, Outcome<T>>,
) -> Result<T> {
    if !store.config.indexing {
        return Err(failure(
            ErrorKind::Unsupported,
            "the store was created without indexing and has no search",
        ));
    }
    let query = query.compile()?;
    let deadline = matches!(pace, Pace::Whole).then(|| store.deadline());
    for _ in 0..ROUNDS {
        let attempt = Search { store, query: query.clone(), now: store.now(), deadline };
        match search(&attempt).await {
            Ok(answer) => return Ok(answer),
            Err(Stop::Failed(error)) => return Err(error),
            Err(Stop::Unmarked(bucket)) => store.examine(bucket, attempt.deadline()).await?,
        }
    }
    Err(failure(ErrorKind::Unavailable, "the store was flushed again and again during the search"))
}

/// One page of hits.
pub(crate) async fn page(store: &Store, query: &StorageQuery) -> Result<SearchPage> {
    examined(store, query, Pace::Whole, |search| search.page().boxed()).await
}

impl Search<'_> {
    /// When the step that starts now must have ended.
    fn deadline(&self) -> Instant {
        self.deadline.unwrap_or_else(|| self.store.deadline())
    }

    async fn page(&self) -> Outcome<SearchPage> {
        let most = self.query.page_len();
        if most == 0 {
            return Ok(self.query.page(Vec::new(), false));
        }
        let types = self.store.types.load_full();
        if self.query.content_type().is_none() && (1..=MOST_GUESSED).contains(&types.len()) {
            // Most often no content type has come meanwhile: that is asked in the same round trip as the first entries.
            let guessed = self.page_of(self.parts_of(&types), most);
            if let (true, page) = try_join(self.are_all(&types), guessed).await? {
                return Ok(page);
            }
        }
        self.page_of(self.parts().await?, most).await
    }

    async fn page_of(&self, parts: Vec<Part>, most: usize) -> Outcome<SearchPage> {
        let plan = self.plan(&parts, most.saturating_add(1)).await?;
        let walked = match &plan.way {
            Way::Walk(section) => self.walk(&parts, section, &plan, most).await?,
            Way::Gather => None,
        };
        let Hits { items, more } = match walked {
            Some(hits) => hits,
            None => self.gather(&parts, &plan.narrowest, most).await?,
        };
        Ok(self.query.page(items.into_iter().map(StorageResult::hit).collect(), more))
    }

    /// Every bucket with each of these content types.
    fn parts_of(&self, types: &[Arc<str>]) -> Vec<Part> {
        let buckets = 0..self.store.layout.buckets.len();
        let parts_in = |bucket| {
            types.iter().map(move |content_type| Part { bucket, content_type: Arc::clone(content_type) })
        };
        buckets.flat_map(parts_in).collect()
    }

    /// Whether there are no other content types than these, which are in order.
    async fn are_all(&self, types: &[Arc<str>]) -> Outcome<bool> {
        let gaps = index::gaps_between_types(types);
        let calls = self.store.layout.buckets.iter().flat_map(|bucket| {
            gaps.iter().map(|gap| {
                let call = Call::read(bucket.slot, "ZRANGE").key(&bucket.index).arg(&gap.min).arg(&gap.max);
                call.arg("BYLEX").arg("LIMIT").arg("0").arg("1")
            })
        });
        for answer in self.store.wire.call_all(calls.collect(), self.deadline()).await {
            if !reply::list(answer?)?.is_empty() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The content types of all buckets that the query may find something in.
    async fn parts(&self) -> Outcome<Vec<Part>> {
        if let Some(content_type) = self.query.content_type() {
            return Ok(self.parts_of(&[content_type.into()]));
        }
        let buckets = 0..self.store.layout.buckets.len();
        let parts = self.find_parts(buckets.map(|bucket| (bucket, String::new())).collect()).await?;
        let types: BTreeSet<_> = parts.iter().map(|part| Arc::clone(&part.content_type)).collect();
        self.store.types.store(Arc::new(types.into_iter().collect()));
        Ok(parts)
    }

    /// Asks the buckets for their content types, each for those behind the one given.
    async fn find_parts(&self, mut asked: Vec<(usize, String)>) -> Outcome<Vec<Part>> {
        // Content types asked for in one script, which takes some microseconds for each.
        const MOST: usize = 128;
        let (marker, mut parts) = (self.store.marker(), Vec::new());
        while !asked.is_empty() {
            let calls = asked.iter().filter_map(|(number, after)| {
                let bucket = self.store.layout.buckets.get(*number)?;
                let call = Call::script(bucket.slot, &scripts::TYPES, Access::Read).key(&bucket.index);
                Some(call.arg(marker).arg(after).arg(MOST.to_string()))
            });
            let answers = self.store.wire.call_all(calls.collect(), self.deadline()).await;
            let mut again = Vec::new();
            for ((bucket, _), answer) in asked.into_iter().zip(answers) {
                let found = reply::optional_list(answer?)?.ok_or(Stop::Unmarked(bucket))?;
                let full = found.len() == MOST;
                let names: Vec<Arc<str>> =
                    found.iter().filter_map(|name| std::str::from_utf8(name).ok()).map(Arc::from).collect();
                if let Some(last) = names.last().filter(|_| full) {
                    again.push((bucket, last.to_string()));
                }
                parts.extend(names.into_iter().map(|content_type| Part { bucket, content_type }));
            }
            asked = again;
        }
        Ok(parts)
    }
}
