//! A database is shared: what is not ours is left alone, and what somebody put in the place of ours is named.

use std::collections::BTreeMap;

use storage_core::{Condition, ErrorKind, StorageProvider, StorageQuery};
use storage_redis::RedisProvider;
use test_servers::{found, redis::Server};

use crate::support::{PREFIX, config, connect, get, key, kind, names, put, put_all, search};

/// Keys of others, of every type, some of them almost ours.
const FOREIGN: [&[&str]; 9] = [
    &["SET", "other", "text"],
    &["HSET", "storagex", "a", "1"],
    &["RPUSH", "storage", "a", "b"],
    &["SADD", "storage2:{b.0}:i", "a"],
    &["ZADD", "sessions", "1", "a"],
    &["XADD", "stream", "1-1", "a", "1"],
    &["SET", "{storage}:x", "text"],
    &["SETBIT", "bits", "100", "1"],
    &["PFADD", "Storage:1", "a"],
];

fn foreign(server: &Server) -> BTreeMap<String, Vec<u8>> {
    let dump = |key: &str| (key.to_owned(), server.command::<Vec<u8>>(&["DUMP", key]));
    FOREIGN.iter().map(|words| dump(words[1])).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_25_keys_of_others_in_the_same_database_are_never_touched() {
    let Some(server) = found(Server::start()) else { return };
    for words in FOREIGN {
        let _done: redis::Value = server.command(words);
    }
    let before = foreign(&server);
    let store = connect(&server.url()).await;
    put_all(&*store, &names(200)).await;
    assert_eq!(search(&*store, &StorageQuery::new()).await.unwrap().len(), 200);
    for name in names(200) {
        assert!(store.delete(key(&name), Condition::None).await.unwrap());
    }
    store.cleanup().await.unwrap();
    store.rebuild_index().await.unwrap();
    store.close().await.unwrap();
    assert_eq!(foreign(&server), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_25_two_prefixes_in_one_database_do_not_see_each_other() {
    let Some(server) = found(Server::start()) else { return };
    let other = |prefix: &str| storage_redis::RedisConfig { prefix: prefix.into(), ..config(&server.url()) };
    let mut stores = Vec::new();
    for prefix in ["app", "app:", "app:x", "ap"] {
        stores.push(RedisProvider::connect(other(prefix)).await.unwrap());
    }
    for (index, store) in stores.iter().enumerate() {
        put(store, &format!("k{index}")).await.unwrap();
    }
    for (index, store) in stores.iter().enumerate() {
        let found = search(store, &StorageQuery::new()).await.unwrap();
        assert_eq!(found.iter().map(|item| item.key.clone()).collect::<Vec<_>>(), [format!("k{index}")]);
    }
}

/// The key of the server that holds an item: the one whose value holds its data.
fn record_of(server: &Server, name: &str) -> String {
    let data = format!("data of {name}").into_bytes();
    let keys: Vec<String> = server.command(&["KEYS", &format!("{PREFIX}*")]);
    let holds = |key: &&String| {
        server.command::<String>(&["TYPE", key]) == "string"
            && server.command::<Vec<u8>>(&["GET", key]).windows(data.len()).any(|part| part == data)
    };
    keys.iter().find(holds).cloned().unwrap_or_else(|| panic!("no key holds {name}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_25_a_key_of_another_type_in_the_place_of_an_item_is_corrupted_and_left_as_it_is() {
    let Some(server) = found(Server::start()) else { return };
    let store = connect(&server.url()).await;
    put_all(&*store, &names(20)).await;
    let foreign: [&[&str]; 3] = [&["RPUSH", "KEY", "a"], &["HSET", "KEY", "a", "1"], &["SET", "KEY", "text"]];
    for (words, name) in foreign.iter().zip(names(3)) {
        let record = record_of(&server, &name);
        let _one: u64 = server.command(&["DEL", &record]);
        let words: Vec<&str> =
            words.iter().map(|word| if *word == "KEY" { &record[..] } else { word }).collect();
        let _done: redis::Value = server.command(&words);
        let before: Vec<u8> = server.command(&["DUMP", &record]);
        is_corrupted_everywhere(&store, &name).await;
        assert_eq!(server.command::<Vec<u8>>(&["DUMP", &record]), before, "{words:?}");
    }
    for name in names(20).iter().skip(3) {
        assert!(get(&*store, name).await.unwrap(), "the others stay readable");
    }
}

async fn is_corrupted_everywhere(store: &RedisProvider, name: &str) {
    let loaded = store.load(key(name)).await;
    let error = loaded.as_ref().unwrap_err();
    assert_eq!((error.kind(), error.key()), (ErrorKind::Corrupted, Some(name)), "{error:?}");
    let many = store.load_many(&[key("item-000010"), key(name), key("item-000011")]).await;
    let kinds: Vec<_> = many.iter().map(kind).collect();
    assert_eq!(kinds, [None, Some(ErrorKind::Corrupted), None]);
    let searched = search(store, &StorageQuery::new().tag("name", name)).await;
    assert_eq!(kind(&searched), Some(ErrorKind::Corrupted), "{searched:?}");
    store.cleanup().await.unwrap();
}

/// Every single byte of a record is covered by a check of its own.
#[tokio::test(flavor = "multi_thread")]
async fn fault_25_a_record_with_any_byte_changed_is_corrupted() {
    let Some(server) = found(Server::start()) else { return };
    let store = connect(&server.url()).await;
    put(&*store, "a").await.unwrap();
    let record = record_of(&server, "a");
    let sound: Vec<u8> = server.command(&["GET", &record]);
    let mut connection = server.connect().unwrap();
    let mut set = |bytes: &[u8]| {
        redis::cmd("SET").arg(&record).arg(bytes).query::<String>(&mut connection).unwrap();
    };
    for place in 0..sound.len() {
        let mut damaged = sound.clone();
        damaged[place] ^= 1 << (place % 8);
        set(&damaged);
        let loaded = store.load(key("a")).await;
        assert_eq!(kind(&loaded), Some(ErrorKind::Corrupted), "byte {place} of {}: {loaded:?}", sound.len());
        set(&sound[..place]);
        assert_eq!(kind(&store.load(key("a")).await), Some(ErrorKind::Corrupted), "cut at {place}");
    }
    set(&sound);
    assert!(get(&*store, "a").await.unwrap());
}
