//! A bound for how many calls are under way.

use std::{sync::Arc, time::Duration};

use storage_core::{Answer, ErrorKind, ItemKey, Result, StorageError, StorageProvider};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time,
};

use super::{
    around::{Around, Call, Guard},
    telemetry::Telemetry,
};
use crate::names;

/// A layer that lets only so many calls through at once: a bulkhead that keeps one slow backend from taking all memory
/// and connections of a service.
///
/// Calls beyond the limit wait in line; whoever waits too long is answered [`ErrorKind::RateLimited`], and nothing was
/// sent. A batch counts as one call. Cleanup and questions for health pass without waiting, so that an overloaded store can
/// still be tidied and watched. Clones share one limit.
///
/// ```
/// use std::time::Duration;
/// use storage_manager::{MemoryConfig, MemoryProvider, StorageProvider, layers::ConcurrencyLimit};
///
/// let memory = MemoryProvider::new(MemoryConfig::default());
/// let provider = ConcurrencyLimit::new(memory, 64, Duration::from_millis(100));
/// assert_eq!(provider.info().name, "memory");
/// ```
pub type ConcurrencyLimit<P> = Around<P, Bulkhead>;

/// What a [`ConcurrencyLimit`] does around calls.
#[derive(Debug, Clone)]
pub struct Bulkhead {
    places: Arc<Semaphore>,
    patience: Duration,
    telemetry: Arc<Telemetry>,
}

impl<P: StorageProvider> ConcurrencyLimit<P> {
    /// Lets `limit` calls of `provider` run at once (at least one), and others wait for `patience`.
    pub fn new(provider: P, limit: usize, patience: Duration) -> Self {
        let places = Arc::new(Semaphore::new(limit.clamp(1, Semaphore::MAX_PERMITS)));
        let telemetry = Arc::new(Telemetry::of(&provider));
        Self::with(provider, Bulkhead { places, patience, telemetry })
    }
}

impl Bulkhead {
    async fn place(&self, call: Call) -> Result<Option<SemaphorePermit<'_>>> {
        if matches!(call.operation, crate::Operation::Cleanup) {
            return Ok(None);
        }
        match time::timeout(self.patience, self.places.acquire()).await {
            Ok(place) => place.map(Some).map_err(|_| self.refused(call)),
            Err(_) => Err(self.refused(call)),
        }
    }

    fn refused(&self, call: Call) -> StorageError {
        self.telemetry.count(names::REJECTIONS_TOTAL, names::LAYER, "concurrency_limit");
        let message = format!("too many calls are under way; none ended within {:?}", self.patience);
        StorageError::new(ErrorKind::RateLimited, message).with_operation(call.operation.as_str())
    }
}

impl Guard for Bulkhead {
    async fn one<'a, T: Send + 'a>(
        &'a self,
        call: Call,
        attempt: impl Fn() -> Answer<'a, Result<T>> + Send + Sync + 'a,
    ) -> Result<T> {
        let _place = self.place(call).await?;
        attempt().await
    }

    async fn many<'a, T: Send + 'a>(
        &'a self,
        call: Call,
        keys: &'a [ItemKey<'a>],
        attempt: impl Fn(Vec<usize>) -> Answer<'a, Vec<Result<T>>> + Send + Sync + 'a,
    ) -> Vec<Result<T>> {
        match self.place(call).await {
            Ok(_place) => attempt((0..keys.len()).collect()).await,
            // Each part is counted and told by itself, as its caller sees it.
            Err(_) => keys.iter().map(|_| Err(self.refused(call))).collect(),
        }
    }
}
