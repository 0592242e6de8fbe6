//! Stores to try things on.

use std::{future::Future, time::Duration};

use storage_manager::{
    FsProvider, ManualClock, MemoryConfig, MemoryProvider, UnifiedStorageManager,
    script::{
        AccessPolicy, AllowAll, KeyValueStore, KeyValueStores, ScriptError, ScriptTable, ScriptValue, Ttl,
        UnitOfWork,
    },
};
use tempfile::TempDir;

/// A manager with one provider for everything, on a clock that stands still.
pub(crate) struct World {
    pub(crate) name: &'static str,
    pub(crate) clock: ManualClock,
    pub(crate) manager: UnifiedStorageManager,
    pub(crate) dir: Option<TempDir>,
}

impl World {
    pub(crate) fn memory() -> Self {
        let clock = ManualClock::default();
        let config =
            MemoryConfig { cleanup_interval: Duration::ZERO, max_entries: 0, ..MemoryConfig::default() };
        let provider = MemoryProvider::with_clock(config, clock.shared());
        let manager = UnifiedStorageManager::builder().clock(clock.shared()).fallback(provider);
        Self { name: "memory", manager: manager.build().unwrap(), clock, dir: None }
    }

    pub(crate) async fn fs() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = ManualClock::default();
        let manager = open(&dir, &clock).await;
        Self { name: "fs", manager, clock, dir: Some(dir) }
    }

    /// Closes everything and opens it again, as after a restart of the process.
    pub(crate) async fn restart(&mut self) {
        self.manager.close().await.into_result().unwrap();
        self.manager = open(self.dir.as_ref().unwrap(), &self.clock).await;
    }

    /// Runs a test on each kind of store.
    pub(crate) async fn each<F: Future<Output = ()>>(test: impl Fn(Self) -> F) {
        for world in Self::all().await {
            test(world).await;
        }
    }

    /// One of each kind; without a server and its program, the one on Redis is missing, which is said aloud.
    pub(crate) async fn all() -> Vec<Self> {
        #[cfg_attr(
            not(any(feature = "redis", feature = "sqlite")),
            expect(unused_mut, reason = "there is nothing to add")
        )]
        let mut worlds = vec![Self::memory(), Self::fs().await];
        #[cfg(feature = "redis")]
        worlds.extend(Self::redis().await);
        #[cfg(feature = "sqlite")]
        worlds.push(Self::sqlite().await);
        worlds
    }

    #[cfg(feature = "sqlite")]
    async fn sqlite() -> Self {
        use storage_manager::{SqlConfig, SqlProvider, StorageProvider as _};

        let (dir, clock) = (TempDir::new().unwrap(), ManualClock::default());
        let mut config = SqlConfig::from_url(&format!("sqlite:{}/store.db", dir.path().display())).unwrap();
        // A closure takes along what it uses and no more, so that the directory may be gone before the test ends. A connection
        // that is open from the start does not mind.
        config.pool_size = 1;
        let provider = SqlProvider::builder(config).clock(clock.shared()).connect().await.unwrap();
        assert!(provider.health().await.is_healthy());
        let manager = UnifiedStorageManager::builder().clock(clock.shared()).fallback(provider);
        Self { name: "sqlite", manager: manager.build().unwrap(), clock, dir: Some(dir) }
    }

    /// A store of its own on the server that all tests of the program share.
    #[cfg(feature = "redis")]
    pub(crate) async fn redis() -> Option<Self> {
        Self::redis_for_two().await.map(|[world, _]| world)
    }

    /// Two managers with connections of their own to one store, as two processes have them.
    #[cfg(feature = "redis")]
    pub(crate) async fn redis_for_two() -> Option<[Self; 2]> {
        use std::sync::{
            LazyLock,
            atomic::{AtomicU64, Ordering},
        };

        use storage_manager::RedisConfig;
        use test_servers::redis::Server;

        static SERVER: LazyLock<Option<Server>> = LazyLock::new(|| test_servers::found(Server::start()));
        static STORES: AtomicU64 = AtomicU64::new(0);

        let url = SERVER.as_ref()?.url();
        let prefix = format!("world-{}", STORES.fetch_add(1, Ordering::Relaxed));
        let config = RedisConfig { prefix, ..RedisConfig::from_url(&url).unwrap() };
        Some([Self::on_server(config.clone()).await, Self::on_server(config).await])
    }

    #[cfg(feature = "redis")]
    async fn on_server(config: storage_manager::RedisConfig) -> Self {
        use storage_manager::{Clock, RedisProvider, SystemClock};

        // The server reads its own clock, and drops what it takes for long expired.
        let clock = ManualClock::default();
        clock.set(SystemClock.now());
        let provider = RedisProvider::builder(config).clock(clock.shared()).connect().await.unwrap();
        let manager = UnifiedStorageManager::builder().clock(clock.shared()).fallback(provider);
        Self { name: "redis", manager: manager.build().unwrap(), clock, dir: None }
    }

    pub(crate) fn stores(&self) -> KeyValueStores {
        self.stores_with(AllowAll)
    }

    pub(crate) fn stores_with(&self, policy: impl AccessPolicy) -> KeyValueStores {
        let stores = KeyValueStores::new(&self.manager, policy);
        stores.register_routed("app:cache").unwrap();
        stores.register_routed("app:other").unwrap();
        stores
    }

    /// A handle to `app:cache` and what keeps it alive.
    pub(crate) fn handle(&self) -> (KeyValueStore, UnitOfWork) {
        let unit = self.stores().unit_of_work();
        (unit.acquire("app:cache").unwrap(), unit)
    }
}

async fn open(dir: &TempDir, clock: &ManualClock) -> UnifiedStorageManager {
    let provider = FsProvider::builder(dir.path()).clock(clock.shared()).open().await.unwrap();
    UnifiedStorageManager::builder().clock(clock.shared()).fallback(provider).build().unwrap()
}

pub(crate) const SECOND: Duration = Duration::from_secs(1);

pub(crate) fn ttl(seconds: f64) -> Ttl {
    Ttl::from_seconds(seconds).unwrap()
}

/// A table with integers, floats, texts, booleans, a list and a table in it.
pub(crate) fn settings() -> ScriptValue {
    let mut table = ScriptTable::from_iter([("timeout", 30), ("retries", 3)]);
    table.insert("alerts", true);
    table.insert("factor", 2.5);
    table.insert("servers", ScriptTable::from(vec!["srv1", "srv2", "srv3"]));
    table.insert("limits", ScriptTable::from_iter([("cpu", 80), ("memory", 90)]));
    table.into()
}

/// The kind of an error, and whether the call may be made again.
pub(crate) fn kind<T: std::fmt::Debug>(answer: Result<T, ScriptError>) -> (&'static str, bool) {
    let error = answer.unwrap_err();
    (error.kind().as_str(), error.is_retryable())
}

/// Random numbers with a seed that is printed; `SEED=…` replays them.
pub(crate) fn seeded() -> fastrand::Rng {
    let given = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| fastrand::u64(..));
    println!("SEED={seed}");
    fastrand::Rng::with_seed(seed)
}
