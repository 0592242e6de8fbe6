use std::{sync::Arc, time::Duration};

use storage_manager::{
    Condition, ErrorKind, ManualClock, MemoryConfig, MemoryProvider, SaveRequest, StorageItem,
    StorageProvider,
    layers::{CacheConfig, Cached},
};

use crate::support::{
    Scripted,
    Step::{AppliedThenFails, Fails},
    key, memory,
};

fn cached(provider: &Scripted) -> Arc<Cached<Scripted>> {
    Arc::new(Cached::new(provider.clone(), CacheConfig::default()))
}

async fn text(store: &impl StorageProvider, name: &str) -> Option<String> {
    let item = store.load(key(name)).await.unwrap();
    item.map(|item| String::from_utf8(item.data.to_vec()).unwrap())
}

async fn put(store: &impl StorageProvider, name: &str, data: &str) -> StorageItem {
    store.save(SaveRequest::new(key(name), data.to_owned())).await.unwrap()
}

#[tokio::test]
async fn what_was_saved_or_loaded_once_is_answered_from_memory() {
    let provider = Scripted::new([]);
    let store = cached(&provider);
    put(&store, "saved", "x").await;
    put(provider.inner(), "there", "y").await;
    for _ in 0..5 {
        assert_eq!(text(&store, "saved").await.as_deref(), Some("x"));
        assert_eq!(text(&store, "there").await.as_deref(), Some("y"));
        assert_eq!(text(&store, "absent").await, None);
    }
    assert_eq!(provider.calls(), 3, "one save and two loads");
}

#[tokio::test]
async fn a_write_is_seen_by_the_next_load() {
    let provider = Scripted::new([]);
    let store = cached(&provider);
    assert_eq!(text(&store, "a").await, None);
    put(&store, "a", "1").await;
    assert_eq!(text(&store, "a").await.as_deref(), Some("1"));
    let saved = store.save_many(vec![SaveRequest::new(key("a"), "2"), SaveRequest::new(key("a"), "3")]).await;
    assert!(saved.iter().all(Result::is_ok));
    assert_eq!(text(&store, "a").await.as_deref(), Some("3"));
    let touched = store.touch(key("a"), None).await.unwrap().unwrap();
    assert_eq!(store.load(key("a")).await.unwrap().unwrap().metadata.version, touched.version);
    store.delete(key("a"), Condition::None).await.unwrap();
    assert_eq!(text(&store, "a").await, None);
}

#[tokio::test]
async fn after_a_write_of_unknown_outcome_the_provider_is_asked() {
    let provider = Scripted::new([]);
    let store = cached(&provider);
    put(&store, "a", "old").await;
    let lost = Scripted::new([AppliedThenFails(ErrorKind::OutcomeUnknown)]);
    provider.follow(&lost);
    store.save(SaveRequest::new(key("a"), "new")).await.unwrap_err();
    assert_eq!(text(&store, "a").await.as_deref(), Some("new"));
}

#[tokio::test]
async fn an_item_is_never_answered_past_its_deadline_nor_past_its_age() {
    let clock = ManualClock::default();
    let config = MemoryConfig { cleanup_interval: Duration::ZERO, ..MemoryConfig::default() };
    let primary = Arc::new(MemoryProvider::with_clock(config, clock.shared()));
    let store = Cached::with_clock(Arc::clone(&primary), CacheConfig::default(), clock.shared());
    let soon = clock.shared().now().saturating_add(Duration::from_secs(2));
    store.save(SaveRequest::new(key("a"), "x").expires_at(soon)).await.unwrap();
    put(&store, "b", "x").await;
    assert_eq!(text(&store, "c").await, None);
    put(&primary, "b", "changed by somebody else").await;
    put(&primary, "c", "made by somebody else").await;
    assert_eq!(text(&store, "b").await.as_deref(), Some("x"));
    assert_eq!(text(&store, "c").await, None);
    clock.advance(Duration::from_secs(1));
    assert_eq!(text(&store, "c").await.as_deref(), Some("made by somebody else"));
    assert_eq!(text(&store, "a").await.as_deref(), Some("x"));
    clock.advance(Duration::from_secs(1));
    assert_eq!(text(&store, "a").await, None);
    clock.advance(Duration::from_secs(3));
    assert_eq!(text(&store, "b").await.as_deref(), Some("changed by somebody else"));
}

#[tokio::test]
async fn loads_at_once_ask_the_provider_once_and_share_its_answer_and_its_failure() {
    for failure in [None, Some(ErrorKind::Unavailable)] {
        let provider = Scripted::new(failure.map(Fails));
        put(provider.inner(), "a", "x").await;
        let store = cached(&provider);
        let places = provider.close_gate();
        let loads: Vec<_> = (0..50)
            .map(|_| {
                let store = Arc::clone(&store);
                tokio::spawn(async move { store.load(key("a")).await })
            })
            .collect();
        while provider.calls() == 0 {
            tokio::task::yield_now().await;
        }
        provider.gate.add_permits(places);
        for load in loads {
            let answer = load.await.unwrap();
            assert_eq!(answer.err().map(|error| error.kind()), failure);
        }
        assert_eq!(provider.calls(), 1);
        assert_eq!(text(&store, "a").await.as_deref(), Some("x"), "a failure is not remembered");
    }
}

#[tokio::test]
async fn a_load_that_is_given_up_is_taken_over_by_one_that_waits() {
    let provider = Scripted::new([]);
    put(provider.inner(), "a", "x").await;
    let store = cached(&provider);
    let places = provider.close_gate();
    let load = |store: &Arc<Cached<Scripted>>| {
        let store = Arc::clone(store);
        tokio::spawn(async move { store.load(key("a")).await })
    };
    let first = load(&store);
    while provider.calls() == 0 {
        tokio::task::yield_now().await;
    }
    let second = load(&store);
    tokio::task::yield_now().await;
    first.abort();
    provider.gate.add_permits(places);
    assert_eq!(second.await.unwrap().unwrap().unwrap().data, "x");
}

/// The load has read the old value when the save begins, and answers only after the save was acknowledged.
#[tokio::test]
async fn a_load_that_a_save_overtakes_does_not_put_the_old_value_back() {
    let provider = Scripted::new([]);
    put(provider.inner(), "a", "old").await;
    let store = cached(&provider);
    let places = provider.hold_answers();
    let loading = {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.load(key("a")).await })
    };
    while provider.held() == 0 {
        tokio::task::yield_now().await;
    }
    let saving = {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.save(SaveRequest::new(key("a"), "new")).await })
    };
    while provider.held() == 1 {
        tokio::task::yield_now().await;
    }
    provider.answers.add_permits(places);
    saving.await.unwrap().unwrap();
    assert_eq!(loading.await.unwrap().unwrap().unwrap().data, "old");
    assert_eq!(text(&store, "a").await.as_deref(), Some("new"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn at_rest_the_cache_is_never_older_than_the_provider() {
    let primary = Arc::new(memory());
    let store = Arc::new(Cached::new(Arc::clone(&primary), CacheConfig::default()));
    for round in 0..10_000 {
        let name = format!("k{}", round % 7);
        let race = |write: bool| {
            let (store, name) = (Arc::clone(&store), name.clone());
            tokio::spawn(async move {
                match write {
                    true => drop(put(&store, &name, &round.to_string()).await),
                    false => drop(store.load(key(&name)).await.unwrap()),
                }
            })
        };
        let racers = [race(false), race(true), race(false), race(round % 3 == 0)];
        for racer in racers {
            racer.await.unwrap();
        }
        let (cached, stored) =
            (store.load(key(&name)).await.unwrap(), primary.load(key(&name)).await.unwrap());
        assert_eq!(cached.unwrap().metadata.version, stored.unwrap().metadata.version, "round {round}");
    }
}

#[tokio::test]
async fn a_closed_store_answers_nothing_from_memory() {
    let store = Cached::new(memory(), CacheConfig::default());
    put(&store, "a", "x").await;
    store.close().await.unwrap();
    assert_eq!(store.load(key("a")).await.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(store.load_many(&[key("a")]).await.remove(0).unwrap_err().kind(), ErrorKind::Closed);
}

#[tokio::test]
async fn the_cache_keeps_to_its_bytes() {
    let provider = Scripted::new([]);
    let config = CacheConfig { max_bytes: 100_000, ..CacheConfig::default() };
    let store = Cached::new(provider.clone(), config);
    for number in 0..1_000 {
        put(&store, &number.to_string(), &"x".repeat(1_000)).await;
    }
    let before = provider.calls();
    for number in 0..1_000 {
        assert_eq!(text(&store, &number.to_string()).await.unwrap().len(), 1_000);
    }
    assert!(provider.calls() - before >= 900, "{} of 1,000 loads asked", provider.calls() - before);
}
