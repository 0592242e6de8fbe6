//! Typed values in and out: builders, codecs, conditions, deadlines, batches.
#![expect(clippy::unwrap_used, reason = "tests state what they expect by panicking")]

mod support;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use storage_manager::{
    Bytes, Clock, Codec, Encoding, ErrorKind, Expiry, ManualClock, Tags, Timestamp, UnifiedStorageManager,
};
use support::{Mood, Puppet, memory};

const MINUTE: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Profile {
    name: String,
    age: u8,
}

fn ada() -> Profile {
    Profile { name: "Ada".into(), age: 36 }
}

fn manager(clock: &ManualClock) -> UnifiedStorageManager {
    UnifiedStorageManager::builder().fallback(memory(clock)).clock(clock.shared()).build().unwrap()
}

#[tokio::test]
async fn a_value_comes_back_by_value_and_by_reference() {
    let manager = manager(&ManualClock::default());
    let profile = ada();
    let item = manager.save("user:1", &profile, "profile").tag("tier", "gold").await.unwrap();
    assert_eq!(item.data.name, "Ada");
    let item = manager.save("user:1", profile, "profile").tag("tier", "gold").await.unwrap();
    assert_eq!(item.data, ada());
    assert_eq!(item.metadata.encoding, Encoding::JSON);
    let loaded = manager.load::<Profile>("user:1", "profile").await.unwrap().unwrap();
    assert_eq!(loaded, item);
    assert_eq!(loaded.metadata.tags, Tags::from([("tier", "gold")]));
    assert_eq!(manager.load::<Profile>("user:2", "profile").await.unwrap(), None);
}

#[tokio::test]
async fn a_save_that_is_not_awaited_does_nothing() {
    let manager = manager(&ManualClock::default());
    drop(manager.save("k", 1, "t"));
    assert_eq!(manager.load::<u8>("k", "t").await.unwrap(), None);
}

#[tokio::test]
async fn each_item_is_read_with_the_codec_it_was_saved_with() {
    let manager = manager(&ManualClock::default());
    manager.save("packed", ada(), "t").codec(Codec::MessagePack).await.unwrap();
    manager.save("text", ada(), "t").await.unwrap();
    for (key, encoding) in [("packed", Encoding::MESSAGE_PACK), ("text", Encoding::JSON)] {
        let item = manager.load::<Profile>(key, "t").await.unwrap().unwrap();
        assert_eq!((item.data, &item.metadata.encoding), (ada(), &encoding));
    }
    let packing =
        UnifiedStorageManager::builder().fallback(memory(&ManualClock::default())).codec(Codec::MessagePack);
    let item = packing.build().unwrap().save("k", 1, "t").await.unwrap();
    assert_eq!(item.metadata.encoding, Encoding::MESSAGE_PACK);
}

#[tokio::test]
async fn what_does_not_fit_the_type_is_an_error_that_names_the_item() {
    let manager = manager(&ManualClock::default());
    manager.save("number", 1, "t").await.unwrap();
    manager.save_bytes("raw", "\"looks like json\"", "t").await.unwrap();
    for key in ["number", "raw"] {
        let error = manager.load::<String>(key, "t").await.unwrap_err();
        assert_eq!((error.kind(), error.key()), (ErrorKind::Serialization, Some(key)), "{error}");
    }
    let unfit = std::collections::HashMap::from([((1, 2), 3)]);
    let error = manager.save("k", unfit, "t").await.unwrap_err();
    assert_eq!((error.kind(), error.key()), (ErrorKind::Serialization, Some("k")));
}

#[tokio::test]
async fn raw_bytes_keep_the_encoding_they_were_given() {
    let manager = manager(&ManualClock::default());
    let item = manager.save_bytes("a", &b"\0\xff"[..], "t").await.unwrap();
    assert_eq!((item.data, &item.metadata.encoding), (Bytes::from_static(b"\0\xff"), &Encoding::RAW));
    manager.save_bytes("b", "[1]", "t").encoding(Encoding::JSON).await.unwrap();
    assert_eq!(manager.load::<Vec<u8>>("b", "t").await.unwrap().unwrap().data, [1]);
    assert_eq!(&manager.load_bytes("b", "t").await.unwrap().unwrap().data[..], b"[1]");
}

#[tokio::test]
async fn a_time_to_live_counts_from_the_moment_of_sending() {
    let clock = ManualClock::default();
    let manager = manager(&clock);
    let save = manager.save("k", 1, "t").ttl(MINUTE);
    clock.advance(MINUTE);
    let item = save.await.unwrap();
    assert_eq!(item.metadata.expires_at, clock.now().checked_add(MINUTE));
    clock.advance(MINUTE);
    assert_eq!(manager.load::<u8>("k", "t").await.unwrap(), None);
}

#[tokio::test]
async fn the_last_word_on_the_deadline_counts() {
    let clock = ManualClock::default();
    let manager = manager(&clock);
    let at = clock.now().saturating_add(MINUTE);
    let item = manager.save("k", 1, "t").ttl(MINUTE * 9).expires_at(at).await.unwrap();
    assert_eq!(item.metadata.expires_at, Some(at));
    let item = manager.save("k", 1, "t").ttl(MINUTE).expiry(Expiry::Never).await.unwrap();
    assert_eq!(item.metadata.expires_at, None);
}

#[tokio::test]
async fn a_deadline_that_cannot_be_is_invalid_and_stores_nothing() {
    let clock = ManualClock::default();
    let manager = manager(&clock);
    let past = clock.now();
    for expiry in [
        Expiry::After(Duration::ZERO),
        Expiry::After(Duration::MAX),
        Expiry::At(past),
        Expiry::At(Timestamp::MIN),
    ] {
        let error = manager.save("k", 1, "t").expiry(expiry).await.unwrap_err();
        assert_eq!((error.kind(), error.key()), (ErrorKind::Invalid, Some("k")), "{expiry:?}");
        assert_eq!(manager.load::<u8>("k", "t").await.unwrap(), None);
    }
}

#[tokio::test]
async fn bad_keys_and_content_types_are_refused_before_the_provider_is_asked() {
    let clock = ManualClock::default();
    let puppet = Puppet::new("puppet", &clock);
    puppet.be(Mood::Panicking);
    let manager = UnifiedStorageManager::builder().fallback(puppet).build().unwrap();
    let long = "k".repeat(1_025);
    for key in ["", "a\nb", &long] {
        assert_eq!(manager.save(key, 1, "t").await.unwrap_err().kind(), ErrorKind::InvalidKey, "{key:?}");
        assert_eq!(manager.load::<u8>(key, "t").await.unwrap_err().kind(), ErrorKind::InvalidKey);
        assert_eq!(manager.delete(key, "t").await.unwrap_err().kind(), ErrorKind::InvalidKey);
        assert_eq!(manager.touch(key, "t", MINUTE).await.unwrap_err().kind(), ErrorKind::InvalidKey);
    }
    for content_type in ["", "a b", "t*"] {
        assert_eq!(manager.load::<u8>("k", content_type).await.unwrap_err().kind(), ErrorKind::Invalid);
    }
}

#[tokio::test]
async fn conditions_hold_through_the_builder() {
    let manager = manager(&ManualClock::default());
    let first = manager.save("k", 1, "t").if_absent().await.unwrap();
    assert_eq!(manager.save("k", 2, "t").if_absent().await.unwrap_err().kind(), ErrorKind::AlreadyExists);
    let version = first.metadata.version;
    let second = manager.save("k", 2, "t").if_version(version).await.unwrap();
    let stale = manager.save("k", 3, "t").if_version(version).await.unwrap_err();
    assert_eq!(stale.kind(), ErrorKind::VersionConflict);
    let stale = manager.delete_if_version("k", "t", version).await.unwrap_err();
    assert_eq!(stale.kind(), ErrorKind::VersionConflict);
    assert!(manager.delete_if_version("k", "t", second.metadata.version).await.unwrap());
    assert!(!manager.delete("k", "t").await.unwrap());
}

#[tokio::test]
async fn touch_sets_moves_and_takes_the_deadline() {
    let clock = ManualClock::default();
    let manager = manager(&clock);
    let item = manager.save("k", 1, "t").await.unwrap();
    let touched = manager.touch("k", "t", MINUTE).await.unwrap().unwrap();
    assert_eq!(touched.expires_at, clock.now().checked_add(MINUTE));
    assert!(touched.version > item.metadata.version);
    let at = clock.now().saturating_add(MINUTE * 2);
    assert_eq!(manager.touch("k", "t", at).await.unwrap().unwrap().expires_at, Some(at));
    assert_eq!(manager.touch("k", "t", Expiry::Never).await.unwrap().unwrap().expires_at, None);
    assert_eq!(manager.touch("none", "t", MINUTE).await.unwrap(), None);
    let error = manager.touch("k", "t", Duration::ZERO).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn batches_answer_in_the_order_of_the_request_whatever_the_provider() {
    let clock = ManualClock::default();
    let (left, right) = (Puppet::new("left", &clock), Puppet::new("right", &clock));
    let manager = UnifiedStorageManager::builder()
        .register("l*", left.clone())
        .register("l1", left.clone())
        .register("r", right.clone())
        .build()
        .unwrap();
    let types = ["l1", "r", "l2", "missing", "r", "l1"];
    let keys: Vec<_> = (0..types.len()).map(|n| format!("k{n}")).collect();
    let saves = types
        .iter()
        .zip(&keys)
        .enumerate()
        .map(|(n, (content_type, key))| manager.save(key, n, content_type));
    let saved = manager.save_many(saves).await;
    assert_eq!(saved.len(), types.len());
    for (n, answer) in saved.iter().enumerate() {
        match answer {
            Ok(item) => assert_eq!((item.data, &item.metadata.key), (n, &keys[n])),
            Err(error) => assert_eq!((n, error.kind()), (3, ErrorKind::NoProvider)),
        }
    }
    // One call per provider, although the left one has two routes.
    assert_eq!(left.batches.load(std::sync::atomic::Ordering::SeqCst), 1);
    assert_eq!(right.batches.load(std::sync::atomic::Ordering::SeqCst), 1);

    let mut named: Vec<_> = keys.iter().map(String::as_str).zip(types).collect();
    named.push(("", "l1"));
    let loaded = manager.load_many::<usize>(&named).await;
    assert_eq!(loaded[4].as_ref().unwrap().as_ref().unwrap().data, 4);
    assert_eq!(loaded[3].as_ref().unwrap_err().kind(), ErrorKind::NoProvider);
    assert_eq!(loaded[6].as_ref().unwrap_err().kind(), ErrorKind::InvalidKey);
    let deleted = manager.delete_many(&named).await;
    assert_eq!(deleted.iter().filter(|answer| matches!(answer, Ok(true))).count(), 5);

    right.be(Mood::Failing(ErrorKind::Unavailable));
    let saves = types.iter().zip(&keys).map(|(content_type, key)| manager.save(key, 0, content_type));
    let saved = manager.save_many(saves).await;
    let kinds: Vec<_> =
        saved.iter().map(|answer| answer.as_ref().err().map(storage_manager::StorageError::kind)).collect();
    let (gone, lost) = (Some(ErrorKind::Unavailable), Some(ErrorKind::NoProvider));
    assert_eq!(kinds, [None, gone, None, lost, gone, None]);
    let error = saved[1].as_ref().unwrap_err();
    assert_eq!(
        (error.provider(), error.operation(), error.key()),
        (Some("right"), Some("save_many"), Some("k1"))
    );
}

#[tokio::test]
async fn two_saves_of_one_key_in_a_batch_are_one_after_the_other() {
    let manager = manager(&ManualClock::default());
    let saved = manager.save_many([1, 2, 3].map(|n| manager.save("k", n, "t"))).await;
    let versions: Vec<_> = saved.iter().map(|answer| answer.as_ref().unwrap().metadata.version).collect();
    assert!(versions.is_sorted_by(|a, b| a < b), "{versions:?}");
    assert_eq!(manager.load::<u8>("k", "t").await.unwrap().unwrap().data, 3);
}

#[tokio::test]
async fn an_empty_batch_has_no_answers() {
    let manager = manager(&ManualClock::default());
    assert_eq!(manager.load_many::<u8>(&[]).await.len(), 0);
    assert_eq!(
        manager.save_many(Vec::<storage_manager::Save<'_, storage_manager::Raw>>::new()).await.len(),
        0
    );
}

#[tokio::test]
async fn a_failure_names_provider_operation_and_item() {
    let clock = ManualClock::default();
    let puppet = Puppet::new("puppet", &clock);
    puppet.be(Mood::Failing(ErrorKind::Unavailable));
    let manager = UnifiedStorageManager::builder().fallback(puppet).build().unwrap();
    let error = manager.load::<u8>("user:1", "profile").await.unwrap_err();
    assert_eq!(error.to_string(), "puppet: load: as arranged (content type \"profile\", key \"user:1\")");
}
