//! Searches as streams over several providers.

use std::{collections::VecDeque, fmt, pin::Pin, sync::Arc, task};

use futures_core::Stream;
use futures_util::{StreamExt, future::join_all, stream};
use serde::de::DeserializeOwned;
use storage_core::{Bytes, CompiledQuery, ErrorKind, Result, StorageError, StorageQuery, StorageResult};

use crate::{
    Operation,
    dispatch::Dispatch,
    merge::{self, Hits},
    routes::Target,
};

/// The hits of a search as a stream, made by [`UnifiedStorageManager::search`](crate::UnifiedStorageManager::search).
///
/// It asks for nothing before it is polled, and can be dropped at any time.
#[must_use = "a search does nothing until it is polled"]
pub struct SearchResults<T> {
    inner: Pin<Box<dyn Stream<Item = Result<StorageResult<T>>> + Send>>,
}

impl<T> SearchResults<T> {
    /// The next hit or error; `None` behind the last one.
    pub async fn next(&mut self) -> Option<Result<StorageResult<T>>> {
        self.inner.next().await
    }
}

impl SearchResults<Bytes> {
    pub(crate) fn bytes(dispatch: Arc<Dispatch>, query: StorageQuery) -> Self {
        Self { inner: Box::pin(hits(dispatch, query)) }
    }
}

impl<T: DeserializeOwned + Send + 'static> SearchResults<T> {
    pub(crate) fn typed(dispatch: Arc<Dispatch>, query: StorageQuery) -> Self {
        if query.compile().is_ok_and(|query| query.is_metadata_only()) {
            let message = "a typed search cannot ask for metadata only; use search_bytes";
            let error =
                dispatch.refuse(Operation::Search, StorageError::new(ErrorKind::InvalidQuery, message));
            return Self { inner: Box::pin(stream::iter([Err(error)])) };
        }
        let decoder = Arc::clone(&dispatch);
        let typed = hits(dispatch, query).map(move |hit| {
            let StorageResult { item, score, highlights } = hit?;
            let item = decoder.decode(Operation::Search, item)?;
            Ok(StorageResult { item, score, highlights })
        });
        Self { inner: Box::pin(typed) }
    }
}

impl<T> Stream for SearchResults<T> {
    type Item = Result<StorageResult<T>>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
    ) -> task::Poll<Option<Self::Item>> {
        self.inner.as_mut().poll_next(context)
    }
}

impl<T> fmt::Debug for SearchResults<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SearchResults")
    }
}

fn hits(dispatch: Arc<Dispatch>, query: StorageQuery) -> impl Stream<Item = Result<StorageResult>> + Send {
    stream::unfold(State::Start(dispatch, Box::new(query)), step)
}

async fn step(state: State) -> Option<(Result<StorageResult>, State)> {
    let mut search = match state {
        State::Start(dispatch, query) => match Search::begin(dispatch, &query) {
            Ok(search) => search,
            Err(error) => return Some((Err(error), State::End)),
        },
        State::Walking(search) => search,
        State::End => return None,
    };
    let hit = search.next().await?;
    Some((hit, State::Walking(search)))
}

enum State {
    Start(Arc<Dispatch>, Box<StorageQuery>),
    Walking(Box<Search>),
    End,
}

/// A walk over several providers at once.
struct Search {
    dispatch: Arc<Dispatch>,
    compiled: CompiledQuery,
    sources: Vec<Source>,
    hits: Vec<Hits>,
    errors: VecDeque<StorageError>,
    left: u64,
}

/// One provider within the walk.
struct Source {
    target: Target,
    /// The query for its next page.
    query: StorageQuery,
}

impl Search {
    fn begin(dispatch: Arc<Dispatch>, query: &StorageQuery) -> Result<Box<Self>> {
        let operation = Operation::Search;
        let compiled = query.compile().map_err(|error| dispatch.refuse(operation, error))?;
        let targets = dispatch.concerned(operation, query)?;
        // Every provider has more until it said otherwise.
        let hits = targets.iter().map(|_| Hits { ready: VecDeque::new(), more: true }).collect();
        let sources = targets.into_iter().map(|target| Source { target, query: query.clone() }).collect();
        let left = compiled.left();
        Ok(Box::new(Self { dispatch, compiled, sources, hits, errors: VecDeque::new(), left }))
    }

    async fn next(&mut self) -> Option<Result<StorageResult>> {
        loop {
            if let Some(error) = self.errors.pop_front() {
                return Some(Err(error));
            }
            if self.left == 0 {
                return None;
            }
            if let Some(at) = merge::next_of(&self.compiled, &self.hits) {
                self.left -= 1;
                return self.hits.get_mut(at)?.ready.pop_front().map(Ok);
            }
            if !self.refill().await {
                return None;
            }
        }
    }

    /// Asks every provider whose hits ran dry for its next page, all at the same time; `false` if there is none.
    async fn refill(&mut self) -> bool {
        let dispatch = &self.dispatch;
        let dry = self
            .sources
            .iter_mut()
            .zip(&mut self.hits)
            .filter(|(_, hits)| hits.more && hits.ready.is_empty());
        let answers = join_all(dry.map(|(source, hits)| source.refill(dispatch, hits))).await;
        let asked = !answers.is_empty();
        self.errors.extend(answers.into_iter().filter_map(Result::err));
        asked
    }
}

impl Source {
    async fn refill(&mut self, dispatch: &Dispatch, hits: &mut Hits) -> Result<()> {
        // A provider that fails has said its last word.
        hits.more = false;
        let page = dispatch.search_one(&self.target, &self.query).await?;
        hits.ready = page.results.into();
        if let Some(next) = page.next {
            hits.more = true;
            self.query = std::mem::take(&mut self.query).cursor(next);
        }
        Ok(())
    }
}
