//! PostgreSQL: the provider beside `tokio-postgres` and `sqlx` with the same statements on a table with the same indexes.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use storage_core::StorageProvider;
use storage_sql::{SqlConfig, SqlProvider};
use test_servers::postgres::Server;
use tokio::runtime::Runtime;

use crate::{
    Options, fs, items, latency,
    maps::{Provider, Store},
    measure::{Turn, Until, Workload, median, median_micros, median_turn, runtime, turn},
    memory::searched,
    postgres_raw::{Raw, Sqlx},
    table::{Better, Table},
};

/// Items that are overwritten, loaded and searched.
const ITEMS: u64 = 100_000;
/// Connections of each contender.
const CONNECTIONS: u16 = 8;

const NAMES: [&str; 3] = ["storage-sql", "tokio-postgres, the same statements", "sqlx, the same statements"];

/// Measures durable saves, loads, batches and tag search.
pub(crate) fn run(options: &Options, table: &mut Table) {
    let runtime = runtime();
    // Saves wait for the disk, as on every server that is not to lose them.
    let server = Server::builder().durable().setting("shared_buffers = 256MB").start();
    let server = server.expect("PostgreSQL is installed");
    let ours = connect(&runtime, &server, "items");
    // The other contenders get the same tables, and then never hear of the provider again.
    let twin = connect(&runtime, &server, "raw_items");
    for provider in [&ours, &twin] {
        fs::fill(&runtime, provider, 0, ITEMS);
    }
    runtime.block_on(twin.close()).expect("the provider closes");
    server.sql("VACUUM ANALYZE");
    let raw = Raw::connect(&runtime, &server.url(), CONNECTIONS.into());
    let sqlx = Sqlx::connect(&runtime, &server.url(), CONNECTIONS.into());
    calls(options, &runtime, (&ours, &raw, &sqlx), table);
    batches(options, &runtime, (&ours, &raw, &sqlx), table);
    searches(&runtime, (&ours, &raw, &sqlx), table);
    latency::measure(options, "postgres", &ours, table);
}

fn connect(runtime: &Runtime, server: &Server, name: &str) -> Arc<dyn StorageProvider> {
    let mut config = SqlConfig::from_url(&server.url()).expect("the URL is valid");
    name.clone_into(&mut config.table_name);
    config.pool_size = CONNECTIONS;
    config.operation_timeout = Duration::from_secs(60);
    let connecting = SqlProvider::builder(config).connect();
    Arc::new(runtime.block_on(connecting).expect("the server answers"))
}

/// Overwrites or loads items of a filled store.
pub(crate) struct Calls<S> {
    store: S,
    keys: Arc<Vec<String>>,
    payload: Bytes,
    loads: bool,
}

impl<S: Store> Calls<S> {
    pub(crate) fn new(store: S, keys: &Arc<Vec<String>>, loads: bool) -> Arc<Self> {
        Arc::new(Self { store, keys: Arc::clone(keys), payload: items::payload(), loads })
    }
}

impl<S: Store> Workload for Calls<S> {
    async fn step(&self, task: u64, n: u64) {
        let at = (n * 7_919 + task * 104_729) % self.keys.len() as u64;
        let key = &self.keys[at as usize];
        if self.loads {
            assert!(self.store.load(items::identity(key)).await, "a saved item is found");
        } else {
            self.store.save(items::request(key, at, &self.payload)).await;
        }
    }
}

type Contenders<'c> = (&'c Arc<dyn StorageProvider>, &'c Raw, &'c Sqlx);

fn calls(options: &Options, runtime: &Runtime, (ours, raw, sqlx): Contenders<'_>, table: &mut Table) {
    let keys = Arc::new((0..ITEMS).map(items::key).collect::<Vec<_>>());
    let until = Until::Elapsed(Duration::from_secs_f64(options.seconds));
    for loads in [false, true] {
        let ours = Calls::new(Provider(Arc::clone(ours)), &keys, loads);
        let raw = Calls::new(raw.clone(), &keys, loads);
        let sqlx = Calls::new(sqlx.clone(), &keys, loads);
        for tasks in [1, 64] {
            let mut turns: [Vec<Turn>; 3] = Default::default();
            for _ in 0..options.rounds {
                turns[0].push(turn(runtime, &ours, tasks, until));
                turns[1].push(turn(runtime, &raw, tasks, until));
                turns[2].push(turn(runtime, &sqlx, tasks, until));
            }
            let verb = if loads { "load" } else { "durable save over an old item" };
            let what = format!("postgres: {verb}, 256 B and 3 tags, {tasks} tasks");
            for (name, turns) in NAMES.iter().zip(&turns) {
                table.add(&what, name, median_turn(turns).per_second, "/s", Better::More);
            }
            for (name, turns) in NAMES.iter().zip(&turns) {
                table.add(&format!("{what}: p99"), name, median_turn(turns).p99_micros, "µs", Better::Less);
            }
        }
    }
}

/// A hundred items in one call.
fn batches(options: &Options, runtime: &Runtime, (ours, raw, sqlx): Contenders<'_>, table: &mut Table) {
    const BATCH: u64 = 100;
    let payload = items::payload();
    let keys: Vec<_> = (0..BATCH).map(items::key).collect();
    let identities: Vec<_> = keys.iter().map(|key| items::identity(key)).collect();
    let timed = |work: &dyn Fn()| median_micros(options.rounds * 50, work);
    let saves = [
        timed(&|| {
            let requests = keys.iter().zip(0..).map(|(key, n)| items::request(key, n, &payload)).collect();
            let answers = runtime.block_on(ours.save_many(requests));
            assert!(answers.iter().all(Result::is_ok), "the batch is saved");
        }),
        timed(&|| runtime.block_on(raw.save_many(&keys, &payload))),
        timed(&|| runtime.block_on(sqlx.save_many(&keys, &payload))),
    ];
    let loads = [
        timed(&|| {
            let answers = runtime.block_on(ours.load_many(&identities));
            assert!(answers.iter().all(|answer| matches!(answer, Ok(Some(_)))), "the batch is found");
        }),
        timed(&|| runtime.block_on(raw.load_many(&keys))),
    ];
    for (name, figure) in NAMES.iter().zip(saves) {
        table.add("postgres: durable save of a batch of 100, 1 task", name, figure, "µs", Better::Less);
    }
    for (name, figure) in NAMES.iter().zip(loads) {
        table.add("postgres: load of a batch of 100, 1 task", name, figure, "µs", Better::Less);
    }
}

/// All hundred items with one value of a tag.
fn searches(runtime: &Runtime, (ours, raw, sqlx): Contenders<'_>, table: &mut Table) {
    let groups = ITEMS / items::GROUP;
    let timed = |search: &dyn Fn(u64) -> f64| median((0..500).map(|n| search(n * 7 % groups)).collect());
    let found = |search: &dyn Fn() -> usize| {
        let began = Instant::now();
        assert_eq!(search() as u64, items::GROUP);
        began.elapsed().as_secs_f64() * 1e6
    };
    let figures = [
        timed(&|group| searched(runtime, ours, group)),
        timed(&|group| found(&|| runtime.block_on(raw.search(group)))),
        timed(&|group| found(&|| runtime.block_on(sqlx.search(group)))),
    ];
    let what = format!("postgres: search by tag, {} of {ITEMS} items", items::GROUP);
    for (name, figure) in NAMES.iter().zip(figures) {
        table.add(&what, name, figure, "µs", Better::Less);
    }
}
