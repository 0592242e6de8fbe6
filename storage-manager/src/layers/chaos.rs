//! Faults and delays on purpose.

use std::{sync::Arc, time::Duration};

use fastrand::Rng;
use parking_lot::Mutex;
use storage_core::{Answer, ErrorKind, ItemKey, Result, StorageError, StorageProvider};
use tokio::time;

use super::around::{Around, Call, Guard};

/// A layer for tests that makes calls slow, fail before they reach the provider, or lose their answers.
///
/// The same seed gives the same decisions for the same order of calls, so that a failure can be replayed. A batch is decided
/// part by part for failures and lost answers, and as a whole for delays. Clones share one sequence.
///
/// ```
/// use storage_manager::{ErrorKind, ItemKey, MemoryConfig, MemoryProvider, StorageProvider, layers::{Chaos, ChaosConfig}};
///
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let config = ChaosConfig { seed: 7, failures: 1.0, ..ChaosConfig::default() };
/// let provider = Chaos::new(MemoryProvider::new(MemoryConfig::default()), config);
/// let error = provider.load(ItemKey::new("note", "a")?).await.unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Unavailable);
/// # Ok::<(), storage_manager::StorageError>(())
/// # }).unwrap();
/// ```
pub type Chaos<P> = Around<P, Mischief>;

/// What a [`Chaos`] does to calls. Shares are between 0 and 1.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ChaosConfig {
    /// Where the sequence of decisions begins.
    pub seed: u64,
    /// The share of calls that end in [`ErrorKind::Unavailable`] and never reach the provider.
    pub failures: f64,
    /// The share of writes that are applied and whose answer is replaced by [`ErrorKind::OutcomeUnknown`].
    pub lost_answers: f64,
    /// The share of calls that are delayed.
    pub delays: f64,
    /// The longest delay; shorter ones are as likely.
    pub longest_delay: Duration,
}

/// What a [`Chaos`] does around calls.
#[derive(Debug, Clone)]
pub struct Mischief {
    config: ChaosConfig,
    random: Arc<Mutex<Rng>>,
}

impl<P: StorageProvider> Chaos<P> {
    /// Troubles the calls of `provider`.
    pub fn new(provider: P, config: ChaosConfig) -> Self {
        let random = Arc::new(Mutex::new(Rng::with_seed(config.seed)));
        Self::with(provider, Mischief { config, random })
    }
}

impl Mischief {
    fn happens(&self, share: f64) -> bool {
        share > 0.0 && self.random.lock().f64() < share
    }

    async fn delay(&self) {
        if self.happens(self.config.delays) {
            let part = self.random.lock().f64();
            time::sleep(self.config.longest_delay.mul_f64(part)).await;
        }
    }

    fn failure(&self, call: Call) -> Option<StorageError> {
        self.happens(self.config.failures).then(|| {
            StorageError::new(ErrorKind::Unavailable, "chaos: the call was not sent")
                .with_operation(call.operation.as_str())
        })
    }

    fn lost<T>(&self, call: Call, answer: Result<T>) -> Result<T> {
        if call.reads() || !self.happens(self.config.lost_answers) {
            return answer;
        }
        Err(StorageError::new(ErrorKind::OutcomeUnknown, "chaos: the answer was lost")
            .with_operation(call.operation.as_str()))
    }
}

impl Guard for Mischief {
    async fn one<'a, T: Send + 'a>(
        &'a self,
        call: Call,
        attempt: impl Fn() -> Answer<'a, Result<T>> + Send + Sync + 'a,
    ) -> Result<T> {
        self.delay().await;
        match self.failure(call) {
            Some(error) => Err(error),
            None => self.lost(call, attempt().await),
        }
    }

    async fn many<'a, T: Send + 'a>(
        &'a self,
        call: Call,
        keys: &'a [ItemKey<'a>],
        attempt: impl Fn(Vec<usize>) -> Answer<'a, Vec<Result<T>>> + Send + Sync + 'a,
    ) -> Vec<Result<T>> {
        self.delay().await;
        let failures: Vec<_> = keys.iter().map(|_| self.failure(call)).collect();
        let sent = failures.iter().enumerate().filter(|(_, failure)| failure.is_none()).map(|(part, _)| part);
        let mut answers = attempt(sent.collect()).await.into_iter();
        let mut next = || {
            let missing =
                || Err(StorageError::new(ErrorKind::Internal, "the provider answered too few parts"));
            answers.next().unwrap_or_else(missing)
        };
        failures.into_iter().map(|failure| failure.map_or_else(|| self.lost(call, next()), Err)).collect()
    }
}
