//! A host with a store in memory, and scripts that state what they expect by `assert`.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use storage_manager::{
    Clock, ManualClock, MemoryConfig, MemoryProvider, UnifiedStorageManager,
    lua::{Outcome, RaisedError, Sandbox, Script, ScriptVm, install_agent_modules, install_key_value_module},
    script::{AccessPolicy, AllowAll, KeyValueStores, ScriptRegistry, ScriptStore},
};

/// A host: a manager with a clock of its own, and what scripts printed.
pub(crate) struct Host {
    pub(crate) manager: UnifiedStorageManager,
    pub(crate) clock: ManualClock,
    pub(crate) stores: KeyValueStores,
    printed: Arc<Mutex<Vec<String>>>,
}

impl Host {
    pub(crate) fn new() -> Self {
        Self::with_policy(AllowAll)
    }

    pub(crate) fn with_policy(policy: impl AccessPolicy) -> Self {
        let clock = ManualClock::default();
        let shared = clock.shared();
        let provider = MemoryProvider::with_clock(MemoryConfig::default(), shared.clone());
        let manager = UnifiedStorageManager::builder().fallback(provider).clock(shared).build().unwrap();
        let stores = KeyValueStores::new(&manager, policy);
        stores.register_routed("app:cache").unwrap();
        Self { manager, clock, stores, printed: Arc::default() }
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
