//! Limits, eviction, and memory that is given back.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{num::NonZeroU16, sync::Arc, time::Duration};

use storage_core::{
    Clock as _, Condition, ErrorKind, ItemKey, ManualClock, SaveRequest, StorageProvider, StorageQuery,
};
use storage_memory::{MemoryConfig, MemoryProvider, WhenFull};

const MINUTE: Duration = Duration::from_secs(60);

fn config(max_entries: u64, max_bytes: u64) -> MemoryConfig {
    MemoryConfig { max_entries, max_bytes, cleanup_interval: Duration::ZERO, ..MemoryConfig::default() }
}

fn key(key: &str) -> ItemKey<'_> {
    ItemKey::new("note", key).unwrap()
}

/// Saves `data` and says which error came of it, if one did.
async fn save(provider: &MemoryProvider, name: &str, data: &str) -> Option<ErrorKind> {
    provider.save(SaveRequest::new(key(name), data.to_owned())).await.err().map(|error| error.kind())
}

async fn holds(provider: &MemoryProvider, name: &str) -> bool {
    provider.load(key(name)).await.unwrap().is_some()
}

async fn count(provider: &MemoryProvider) -> u64 {
    provider.count(&StorageQuery::new()).await.unwrap()
}

#[tokio::test]
async fn a_full_store_refuses_new_keys_and_nothing_else() {
    let provider = MemoryProvider::new(config(2, 0));
    assert_eq!(save(&provider, "a", "1").await, None);
    assert_eq!(save(&provider, "b", "1").await, None);
    let error = provider.save(SaveRequest::new(key("c"), "1")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Full);
    assert_eq!((error.provider(), error.operation(), error.key()), (Some("memory"), Some("save"), Some("c")));
    assert_eq!(save(&provider, "a", "a longer text").await, None, "overwriting goes on");
    assert!(provider.touch(key("a"), None).await.unwrap().is_some());
    assert!(!holds(&provider, "c").await);
    assert!(provider.delete(key("b"), Condition::None).await.unwrap());
    assert_eq!(save(&provider, "c", "1").await, None, "a delete makes room");
    assert_eq!(save(&provider, "b", "1").await, Some(ErrorKind::Full));
}

#[tokio::test]
async fn a_refused_save_leaves_no_version_and_no_room_behind() {
    let provider = MemoryProvider::new(config(1, 0));
    let first = provider.save(SaveRequest::new(key("a"), "1")).await.unwrap();
    let absent = SaveRequest::new(key("a"), "2").condition(Condition::Absent);
    assert_eq!(provider.save(absent).await.unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(save(&provider, "b", "1").await, Some(ErrorKind::Full));
    assert_eq!(provider.load(key("a")).await.unwrap(), Some(first));
    provider.delete(key("a"), Condition::None).await.unwrap();
    assert_eq!(save(&provider, "b", "1").await, None);
}

#[tokio::test]
async fn expired_items_do_not_stand_in_the_way() {
    let clock = ManualClock::default();
    let provider = MemoryProvider::with_clock(config(100, 0), clock.shared());
    for n in 0..100 {
        let name = n.to_string();
        let deadline = clock.now().saturating_add(if n < 60 { MINUTE } else { 2 * MINUTE });
        provider.save(SaveRequest::new(key(&name), "x").expires_at(deadline)).await.unwrap();
    }
    assert_eq!(save(&provider, "new 0", "x").await, Some(ErrorKind::Full));
    clock.advance(MINUTE);
    for n in 0..60 {
        assert_eq!(save(&provider, &format!("new {n}"), "x").await, None, "{n}");
    }
    assert_eq!(save(&provider, "new 60", "x").await, Some(ErrorKind::Full));
    assert_eq!(count(&provider).await, 100);
}

#[tokio::test]
async fn an_expired_item_can_be_saved_again_in_a_full_store() {
    let clock = ManualClock::default();
    let provider = MemoryProvider::with_clock(config(1, 0), clock.shared());
    let request = || SaveRequest::new(key("a"), "x").expires_at(clock.now().saturating_add(MINUTE));
    let old = provider.save(request()).await.unwrap();
    clock.advance(MINUTE);
    let new = provider.save(request().condition(Condition::Absent)).await.unwrap();
    assert_ne!(old.metadata.id, new.metadata.id);
    assert_eq!(save(&provider, "b", "x").await, Some(ErrorKind::Full));
    clock.advance(MINUTE);
    assert_eq!(provider.cleanup().await.unwrap().expired, 1);
    assert_eq!(save(&provider, "b", "x").await, None);
}

#[tokio::test]
async fn bytes_are_limited_and_given_back() {
    let provider = MemoryProvider::new(config(0, 10_000));
    let kilobytes = |count: usize| "x".repeat(count * 1_000);
    assert_eq!(save(&provider, "a", &kilobytes(4)).await, None);
    assert_eq!(save(&provider, "b", &kilobytes(4)).await, None);
    assert_eq!(save(&provider, "c", &kilobytes(1)).await, Some(ErrorKind::Full), "metadata counts too");
    assert_eq!(save(&provider, "a", &kilobytes(6)).await, Some(ErrorKind::Full), "growing needs room");
    assert_eq!(save(&provider, "a", &kilobytes(4)).await, None, "the same size does not");
    assert_eq!(save(&provider, "a", &kilobytes(2)).await, None);
    assert_eq!(save(&provider, "c", &kilobytes(1)).await, None, "shrinking gave room back");
    assert_eq!(save(&provider, "d", &kilobytes(20)).await, Some(ErrorKind::Full), "larger than everything");
    for name in ["a", "b", "c"] {
        assert!(provider.delete(key(name), Condition::None).await.unwrap());
    }
    assert_eq!(save(&provider, "d", &kilobytes(9)).await, None);
}

#[tokio::test]
async fn many_tags_count_as_bytes() {
    let provider = MemoryProvider::new(config(0, 5_000));
    let tags = (0..64).map(|n| (n.to_string(), "v".repeat(10)));
    let tagged = SaveRequest::new(key("a"), "").tags(tags.collect());
    assert_eq!(provider.save(tagged).await.unwrap_err().kind(), ErrorKind::Full);
}

#[tokio::test]
async fn a_payload_above_the_limit_is_too_large_before_anything_else() {
    let provider = MemoryProvider::new(MemoryConfig { max_payload: 10, ..config(1, 0) });
    assert_eq!(save(&provider, "a", "0123456789").await, None);
    let larger = SaveRequest::new(key("b"), "0123456789A").condition(Condition::Version(7));
    let error = provider.save(larger).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge { size: 11, max: 10 });
    assert_eq!(provider.info().capabilities.max_payload, 10);
}

#[tokio::test]
async fn an_evicting_store_always_takes_more_and_stays_within_its_limit() {
    for shards in [1, 64] {
        let shards = NonZeroU16::new(shards).unwrap();
        let provider =
            MemoryProvider::new(MemoryConfig { when_full: WhenFull::Evict, shards, ..config(100, 0) });
        for n in 0..5_000 {
            assert_eq!(save(&provider, &n.to_string(), "x").await, None);
            assert!(holds(&provider, &n.to_string()).await, "what was just saved stays");
        }
        assert_eq!(count(&provider).await, 100);
        let all = provider.search(&StorageQuery::new().page_size(1_000)).await.unwrap().results;
        assert_eq!(all.len(), 100, "the indexes agree");
    }
}

#[tokio::test]
async fn what_is_loaded_often_outlives_what_is_not() {
    let shards = NonZeroU16::new(1).unwrap();
    let provider = MemoryProvider::new(MemoryConfig { when_full: WhenFull::Evict, shards, ..config(50, 0) });
    for n in 0..10 {
        save(&provider, &format!("hot {n}"), "x").await;
    }
    for n in 0..2_000 {
        assert_eq!(save(&provider, &format!("cold {n}"), "x").await, None);
        for hot in 0..10 {
            assert!(holds(&provider, &format!("hot {hot}")).await, "hot {hot} after {n} cold ones");
        }
    }
}

#[tokio::test]
async fn eviction_makes_room_in_bytes_and_spares_what_is_overwritten() {
    let provider = MemoryProvider::new(MemoryConfig { when_full: WhenFull::Evict, ..config(0, 20_000) });
    for n in 0..100 {
        assert_eq!(save(&provider, &n.to_string(), &"x".repeat(500)).await, None);
    }
    let first = provider.save(SaveRequest::new(key("a"), "x")).await.unwrap();
    let larger = provider.save(SaveRequest::new(key("a"), "x".repeat(19_400))).await.unwrap();
    assert_eq!(larger.metadata.id, first.metadata.id, "the item was overwritten, not evicted and made anew");
    assert_eq!(count(&provider).await, 1);
    assert_eq!(save(&provider, "b", &"x".repeat(20_000)).await, Some(ErrorKind::Full));
    assert!(holds(&provider, "a").await, "nothing is evicted for what can never fit");
}

#[tokio::test]
async fn expired_items_are_evicted_before_live_ones() {
    let clock = ManualClock::default();
    let provider = MemoryProvider::with_clock(
        MemoryConfig { when_full: WhenFull::Evict, ..config(20, 0) },
        clock.shared(),
    );
    for n in 0..10 {
        save(&provider, &format!("live {n}"), "x").await;
        let name = format!("mortal {n}");
        let request = SaveRequest::new(key(&name), "x").expires_at(clock.now().saturating_add(MINUTE));
        provider.save(request).await.unwrap();
    }
    clock.advance(MINUTE);
    for n in 0..10 {
        assert_eq!(save(&provider, &format!("new {n}"), "x").await, None);
    }
    for n in 0..10 {
        assert!(holds(&provider, &format!("live {n}")).await, "live {n}");
    }
}

/// Of saves that race for the last places exactly as many succeed as there are places, whatever else goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_number_of_items_is_exact_under_concurrency() {
    let provider = Arc::new(MemoryProvider::new(config(500, 0)));
    let tasks = (0..100).map(|task| {
        let provider = Arc::clone(&provider);
        tokio::spawn(async move {
            let mut kept = 0_i64;
            for n in 0..50 {
                let name = format!("{task}/{n}");
                match save(&provider, &name, "x").await {
                    None => kept += 1,
                    Some(kind) => assert_eq!(kind, ErrorKind::Full),
                }
                if n % 3 == 0 && provider.delete(key(&name), Condition::None).await.unwrap() {
                    kept -= 1;
                }
                tokio::task::yield_now().await;
            }
            kept
        })
    });
    let mut kept = 0;
    for task in tasks.collect::<Vec<_>>() {
        kept += task.await.unwrap();
    }
    assert_eq!(count(&provider).await, kept.unsigned_abs());
    assert_eq!(kept, 500);
    assert_eq!(save(&provider, "one more", "x").await, Some(ErrorKind::Full));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_evicting_store_is_exact_under_concurrency() {
    let config = MemoryConfig { when_full: WhenFull::Evict, ..config(200, 0) };
    let provider = Arc::new(MemoryProvider::new(config));
    let tasks = (0..20).map(|task| {
        let provider = Arc::clone(&provider);
        tokio::spawn(async move {
            for n in 0..500 {
                assert_eq!(save(&provider, &format!("{task}/{n}"), "x").await, None);
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    assert_eq!(count(&provider).await, 200);
}

#[tokio::test]
async fn cleanup_and_close_give_all_memory_back() {
    let clock = ManualClock::default();
    let provider = MemoryProvider::with_clock(config(0, 0), clock.shared());
    for n in 0..20_000 {
        let name = n.to_string();
        let deadline = clock.now().saturating_add(if n % 20 == 0 { 2 * MINUTE } else { MINUTE });
        let request = SaveRequest::new(key(&name), "x").tag("n", name.as_str()).expires_at(deadline);
        provider.save(request).await.unwrap();
    }
    let full = provider.index_bytes();
    clock.advance(MINUTE);
    let report = provider.cleanup().await.unwrap();
    assert_eq!((report.expired, report.bytes), (19_000, 19_000));
    assert!(provider.index_bytes() < full / 8, "{} of {full} bytes are left", provider.index_bytes());
    assert_eq!(provider.cleanup().await.unwrap().expired, 0, "cleanup is idempotent");
    assert_eq!(count(&provider).await, 1_000);
    provider.close().await.unwrap();
    assert_eq!(provider.index_bytes(), 0);
}

/// Payloads are shared with the callers, so that their last reference shows when the store lets go.
#[tokio::test]
async fn no_payload_is_kept_by_anything_that_was_removed() {
    let clock = ManualClock::default();
    let provider = MemoryProvider::with_clock(config(0, 0), clock.shared());
    let payload = storage_core::Bytes::from(vec![1; 100]);
    let request = |name| SaveRequest::new(key(name), payload.clone());
    provider.save(request("deleted")).await.unwrap();
    provider.save(request("overwritten")).await.unwrap();
    provider.save(request("expired").expires_at(clock.now().saturating_add(MINUTE))).await.unwrap();
    provider.save(request("closed")).await.unwrap();
    provider.delete(key("deleted"), Condition::None).await.unwrap();
    save(&provider, "overwritten", "another").await;
    clock.advance(MINUTE);
    provider.cleanup().await.unwrap();
    assert!(!payload.is_unique(), "one is still stored");
    provider.close().await.unwrap();
    assert!(payload.is_unique());
}

/// Writes only add index entries: those of old values must not pile up.
#[tokio::test]
async fn overwriting_for_ever_does_not_grow_the_indexes() {
    let clock = ManualClock::default();
    let shards = NonZeroU16::new(1).unwrap();
    let provider = MemoryProvider::with_clock(MemoryConfig { shards, ..config(0, 0) }, clock.shared());
    let mut largest = 0;
    for n in 0..20_000 {
        clock.advance(Duration::from_micros(1));
        save(&provider, &(n % 100).to_string(), "x").await;
        largest = largest.max(provider.index_bytes());
    }
    assert!(largest < 40_000, "{largest} bytes for 100 items");
}

#[tokio::test]
async fn deleting_for_ever_does_not_grow_the_indexes() {
    let shards = NonZeroU16::new(1).unwrap();
    let provider =
        MemoryProvider::with_clock(MemoryConfig { shards, ..config(0, 0) }, ManualClock::default().shared());
    let mut largest = 0;
    for n in 0..10_000 {
        let name = n.to_string();
        save(&provider, &name, "x").await;
        assert!(provider.delete(key(&name), Condition::None).await.unwrap());
        largest = largest.max(provider.index_bytes());
    }
    assert!(largest < 40_000, "{largest} bytes for one item");
}

#[tokio::test]
async fn writing_for_ever_does_not_grow_the_indexes() {
    let clock = ManualClock::default();
    let shards = NonZeroU16::new(1).unwrap();
    let provider = MemoryProvider::with_clock(MemoryConfig { shards, ..config(0, 0) }, clock.shared());
    for n in 0..100 {
        save(&provider, &n.to_string(), "x").await;
    }
    let mut largest = 0;
    for n in 0..20_000 {
        clock.advance(Duration::from_micros(1));
        let name = (n % 100).to_string();
        if n % 3 == 0 {
            provider.delete(key(&name), Condition::None).await.unwrap();
        }
        let request = SaveRequest::new(key(&name), "x").tag("n", n.to_string());
        provider.save(request.expires_at(clock.now().saturating_add(MINUTE))).await.unwrap();
        largest = largest.max(provider.index_bytes());
    }
    assert!(largest < 60_000, "{largest} bytes for 100 items");
}

#[tokio::test]
async fn changing_tags_for_ever_does_not_grow_the_indexes() {
    let shards = NonZeroU16::new(1).unwrap();
    let provider =
        MemoryProvider::with_clock(MemoryConfig { shards, ..config(0, 0) }, ManualClock::default().shared());
    let mut largest = 0;
    for n in 0..10_000 {
        let request = SaveRequest::new(key("a"), "x").tag("n", n.to_string());
        provider.save(request).await.unwrap();
        largest = largest.max(provider.index_bytes());
    }
    assert!(largest < 10_000, "{largest} bytes for one item");
}

/// At the last instant a store without deadlines once looked as if something were due, and cleanup never ended.
#[tokio::test]
async fn cleanup_ends_at_the_end_of_time() {
    let clock = ManualClock::default();
    let provider = MemoryProvider::with_clock(config(3, 0), clock.shared());
    save(&provider, "for ever", "x").await;
    let last = SaveRequest::new(key("to the last"), "x").expires_at(storage_core::Timestamp::MAX);
    provider.save(last).await.unwrap();
    clock.set(storage_core::Timestamp::MAX);
    assert_eq!(count(&provider).await, 1);
    assert_eq!(provider.cleanup().await.unwrap().expired, 1);
    assert_eq!(provider.cleanup().await.unwrap().expired, 0);
    assert!(holds(&provider, "for ever").await);
}
