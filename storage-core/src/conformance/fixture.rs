//! What a check gets: a factory of stores over one directory, and a clock.

use std::{
    env, fmt,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use tempfile::TempDir;

use crate::{Clock, ManualClock, Result, SharedClock, StorageProvider, SystemClock, Timestamp};

/// A provider under test.
pub type Store = Arc<dyn StorageProvider>;

/// Opens the provider under test.
pub(super) type Factory = Arc<dyn Fn(Setup) -> BoxFuture<'static, Result<Store>> + Send + Sync>;

/// What a factory answers: a provider, or a `Result` of one.
pub trait IntoStore {
    /// The provider, ready for the suite.
    ///
    /// # Errors
    /// The error of the factory.
    fn into_store(self) -> Result<Store>;
}

impl<P: StorageProvider> IntoStore for P {
    fn into_store(self) -> Result<Store> {
        Ok(Arc::new(self))
    }
}

impl<P: StorageProvider> IntoStore for Result<P> {
    fn into_store(self) -> Result<Store> {
        self.map(|provider| Arc::new(provider) as Store)
    }
}

/// What the factory of a provider may use. The same for every opening within one check.
#[derive(Debug, Clone)]
pub struct Setup {
    clock: SharedClock,
    directory: Arc<TempDir>,
    name: Arc<str>,
}

impl Setup {
    /// The clock that the provider must read.
    pub fn clock(&self) -> SharedClock {
        Arc::clone(&self.clock)
    }

    /// A directory of this check alone: empty at the first opening, and kept between the openings of one check.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// A name of this check alone, of lower case letters, digits and `_`: a prefix or a table on a shared server.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A limit of 2 MiB that keeps the checks of large payloads quick. A provider that has a setting for it may use it.
    pub const fn max_payload(&self) -> u64 {
        2 * 1_024 * 1_024
    }
}

/// The surroundings of one check.
pub struct Fixture {
    factory: Factory,
    setup: Setup,
    manual: Option<ManualClock>,
    /// How long a unit of the suite's time takes: a second of the manual clock, much less of the real one.
    unit: Duration,
    start: Timestamp,
    reached: Mutex<Timestamp>,
    seed: u64,
    drawn: AtomicBool,
    /// Deadlines that the check has not waited for yet: until then, the real clock must not have reached them.
    pending: Mutex<Vec<Timestamp>>,
    late: AtomicBool,
    opened: Mutex<Vec<Store>>,
}

impl Fixture {
    pub(super) fn new(factory: Factory, real_unit: Option<Duration>) -> Self {
        let manual = real_unit.is_none().then(ManualClock::default);
        let clock = manual.as_ref().map_or_else(SystemClock::shared, ManualClock::shared);
        let directory = Arc::new(tempfile::tempdir().expect("a scratch directory can be made"));
        let start = clock.now();
        let name = format!("check_{:016x}", fastrand::u64(..));
        Self {
            factory,
            setup: Setup { clock, directory, name: name.into() },
            manual,
            unit: real_unit.unwrap_or(Duration::from_secs(1)),
            start,
            reached: Mutex::new(start),
            seed: seed_from_environment().unwrap_or_else(|| fastrand::u64(..)),
            drawn: AtomicBool::new(false),
            pending: Mutex::default(),
            late: AtomicBool::new(false),
            opened: Mutex::default(),
        }
    }

    /// Opens the provider on the directory of this check.
    pub async fn open(&self) -> Store {
        match self.try_open().await {
            Ok(store) => store,
            Err(error) => panic!("the factory could not open the provider: {error:?}"),
        }
    }

    /// Opens the provider and hands on the error of the factory.
    pub(super) async fn try_open(&self) -> Result<Store> {
        let store = (self.factory)(self.setup.clone()).await?;
        lock(&self.opened).push(Arc::clone(&store));
        Ok(store)
    }

    /// Closes `store` and opens the provider again on the same directory.
    pub async fn reopen(&self, store: Store) -> Store {
        if let Err(error) = store.close().await {
            panic!("close failed: {error:?}");
        }
        self.forget(store);
        self.open().await
    }

    /// Drops `store` without closing it, as a program does that ends carelessly.
    pub fn forget(&self, store: Store) {
        lock(&self.opened).retain(|other| !Arc::ptr_eq(other, &store));
        drop(store);
    }

    /// Closes every store that the check left open.
    pub(super) async fn close_all(&self) {
        let opened = std::mem::take(&mut *lock(&self.opened));
        for store in opened {
            if let Err(error) = store.close().await {
                panic!("close at the end of the check failed: {error:?}");
            }
        }
    }

    /// The directory of this check.
    pub fn directory(&self) -> &Path {
        self.setup.directory()
    }

    /// The time that the provider sees.
    pub fn now(&self) -> Timestamp {
        self.setup.clock.now()
    }

    /// The manual clock, unless the suite runs on the real one.
    pub const fn manual(&self) -> Option<&ManualClock> {
        self.manual.as_ref()
    }

    /// A deadline `units` of the suite's time from now, which the check will wait for with [`until`](Self::until) or
    /// leave in the future to its end.
    ///
    /// On the real clock deadlines stand a whole unit apart, so that waiting for one leaves time before the next.
    pub fn later(&self, units: u32) -> Timestamp {
        let passed = self.now().saturating_since(self.start);
        let whole_units = match self.manual {
            Some(_) => passed,
            None => self.unit * passed.div_duration_f64(self.unit).ceil() as u32,
        };
        let deadline = self.start.saturating_add(whole_units + self.unit * units);
        lock(&self.pending).push(deadline);
        deadline
    }

    /// A deadline that no check lives to see.
    pub fn far(&self) -> Timestamp {
        self.now().saturating_add(Duration::from_secs(24 * 3_600))
    }

    /// Makes it `instant`: moves the manual clock there, or waits for the real one.
    pub async fn until(&self, instant: Timestamp) {
        lock(&self.pending).retain(|deadline| *deadline > instant);
        self.note_lateness();
        match &self.manual {
            Some(clock) => clock.set(instant.max(clock.now())),
            None => {
                *lock(&self.reached) = instant;
                while self.now() < instant {
                    tokio::time::sleep(instant.saturating_since(self.now())).await;
                }
            }
        }
    }

    /// The time that the check has come to: what expires later is still there, if the check is not late.
    pub(super) fn reached(&self) -> Timestamp {
        if self.manual.is_some() { self.now() } else { *lock(&self.reached) }
    }

    /// Lets the time move on a little, so that two writes get different times.
    pub async fn tick(&self) {
        self.until(self.now().saturating_add(Duration::from_millis(1))).await;
    }

    /// Random numbers from the seed of this run, which a failure prints.
    pub fn random(&self) -> fastrand::Rng {
        self.drawn.store(true, Ordering::Relaxed);
        fastrand::Rng::with_seed(self.seed)
    }

    /// The seed, if the check has drawn random numbers.
    pub(super) fn drawn_seed(&self) -> Option<u64> {
        self.drawn.load(Ordering::Relaxed).then_some(self.seed)
    }

    /// Whether a deadline passed before the check was ready for it, so that its outcome says nothing.
    pub(super) fn was_late(&self) -> bool {
        self.note_lateness();
        self.late.load(Ordering::Relaxed)
    }

    fn note_lateness(&self) {
        let now = self.now();
        if self.manual.is_none() && lock(&self.pending).iter().any(|deadline| *deadline <= now) {
            self.late.store(true, Ordering::Relaxed);
        }
    }
}

impl fmt::Debug for Fixture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fixture").field("setup", &self.setup).finish_non_exhaustive()
    }
}

/// A check that panicked elsewhere has its own report; its locks hold plain lists that are whole at any time.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn seed_from_environment() -> Option<u64> {
    let text = env::var("CONFORMANCE_SEED").ok()?;
    Some(text.parse().expect("CONFORMANCE_SEED is a number"))
}
