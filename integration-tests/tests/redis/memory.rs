//! Faults 20 and 21: the server has no memory left, and refuses writes or throws away what it likes.

use std::collections::BTreeSet;

use storage_core::{Condition, ErrorKind, ManualClock, SaveRequest, StorageProvider, StorageQuery};
use storage_redis::RedisProvider;
use test_servers::{found, redis::Server};

use crate::{
    logs::Logs,
    support::{config, connect, get, key, kind, names, patient, put, request, search},
};

/// Leaves the server `bytes` beyond what it uses.
fn leave_room(server: &Server, bytes: u64) {
    let info: String = server.command(&["INFO", "memory"]);
    let used = info.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap();
    let limit = used.trim().parse::<u64>().unwrap() + bytes;
    set(server, "maxmemory", &limit.to_string());
}

fn set(server: &Server, name: &str, value: &str) {
    let _ok: String = server.command(&["CONFIG", "SET", name, value]);
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_20_without_memory_saves_are_full_nothing_is_half_written_and_the_rest_goes_on() {
    let Some(server) = found(Server::start()) else { return };
    let clock = ManualClock::default();
    let store = RedisProvider::builder(patient(&server.url())).clock(clock.shared()).connect().await.unwrap();
    let expiring = save_expiring(&store, &clock).await;
    leave_room(&server, 600_000);
    let kept = fill(&store).await;
    assert!(kept.len() > 100, "{}", kept.len());
    assert_holds_exactly(&store, &kept, expiring).await;
    overwriting_and_touching_is_all_or_nothing(&store, &kept).await;

    clock.advance(std::time::Duration::from_secs(20));
    let report = store.cleanup().await.unwrap();
    assert_eq!(report.expired, expiring);
    assert!(store.delete(key(&kept[0]), Condition::None).await.unwrap());
    assert_holds_exactly(&store, &kept[1..], 0).await;
    set(&server, "maxmemory", "0");
    put(&store, &kept[0]).await.unwrap();
    assert_holds_exactly(&store, &kept, 0).await;
}

/// Items that cleanup will have to remove, and their number.
async fn save_expiring(store: &RedisProvider, clock: &ManualClock) -> u64 {
    let deadline = storage_core::Clock::now(clock).saturating_add(std::time::Duration::from_secs(10));
    for number in 0..50 {
        let name = format!("expiring-{number}");
        store.save(request(&name).expires_at(deadline)).await.unwrap();
    }
    50
}

/// Saves new items until many saves in a row were refused, and returns those that were not.
async fn fill(store: &RedisProvider) -> Vec<String> {
    let (mut kept, mut refused) = (Vec::new(), 0);
    for name in names(100_000) {
        match put(store, &name).await {
            Ok(_) => kept.push(name),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Full, "{error:?}");
                assert!(!get(store, &name).await.unwrap(), "a refused item is there");
                refused += 1;
            }
        }
        if refused == 50 {
            return kept;
        }
    }
    panic!("the server never was full");
}

async fn overwriting_and_touching_is_all_or_nothing(store: &RedisProvider, kept: &[String]) {
    for name in kept.iter().take(20) {
        let large = SaveRequest::new(key(name), vec![b'x'; 50_000]).tag("other", "tag");
        assert_eq!(kind(&store.save(large).await), Some(ErrorKind::Full));
        assert!(get(store, name).await.unwrap());
    }
    let touched = store.touch(key(&kept[0]), None).await;
    assert!(matches!(kind(&touched), None | Some(ErrorKind::Full)), "{touched:?}");
}

/// The items are there with all their index entries, and nothing else but `others`.
async fn assert_holds_exactly(store: &RedisProvider, kept: &[String], others: u64) {
    for name in kept {
        assert!(get(store, name).await.unwrap(), "{name} is lost");
    }
    let expected: BTreeSet<String> = kept.iter().cloned().collect();
    assert_eq!(found_by(store, &StorageQuery::new().pattern("item-*")).await, expected);
    assert_eq!(found_by(store, &StorageQuery::new().tag("all", "yes").pattern("item-*")).await, expected);
    let count = store.count(&StorageQuery::new()).await.unwrap();
    assert_eq!(count, kept.len() as u64 + others);
}

async fn found_by(store: &RedisProvider, query: &StorageQuery) -> BTreeSet<String> {
    search(store, query).await.unwrap().into_iter().map(|metadata| metadata.key).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_21_a_server_that_evicts_anything_shows_no_phantoms_and_a_lost_index_is_noticed() {
    let server = Server::builder().line("maxmemory 4mb").line("maxmemory-policy allkeys-random").start();
    let Some(server) = found(server) else { return };
    let store = RedisProvider::connect(patient(&server.url())).await.unwrap();
    let names = names(30_000);
    for chunk in names.chunks(500) {
        let answers = store.save_many(chunk.iter().map(|name| request(name)).collect()).await;
        assert!(
            answers
                .iter()
                .all(|answer| matches!(kind(answer), None | Some(ErrorKind::Corrupted | ErrorKind::Full)))
        );
    }
    // What is left stays from now on, so that searches can be compared with it.
    set(&server, "maxmemory", "0");
    let live = live(&store, &names).await;
    println!("{} of {} items survived", live.len(), names.len());
    assert!(live.len() < names.len());
    let noticed = searches_tell_the_truth(&store, &live).await;
    println!("a lost index was noticed by {noticed} of 3 searches");

    let restored = store.rebuild_index().await.unwrap();
    println!("{restored} items were put back into their indexes");
    assert_eq!(searches_tell_the_truth(&store, &live).await, 0);
}

/// The items that can be loaded: each with its own data.
async fn live(store: &RedisProvider, names: &[String]) -> BTreeSet<String> {
    let mut live = BTreeSet::new();
    for name in names {
        if get(store, name).await.unwrap() {
            live.insert(name.clone());
        }
    }
    live
}

/// A search finds exactly what lives, or says what is lost; how many said so.
async fn searches_tell_the_truth(store: &RedisProvider, live: &BTreeSet<String>) -> usize {
    let all = StorageQuery::new();
    let queries =
        [all.clone(), all.clone().tag("all", "yes"), all.order(storage_core::Order::UPDATED.descending())];
    let mut noticed = 0;
    for query in queries {
        match search(store, &query).await {
            Ok(found) => {
                let found: BTreeSet<String> = found.into_iter().map(|metadata| metadata.key).collect();
                assert_eq!(&found, live, "{query:?}");
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Corrupted, "{error:?}");
                assert!(error.to_string().contains("rebuild_index"), "{error}");
                noticed += 1;
            }
        }
    }
    noticed
}

#[tokio::test]
async fn fault_21_connecting_to_a_server_that_may_evict_warns_and_to_another_does_not() {
    for (policy, warns) in [("allkeys-lru", true), ("volatile-ttl", true), ("noeviction", false)] {
        let line = format!("maxmemory-policy {policy}");
        let Some(server) = found(Server::builder().line("maxmemory 100mb").line(line).start()) else {
            return;
        };
        let logs = Logs::collect();
        connect(&server.url()).await;
        let warned = logs.text().lines().any(|line| line.contains("WARN") && line.contains(policy));
        assert_eq!(warned, warns, "{policy}: {}", logs.text());
    }
}

/// The search goes through a server with the default settings of its distribution, which the tests of faults use too.
#[tokio::test(flavor = "multi_thread")]
async fn fault_21_one_index_that_was_deleted_by_somebody_is_noticed_and_made_anew() {
    let Some(server) = found(Server::start()) else { return };
    let store = RedisProvider::connect(config(&server.url())).await.unwrap();
    let names = names(200);
    crate::support::put_all(&store, &names).await;
    let live: BTreeSet<String> = names.into_iter().collect();
    let indexes = sorted_sets(&server);
    assert!(!indexes.is_empty());
    let _one: u64 = server.command(&["DEL", &indexes[0]]);
    assert_eq!(searches_tell_the_truth(&store, &live).await, 3);
    put(&store, "item-000000").await.unwrap();
    assert_eq!(searches_tell_the_truth(&store, &live).await, 3, "a save must not hide the loss");
    store.rebuild_index().await.unwrap();
    assert_eq!(searches_tell_the_truth(&store, &live).await, 0);
}

/// The names of our indexes.
fn sorted_sets(server: &Server) -> Vec<String> {
    let keys: Vec<String> = server.command(&["KEYS", "*"]);
    keys.into_iter().filter(|key| server.command::<String>(&["TYPE", key]) == "zset").collect()
}
