//! Fault 28: a hundred thousand items expire while nobody looks, and their index entries stay behind.

use std::time::{Duration, Instant};

use storage_core::{Clock, ManualClock, Order, StorageProvider, StorageQuery, Timestamp};
use storage_redis::{RedisConfig, RedisProvider};
use test_servers::{found, redis::Server};

use crate::support::{eventually, names, patient, put, request, search};

async fn save_expiring(store: &RedisProvider, count: usize, deadline: Timestamp) {
    for chunk in names(count).chunks(1_000) {
        let requests = chunk.iter().map(|name| request(name).expires_at(deadline)).collect();
        store.save_many(requests).await.into_iter().for_each(|answer| drop(answer.unwrap()));
    }
}

/// Keys of the server, and the bytes of all of them.
fn footprint(server: &Server) -> (u64, u64) {
    let keys: Vec<String> = server.command(&["KEYS", "*"]);
    let bytes = keys.iter().map(|key| server.command::<u64>(&["MEMORY", "USAGE", key, "SAMPLES", "0"]));
    (keys.len() as u64, bytes.sum())
}

async fn shows_nothing_but_what_stays(store: &RedisProvider) {
    let queries = [
        StorageQuery::new(),
        StorageQuery::new().content_type("note").pattern("*"),
        StorageQuery::new().tag("all", "yes"),
        StorageQuery::new().order(Order::UPDATED.descending()),
        StorageQuery::new().tag("all", "yes").order(Order::CREATED),
    ];
    for query in queries {
        let found = search(store, &query).await.unwrap();
        assert_eq!(
            found.iter().map(|metadata| &metadata.key[..]).collect::<Vec<_>>(),
            ["stays"],
            "{query:?}"
        );
        assert_eq!(store.count(&query).await.unwrap(), 1, "{query:?}");
    }
    assert_eq!(store.usage().await.unwrap().total().items, 1);
}

/// Our clock passes the deadline; the server still holds every record.
#[tokio::test(flavor = "multi_thread")]
async fn fault_28_a_hundred_thousand_expired_items_are_invisible_and_cleanup_leaves_nothing_of_them() {
    const COUNT: usize = 100_000;
    let Some(server) = found(Server::start()) else { return };
    let clock = ManualClock::default();
    let builder = RedisProvider::builder(patient(&server.url())).clock(clock.shared());
    let store = builder.connect().await.unwrap();
    put(&store, "stays").await.unwrap();
    let before = footprint(&server);
    save_expiring(&store, COUNT, clock.now().saturating_add(Duration::from_secs(3_600))).await;
    assert_eq!(store.count(&StorageQuery::new()).await.unwrap(), COUNT as u64 + 1);
    clock.advance(Duration::from_secs(3_600));
    shows_nothing_but_what_stays(&store).await;
    clean_up(&store, &server, COUNT, before).await;
}

/// The server has dropped the records by itself; only what the indexes know of them is left.
#[tokio::test(flavor = "multi_thread")]
async fn fault_28_index_entries_of_items_that_the_server_dropped_by_itself_are_invisible_and_removed() {
    const COUNT: usize = 20_000;
    let Some(server) = found(Server::start()) else { return };
    let config = RedisConfig { expiry_grace: Duration::ZERO, ..patient(&server.url()) };
    let clock = ManualClock::default();
    let store = RedisProvider::builder(config).clock(clock.shared()).connect().await.unwrap();
    put(&store, "stays").await.unwrap();
    let before = footprint(&server);
    // The server counts the time from each save on, while our clock stands still.
    save_expiring(&store, COUNT, clock.now().saturating_add(Duration::from_millis(500))).await;
    eventually("the server drops the records", || async { server.command::<u64>(&["DBSIZE"]) < 500 }).await;
    clock.advance(Duration::from_millis(500));
    shows_nothing_but_what_stays(&store).await;
    clean_up(&store, &server, COUNT, before).await;
}

async fn clean_up(store: &RedisProvider, server: &Server, count: usize, before: (u64, u64)) {
    let (started, work) = (Instant::now(), Work::of(server));
    let report = store.cleanup().await.unwrap();
    println!("{report:?} in {:?}", started.elapsed());
    Work::of(server).assert_small_steps_since(&work, count);
    assert_eq!(report.expired + report.orphans, count as u64);
    assert_eq!(store.cleanup().await.unwrap(), storage_core::CleanupReport::default());
    let after = footprint(server);
    println!("keys and bytes: {before:?} before, {after:?} after");
    assert_is_back(after, before);
    shows_nothing_but_what_stays(store).await;
}

/// A bucket may have to remember its last version, and an index that once was large keeps some empty room: a key and 2,000
/// bytes for each of the buckets, whatever they held.
fn assert_is_back(after: (u64, u64), before: (u64, u64)) {
    const BUCKETS: u64 = 32;
    assert!(after.0 <= before.0 + BUCKETS, "{after:?} {before:?}");
    assert!(after.1 <= before.1 + BUCKETS * 2_000, "{after:?} {before:?}");
}

/// What the server has worked so far. A busy machine makes a step last longer, but not work more.
struct Work {
    scripts: u64,
    processor: f64,
}

impl Work {
    fn of(server: &Server) -> Self {
        let info: String = server.command(&["INFO", "everything"]);
        let value = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("0");
        let calls = value("cmdstat_evalsha:calls=").split(',').next().unwrap();
        let processor = ["used_cpu_user:", "used_cpu_sys:"].map(|name| value(name).parse::<f64>().unwrap());
        Self { scripts: calls.parse().unwrap(), processor: processor.iter().sum() }
    }

    fn assert_small_steps_since(&self, before: &Self, count: usize) {
        let (steps, seconds) = (self.scripts - before.scripts, self.processor - before.processor);
        let each = Duration::from_secs_f64(seconds / steps as f64);
        println!("{steps} steps kept the server busy for {seconds:.2} s, {each:?} each");
        assert!(
            steps > count as u64 / 1_000 && each < Duration::from_millis(5),
            "{steps} steps, {each:?} each"
        );
    }
}
