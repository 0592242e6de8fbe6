//! The memory provider beside bare maps that hold the same items.

use std::{
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use storage_core::{StorageProvider, StorageQuery};
use storage_memory::{MemoryConfig, MemoryProvider};
use tokio::runtime::Runtime;

use crate::{
    Options, items, latency,
    maps::{Dash, Moka, OpenKeyv, Provider, Scc, Store},
    measure::{Turn, Until, Workload, median, median_turn, runtime, turn},
    table::{Better, Table},
};

const TASKS: u64 = 8;
const PICKS: usize = 1 << 20;

/// Measures loads, overwrites, the usual mix, inserts, tag search and memory.
pub(crate) fn run(options: &Options, table: &mut Table) {
    mixes(options, table);
    inserts(options, table);
    tag_search(options, table);
    bytes_per_item(options, table);
    latency::measure(options, "memory", &provider(), table);
}

/// Our provider without limits, so that it holds as much as the bare maps.
pub(crate) fn provider() -> Arc<dyn StorageProvider> {
    Arc::new(MemoryProvider::new(MemoryConfig { max_entries: 0, ..MemoryConfig::default() }))
}

/// Loads and overwrites of a filled store, skewed.
struct Mix<S> {
    store: Arc<S>,
    keys: Arc<Vec<String>>,
    picks: Arc<Vec<u64>>,
    payload: Bytes,
    /// Of 100 steps, how many are saves.
    saves: u64,
}

impl<S: Store> Workload for Mix<S> {
    async fn step(&self, task: u64, n: u64) {
        let at = (n + task * (PICKS as u64 / TASKS)) as usize % self.picks.len();
        let pick = self.picks[at];
        let key = &self.keys[pick as usize];
        if (n * 37 + task) % 100 < self.saves {
            self.store.save(items::request(key, pick, &self.payload)).await;
        } else {
            assert!(self.store.load(items::identity(key)).await, "a filled store finds its items");
        }
    }
}

fn mixes(options: &Options, table: &mut Table) {
    let runtime = runtime();
    let keys = Arc::new((0..options.items).map(items::key).collect::<Vec<_>>());
    let picks = Arc::new(items::skewed(options.items, PICKS, 1));
    let ours = filled(&runtime, Provider(provider()), &keys);
    let dash = filled(&runtime, Dash::default(), &keys);
    let scc = filled(&runtime, Scc::default(), &keys);
    let moka = filled(&runtime, Moka::default(), &keys);
    let openkeyv = filled(&runtime, OpenKeyv::default(), &keys);
    for (name, saves) in [("load", 0), ("overwrite", 100), ("95 % load, 5 % save", 5)] {
        let what = format!("memory: {name}, {} items, {TASKS} tasks", options.items);
        let until = Until::Elapsed(Duration::from_secs_f64(options.seconds));
        let mut turns: [Vec<Turn>; 5] = Default::default();
        for _ in 0..options.rounds {
            turns[0].push(mixed(&runtime, &ours, &keys, &picks, saves, until));
            turns[1].push(mixed(&runtime, &dash, &keys, &picks, saves, until));
            turns[2].push(mixed(&runtime, &scc, &keys, &picks, saves, until));
            turns[3].push(mixed(&runtime, &moka, &keys, &picks, saves, until));
            turns[4].push(mixed(&runtime, &openkeyv, &keys, &picks, saves, until));
        }
        let names = ["storage-memory (indexed)", "dashmap", "scc", "moka", "openkeyv (payload alone)"];
        for (name, turns) in names.iter().zip(&turns) {
            table.add(&what, name, median_turn(turns).per_second, "/s", Better::More);
        }
        for (name, turns) in names.iter().zip(&turns) {
            table.add(&format!("{what}: p99"), name, median_turn(turns).p99_micros, "µs", Better::Less);
        }
    }
}

fn filled<S: Store>(runtime: &Runtime, store: S, keys: &[String]) -> Arc<S> {
    let payload = items::payload();
    runtime.block_on(async {
        for (n, key) in keys.iter().enumerate() {
            store.save(items::request(key, n as u64, &payload)).await;
        }
    });
    Arc::new(store)
}

fn mixed<S: Store>(
    runtime: &Runtime,
    store: &Arc<S>,
    keys: &Arc<Vec<String>>,
    picks: &Arc<Vec<u64>>,
    saves: u64,
    until: Until,
) -> Turn {
    let mix = Mix {
        store: Arc::clone(store),
        keys: Arc::clone(keys),
        picks: Arc::clone(picks),
        payload: items::payload(),
        saves,
    };
    turn(runtime, &Arc::new(mix), TASKS, until)
}

/// Saves of items that are not there yet.
struct Insert<S> {
    store: S,
    keys: Arc<Vec<String>>,
    payload: Bytes,
}

impl<S: Store> Workload for Insert<S> {
    async fn step(&self, task: u64, n: u64) {
        let at = n * TASKS + task;
        let key = &self.keys[at as usize];
        self.store.save(items::request(key, at, &self.payload)).await;
    }
}

fn inserts(options: &Options, table: &mut Table) {
    let runtime = runtime();
    let keys =
        Arc::new((0..options.items).map(|n| items::key(scatter(n, options.items))).collect::<Vec<_>>());
    let mut turns: [Vec<Turn>; 5] = Default::default();
    for _ in 0..options.rounds {
        turns[0].push(insert(&runtime, Provider(provider()), &keys));
        turns[1].push(insert(&runtime, Dash::default(), &keys));
        turns[2].push(insert(&runtime, Scc::default(), &keys));
        turns[3].push(insert(&runtime, Moka::default(), &keys));
        turns[4].push(insert(&runtime, OpenKeyv::default(), &keys));
    }
    let what = format!("memory: new item with 3 tags, {} items, {TASKS} tasks", options.items);
    let names = ["storage-memory (indexed)", "dashmap", "scc", "moka", "openkeyv (payload alone)"];
    for (name, turns) in names.iter().zip(&turns) {
        table.add(&what, name, median_turn(turns).per_second, "/s", Better::More);
    }
}

/// Another order of the numbers below `items`, so that keys do not arrive sorted.
fn scatter(n: u64, items: u64) -> u64 {
    // A prime that divides no sensible number of items.
    n.wrapping_mul(999_999_937) % items
}

fn insert<S: Store>(runtime: &Runtime, store: S, keys: &Arc<Vec<String>>) -> Turn {
    let workload = Arc::new(Insert { store, keys: Arc::clone(keys), payload: items::payload() });
    turn(runtime, &workload, TASKS, Until::Steps(keys.len() as u64 / TASKS))
}

fn tag_search(options: &Options, table: &mut Table) {
    let runtime = runtime();
    for count in [10_000, 100_000, options.items] {
        let keys: Vec<_> = (0..count).map(items::key).collect();
        let ours = filled(&runtime, Provider(provider()), &keys);
        let dash = filled(&runtime, Dash::default(), &keys);
        let what = format!("memory: search by tag, {} of {count} items", items::GROUP);
        let searched: Vec<_> =
            (0..200).map(|n| searched(&runtime, &ours.0, n * 7 % (count / items::GROUP))).collect();
        table.add(&what, "storage-memory", median(searched), "µs", Better::Less);
        let scanned: Vec<_> = (0..options.rounds)
            .map(|_| {
                let began = Instant::now();
                assert_eq!(dash.scan("group", "3"), items::GROUP as usize);
                began.elapsed().as_secs_f64() * 1e6
            })
            .collect();
        table.add(&what, "dashmap, scanned", median(scanned), "µs", Better::Less);
    }
}

/// Microseconds of one search for a group.
pub(crate) fn searched(runtime: &Runtime, provider: &Arc<dyn StorageProvider>, group: u64) -> f64 {
    let query = StorageQuery::new().tag("group", group.to_string()).page_size(items::GROUP as usize);
    let began = Instant::now();
    let page = runtime.block_on(provider.search(&query)).expect("the provider searches");
    assert_eq!(page.results.len(), items::GROUP as usize, "a group has {} items", items::GROUP);
    began.elapsed().as_secs_f64() * 1e6
}

/// Each map is filled in a process of its own, so that nothing else counts.
fn bytes_per_item(options: &Options, table: &mut Table) {
    let what = format!("memory: bytes per item, {} items", options.items);
    let program = std::env::current_exe().expect("the bench knows its own path");
    for contender in ["storage-memory", "dashmap", "scc", "moka"] {
        let output = Command::new(&program)
            .args(["--fill", contender, "--items", &options.items.to_string()])
            .output()
            .expect("the bench starts itself");
        let bytes: f64 =
            String::from_utf8_lossy(&output.stdout).trim().parse().expect("the child prints a number");
        table.add(&what, contender, bytes / options.items as f64, "B", Better::Less);
    }
}
