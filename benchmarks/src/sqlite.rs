//! SQLite: the provider beside bare `rusqlite` with grouped commits, on a table with the same indexes.
//!
//! `sqlx` is missing: a program can link SQLite but once, and its newest version asks for an older one than `rusqlite` does.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use storage_core::StorageProvider;
use storage_sql::{SqlConfig, SqlProvider};
use tokio::runtime::Runtime;

use crate::{
    Options, fs, items, latency,
    maps::Provider,
    measure::{Until, median, median_micros, median_turn, runtime, turn},
    memory::searched,
    postgres::Calls,
    sqlite_raw::Raw,
    table::{Better, Table},
};

const SIZES: [u64; 3] = [10_000, 100_000, 1_000_000];
/// Items that are overwritten, loaded and searched.
const ITEMS: u64 = 100_000;
const NAMES: [&str; 2] = ["storage-sql", "rusqlite, one writer, grouped commits"];

/// Measures durable saves, loads, batches and tag search.
pub(crate) fn run(options: &Options, table: &mut Table) {
    let directory = tempfile::tempdir_in(&options.directory).expect("a scratch directory");
    let runtime = runtime();
    for size in SIZES {
        let path = directory.path().join(format!("{size}.db"));
        let ours = filled(&runtime, &path, size);
        let what = format!("sqlite: search by tag, {} of {size} items", items::GROUP);
        let groups = size / items::GROUP;
        let figure = median((0..500).map(|n| searched(&runtime, &ours, n * 7 % groups)).collect());
        table.add(&what, NAMES[0], figure, "µs", Better::Less);
        if size == ITEMS {
            let twin = directory.path().join("raw.db");
            runtime.block_on(filled(&runtime, &twin, size).close()).expect("the provider closes");
            let raw = Raw::open(&twin);
            search_bare(&raw, table, &what, groups);
            calls(options, &runtime, &ours, &raw, table);
            batches(options, &runtime, &ours, &raw, table);
            latency::measure(options, "sqlite", &ours, table);
        }
        runtime.block_on(ours.close()).expect("the provider closes");
    }
}

fn filled(runtime: &Runtime, path: &Path, items: u64) -> Arc<dyn StorageProvider> {
    let mut config = SqlConfig::from_url(&format!("sqlite:{}", path.display())).expect("the URL is valid");
    "items".clone_into(&mut config.table_name);
    config.operation_timeout = Duration::from_secs(60);
    let provider = runtime.block_on(SqlProvider::connect(config)).expect("the file opens");
    let provider: Arc<dyn StorageProvider> = Arc::new(provider);
    fs::fill(runtime, &provider, 0, items);
    provider
}

fn search_bare(raw: &Raw, table: &mut Table, what: &str, groups: u64) {
    let timed = (0..500).map(|n| {
        let began = Instant::now();
        assert_eq!(raw.search(n * 7 % groups) as u64, items::GROUP);
        began.elapsed().as_secs_f64() * 1e6
    });
    table.add(what, NAMES[1], median(timed.collect()), "µs", Better::Less);
}

fn calls(
    options: &Options,
    runtime: &Runtime,
    ours: &Arc<dyn StorageProvider>,
    raw: &Raw,
    table: &mut Table,
) {
    let keys = Arc::new((0..ITEMS).map(items::key).collect::<Vec<_>>());
    let until = Until::Elapsed(Duration::from_secs_f64(options.seconds));
    for loads in [false, true] {
        let ours = Calls::new(Provider(Arc::clone(ours)), &keys, loads);
        let raw = Calls::new(raw.clone(), &keys, loads);
        for tasks in [1, 64] {
            let (mut first, mut second) = (Vec::new(), Vec::new());
            for _ in 0..options.rounds {
                first.push(turn(runtime, &ours, tasks, until));
                second.push(turn(runtime, &raw, tasks, until));
            }
            let verb = if loads { "load" } else { "durable save over an old item" };
            let what = format!("sqlite: {verb}, 256 B and 3 tags, {tasks} tasks");
            let turns = [median_turn(&first), median_turn(&second)];
            for (name, turn) in NAMES.iter().zip(&turns) {
                table.add(&what, name, turn.per_second, "/s", Better::More);
            }
            for (name, turn) in NAMES.iter().zip(&turns) {
                table.add(&format!("{what}: p99"), name, turn.p99_micros, "µs", Better::Less);
            }
        }
    }
}

/// A hundred items in one call.
fn batches(
    options: &Options,
    runtime: &Runtime,
    ours: &Arc<dyn StorageProvider>,
    raw: &Raw,
    table: &mut Table,
) {
    const BATCH: u64 = 100;
    let payload = items::payload();
    let keys: Vec<_> = (0..BATCH).map(items::key).collect();
    let timed = |work: &dyn Fn()| median_micros(options.rounds * 50, work);
    let saves = [
        timed(&|| {
            let requests = keys.iter().zip(0..).map(|(key, n)| items::request(key, n, &payload)).collect();
            let answers = runtime.block_on(ours.save_many(requests));
            assert!(answers.iter().all(Result::is_ok), "the batch is saved");
        }),
        timed(&|| runtime.block_on(raw.save_many(&keys, &payload))),
    ];
    for (name, figure) in NAMES.iter().zip(saves) {
        table.add("sqlite: durable save of a batch of 100, 1 task", name, figure, "µs", Better::Less);
    }
}
