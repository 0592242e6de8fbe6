//! What callers enjoy on top of every provider.

use std::{fmt, pin::Pin, task};

use futures_core::Stream;
use futures_util::{TryStreamExt, stream};

use crate::{Result, StorageProvider, StorageQuery, StorageResult};

/// Comforts on top of every [`StorageProvider`], written once.
pub trait StorageProviderExt: StorageProvider {
    /// All hits of `query`, page after page, as a stream.
    ///
    /// One page is in memory at a time. A failure is an item of the stream and the last one: it never ends silently.
    fn search_stream(&self, query: StorageQuery) -> SearchStream<'_> {
        SearchStream { inner: Box::pin(items(self, query)) }
    }
}

impl<P: StorageProvider + ?Sized> StorageProviderExt for P {}

/// The hits of a search, as [`StorageProviderExt::search_stream`] gives them.
pub struct SearchStream<'a> {
    inner: Pin<Box<dyn Stream<Item = Result<StorageResult>> + Send + 'a>>,
}

impl fmt::Debug for SearchStream<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SearchStream")
    }
}

impl Stream for SearchStream<'_> {
    type Item = Result<StorageResult>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
    ) -> task::Poll<Option<Self::Item>> {
        self.inner.as_mut().poll_next(context)
    }
}

fn items<P: StorageProvider + ?Sized>(
    provider: &P,
    query: StorageQuery,
) -> impl Stream<Item = Result<StorageResult>> + Send + '_ {
    let pages = stream::try_unfold(Some(query), move |query| async move {
        let Some(query) = query else { return Ok(None) };
        let page = provider.search(&query).await?;
        let rest = page.next.map(|next| query.cursor(next));
        Ok(Some((page.results, rest)))
    });
    pages.map_ok(|results| stream::iter(results.into_iter().map(Ok))).try_flatten()
}
