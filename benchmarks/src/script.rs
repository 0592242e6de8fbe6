//! What the Lua skin adds to a call: the same gets and puts from a script, through the Rust API, and on a plain Lua table.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use storage_core::StorageProvider;
use storage_manager::{
    UnifiedStorageManager,
    lua::{Outcome, Sandbox, Script, ScriptVm, install_agent_modules, install_key_value_module},
    script::{
        AllowAll, KeyValueStore, KeyValueStores, ScriptRegistry, ScriptStore, ScriptTable, ScriptValue, Ttl,
        UnitOfWork,
    },
};

use crate::{
    Options, fs,
    measure::{median, runtime},
    memory,
    table::{Better, Table},
};

/// The id of the store behind the handles.
const ID: &str = "bench";
/// Every script begins with this; `calls`, `keys` and `value` are what [`keys`] and [`value`] are in Rust.
const PRELUDE: &str = "
    local calls, keys = tonumber((...)), {}
    for n = 1, 100 do keys[n] = 'key:' .. n end
    local value = { count = 42, name = 'web-1', healthy = true }
    ";

fn keys() -> Vec<String> {
    (1..=100).map(|n| format!("key:{n}")).collect()
}

fn value() -> ScriptValue {
    let mut table = ScriptTable::new();
    table.insert("count", 42);
    table.insert("name", "web-1");
    table.insert("healthy", true);
    table.into()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Put,
    Get,
}

/// Who makes the calls, ours first; each from Lua stands before the same in Rust.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Contender {
    LuaHandle,
    RustHandle,
    LuaStore,
    RustStore,
    PlainTable,
}

impl Contender {
    const ALL: [Self; 5] =
        [Self::LuaHandle, Self::RustHandle, Self::LuaStore, Self::RustStore, Self::PlainTable];

    const fn name(self) -> &'static str {
        match self {
            Self::LuaHandle => "Lua, handle of a key-value store",
            Self::RustHandle => "Rust, KeyValueStore",
            Self::LuaStore => "Lua, module store",
            Self::RustStore => "Rust, ScriptStore",
            Self::PlainTable => "Lua, a plain table",
        }
    }
}

/// Measures puts and gets of a small table over memory and over durable files. A durable put waits for the disk a thousand
/// times longer than for Lua, so that its difference is mostly the disk's mood.
pub(crate) fn run(options: &Options, table: &mut Table) {
    let runtime = runtime();
    let directory = fs::scratch(options);
    let providers = [("memory", memory::provider()), ("fs", fs::provider(&runtime, directory.path()))];
    for (name, provider) in providers {
        let host = Host::new(provider);
        // The puts come first, so that the gets find everything.
        for verb in [Verb::Put, Verb::Get] {
            let times = runtime.block_on(host.compare(options, verb));
            report(name, verb, times, table);
        }
        runtime.block_on(host.manager.close()).into_result().expect("the manager closes");
    }
}

fn report(name: &str, verb: Verb, times: [f64; Contender::ALL.len()], table: &mut Table) {
    let what = match verb {
        Verb::Put => format!("script: put on {name}"),
        Verb::Get => format!("script: get on {name}"),
    };
    for (contender, nanos) in Contender::ALL.iter().zip(times) {
        table.add(&what, contender.name(), nanos, "ns", Better::Less);
    }
    let [lua_handle, rust_handle, lua_store, rust_store, _] = times;
    for (skin, nanos) in [("handle", lua_handle - rust_handle), ("module store", lua_store - rust_store)] {
        // A line of its own for each: they are no contenders of each other.
        table.add(&format!("{what}: what Lua adds, {skin}"), "Lua less Rust", nanos, "ns", Better::Less);
    }
}

/// A manager over one provider, with what scripts and Rust code reach of it.
struct Host {
    manager: UnifiedStorageManager,
    stores: KeyValueStores,
    _unit: UnitOfWork,
    handle: KeyValueStore,
    store: ScriptStore,
}

impl Host {
    fn new(provider: Arc<dyn StorageProvider>) -> Self {
        let manager =
            UnifiedStorageManager::builder().fallback(provider).build().expect("one route is valid");
        let stores = KeyValueStores::new(&manager, AllowAll);
        stores.register_routed(ID).expect("the id is valid and new");
        let unit = stores.unit_of_work();
        let handle = unit.acquire(ID).expect("the store is registered");
        let ident = "bench".parse().expect("the identity is valid");
        let store = ScriptStore::builder(&manager).ident(ident).build();
        Self { manager, stores, _unit: unit, handle, store }
    }

    /// The median nanoseconds of a call of each contender, who take turns.
    async fn compare(&self, options: &Options, verb: Verb) -> [f64; Contender::ALL.len()] {
        let mut times: [Vec<f64>; Contender::ALL.len()] = Default::default();
        for _ in 0..options.rounds {
            for (times, contender) in times.iter_mut().zip(Contender::ALL) {
                times.push(self.per_call(options, contender, verb).await);
            }
        }
        times.map(median)
    }

    /// Nanoseconds of one call, over as many as fit into a turn.
    async fn per_call(&self, options: &Options, contender: Contender, verb: Verb) -> f64 {
        const TRIAL: u64 = 200;
        let trial = self.turn(contender, verb, TRIAL).await / TRIAL as u32;
        let fitting = options.seconds / trial.as_secs_f64().max(1e-9);
        let calls = (fitting as u64).clamp(TRIAL, 100_000_000);
        self.turn(contender, verb, calls).await.as_nanos() as f64 / calls as f64
    }

    /// How long so many calls take, without what comes before the first.
    async fn turn(&self, contender: Contender, verb: Verb, calls: u64) -> Duration {
        match contender {
            Contender::RustHandle => self.call_handle(verb, calls).await,
            Contender::RustStore => self.call_store(verb, calls).await,
            lua => run_script(self.machine(lua), &script(lua, verb), calls).await,
        }
    }

    async fn call_handle(&self, verb: Verb, calls: u64) -> Duration {
        let (keys, value) = (keys(), value());
        let began = Instant::now();
        for key in keys.iter().cycle().take(calls as usize) {
            match verb {
                Verb::Put => self.handle.set(key, &value, Ttl::NONE).await.expect("the store saves"),
                Verb::Get => assert!(self.handle.get(key).await.expect("the store loads").is_some()),
            }
        }
        began.elapsed()
    }

    async fn call_store(&self, verb: Verb, calls: u64) -> Duration {
        let (keys, value) = (keys(), value());
        let began = Instant::now();
        for key in keys.iter().cycle().take(calls as usize) {
            match verb {
                Verb::Put => self.store.put(key, &value).await.expect("the store saves"),
                Verb::Get => assert!(self.store.get(key).await.expect("the store loads").is_some()),
            }
        }
        began.elapsed()
    }

    fn machine(&self, contender: Contender) -> ScriptVm {
        let vm = Sandbox::new().timeout(Duration::from_secs(3_600)).vm().expect("the machine is made");
        match contender {
            Contender::LuaHandle => install_key_value_module(vm.lua(), self.stores.unit_of_work()),
            _ => install_agent_modules(vm.lua(), &self.store, &ScriptRegistry::new(&self.manager)),
        }
        .expect("the modules fit");
        vm
    }
}

fn script(contender: Contender, verb: Verb) -> String {
    let handle = format!("local handle = require('store').get('{ID}')");
    let filled = "local table = {} for _, key in ipairs(keys) do table[key] = value end";
    let (before, call) = match (contender, verb) {
        (Contender::LuaHandle, Verb::Put) => (handle.as_str(), "assert(handle:set(key, value))"),
        (Contender::LuaHandle, Verb::Get) => (handle.as_str(), "assert(handle:get(key))"),
        (Contender::PlainTable, Verb::Put) => ("local table = {}", "table[key] = value"),
        (Contender::PlainTable, Verb::Get) => (filled, "assert(table[key])"),
        (_, Verb::Put) => ("", "store.put(key, value)"),
        (_, Verb::Get) => ("", "assert(store.get(key))"),
    };
    format!("{PRELUDE} {before} for n = 0, calls - 1 do local key = keys[n % 100 + 1] {call} end")
}

async fn run_script(vm: ScriptVm, source: &str, calls: u64) -> Duration {
    let began = Instant::now();
    match vm.run(Script::new("bench.lua", source), [calls.to_string().as_str()]).await {
        Outcome::Finished(_) => began.elapsed(),
        Outcome::Raised(error) => panic!("{error}"),
        Outcome::Stopped(limit) => panic!("{limit}"),
    }
}
