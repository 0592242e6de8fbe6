//! What happens to a store from outside: eviction, flushing, foreign keys, keys that vanish by themselves, other settings.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests state what they expect by panicking"
)]

use std::time::Duration;

use storage_core::{
    CleanupReport, Clock, Condition, ErrorKind, ItemKey, ManualClock, SaveRequest, StorageProvider,
    StorageQuery,
};
use storage_redis::{RedisConfig, RedisProvider};
use test_servers::{Network, Proxy, redis::Server};

mod support;

fn key(key: &str) -> ItemKey<'_> {
    ItemKey::new("note", key).unwrap()
}

async fn open(config: &RedisConfig, clock: &ManualClock) -> RedisProvider {
    RedisProvider::builder(config.clone()).clock(clock.shared()).connect().await.unwrap()
}

/// Keys of the store whose name ends so.
fn keys(server: &Server, prefix: &str, end: &str) -> Vec<String> {
    let mut keys: Vec<String> = server.command(&["KEYS", &format!("{prefix}:*{end}")]);
    keys.sort();
    keys
}

async fn found(store: &RedisProvider, query: &StorageQuery) -> Vec<String> {
    let page = store.search(&query.clone().page_size(10_000)).await.unwrap();
    page.results.iter().map(|hit| hit.item.metadata.key.clone()).collect()
}

/// An index that the server evicts takes nothing but itself: the search says so, and it can be made anew.
#[tokio::test]
async fn a_lost_index_is_noticed_and_made_anew() {
    let (server, clock) = (Server::start().unwrap(), ManualClock::default());
    let config = RedisConfig { buckets: 2, prefix: "lost[*]".into(), ..support::at(&server) };
    let store = open(&config, &clock).await;
    let deadline = clock.now().saturating_add(Duration::from_secs(5));
    for n in 0..100 {
        let (name, expires_at) = (format!("k{n:02}"), (n % 2 == 0).then_some(deadline));
        store.save(SaveRequest::new(key(&name), "data").tag("t", "1").expires_at(expires_at)).await.unwrap();
    }
    let indexes: Vec<String> = keys(&server, "lost\\[\\*\\]", ":x");
    assert_eq!(indexes.len(), 2);
    let _: i64 = server.command(&["DEL", &indexes[0]]);
    // A save does not make the loss invisible.
    for n in 0..20 {
        store.save(SaveRequest::new(key(&format!("new{n:02}")), "data").tag("t", "1")).await.unwrap();
    }
    for query in
        [StorageQuery::new(), StorageQuery::new().tag("t", "1"), StorageQuery::new().content_type("note")]
    {
        let error = store.search(&query).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupted);
        assert!(
            error.to_string().contains("bucket 0") && error.to_string().contains("rebuild_index"),
            "{error}"
        );
        assert_eq!(store.count(&query).await.unwrap_err().kind(), ErrorKind::Corrupted);
    }
    assert_eq!(store.usage().await.unwrap_err().kind(), ErrorKind::Corrupted);
    assert_eq!(store.cleanup().await.unwrap_err().kind(), ErrorKind::Corrupted);
    assert!(store.load(key("k00")).await.unwrap().is_some());

    let restored = store.rebuild_index().await.unwrap();
    assert!((1..120).contains(&restored), "{restored}");
    assert_eq!(found(&store, &StorageQuery::new()).await.len(), 120);
    assert_eq!(found(&store, &StorageQuery::new().tag("t", "1")).await.len(), 120);
    assert_eq!(store.rebuild_index().await.unwrap(), 0, "what is whole is left as it is");
    clock.set(deadline);
    assert_eq!(store.cleanup().await.unwrap(), CleanupReport::new(50, 200));
    assert_eq!(found(&store, &StorageQuery::new()).await.len(), 70);
    store.close().await.unwrap();
}

/// What was overwritten between the look at an item and its return to the index once was not put back at all, and then
/// missing from searches without a word.
#[tokio::test]
async fn items_overwritten_during_a_rebuild_are_found_behind_it() {
    let server = Server::start().unwrap();
    let config = RedisConfig { buckets: 1, prefix: "busy".into(), ..support::at(&server) };
    let store = RedisProvider::connect(config).await.unwrap();
    let names: Vec<_> = (0..200).map(|n| format!("k{n:03}")).collect();
    let save_all = || async {
        let requests = names.iter().map(|name| SaveRequest::new(key(name), "data").tag("t", "1"));
        store.save_many(requests.collect()).await.into_iter().for_each(|answer| drop(answer.unwrap()));
    };
    save_all().await;
    let index = keys(&server, "busy", ":x").remove(0);
    for _ in 0..20 {
        let _: i64 = server.command(&["DEL", &index]);
        let rebuilding = store.rebuild_index();
        tokio::pin!(rebuilding);
        // Saves go on all the time that the rebuild takes.
        let mut is_rebuilt = false;
        while !is_rebuilt {
            tokio::select! {
                restored = &mut rebuilding => {
                    restored.unwrap();
                    is_rebuilt = true;
                }
                () = save_all() => {}
            }
        }
        for query in [StorageQuery::new(), StorageQuery::new().tag("t", "1")] {
            assert_eq!(found(&store, &query).await, names);
        }
    }
}

/// Each call of a batch once brought the whole source of a script along when the server did not know it.
#[tokio::test]
async fn a_script_is_sent_to_a_server_once_for_all_calls_that_wait_for_it() {
    let (server, clock) = (Server::start().unwrap(), ManualClock::default());
    let store = open(&support::at(&server), &clock).await;
    fill(&store, &clock, 500).await;
    let info: String = server.command(&["INFO", "commandstats"]);
    let sources = info.lines().find_map(|line| line.strip_prefix("cmdstat_eval:calls="));
    assert!(sources.is_some_and(|figures| figures.starts_with("1,")), "{info}");
}

/// After a flush the store is empty, for clients that were connected all the time too.
#[tokio::test]
async fn a_flushed_store_is_an_empty_store() {
    let (server, clock) = (Server::start().unwrap(), ManualClock::default());
    let config = RedisConfig { prefix: "flushed".into(), ..support::at(&server) };
    let (first, second) = (open(&config, &clock).await, open(&config, &clock).await);
    first.save(SaveRequest::new(key("old"), "data")).await.unwrap();
    for round in 0..3 {
        let _: String = server.command(&["FLUSHALL"]);
        assert_eq!(first.load(key("old")).await.unwrap(), None);
        // What is saved before anyone noticed the flush is found all the same.
        let name = format!("new{round}");
        second.save(SaveRequest::new(key(&name), "data").tag("t", "1")).await.unwrap();
        for store in [&first, &second] {
            assert_eq!(found(store, &StorageQuery::new()).await, [name.as_str()]);
            assert_eq!(store.count(&StorageQuery::new().tag("t", "1")).await.unwrap(), 1);
            assert_eq!(store.cleanup().await.unwrap(), CleanupReport::default());
        }
    }
    let _: String = server.command(&["SCRIPT", "FLUSH"]);
    assert!(second.delete(key("new2"), Condition::None).await.unwrap(), "scripts come back by themselves");
}

/// The description alone may be evicted; the markers of the indexes tell what it said.
#[tokio::test]
async fn a_lost_description_is_written_anew() {
    let (server, clock) = (Server::start().unwrap(), ManualClock::default());
    let config = RedisConfig { prefix: "described".into(), ..support::at(&server) };
    let store = open(&config, &clock).await;
    store.save(SaveRequest::new(key("k"), "data")).await.unwrap();
    let before: String = server.command(&["GET", "described:store"]);
    let _: i64 = server.command(&["DEL", "described:store"]);
    let again = open(&config, &clock).await;
    assert_eq!(server.command::<String>(&["GET", "described:store"]), before);
    assert_eq!(found(&again, &StorageQuery::new()).await, ["k"]);
}

/// Putting items back once had all the time of the connection: behind it the description could not be written any more, and
/// a large store of which only the items were left could never be opened again.
#[tokio::test]
async fn a_store_too_large_to_be_put_together_at_once_opens_with_lost_indexes() {
    const ITEMS: usize = 10_000;
    let (server, clock) = (Server::start().unwrap(), ManualClock::default());
    evict_something(&server).await;
    let near = RedisConfig { buckets: 2, prefix: "large".into(), ..support::at(&server) };
    let store = open(&near, &clock).await;
    fill(&store, &clock, ITEMS).await;
    store.close().await.unwrap();
    for name in ["large:store".to_owned()].into_iter().chain(keys(&server, "large", ":x")) {
        assert_eq!(server.command::<i64>(&["DEL", &name]), 1);
    }

    let proxy = Proxy::start(server.address()).await;
    proxy.set(Network::Slow(Duration::from_millis(50)));
    let far = RedisConfig {
        nodes: vec![proxy.address()],
        operation_timeout: Duration::from_secs(2),
        ..near.clone()
    };
    drop(open(&far, &clock).await);
    let store = open(&near, &clock).await;
    assert!(store.load(key("k0")).await.unwrap().is_some());
    let error = store.search(&StorageQuery::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupted, "{error}");
    assert!(error.to_string().contains("rebuild_index"), "{error}");
    store.rebuild_index().await.unwrap();
    assert_eq!(store.count(&StorageQuery::new()).await.unwrap(), ITEMS as u64);
}

/// Lets the server evict whatever it holds, and nothing from then on.
async fn evict_something(server: &Server) {
    let set = |name: &str, value: &str| server.command::<String>(&["CONFIG", "SET", name, value]);
    let _: String = server.command(&["SET", "theirs", "data"]);
    set("maxmemory-policy", "allkeys-random");
    set("maxmemory", "1");
    tokio::time::timeout(Duration::from_secs(20), async {
        while server.command::<i64>(&["DBSIZE"]) > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("the server evicts what it holds");
    set("maxmemory", "0");
}

/// What others keep in the database is not ours, whatever it is called.
#[tokio::test]
async fn foreign_keys_are_left_alone() {
    let (server, clock) = (Server::start().unwrap(), ManualClock::default());
    for name in ["app", "app:", "app:foreign", "apps:{0.0}:x", "other", "app2:store"] {
        let _: i64 = server.command(&["RPUSH", name, "theirs"]);
    }
    let config = RedisConfig { prefix: "app".into(), ..support::at(&server) };
    let store = open(&config, &clock).await;
    let deadline = clock.now().saturating_add(Duration::from_secs(5));
    for n in 0..50 {
        store.save(SaveRequest::new(key(&n.to_string()), "data").expires_at(deadline)).await.unwrap();
    }
    clock.set(deadline);
    assert_eq!(store.cleanup().await.unwrap(), CleanupReport::new(50, 200));
    assert_eq!(store.rebuild_index().await.unwrap(), 0);
    assert_eq!(found(&store, &StorageQuery::new()).await, [""; 0]);
    for name in ["app", "app:", "app:foreign", "apps:{0.0}:x", "other", "app2:store"] {
        assert_eq!(server.command::<Vec<String>>(&["LRANGE", name, "0", "-1"]), ["theirs"]);
    }
}

/// Something else under an item's name is damage: never a miss, never removed by us, and no trouble for other items.
#[tokio::test]
async fn a_key_of_another_type_is_corrupted_and_stays() {
    let (server, clock) = (Server::start().unwrap(), ManualClock::default());
    let config = RedisConfig { buckets: 1, prefix: "typed".into(), ..support::at(&server) };
    let store = open(&config, &clock).await;
    for name in ["bad", "damaged", "good"] {
        store.save(SaveRequest::new(key(name), name.to_owned()).tag("t", "1")).await.unwrap();
    }
    let stored = |name: &str| format!("{}note\0{name}", keys(&server, "typed", ":x")[0].replace(":x", ":i:"));
    let _: i64 = server.command(&["DEL", &stored("bad")]);
    let _: i64 = server.command(&["RPUSH", &stored("bad"), "theirs"]);
    let bad = key("bad");
    assert_eq!(store.load(bad).await.unwrap_err().kind(), ErrorKind::Corrupted);
    assert_eq!(store.load_many(&[bad]).await.remove(0).unwrap_err().key(), Some("bad"));
    assert_eq!(store.save(SaveRequest::new(bad, "x")).await.unwrap_err().kind(), ErrorKind::Corrupted);
    assert_eq!(store.touch(bad, None).await.unwrap_err().kind(), ErrorKind::Corrupted);
    assert_eq!(store.delete(bad, Condition::None).await.unwrap_err().kind(), ErrorKind::Corrupted);
    for query in [StorageQuery::new(), StorageQuery::new().tag("t", "1").metadata_only()] {
        let error = store.search(&query).await.unwrap_err();
        assert_eq!((error.kind(), error.key()), (ErrorKind::Corrupted, Some("bad")), "{error}");
    }
    assert_eq!(server.command::<Vec<String>>(&["LRANGE", &stored("bad"), "0", "-1"]), ["theirs"]);
    assert_eq!(store.load(key("good")).await.unwrap().unwrap().data, "good");

    // A record that is damaged can be replaced or removed by name, but by no condition.
    let _: i64 = server.command(&["SETRANGE", &stored("damaged"), "90", "x"]);
    let _: i64 = server.command(&["SETRANGE", &stored("damaged"), "10", "x"]);
    let damaged = key("damaged");
    assert_eq!(store.load(damaged).await.unwrap_err().kind(), ErrorKind::Corrupted);
    let conditional = SaveRequest::new(damaged, "x").condition(Condition::Absent);
    assert_eq!(store.save(conditional).await.unwrap_err().kind(), ErrorKind::Corrupted);
    store.save(SaveRequest::new(damaged, "new")).await.unwrap();
    assert_eq!(store.load(damaged).await.unwrap().unwrap().data, "new");
    let _: i64 = server.command(&["DEL", &stored("bad")]);
    assert_eq!(found(&store, &StorageQuery::new()).await, ["damaged", "good"]);
    assert_eq!(found(&store, &StorageQuery::new().tag("t", "1")).await, ["good"]);
}

/// A wrong type under a name that the bucket shares refuses the save before anything of the item is written.
#[tokio::test]
async fn a_bucket_key_of_another_type_refuses_saves_whole() {
    let (server, clock) = (Server::start().unwrap(), ManualClock::default());
    let config = RedisConfig { buckets: 1, prefix: "shared".into(), ..support::at(&server) };
    let store = open(&config, &clock).await;
    for end in [":m", ":x"] {
        let name = keys(&server, "shared", ":x")[0].replace(":x", end);
        let _: i64 = server.command(&["DEL", &name]);
        let _: i64 = server.command(&["RPUSH", &name, "theirs"]);
        let error = store.save(SaveRequest::new(key("k"), "data")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupted, "{end}: {error}");
        assert_eq!(store.load(key("k")).await.unwrap(), None, "{end}");
        let _: i64 = server.command(&["DEL", &name]);
    }
}

/// 100,000 items with deadlines come and go, and the server is as before.
#[tokio::test]
async fn a_hundred_thousand_expired_items_leave_nothing() {
    const ITEMS: usize = 100_000;
    let (server, clock) = (Server::start().unwrap(), ManualClock::default());
    let config = RedisConfig { prefix: "many".into(), ..support::at(&server) };
    let store = open(&config, &clock).await;
    // A first round leaves the version marks, which stay.
    fill(&store, &clock, ITEMS / 100).await;
    clock.advance(Duration::from_secs(60));
    assert_eq!(store.cleanup().await.unwrap().expired, ITEMS as u64 / 100);
    let (size, memory) = weight(&server, "many");

    fill(&store, &clock, ITEMS).await;
    assert!(weight(&server, "many").0 >= size + ITEMS as i64);
    clock.advance(Duration::from_secs(60));
    assert_eq!(store.cleanup().await.unwrap(), CleanupReport::new(ITEMS as u64, 4 * ITEMS as u64));
    assert_eq!(weight(&server, "many"), (size, memory));
    assert_eq!(store.cleanup().await.unwrap(), CleanupReport::default());
}

async fn fill(store: &RedisProvider, clock: &ManualClock, items: usize) {
    let deadline = clock.now().saturating_add(Duration::from_secs(60));
    let names: Vec<_> = (0..items).map(|n| format!("k{n}")).collect();
    for names in names.chunks(1_000) {
        let requests = names.iter().map(|name| {
            SaveRequest::new(key(name), "data").tag("t", "1").tag("n", name).expires_at(deadline)
        });
        for answer in store.save_many(requests.collect()).await {
            answer.unwrap();
        }
    }
}

/// Keys in the database, and bytes of all indexes.
fn weight(server: &Server, prefix: &str) -> (i64, i64) {
    let usage = |index: String| server.command::<i64>(&["MEMORY", "USAGE", &index, "SAMPLES", "0"]);
    let bytes = keys(server, prefix, ":x").into_iter().map(usage);
    (server.command(&["DBSIZE"]), bytes.sum())
}

/// Items that the server dropped by itself are counted once, and their entries removed, whether or not they came back.
#[tokio::test]
async fn items_that_vanished_by_themselves_leave_nothing() {
    let server = Server::start().unwrap();
    let config = RedisConfig {
        buckets: 4,
        prefix: "vanished".into(),
        expiry_grace: Duration::ZERO,
        ..support::at(&server)
    };
    let store = RedisProvider::connect(config).await.unwrap();
    let deadline = storage_core::SystemClock.now().saturating_add(Duration::from_millis(300));
    for n in 0..40 {
        let name = format!("k{n:02}");
        let request = SaveRequest::new(key(&name), "data").tag("t", "1").tag("old", "1").expires_at(deadline);
        store.save(request).await.unwrap();
    }
    let empty = Duration::from_secs(20);
    tokio::time::timeout(empty, async {
        while !keys(&server, "vanished", ":i:*").is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("the server drops items by itself");
    assert_eq!(found(&store, &StorageQuery::new()).await, [""; 0]);
    let back = store.save(SaveRequest::new(key("k00"), "back").tag("t", "1")).await.unwrap();
    assert_eq!(found(&store, &StorageQuery::new().tag("t", "1")).await, ["k00"]);
    let report = store.cleanup().await.unwrap();
    assert_eq!(report, CleanupReport::new(39, 156).with_orphans(1));
    assert_eq!(store.load(key("k00")).await.unwrap(), Some(back));
    assert_eq!(found(&store, &StorageQuery::new().tag("t", "1")).await, ["k00"]);
    assert_eq!(found(&store, &StorageQuery::new().tag("old", "1")).await, [""; 0]);
    assert!(store.delete(key("k00"), Condition::None).await.unwrap());
    for index in keys(&server, "vanished", ":x") {
        let left: Vec<Vec<u8>> = server.command(&["ZRANGE", &index, "0", "-1"]);
        assert_eq!(left.len(), 1, "only the marker is left: {left:?}");
    }
}

/// A search removes entries of items that were evicted, and never shows them.
#[tokio::test]
async fn entries_of_evicted_items_are_repaired() {
    let (server, clock) = (Server::start().unwrap(), ManualClock::default());
    let config = RedisConfig { buckets: 1, prefix: "evicted".into(), ..support::at(&server) };
    let store = open(&config, &clock).await;
    for name in ["a", "b", "c"] {
        store.save(SaveRequest::new(key(name), "data").tag("t", "1")).await.unwrap();
    }
    let item = keys(&server, "evicted", ":i:note\0b");
    assert_eq!(server.command::<i64>(&["DEL", &item[0]]), 1);
    let queries = [
        StorageQuery::new(),
        StorageQuery::new().tag("t", "1"),
        StorageQuery::new().order(storage_core::Order::CREATED),
        StorageQuery::new().order(storage_core::Order::UPDATED),
    ];
    for query in &queries {
        assert_eq!(found(&store, query).await, ["a", "c"]);
        assert_eq!(store.count(query).await.unwrap(), 2);
    }
    let index = keys(&server, "evicted", ":x");
    let left: Vec<Vec<u8>> = server.command(&["ZRANGE", &index[0], "0", "-1"]);
    assert!(!left.iter().any(|entry| entry.ends_with(b"b")), "{left:?}");
}

/// The number of buckets and indexing are fixed when a store is created.
#[tokio::test]
async fn other_settings_than_those_of_the_store_are_refused() {
    let (server, clock) = (Server::start().unwrap(), ManualClock::default());
    let config = RedisConfig { buckets: 8, prefix: "fixed".into(), ..support::at(&server) };
    drop(open(&config, &clock).await);
    let other = RedisConfig { buckets: 9, ..config.clone() };
    let error = RedisProvider::connect(other).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains('8') && error.to_string().contains('9'), "{error}");
    let other = RedisConfig { indexing: false, ..config.clone() };
    assert_eq!(RedisProvider::connect(other).await.unwrap_err().kind(), ErrorKind::Config);
    let _: String = server.command(&["SET", "fixed:store", "storage-redis/2 whatever"]);
    assert_eq!(RedisProvider::connect(config).await.unwrap_err().kind(), ErrorKind::Config);
}

/// A server without memory refuses saves and touches whole; loads, deletes and cleanup go on.
#[tokio::test]
async fn a_full_server_refuses_saves_whole() {
    let (server, clock) = (Server::start().unwrap(), ManualClock::default());
    let config = RedisConfig { prefix: "full".into(), ..support::at(&server) };
    let store = open(&config, &clock).await;
    let deadline = clock.now().saturating_add(Duration::from_secs(5));
    let old =
        store.save(SaveRequest::new(key("k"), "old").tag("t", "old").expires_at(deadline)).await.unwrap();
    store.save(SaveRequest::new(key("gone"), "old")).await.unwrap();
    store.save(SaveRequest::new(key("due"), "old").expires_at(deadline)).await.unwrap();
    let _: String = server.command(&["CONFIG", "SET", "maxmemory", "1"]);
    for (name, tag) in [("k", "new"), ("k", "old"), ("other", "new")] {
        for expires_at in [None, Some(deadline)] {
            let request = SaveRequest::new(key(name), "new").tag("t", tag).expires_at(expires_at);
            assert_eq!(store.save(request).await.unwrap_err().kind(), ErrorKind::Full);
        }
    }
    assert_eq!(store.touch(key("k"), None).await.unwrap_err().kind(), ErrorKind::Full);
    assert_eq!(store.load(key("k")).await.unwrap(), Some(old.clone()));
    assert_eq!(found(&store, &StorageQuery::new().tag("t", "old")).await, ["k"]);
    assert_eq!(found(&store, &StorageQuery::new().tag("t", "new")).await, [""; 0]);
    assert!(store.delete(key("gone"), Condition::None).await.unwrap());
    clock.set(deadline);
    assert_eq!(store.cleanup().await.unwrap(), CleanupReport::new(2, 6));
}

/// Background cleanup needs no caller.
#[tokio::test]
async fn expired_items_are_removed_in_the_background() {
    let (server, clock) = (Server::start().unwrap(), ManualClock::default());
    let config = RedisConfig {
        prefix: "swept".into(),
        cleanup_interval: Some(Duration::from_millis(20)),
        ..support::at(&server)
    };
    let store = open(&config, &clock).await;
    let deadline = clock.now().saturating_add(Duration::from_secs(5));
    store.save(SaveRequest::new(key("k"), "data").expires_at(deadline)).await.unwrap();
    clock.set(deadline);
    tokio::time::timeout(Duration::from_secs(20), async {
        while !keys(&server, "swept", ":i:*").is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("the sweeper removes the item");
    store.close().await.unwrap();
}

/// Reading everything names the damaged items and the lost indexes, and goes on behind them.
#[tokio::test]
async fn verify_names_what_is_damaged() {
    let (server, clock) = (Server::start().unwrap(), ManualClock::default());
    let config = RedisConfig { buckets: 2, prefix: "verified".into(), ..support::at(&server) };
    let store = open(&config, &clock).await;
    for n in 0..1_200 {
        store.save(SaveRequest::new(key(&format!("k{n:04}")), "data")).await.unwrap();
    }
    let report = store.verify().await.unwrap();
    assert!(report.is_clean() && report.intact == 1_200, "{report:?}");

    let item = keys(&server, "verified", "k0700").remove(0);
    let _: i64 = server.command(&["SETRANGE", &item, "90", "?"]);
    let other = keys(&server, "verified", "k0701").remove(0);
    let _: i64 = server.command(&["DEL", &other]);
    let _: i64 = server.command(&["LPUSH", &other, "a list of somebody"]);
    let report = store.verify().await.unwrap();
    let mut named: Vec<_> = report.damaged.iter().filter_map(|damaged| damaged.key.as_deref()).collect();
    named.sort_unstable();
    assert_eq!((report.intact, named), (1_198, vec!["k0700", "k0701"]));

    let index = keys(&server, "verified", ":x").remove(0);
    let _: i64 = server.command(&["DEL", &index]);
    let report = store.verify().await.unwrap();
    assert!(report.damaged.iter().any(|damaged| damaged.what.contains("index of bucket")), "{report:?}");
}

/// Who may not create a store is told that there is none, and makes none.
#[tokio::test]
async fn a_store_that_may_not_be_created_is_not() {
    let server = Server::start().unwrap();
    let config = support::at(&server);
    let refused = RedisProvider::builder(config.clone()).create(false).connect().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NotFound);
    assert_eq!(server.command::<i64>(&["DBSIZE"]), 0);
    RedisProvider::connect(config.clone()).await.unwrap();
    assert!(RedisProvider::builder(config).create(false).connect().await.is_ok());
}
