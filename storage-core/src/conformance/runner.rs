//! Runs a check: on a fresh store, in a runtime of its own, under a deadline.

use std::{
    any::Any,
    fmt,
    future::Future,
    sync::{Arc, OnceLock},
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};
use tokio::runtime::{Builder, Runtime};

use super::{
    CHECKS, Setup,
    checks::capabilities,
    fixture::{Factory, Fixture, IntoStore},
};
use crate::Capabilities;

/// What a check needs a provider to offer. Without it, the check demands that the provider says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(non_camel_case_types, reason = "the names stand in the list of checks as they do in `Capabilities`")]
pub enum Need {
    /// [`Capabilities::conditions`].
    conditions,
    /// [`Capabilities::tags`].
    tags,
    /// [`Capabilities::search`].
    search,
    /// [`Capabilities::durable`].
    durable,
    /// [`Capabilities::metadata`].
    metadata,
}

impl Need {
    const fn is_met_by(self, capabilities: &Capabilities) -> bool {
        match self {
            Self::conditions => capabilities.conditions,
            Self::tags => capabilities.tags,
            Self::search => capabilities.search,
            Self::durable => capabilities.durable,
            Self::metadata => capabilities.metadata,
        }
    }
}

/// One check of the suite: a promise in a sentence, and the function that holds a provider to it.
#[derive(Clone, Copy)]
pub struct Check {
    /// The chapter of the contract.
    pub module: &'static str,
    /// The promise.
    pub name: &'static str,
    /// What the provider must offer for it.
    pub needs: &'static [Need],
    pub(super) run: for<'a> fn(&'a Fixture) -> BoxFuture<'a, ()>,
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}::{}", self.module, self.name)
    }
}

/// The suite over one provider.
pub struct Suite {
    factory: Factory,
    real_clock: bool,
    deadline: Duration,
    capabilities: OnceLock<Capabilities>,
}

impl fmt::Debug for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Suite").field("real_clock", &self.real_clock).finish_non_exhaustive()
    }
}

/// A check that takes longer hangs.
const DEADLINE: Duration = Duration::from_secs(180);
/// The first unit of time on the real clock; each repetition of a check that came too late takes four times as long.
const REAL_UNIT: Duration = Duration::from_millis(50);
const REPETITIONS: u32 = 4;

enum Outcome {
    Passed,
    Late,
    Failed(String),
}

impl Suite {
    /// The suite on a manual clock, over the providers that `factory` makes.
    pub fn new<F, A>(factory: F) -> Self
    where
        F: Fn(Setup) -> A + Send + Sync + 'static,
        A: Future<Output: IntoStore> + Send + 'static,
    {
        let factory: Factory = Arc::new(move |setup| factory(setup).map(IntoStore::into_store).boxed());
        Self { factory, real_clock: false, deadline: DEADLINE, capabilities: OnceLock::new() }
    }

    /// The same suite on the real clock.
    #[must_use]
    pub fn real_clock(mut self) -> Self {
        self.real_clock = true;
        self
    }

    /// Takes a check to hang after `deadline`, instead of three minutes.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Runs the check `name` of `module` and panics with a report if it fails.
    pub fn run(&self, module: &str, name: &str) {
        let check = CHECKS.iter().find(|check| (check.module, check.name) == (module, name));
        let check = check.unwrap_or_else(|| panic!("there is no check {module}::{name}"));
        if let Err(report) = self.try_run(check) {
            panic!("{report}");
        }
    }

    /// Runs `check`.
    ///
    /// # Errors
    /// The report of its failure.
    pub fn try_run(&self, check: &Check) -> Result<(), String> {
        let mut unit = self.real_clock.then_some(REAL_UNIT);
        for _ in 0..=REPETITIONS {
            match self.attempt(check, unit) {
                Outcome::Passed => return Ok(()),
                Outcome::Failed(report) => return Err(format!("{check:?} failed: {report}")),
                Outcome::Late => unit = unit.map(|unit| unit * 4),
            }
        }
        Err(format!("{check:?} found this machine too slow, even with deadlines of {unit:?}"))
    }

    fn attempt(&self, check: &Check, unit: Option<Duration>) -> Outcome {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime can be built");
        let fixture = Arc::new(Fixture::new(Arc::clone(&self.factory), unit));
        let outcome = self.watch(&runtime, check, &fixture);
        // What hangs in the provider must not hang the report.
        runtime.shutdown_timeout(Duration::from_secs(5));
        match outcome {
            Ok(()) => Outcome::Passed,
            Err(_) if fixture.was_late() => Outcome::Late,
            Err(report) => Outcome::Failed(match fixture.drawn_seed() {
                Some(seed) => format!("{report}\nreplay it with CONFORMANCE_SEED={seed}"),
                None => report,
            }),
        }
    }

    fn watch(&self, runtime: &Runtime, check: &Check, fixture: &Arc<Fixture>) -> Result<(), String> {
        let task =
            runtime.spawn(perform(*check, Arc::clone(fixture), self.known_capabilities(runtime, check)?));
        match runtime.block_on(async { tokio::time::timeout(self.deadline, task).await }) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(message_of(error.into_panic().as_ref())),
            Err(_) => Err(format!("it hangs: no end after {:?}", self.deadline)),
        }
    }

    /// What the provider offers: asked once, and only if a check depends on it.
    fn known_capabilities(&self, runtime: &Runtime, check: &Check) -> Result<Option<Capabilities>, String> {
        if check.needs.is_empty() {
            return Ok(None);
        }
        if let Some(known) = self.capabilities.get() {
            return Ok(Some(*known));
        }
        let fixture = Fixture::new(Arc::clone(&self.factory), None);
        let store = runtime
            .block_on(async { tokio::time::timeout(self.deadline, fixture.try_open()).await })
            .map_err(|_| "the factory hangs".to_owned())?
            .map_err(|error| format!("the factory could not open the provider: {error:?}"))?;
        let capabilities = store.info().capabilities;
        runtime
            .block_on(async { tokio::time::timeout(self.deadline, fixture.close_all()).await })
            .map_err(|_| "close hangs".to_owned())?;
        Ok(Some(*self.capabilities.get_or_init(|| capabilities)))
    }
}

async fn perform(check: Check, fixture: Arc<Fixture>, capabilities: Option<Capabilities>) {
    let lacking = capabilities
        .and_then(|capabilities| check.needs.iter().copied().find(|need| !need.is_met_by(&capabilities)));
    match lacking {
        None => (check.run)(&fixture).await,
        Some(need) => capabilities::what_is_lacking_is_said(&fixture, need).await,
    }
    fixture.close_all().await;
}

fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked").to_owned()
}
