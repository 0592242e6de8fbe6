//! Calls of a provider that keeps failing are refused at once.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use parking_lot::{Mutex, MutexGuard};
use storage_core::{Answer, ErrorKind, Health, ItemKey, Result, StorageError, StorageProvider};
use tokio::time::Instant;

use super::{
    around::{Around, Call, Guard},
    telemetry::Telemetry,
};
use crate::names;

/// A layer that stops asking a provider that keeps failing, so that callers are answered at once and the backend can
/// recover.
///
/// *Closed*, all calls pass, and their outcomes are remembered. When too many of the last ones failed, the breaker *opens*:
/// calls are answered [`ErrorKind::Unavailable`] without asking the provider. After a while it is *half open*: a few probes
/// pass, the others are refused; when all probes succeed it closes, when one fails it opens again.
///
/// Failures are [`ErrorKind::Unavailable`], [`ErrorKind::Timeout`] and [`ErrorKind::OutcomeUnknown`]: what says something of
/// the backend. All other answers are successes, errors of the caller's making too. A batch counts as one call, which failed
/// if any part did. A call that is dropped counts as neither. Clones share one breaker.
///
/// ```
/// use storage_manager::{MemoryConfig, MemoryProvider, layers::{CircuitBreaker, CircuitBreakerConfig, CircuitState}};
///
/// let memory = MemoryProvider::new(MemoryConfig::default());
/// let provider = CircuitBreaker::new(memory, CircuitBreakerConfig::default());
/// assert_eq!(provider.state(), CircuitState::Closed);
/// ```
pub type CircuitBreaker<P> = Around<P, Circuit>;

/// When a [`CircuitBreaker`] opens and closes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CircuitBreakerConfig {
    /// How many of the last outcomes are looked at; it opens only when there are as many. Default: 20.
    pub window: usize,
    /// The share of failures among them at which it opens, from 0 to 1. Default: 0.5.
    pub failures: f64,
    /// How long it stays open. Default: 5 seconds.
    pub open: Duration,
    /// How many probes must succeed for it to close; no more are under way at once. Default: 3.
    pub probes: usize,
}

impl Default for CircuitBreakerConfig {
    fn default() -> Self {
        Self { window: 20, failures: 0.5, open: Duration::from_secs(5), probes: 3 }
    }
}

/// Whether the calls of a [`CircuitBreaker`] pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CircuitState {
    /// All calls pass.
    Closed,
    /// A few probes pass.
    HalfOpen,
    /// No call passes.
    Open,
}

/// What a [`CircuitBreaker`] does around calls. Clones share one state.
#[derive(Debug, Clone)]
pub struct Circuit {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: CircuitBreakerConfig,
    telemetry: Telemetry,
    phase: Mutex<Phase>,
}

#[derive(Debug)]
enum Phase {
    Closed { outcomes: VecDeque<bool>, failures: usize },
    Open { until: Instant },
    HalfOpen { under_way: usize, succeeded: usize },
}

impl Phase {
    fn closed() -> Self {
        Self::Closed { outcomes: VecDeque::new(), failures: 0 }
    }

    const fn state(&self) -> CircuitState {
        match self {
            Self::Closed { .. } => CircuitState::Closed,
            Self::HalfOpen { .. } => CircuitState::HalfOpen,
            Self::Open { .. } => CircuitState::Open,
        }
    }
}

impl<P: StorageProvider> CircuitBreaker<P> {
    /// Stops asking `provider` as `config` says.
    pub fn new(provider: P, config: CircuitBreakerConfig) -> Self {
        let phase = Mutex::new(Phase::closed());
        let shared = Shared { config, telemetry: Telemetry::of(&provider), phase };
        Self::with(provider, Circuit { shared: Arc::new(shared) })
    }

    /// Whether calls pass at the moment.
    pub fn state(&self) -> CircuitState {
        self.guard().shared.phase().state()
    }
}

impl Shared {
    fn phase(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock()
    }

    /// Lets a call pass, or says until when none does.
    fn enter(&self, call: Call) -> Result<Passage<'_>> {
        let mut phase = self.phase();
        if let Phase::Open { until } = *phase
            && Instant::now() >= until
        {
            self.change(&mut phase, Phase::HalfOpen { under_way: 0, succeeded: 0 });
        }
        match &mut *phase {
            Phase::Closed { .. } => Ok(Passage { shared: self, probe: false, failed: None }),
            Phase::HalfOpen { under_way, succeeded }
                if *under_way + *succeeded < self.config.probes.max(1) =>
            {
                *under_way += 1;
                Ok(Passage { shared: self, probe: true, failed: None })
            }
            Phase::HalfOpen { .. } | Phase::Open { .. } => Err(self.refused(call)),
        }
    }

    fn refused(&self, call: Call) -> StorageError {
        self.telemetry.count(names::REJECTIONS_TOTAL, names::LAYER, "circuit_breaker");
        let message = "the provider failed too often of late; it is not asked for a while";
        StorageError::new(ErrorKind::Unavailable, message).with_operation(call.operation.as_str())
    }

    fn change(&self, phase: &mut Phase, next: Phase) {
        *phase = next;
        let state = match phase.state() {
            CircuitState::Closed => 0.0,
            CircuitState::HalfOpen => 1.0,
            CircuitState::Open => 2.0,
        };
        self.telemetry.set(names::CIRCUIT_STATE, state);
    }

    fn open(&self, phase: &mut Phase) {
        self.change(phase, Phase::Open { until: Instant::now() + self.config.open });
    }

    /// Counts an outcome of the closed breaker.
    fn count(&self, failed: bool) {
        let mut phase = self.phase();
        let Phase::Closed { outcomes, failures } = &mut *phase else { return };
        let window = self.config.window.max(1);
        outcomes.push_back(failed);
        *failures += usize::from(failed);
        while outcomes.len() > window {
            *failures -= usize::from(outcomes.pop_front() == Some(true));
        }
        let too_many = *failures > 0 && *failures as f64 >= self.config.failures * window as f64;
        if outcomes.len() == window && too_many {
            self.open(&mut phase);
        }
    }

    /// Counts the end of a probe: `None` if it was dropped before its answer.
    fn count_probe(&self, failed: Option<bool>) {
        let mut phase = self.phase();
        // A breaker that another probe opened in the meantime stays open.
        let Phase::HalfOpen { under_way, succeeded } = &mut *phase else { return };
        *under_way = under_way.saturating_sub(1);
        match failed {
            None => {}
            Some(true) => self.open(&mut phase),
            Some(false) => {
                *succeeded += 1;
                if *succeeded >= self.config.probes.max(1) {
                    self.change(&mut phase, Phase::closed());
                }
            }
        }
    }
}

/// A call that passed. Dropped without an outcome, it only gives its place among the probes back.
struct Passage<'a> {
    shared: &'a Shared,
    probe: bool,
    failed: Option<bool>,
}

impl Passage<'_> {
    fn ended(mut self, failed: bool) {
        self.failed = Some(failed);
    }
}

impl Drop for Passage<'_> {
    fn drop(&mut self) {
        match self.failed {
            failed if self.probe => self.shared.count_probe(failed),
            Some(failed) => self.shared.count(failed),
            None => {}
        }
    }
}

impl Guard for Circuit {
    async fn one<'a, T: Send + 'a>(
        &'a self,
        call: Call,
        attempt: impl Fn() -> Answer<'a, Result<T>> + Send + Sync + 'a,
    ) -> Result<T> {
        let passage = self.shared.enter(call)?;
        let answer = attempt().await;
        passage.ended(is_failure(&answer));
        answer
    }

    async fn many<'a, T: Send + 'a>(
        &'a self,
        call: Call,
        keys: &'a [ItemKey<'a>],
        attempt: impl Fn(Vec<usize>) -> Answer<'a, Vec<Result<T>>> + Send + Sync + 'a,
    ) -> Vec<Result<T>> {
        let passage = match self.shared.enter(call) {
            Ok(passage) => passage,
            Err(_) => return keys.iter().map(|_| Err(self.shared.refused(call))).collect(),
        };
        let answers = attempt((0..keys.len()).collect()).await;
        passage.ended(answers.iter().any(is_failure));
        answers
    }

    async fn health<'a>(&'a self, health: Answer<'a, Health>) -> Health {
        match (health.await, self.shared.phase().state()) {
            (Health::Healthy, CircuitState::Open | CircuitState::HalfOpen) => {
                Health::Degraded("the circuit breaker refuses calls after too many failures".to_owned())
            }
            (health, _) => health,
        }
    }
}

fn is_failure<T>(answer: &Result<T>) -> bool {
    answer.as_ref().is_err_and(|error| {
        matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::OutcomeUnknown)
    })
}
