//! The redis provider beside the raw client: the same script, the two hashes of a hand-made layout, plain SET and GET.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use redis::Cmd;
use storage_core::{ItemKey, SaveRequest, StorageProvider, StorageQuery};
use storage_redis::{RedisConfig, RedisProvider};
use test_servers::redis::{Cluster, Server};
use tokio::runtime::Runtime;

use crate::{
    Options, fs, items, latency,
    maps::{Provider, Store},
    measure::{Turn, Until, Workload, median, median_micros, median_turn, runtime, turn},
    memory::searched,
    redis_raw::{Plain, Raw, TwoHashes, scan_and_load},
    table::{Better, Table},
};

/// Items that are overwritten and loaded.
const ITEMS: u64 = 100_000;
/// Prepared commands of the contender that sends the provider's own script.
const PREPARED: u64 = 10_000;

/// Measures saves, loads, batches, tag search, a cluster beside one node, and counts the commands of each verb.
pub(crate) fn run(options: &Options, table: &mut Table) {
    let runtime = runtime();
    let server = Server::start().expect("redis-server is installed");
    calls(options, &runtime, &server, table);
    batches(options, &runtime, &server, table);
    searches(&runtime, table);
    cluster(options, &runtime, table);
    commands(&runtime, &server, table);
    latency::measure(options, "redis", &(Arc::new(connect(&runtime, &server.url(), 64)) as _), table);
}

fn connect(runtime: &Runtime, url: &str, tasks: u64) -> RedisProvider {
    let mut config = RedisConfig::from_url(url).expect("the URL is valid");
    config.connections = connections(tasks);
    runtime.block_on(RedisProvider::connect(config)).expect("the server answers")
}

/// Both sides have as many connections as they do best with.
const fn connections(tasks: u64) -> u16 {
    if tasks > 128 { 4 } else { 1 }
}

/// Overwrites or loads items of a filled store.
struct Calls<S> {
    store: S,
    keys: Arc<Vec<String>>,
    payload: Bytes,
    loads: bool,
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

/// Sends prepared saves of the provider over the raw client, or reads records as the provider does.
struct SameCommands {
    raw: Raw,
    saves: Arc<Vec<Cmd>>,
    loads: Arc<Vec<Cmd>>,
}

impl SameCommands {
    fn new(raw: Raw, provider: &RedisProvider, keys: &[String]) -> Self {
        let payload = items::payload();
        let prepare = |(n, key): (u64, &String)| {
            let request = items::request(key, n, &payload);
            let load = provider.load_bytes(request.key).expect("the key is valid");
            (command(&provider.save_bytes(request).expect("the request is valid")), command(&load))
        };
        let (saves, loads) = (0..PREPARED).zip(keys).map(prepare).unzip();
        Self { raw, saves: Arc::new(saves), loads: Arc::new(loads) }
    }
}

/// The command that these bytes of the protocol are.
fn command(bytes: &[u8]) -> Cmd {
    let redis::Value::Array(words) = redis::parse_redis_value(bytes).expect("a command is a list") else {
        panic!("a command is a list");
    };
    let mut command = Cmd::new();
    for word in words {
        command.arg(redis::from_redis_value::<Vec<u8>>(word).expect("a word is a string"));
    }
    command
}

fn number(key: ItemKey<'_>) -> usize {
    let digits = key.key().rsplit(':').next().and_then(|digits| digits.parse::<u64>().ok());
    (digits.expect("bench keys end in a number") % PREPARED) as usize
}

impl Store for SameCommands {
    async fn save(&self, request: SaveRequest<'_>) {
        self.raw.send(&self.saves[number(request.key)]).await;
    }

    async fn load(&self, key: ItemKey<'_>) -> bool {
        self.raw.send(&self.loads[number(key)]).await != redis::Value::Nil
    }
}

fn calls(options: &Options, runtime: &Runtime, server: &Server, table: &mut Table) {
    let keys = Arc::new((0..ITEMS).map(items::key).collect::<Vec<_>>());
    let url = server.url();
    let filler: Arc<dyn StorageProvider> = Arc::new(connect(runtime, &url, 1));
    fs::fill(runtime, &filler, 0, ITEMS);
    let plain = Raw::connect(runtime, &url, 4);
    fill_raw(runtime, &Plain(plain.clone()), &keys);
    fill_raw(runtime, &TwoHashes(plain), &keys);

    for tasks in [1, 64, 256] {
        let raw = Raw::connect(runtime, &url, connections(tasks).into());
        let provider = connect(runtime, &url, tasks);
        let same = SameCommands::new(raw.clone(), &provider, &keys);
        let ours = Provider(Arc::new(provider));
        let contenders = (ours, same, TwoHashes(raw.clone()), Plain(raw));
        contend(options, runtime, contenders, &keys, tasks, table);
    }
}

fn contend(
    options: &Options,
    runtime: &Runtime,
    (ours, same, hashes, plain): (Provider, SameCommands, TwoHashes, Plain),
    keys: &Arc<Vec<String>>,
    tasks: u64,
    table: &mut Table,
) {
    fn both<S: Store>(store: S, keys: &Arc<Vec<String>>) -> [Arc<Calls<Arc<S>>>; 2] {
        let store = Arc::new(store);
        [false, true].map(|loads| {
            let store = Arc::clone(&store);
            Arc::new(Calls { store, keys: Arc::clone(keys), payload: items::payload(), loads })
        })
    }
    let (ours, same, hashes, plain) =
        (both(ours, keys), both(same, keys), both(hashes, keys), both(plain, keys));
    let until = Until::Elapsed(Duration::from_secs_f64(options.seconds));
    let names = [
        [
            "storage-redis (indexed)",
            "raw client, the same script",
            "raw client, MULTI of two hashes, no index",
            "raw client, SET of the payload, no index",
        ],
        [
            "storage-redis (indexed)",
            "raw client, the same GET",
            "raw client, two HGETALL",
            "raw client, GET of the payload",
        ],
    ];
    for (verb, what) in ["save over an old item", "load"].iter().enumerate() {
        let mut turns: [Vec<Turn>; 4] = Default::default();
        for _ in 0..options.rounds {
            turns[0].push(turn(runtime, &ours[verb], tasks, until));
            turns[1].push(turn(runtime, &same[verb], tasks, until));
            turns[2].push(turn(runtime, &hashes[verb], tasks, until));
            turns[3].push(turn(runtime, &plain[verb], tasks, until));
        }
        let what = format!("redis: {what}, 256 B and 3 tags, {tasks} tasks");
        for (name, turns) in names[verb].iter().zip(&turns) {
            table.add(&what, name, median_turn(turns).per_second, "/s", Better::More);
        }
        for (name, turns) in names[verb].iter().zip(&turns) {
            table.add(&format!("{what}: p99"), name, median_turn(turns).p99_micros, "µs", Better::Less);
        }
    }
}

fn fill_raw<S: Store>(runtime: &Runtime, store: &S, keys: &[String]) {
    let payload = items::payload();
    runtime.block_on(async {
        for (chunk, start) in keys.chunks(500).zip((0..).step_by(500)) {
            let saves =
                chunk.iter().zip(start..).map(|(key, n)| store.save(items::request(key, n, &payload)));
            futures_util::future::join_all(saves).await;
        }
    });
}

/// A hundred items in one call.
fn batches(options: &Options, runtime: &Runtime, server: &Server, table: &mut Table) {
    const BATCH: u64 = 100;
    let url = server.url();
    let (provider, raw) = (connect(runtime, &url, 1), Raw::connect(runtime, &url, 1));
    let payload = items::payload();
    let keys: Vec<_> = (0..BATCH).map(items::key).collect();
    let identities: Vec<_> = keys.iter().map(|key| items::identity(key)).collect();
    let mut saves = redis::pipe();
    let mut loads = redis::pipe();
    for key in &keys {
        saves.cmd("SET").arg(format!("plain:{key}")).arg(&payload[..]);
        loads.cmd("GET").arg(format!("plain:{key}"));
    }
    let timed = |work: &dyn Fn()| median_micros(options.rounds * 100, work);
    let save_ours = timed(&|| {
        let requests = keys.iter().zip(0..).map(|(key, n)| items::request(key, n, &payload)).collect();
        let answers = runtime.block_on(provider.save_many(requests));
        assert!(answers.iter().all(Result::is_ok), "the batch is saved");
    });
    let load_ours = timed(&|| {
        let answers = runtime.block_on(provider.load_many(&identities));
        assert!(answers.iter().all(|answer| matches!(answer, Ok(Some(_)))), "the batch is found");
    });
    let send = |pipeline: &redis::Pipeline| {
        let answers = runtime.block_on(raw.send_all(pipeline));
        assert_eq!(answers.len() as u64, BATCH);
    };
    let (save_raw, load_raw) = (timed(&|| send(&saves)), timed(&|| send(&loads)));
    let what = |verb| format!("redis: {verb} a batch of {BATCH}, 1 task");
    table.add(&what("save"), "storage-redis (indexed)", save_ours, "µs", Better::Less);
    table.add(&what("save"), "raw client, pipeline of SET", save_raw, "µs", Better::Less);
    table.add(&what("load"), "storage-redis", load_ours, "µs", Better::Less);
    table.add(&what("load"), "raw client, pipeline of GET", load_raw, "µs", Better::Less);
}

/// One store that grows: search by tag at each size, and beside a SCAN that reads everything.
fn searches(runtime: &Runtime, table: &mut Table) {
    let server = Server::start().expect("redis-server is installed");
    let url = server.url();
    let provider: Arc<dyn StorageProvider> = Arc::new(connect(runtime, &url, 1));
    let raw = Raw::connect(runtime, &url, 1);
    let mut filled = 0;
    for count in [10_000, ITEMS, 1_000_000] {
        fs::fill(runtime, &provider, filled, count);
        filled = count;
        let groups = count / items::GROUP;
        let times = (0..500).map(|n| searched(runtime, &provider, n * 7 % groups)).collect();
        let what = format!("redis: search by tag, {} of {count} items", items::GROUP);
        table.add(&what, "storage-redis", median(times), "µs", Better::Less);
        if count == ITEMS {
            let times = (0..3).map(|_| scanned(runtime, &raw)).collect();
            table.add(
                &what,
                "raw client, SCAN (COUNT 1000, pipelined) and GET",
                median(times),
                "µs",
                Better::Less,
            );
        }
    }
}

fn scanned(runtime: &Runtime, raw: &Raw) -> f64 {
    let began = Instant::now();
    runtime.block_on(scan_and_load(raw, "storage:*:i:*", b"group"));
    began.elapsed().as_secs_f64() * 1e6
}

/// The same work on three masters: on one machine they share its cores, so that this shows the price of routing.
fn cluster(options: &Options, runtime: &Runtime, table: &mut Table) {
    const TASKS: u64 = 64;
    let (node, cluster) = (Server::start(), Cluster::start());
    let (node, cluster) = (node.expect("redis-server is installed"), cluster.expect("a cluster starts"));
    let keys = Arc::new((0..ITEMS).map(items::key).collect::<Vec<_>>());
    let [node, cluster] = [node.url(), cluster.url()].map(|url| {
        let provider: Arc<dyn StorageProvider> = Arc::new(connect(runtime, &url, TASKS));
        fs::fill(runtime, &provider, 0, ITEMS);
        provider
    });
    let until = Until::Elapsed(Duration::from_secs_f64(options.seconds));
    for loads in [false, true] {
        let [cluster, node] = [&cluster, &node].map(|provider| {
            let store = Provider(Arc::clone(provider));
            Arc::new(Calls { store, keys: Arc::clone(&keys), payload: items::payload(), loads })
        });
        let mut turns: [Vec<Turn>; 2] = Default::default();
        for _ in 0..options.rounds {
            turns[0].push(turn(runtime, &cluster, TASKS, until));
            turns[1].push(turn(runtime, &node, TASKS, until));
        }
        let verb = if loads { "load" } else { "save over an old item" };
        let what = format!("redis: {verb}, {TASKS} tasks, cluster of three");
        for (name, turns) in ["storage-redis, three masters", "storage-redis, one node"].iter().zip(&turns) {
            table.add(&what, name, median_turn(turns).per_second, "/s", Better::More);
        }
    }
    for (at, provider) in [cluster, node].into_iter().enumerate() {
        let times = (0..500).map(|n| searched(runtime, &provider, n * 7 % (ITEMS / items::GROUP))).collect();
        let name = if at == 0 { "three masters" } else { "one node" };
        table.add("redis: search by tag on a cluster", name, median(times), "µs", Better::Less);
    }
}

/// What the server counts for one call of each verb.
fn commands(runtime: &Runtime, server: &Server, table: &mut Table) {
    let (provider, raw) = (connect(runtime, &server.url(), 1), Raw::connect(runtime, &server.url(), 1));
    let payload = items::payload();
    let key = items::key(7);
    let identity = items::identity(&key);
    let keys: Vec<_> = (0..100).map(items::key).collect();
    let verbs: [(&str, &dyn Fn()); 6] = [
        ("save", &|| drop(runtime.block_on(provider.save(items::request(&key, 7, &payload))))),
        ("load", &|| drop(runtime.block_on(provider.load(identity)))),
        ("touch", &|| drop(runtime.block_on(provider.touch(identity, None)))),
        ("delete", &|| drop(runtime.block_on(provider.delete(identity, storage_core::Condition::None)))),
        ("load_many of 100", &|| {
            let identities: Vec<_> = keys.iter().map(|key| items::identity(key)).collect();
            drop(runtime.block_on(provider.load_many(&identities)));
        }),
        ("search by tag, 100 hits", &|| {
            let query = StorageQuery::new().content_type(items::TYPE).tag("group", "7");
            drop(runtime.block_on(provider.search(&query)));
        }),
    ];
    for (verb, work) in verbs {
        work();
        let before = counted(runtime, &raw);
        work();
        let after = counted(runtime, &raw);
        let difference: Vec<_> = after
            .iter()
            .filter(|(name, _)| *name != "info")
            .map(|(name, count)| (name, count - before.get(name).copied().unwrap_or(0)))
            .filter(|(_, count)| *count > 0)
            .collect();
        for (name, count) in difference {
            table.add(&format!("redis: commands of one {verb}"), name, count as f64, "", Better::Less);
        }
    }
}

/// Calls per command, as `INFO commandstats` counts them; commands that a script makes count as well.
fn counted(runtime: &Runtime, raw: &Raw) -> BTreeMap<String, u64> {
    let mut info = redis::cmd("INFO");
    info.arg("commandstats");
    let text: String =
        redis::from_redis_value(runtime.block_on(raw.send(&info))).expect("INFO answers a text");
    let count = |line: &str| {
        let (name, figures) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
        Some((name.to_owned(), figures.split(',').next()?.parse().ok()?))
    };
    text.lines().filter_map(count).collect()
}
