//! A host with a store in memory, and scripts that state what they expect by `assert`.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use storage_manager::{
    Clock, FsProvider, ManualClock, MemoryConfig, MemoryProvider, StorageProvider, UnifiedStorageManager,
    lua::{Outcome, RaisedError, Sandbox, Script, ScriptVm, install_agent_modules, install_key_value_module},
    script::{AccessPolicy, AllowAll, KeyValueStores, ScriptRegistry, ScriptStore},
};

use tempfile::TempDir;

/// A host: a manager with a clock of its own, and what scripts printed.
pub(crate) struct Host {
    /// The kind of its store.
    pub(crate) name: &'static str,
    pub(crate) manager: UnifiedStorageManager,
    pub(crate) clock: ManualClock,
    pub(crate) stores: KeyValueStores,
    printed: Arc<Mutex<Vec<String>>>,
    _directory: Option<TempDir>,
}

impl Host {
    pub(crate) fn new() -> Self {
        Self::with_policy(AllowAll)
    }

    pub(crate) fn with_policy(policy: impl AccessPolicy) -> Self {
        let clock = ManualClock::default();
        let provider = MemoryProvider::with_clock(MemoryConfig::default(), clock.shared());
        Self::over("memory", provider, clock, policy)
    }

    fn over(
        name: &'static str,
        provider: impl StorageProvider,
        clock: ManualClock,
        policy: impl AccessPolicy,
    ) -> Self {
        let builder = UnifiedStorageManager::builder().fallback(provider).clock(clock.shared());
        let manager = builder.build().unwrap();
        let stores = KeyValueStores::new(&manager, policy);
        stores.register_routed("app:cache").unwrap();
        Self { name, manager, clock, stores, printed: Arc::default(), _directory: None }
    }

    /// One on each kind of store; without a server and its program, the one on Redis is missing, which is said aloud.
    pub(crate) async fn on_every_store() -> Vec<Self> {
        #[cfg_attr(
            not(any(feature = "redis", feature = "sqlite")),
            expect(unused_mut, reason = "there is nothing to add")
        )]
        let mut hosts = vec![Self::new(), Self::on_files().await];
        #[cfg(feature = "redis")]
        hosts.extend(Self::on_redis().await);
        #[cfg(feature = "sqlite")]
        hosts.push(Self::on_sqlite().await);
        hosts
    }

    #[cfg(feature = "sqlite")]
    async fn on_sqlite() -> Self {
        use storage_manager::{SqlConfig, SqlProvider};

        let (directory, clock) = (tempfile::tempdir().unwrap(), ManualClock::default());
        let mut config =
            SqlConfig::from_url(&format!("sqlite:{}/store.db", directory.path().display())).unwrap();
        // A closure takes along what it uses and no more, so that the directory may be gone before the test ends. A connection
        // that is open from the start does not mind.
        config.pool_size = 1;
        let provider = SqlProvider::builder(config).clock(clock.shared()).connect().await.unwrap();
        assert!(provider.health().await.is_healthy());
        Self { _directory: Some(directory), ..Self::over("sqlite", provider, clock, AllowAll) }
    }

    async fn on_files() -> Self {
        let (directory, clock) = (tempfile::tempdir().unwrap(), ManualClock::default());
        let provider = FsProvider::builder(directory.path()).clock(clock.shared()).open().await.unwrap();
        Self { _directory: Some(directory), ..Self::over("fs", provider, clock, AllowAll) }
    }

    /// A store of its own on the server that all tests of the program share.
    #[cfg(feature = "redis")]
    async fn on_redis() -> Option<Self> {
        use std::sync::{
            LazyLock,
            atomic::{AtomicU64, Ordering},
        };

        use storage_manager::{RedisConfig, RedisProvider, SystemClock};
        use test_servers::redis::Server;

        static SERVER: LazyLock<Option<Server>> = LazyLock::new(|| test_servers::found(Server::start()));
        static STORES: AtomicU64 = AtomicU64::new(0);

        let url = SERVER.as_ref()?.url();
        let prefix = format!("lua-{}", STORES.fetch_add(1, Ordering::Relaxed));
        let config = RedisConfig { prefix, ..RedisConfig::from_url(&url).unwrap() };
        // The server reads its own clock, and drops what it takes for long expired.
        let clock = ManualClock::default();
        clock.set(SystemClock.now());
        let provider = RedisProvider::builder(config).clock(clock.shared()).connect().await.unwrap();
        Some(Self::over("redis", provider, clock, AllowAll))
    }

    pub(crate) fn sandbox(&self) -> Sandbox {
        let printed = Arc::clone(&self.printed);
        Sandbox::new().timeout(Duration::from_secs(30)).print_to(move |line| {
            printed.lock().unwrap().push(String::from_utf8_lossy(line).into_owned());
            Ok(())
        })
    }

    pub(crate) fn store(&self, ident: Option<&str>) -> ScriptStore {
        let builder = ScriptStore::builder(&self.manager);
        match ident {
            Some(ident) => builder.ident(ident.parse().unwrap()).build(),
            None => builder.build(),
        }
    }

    /// A machine with the globals `store` and `registry`.
    pub(crate) fn agent(&self, ident: Option<&str>) -> ScriptVm {
        let vm = self.sandbox().vm().unwrap();
        install_agent_modules(vm.lua(), &self.store(ident), &ScriptRegistry::new(&self.manager)).unwrap();
        vm
    }

    /// A machine with `require("store")`.
    pub(crate) fn key_value(&self) -> ScriptVm {
        let vm = self.sandbox().vm().unwrap();
        install_key_value_module(vm.lua(), self.stores.unit_of_work()).unwrap();
        vm
    }

    /// Runs a script of `monitor-cpu` to its end.
    pub(crate) async fn run_agent(&self, source: &str) {
        finish(self.agent(Some("monitor-cpu")), source).await;
    }

    /// Runs a script that has `cache`, a handle of the store `app:cache`.
    pub(crate) async fn run_key_value(&self, source: &str) {
        finish(
            self.key_value(),
            &format!("local store = require('store')\nlocal cache = store.get('app:cache')\n{source}"),
        )
        .await;
    }

    pub(crate) fn printed(&self) -> Vec<String> {
        std::mem::take(&mut *self.printed.lock().unwrap())
    }

    /// Whole seconds of the host's clock.
    pub(crate) fn now(&self) -> i64 {
        self.clock.now().as_micros() / 1_000_000
    }
}

/// Runs a script that must not fail.
pub(crate) async fn finish(vm: ScriptVm, source: &str) {
    match vm.run(Script::new("test.lua", source), []).await {
        Outcome::Finished(_) => {}
        Outcome::Raised(error) => panic!("{error}\n{source}"),
        Outcome::Stopped(limit) => panic!("{limit}\n{source}"),
    }
}

/// The error of a script that must fail.
pub(crate) async fn raised(vm: ScriptVm, source: &str) -> RaisedError {
    match vm.run(Script::new("test.lua", source), []).await {
        Outcome::Raised(error) => error,
        other => panic!("{other:?}\n{source}"),
    }
}

/// Random numbers with a seed that is printed; `SEED=…` replays them.
pub(crate) fn seeded() -> fastrand::Rng {
    let given = std::env::var("SEED").ok().map(|seed| seed.parse().unwrap());
    let seed = given.unwrap_or_else(|| fastrand::u64(..));
    println!("SEED={seed}");
    fastrand::Rng::with_seed(seed)
}
