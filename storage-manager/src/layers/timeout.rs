//! A bound for how long calls take.

use std::time::Duration;

use storage_core::{Answer, ErrorKind, Health, ItemKey, Result, StorageError, StorageProvider};
use tokio::time;

use super::around::{Around, Call, Guard};

/// A layer that ends calls after some time: reads with [`ErrorKind::Timeout`], writes with
/// [`ErrorKind::OutcomeUnknown`], because nobody knows how far they came.
///
/// Providers keep deadlines of their own; this one bounds what stands above them, such as the waiting of a
/// [`Retry`](super::Retry). A batch counts as one call. `close` is not bounded.
///
/// ```
/// use std::time::Duration;
/// use storage_manager::{MemoryConfig, MemoryProvider, StorageProvider, layers::Timeout};
///
/// let provider = Timeout::new(MemoryProvider::new(MemoryConfig::default()), Duration::from_secs(2));
/// assert_eq!(provider.info().name, "memory");
/// ```
pub type Timeout<P> = Around<P, Deadline>;

/// What a [`Timeout`] does around calls.
#[derive(Debug, Clone, Copy)]
pub struct Deadline(Duration);

impl<P: StorageProvider> Timeout<P> {
    /// Gives every call of `provider` this long.
    pub const fn new(provider: P, limit: Duration) -> Self {
        Self::with(provider, Deadline(limit))
    }
}

impl Deadline {
    fn passed(self, call: Call) -> StorageError {
        let kind = if call.reads() { ErrorKind::Timeout } else { ErrorKind::OutcomeUnknown };
        StorageError::new(kind, format!("no answer within {:?}", self.0))
            .with_operation(call.operation.as_str())
    }
}

impl Guard for Deadline {
    async fn one<'a, T: Send + 'a>(
        &'a self,
        call: Call,
        attempt: impl Fn() -> Answer<'a, Result<T>> + Send + Sync + 'a,
    ) -> Result<T> {
        time::timeout(self.0, attempt()).await.unwrap_or_else(|_| Err(self.passed(call)))
    }

    async fn many<'a, T: Send + 'a>(
        &'a self,
        call: Call,
        keys: &'a [ItemKey<'a>],
        attempt: impl Fn(Vec<usize>) -> Answer<'a, Vec<Result<T>>> + Send + Sync + 'a,
    ) -> Vec<Result<T>> {
        let answers = time::timeout(self.0, attempt((0..keys.len()).collect())).await;
        answers.unwrap_or_else(|_| keys.iter().map(|_| Err(self.passed(call))).collect())
    }

    async fn health<'a>(&'a self, health: Answer<'a, Health>) -> Health {
        let late = |_| Health::Unhealthy(format!("no answer within {:?}", self.0));
        time::timeout(self.0, health).await.unwrap_or_else(late)
    }
}
