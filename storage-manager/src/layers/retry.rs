//! Calls that failed for a passing reason are sent again.

use std::{collections::HashMap, sync::Arc, time::Duration};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use storage_core::{Answer, ItemKey, Result, Retry as Verdict, StorageError, StorageProvider};
use tokio::time::{self, Instant};
use tower::retry::budget::{Budget as _, TpsBudget};

use super::{
    around::{Around, Call, Effect, Guard},
    telemetry::Telemetry,
};
use crate::names;

/// A layer that sends calls again whose failure says that this is safe ([`StorageError::retry`]).
///
/// The waits between attempts grow and are jittered, so that many callers do not come back at once, and all callers share
/// a budget of retries in proportion to their calls, so that an ailing backend is not buried under repetitions. Of a batch,
/// only the parts that failed are sent again.
///
/// A write whose outcome is unknown is sent again only under a condition, which fails if the first attempt was applied.
/// If it then does fail, the caller is told that the outcome is unknown, because nobody can say whose write it met.
///
/// Errors are those of the last attempt. Health is asked once.
///
/// ```
/// use storage_manager::{MemoryConfig, MemoryProvider, StorageProvider, layers::{Retry, RetryConfig}};
///
/// let provider = Retry::new(MemoryProvider::new(MemoryConfig::default()), RetryConfig::default());
/// assert_eq!(provider.info().name, "memory");
/// ```
pub type Retry<P> = Around<P, Retries>;

/// How a [`Retry`] goes about it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RetryConfig {
    /// How often a call is sent in all, at least once. Default: 4.
    pub attempts: usize,
    /// The wait before the second attempt; it doubles with each further one. Default: 20 milliseconds.
    pub min_delay: Duration,
    /// The longest wait. Default: 1 second.
    pub max_delay: Duration,
    /// No attempt begins later than this after the first. How long an attempt may take is the provider's own deadline.
    /// Default: 10 seconds.
    pub deadline: Duration,
    /// How many retries are allowed for each call, on average of the last 10 seconds. Default: 0.2.
    pub budget: f32,
    /// How many retries each second are allowed beside that, for services with few calls. Default: 10.
    pub spare: u32,
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self {
            attempts: 4,
            min_delay: Duration::from_millis(20),
            max_delay: Duration::from_secs(1),
            deadline: Duration::from_secs(10),
            budget: 0.2,
            spare: 10,
        }
    }
}

/// What a [`Retry`] does around calls. Clones share one budget.
#[derive(Debug, Clone)]
pub struct Retries {
    config: RetryConfig,
    budget: Arc<TpsBudget>,
    telemetry: Arc<Telemetry>,
}

impl<P: StorageProvider> Retry<P> {
    /// Sends the calls of `provider` again as `config` says.
    pub fn new(provider: P, config: RetryConfig) -> Self {
        // The budget takes ratios up to 1,000; what is no number allows no retry beyond the spare ones.
        let ratio = if config.budget.is_finite() { config.budget.clamp(0.0, 1_000.0) } else { 0.0 };
        let budget =
            Arc::new(TpsBudget::new(Duration::from_secs(10), config.spare.min(i32::MAX as u32 - 1), ratio));
        let telemetry = Arc::new(Telemetry::of(&provider));
        Self::with(provider, Retries { config, budget, telemetry })
    }
}

impl Retries {
    fn begin(&self, call: Call) -> Attempts<'_> {
        self.budget.deposit();
        let delays = ExponentialBuilder::default()
            .with_jitter()
            .with_min_delay(self.config.min_delay)
            .with_max_delay(self.config.max_delay)
            .with_max_times(self.config.attempts.saturating_sub(1))
            .build();
        Attempts { retries: self, call, delays, until: Instant::now() + self.config.deadline }
    }
}

/// The attempts of one call that are left.
struct Attempts<'a> {
    retries: &'a Retries,
    call: Call,
    delays: ExponentialBackoff,
    until: Instant,
}

impl Attempts<'_> {
    fn may_repeat(&self, error: &StorageError) -> bool {
        match error.retry() {
            Verdict::Never => false,
            Verdict::Safe => true,
            Verdict::OnlyIfIdempotent => self.call.effect != Effect::Writes,
        }
    }

    /// Waits for the next attempt; false if there is none.
    async fn next(&mut self) -> bool {
        let Some(delay) = self.delays.next() else { return false };
        if Instant::now() + delay >= self.until || !self.retries.budget.withdraw() {
            return false;
        }
        time::sleep(delay).await;
        let operation = self.call.operation.as_str();
        self.retries.telemetry.count(names::RETRIES_TOTAL, names::OPERATION, operation);
        true
    }
}

impl Guard for Retries {
    async fn one<'a, T: Send + 'a>(
        &'a self,
        call: Call,
        attempt: impl Fn() -> Answer<'a, Result<T>> + Send + Sync + 'a,
    ) -> Result<T> {
        let mut attempts = self.begin(call);
        let mut unknown: Option<StorageError> = None;
        loop {
            let error = match attempt().await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let again = attempts.may_repeat(&error) && attempts.next().await;
            // Once an outcome is unknown it stays so: a condition that fails now may fail because of our own first attempt.
            let error = unknown.take().unwrap_or(error);
            if !again {
                return Err(error);
            }
            unknown = Some(error).filter(|error| error.retry() == Verdict::OnlyIfIdempotent);
        }
    }

    async fn many<'a, T: Send + 'a>(
        &'a self,
        call: Call,
        keys: &'a [ItemKey<'a>],
        attempt: impl Fn(Vec<usize>) -> Answer<'a, Vec<Result<T>>> + Send + Sync + 'a,
    ) -> Vec<Result<T>> {
        let mut answers: Vec<Option<Result<T>>> = keys.iter().map(|_| None).collect();
        for wave in waves(call, keys) {
            let mut attempts = self.begin(call);
            let mut parts = wave;
            while !parts.is_empty() {
                let mut failed = Vec::new();
                for (part, answer) in parts.iter().zip(attempt(parts.clone()).await) {
                    if answer.as_ref().is_err_and(|error| attempts.may_repeat(error)) {
                        failed.push(*part);
                    }
                    if let Some(place) = answers.get_mut(*part) {
                        *place = Some(answer);
                    }
                }
                if failed.is_empty() || !attempts.next().await {
                    break;
                }
                parts = failed;
            }
        }
        let missing = || Err(super::too_few_answers());
        answers.into_iter().map(|answer| answer.unwrap_or_else(missing)).collect()
    }
}

/// The parts of a batch in the groups they are sent in.
///
/// Writes of one item behave as one after the other. Sent together, a later one could be applied while an earlier one is
/// still to be repeated, so each group writes an item once. Nearly always that is one group.
fn waves(call: Call, keys: &[ItemKey<'_>]) -> Vec<Vec<usize>> {
    if call.reads() {
        return vec![(0..keys.len()).collect()];
    }
    let mut seen: HashMap<ItemKey<'_>, usize> = HashMap::with_capacity(keys.len());
    let mut waves: Vec<Vec<usize>> = Vec::new();
    for (part, key) in keys.iter().enumerate() {
        let times = seen.entry(*key).or_default();
        match waves.get_mut(*times) {
            Some(wave) => wave.push(part),
            None => waves.push(vec![part]),
        }
        *times += 1;
    }
    waves
}
