//! Handles to key-value stores.

use storage_manager::{
    FsProvider, MemoryConfig, MemoryProvider, UnifiedStorageManager,
    script::{
        AllowAll, Entry, Increment, KeyEntry, KeyValueStores, ListOptions, Number, Put, ScriptValue,
        StoreInfo, Ttl,
    },
};

use crate::support::{SECOND, World, kind, settings, ttl};

#[tokio::test]
async fn stores_are_acquired_by_their_id() {
    let world = World::memory();
    let stores = world.stores();
    let unit = stores.unit_of_work();
    assert_eq!(kind(unit.acquire("")), ("INVALID", false));
    assert_eq!(kind(unit.acquire("app:unknown")), ("NOT_FOUND", false));
    assert_eq!(unit.acquire("app:cache").unwrap().id(), "app:cache");
    stores.declare("app:later").unwrap();
    assert_eq!(kind(unit.acquire("app:later")), ("UNAVAILABLE", false));
    for bad in ["", "a b", "é", &"x".repeat(300), "app:cache"] {
        assert!(stores.register(bad, MemoryProvider::default()).is_err(), "{bad}");
    }
    assert_eq!(stores.ids(), ["app:cache", "app:later", "app:other"]);
}

#[tokio::test]
async fn two_handles_see_one_store_and_two_stores_share_nothing() {
    World::each(|world| async move {
        let stores = world.stores();
        let unit = stores.unit_of_work();
        let (a, b) = (unit.acquire("app:cache").unwrap(), unit.acquire("app:cache").unwrap());
        a.set("k", &settings(), Ttl::NONE).await.unwrap();
        assert_eq!(b.get("k").await.unwrap(), Some(settings()));
        assert!(a.release());
        assert_eq!(b.get("k").await.unwrap(), Some(settings()));
        let other = unit.acquire("app:other").unwrap();
        assert_eq!(other.get("k").await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn a_released_handle_is_invalid_in_every_call() {
    let world = World::memory();
    let (handle, unit) = world.handle();
    handle.set("k", &1.into(), Ttl::NONE).await.unwrap();
    let clone = handle.clone();
    assert!(handle.release() && handle.release() && clone.is_released());
    let invalid = ("INVALID", false);
    // Also where the key is bad: the handle is looked at first.
    for key in ["k", ""] {
        assert_eq!(kind(clone.get(key).await), invalid);
        assert_eq!(kind(clone.set(key, &1.into(), Ttl::NONE).await), invalid);
        assert!(clone.has(key).await.unwrap_err().message().contains("released"));
        assert_eq!(kind(clone.exists(key).await), invalid);
        assert_eq!(kind(clone.delete(key).await), invalid);
        assert_eq!(kind(clone.add(key, &1.into(), Ttl::NONE).await), invalid);
        assert_eq!(kind(clone.replace(key, &1.into(), Ttl::NONE).await), invalid);
        assert_eq!(kind(clone.incr(key, Default::default()).await), invalid);
        assert_eq!(kind(clone.ttl(key).await), invalid);
        assert_eq!(kind(clone.expire(key, Ttl::NONE).await), invalid);
        assert_eq!(kind(clone.entry(key).await), invalid);
        assert_eq!(kind(clone.put(key, &1.into(), Put::default()).await), invalid);
    }
    assert_eq!(kind(clone.list(&ListOptions::default()).await), invalid);
    assert_eq!(kind(clone.clear().await), invalid);
    assert_eq!(kind(clone.info()), invalid);
    assert_eq!(unit.acquire("app:cache").unwrap().get("k").await.unwrap(), Some(1.into()));
}

#[tokio::test]
async fn handles_end_with_their_unit_of_work() {
    let world = World::memory();
    let stores = world.stores();
    let (first, second) = (stores.unit_of_work(), stores.unit_of_work());
    let (a, b) = (first.acquire("app:cache").unwrap(), second.acquire("app:cache").unwrap());
    drop(first);
    assert_eq!(kind(a.get("k").await), ("INVALID", false));
    assert!(a.release());
    assert_eq!(b.get("k").await.unwrap(), None);
    // A script that is cancelled in the middle of its work is over as well.
    let cancelled = tokio::spawn(async move {
        let handle = second.acquire("app:cache").unwrap();
        handle.set("k", &1.into(), Ttl::NONE).await.unwrap();
        std::future::pending::<()>().await;
    });
    while !stores.unit_of_work().acquire("app:cache").unwrap().has("k").await.unwrap() {
        tokio::task::yield_now().await;
    }
    cancelled.abort();
    assert!(cancelled.await.unwrap_err().is_cancelled());
    assert!(b.is_released());
}

#[tokio::test]
async fn a_missing_key_is_no_error() {
    World::each(|world| async move {
        let (handle, _unit) = world.handle();
        assert_eq!(handle.get("k").await.unwrap(), None);
        assert!(!handle.has("k").await.unwrap());
        assert!(!handle.exists("k").await.unwrap());
        assert!(!handle.delete("k").await.unwrap());
        assert!(!handle.replace("k", &1.into(), Ttl::NONE).await.unwrap());
        assert!(!handle.expire("k", ttl(1.0)).await.unwrap());
        assert_eq!(handle.ttl("k").await.unwrap(), None);
        assert_eq!(handle.entry("k").await.unwrap(), None);
        handle.set("k", &false.into(), Ttl::NONE).await.unwrap();
        assert_eq!(handle.get("k").await.unwrap(), Some(false.into()));
        assert!(handle.delete("k").await.unwrap() && !handle.delete("k").await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn keys_and_values_have_limits() {
    let world = World::memory();
    let (handle, _unit) = world.handle();
    for bad in ["", "a\nb", "\u{7f}", &"k".repeat(1_025)] {
        assert_eq!(kind(handle.get(bad).await), ("INVALID", false), "{bad:?}");
        assert_eq!(kind(handle.set(bad, &1.into(), Ttl::NONE).await), ("INVALID", false), "{bad:?}");
    }
    for good in ["a", ":a", "user:123", "../x", "é", " ", "*", "%", &"k".repeat(1_024)] {
        handle.set(good, &good.into(), Ttl::NONE).await.unwrap();
        assert_eq!(handle.get(good).await.unwrap(), Some(good.into()), "{good:?}");
    }
    // Whether or not there is an entry.
    for key in ["a", "none"] {
        let nil = ScriptValue::Nil;
        assert_eq!(kind(handle.set(key, &nil, Ttl::NONE).await), ("INVALID", false));
        assert_eq!(kind(handle.put(key, &nil, Put::default()).await), ("INVALID", false));
        assert_eq!(kind(handle.add(key, &nil, Ttl::NONE).await), ("INVALID", false));
        assert_eq!(kind(handle.replace(key, &nil, Ttl::NONE).await), ("INVALID", false));
        let large = ScriptValue::from("x".repeat(17 << 20));
        assert_eq!(kind(handle.set(key, &large, Ttl::NONE).await), ("INVALID", false));
        assert_eq!(kind(handle.replace(key, &large, Ttl::NONE).await), ("INVALID", false));
    }
}

#[tokio::test]
async fn entries_end_at_their_ttl() {
    World::each(|world| async move {
        let (handle, _unit) = world.handle();
        handle.set("short", &1.into(), ttl(0.5)).await.unwrap();
        handle.set("long", &2.into(), ttl(300.0)).await.unwrap();
        handle.set("ever", &3.into(), ttl(0.0)).await.unwrap();
        assert_eq!(handle.ttl("short").await.unwrap(), Some(ttl(0.5)));
        assert_eq!(handle.ttl("ever").await.unwrap(), Some(Ttl::NONE));
        world.clock.advance(SECOND / 2);
        assert_eq!(handle.get("short").await.unwrap(), None);
        assert!(!handle.has("short").await.unwrap());
        assert!(!handle.delete("short").await.unwrap(), "an expired entry is none");
        assert!(handle.add("short", &4.into(), Ttl::NONE).await.unwrap());
        assert_eq!(handle.ttl("long").await.unwrap(), Some(ttl(299.5)));
        world.clock.advance(300 * SECOND);
        assert_eq!(handle.get("long").await.unwrap(), None);
        assert_eq!(handle.get("ever").await.unwrap(), Some(3.into()));
    })
    .await;
}

#[tokio::test]
async fn a_deadline_can_be_moved_and_taken_away() {
    World::each(|world| async move {
        let (handle, _unit) = world.handle();
        handle.set("k", &1.into(), ttl(1.0)).await.unwrap();
        assert!(handle.expire("k", ttl(10.0)).await.unwrap());
        world.clock.advance(5 * SECOND);
        assert_eq!(handle.ttl("k").await.unwrap(), Some(ttl(5.0)));
        assert!(handle.expire("k", Ttl::NONE).await.unwrap());
        assert_eq!(handle.ttl("k").await.unwrap(), Some(Ttl::NONE));
        // A set replaces everything, the deadline too.
        handle.set("k", &1.into(), ttl(1.0)).await.unwrap();
        handle.set("k", &2.into(), Ttl::NONE).await.unwrap();
        world.clock.advance(5 * SECOND);
        assert_eq!(handle.get("k").await.unwrap(), Some(2.into()));
    })
    .await;
}

#[tokio::test]
async fn add_and_replace_ask_whether_there_is_an_entry() {
    World::each(|world| async move {
        let (handle, _unit) = world.handle();
        assert!(handle.add("lock", &1.into(), ttl(30.0)).await.unwrap());
        assert!(!handle.add("lock", &2.into(), Ttl::NONE).await.unwrap());
        assert_eq!(handle.get("lock").await.unwrap(), Some(1.into()));
        assert_eq!(handle.ttl("lock").await.unwrap(), Some(ttl(30.0)));
        assert!(handle.replace("lock", &3.into(), Ttl::NONE).await.unwrap());
        assert_eq!(handle.get("lock").await.unwrap(), Some(3.into()));
        assert_eq!(handle.ttl("lock").await.unwrap(), Some(Ttl::NONE));
    })
    .await;
}

#[tokio::test]
async fn a_put_can_be_conditional() {
    World::each(|world| async move {
        let (handle, _unit) = world.handle();
        let absent = Put { only_if_absent: true, ..Put::default() };
        let version = |version| Put { if_version: Some(version), ..Put::default() };
        let first = handle.put("k", &1.into(), absent).await.unwrap();
        assert_eq!(kind(handle.put("k", &2.into(), absent).await), ("ALREADY_EXISTS", false));
        let second = handle.put("k", &2.into(), version(first)).await.unwrap();
        assert!(second > first);
        assert_eq!(kind(handle.put("k", &3.into(), version(first)).await), ("CONFLICT", false));
        assert_eq!(kind(handle.put("none", &3.into(), version(first)).await), ("CONFLICT", false));
        assert_eq!(kind(handle.put("k", &3.into(), version(0)).await), ("INVALID", false));
        let both = Put { if_version: Some(second), ..absent };
        assert_eq!(kind(handle.put("k", &3.into(), both).await), ("INVALID", false));
        assert_eq!(handle.get("k").await.unwrap(), Some(2.into()));
        // Made anew, an entry never has an old version.
        handle.delete("k").await.unwrap();
        assert!(handle.put("k", &4.into(), absent).await.unwrap() > second);
    })
    .await;
}

#[tokio::test]
async fn an_entry_tells_what_is_known_of_it() {
    World::each(|world| async move {
        let (handle, _unit) = world.handle();
        handle.set("k", &1.into(), Ttl::NONE).await.unwrap();
        let created = handle.entry("k").await.unwrap().unwrap().created_at;
        world.clock.advance(SECOND);
        let version = handle.put("k", &2.into(), Put { ttl: ttl(60.0), ..Put::default() }).await.unwrap();
        let entry = handle.entry("k").await.unwrap().unwrap();
        let updated_at = created.saturating_add(SECOND);
        let expected =
            Entry { value: 2.into(), version, created_at: created, updated_at, ttl: ttl(60.0), size: 2 };
        assert_eq!(entry, expected);
    })
    .await;
}

#[tokio::test]
async fn a_store_tells_what_it_is() {
    let world = World::fs().await;
    let (handle, _unit) = world.handle();
    let expected = StoreInfo {
        id: "app:cache".into(),
        backend: "fs".into(),
        durable: true,
        shared: false,
        max_key_bytes: 1_024,
        max_value_bytes: 16 << 20,
    };
    assert_eq!(handle.info().unwrap(), expected);
    assert!(!World::memory().handle().0.info().unwrap().durable);
}

#[tokio::test]
async fn keys_are_listed_in_order_page_by_page() {
    World::each(|world| async move {
        let (handle, _unit) = world.handle();
        for n in 0..25 {
            handle.set(&format!("user:{n:02}"), &n.into(), ttl(60.0)).await.unwrap();
            handle.set(&format!("*user:{n:02}"), &n.into(), Ttl::NONE).await.unwrap();
        }
        handle.set("user", &1.into(), Ttl::NONE).await.unwrap();
        let mut options = ListOptions { prefix: "user:".into(), limit: Some(10), ..ListOptions::default() };
        let mut entries = Vec::new();
        let mut pages = 0;
        loop {
            let page = handle.list(&options).await.unwrap();
            pages += 1;
            entries.extend(page.entries);
            match page.cursor {
                Some(cursor) => options.after = Some(cursor),
                None => break,
            }
        }
        let keys: Vec<_> = entries.iter().map(|entry: &KeyEntry| entry.key.clone()).collect();
        assert_eq!(keys, (0..25).map(|n| format!("user:{n:02}")).collect::<Vec<_>>());
        assert_eq!((pages, entries[0].ttl, entries[0].size), (3, ttl(60.0), 2));

        // Characters of patterns are characters of keys.
        let stars = ListOptions { prefix: "*".into(), ..ListOptions::default() };
        assert_eq!(handle.list(&stars).await.unwrap().entries.len(), 25);
        let all = handle.list(&ListOptions::default()).await.unwrap();
        assert_eq!((all.entries.len(), all.cursor), (51, None));
        world.clock.advance(60 * SECOND);
        assert_eq!(handle.list(&ListOptions::default()).await.unwrap().entries.len(), 26);
    })
    .await;
}

#[tokio::test]
async fn a_list_refuses_limits_and_cursors_that_cannot_be() {
    let world = World::memory();
    let (handle, _unit) = world.handle();
    handle.set("a", &1.into(), Ttl::NONE).await.unwrap();
    handle.set("b", &1.into(), Ttl::NONE).await.unwrap();
    let limited = |limit| ListOptions { limit: Some(limit), ..ListOptions::default() };
    for bad in [0, 1_001] {
        assert_eq!(kind(handle.list(&limited(bad)).await), ("INVALID", false));
    }
    let cursor = handle.list(&limited(1)).await.unwrap().cursor;
    assert!(cursor.is_some());
    // A cursor that is empty does not begin again, and one of another list is none of this one.
    for (prefix, after) in [("", Some(String::new())), ("", Some("x".into())), ("a", cursor)] {
        let options = ListOptions { prefix: prefix.into(), after, limit: None };
        assert_eq!(kind(handle.list(&options).await), ("INVALID", false), "{options:?}");
    }
}

#[tokio::test]
async fn clearing_deletes_the_entries_of_one_store() {
    World::each(|world| async move {
        let stores = world.stores();
        let unit = stores.unit_of_work();
        let (cache, other) = (unit.acquire("app:cache").unwrap(), unit.acquire("app:other").unwrap());
        let batch: Vec<_> = (0..2_500).map(|n| (format!("key:{n}"), "kv/app:cache")).collect();
        let saves = batch.iter().map(|(key, content_type)| world.manager.save(key, 1, content_type));
        for saved in world.manager.save_many(saves).await {
            saved.unwrap();
        }
        other.set("k", &1.into(), Ttl::NONE).await.unwrap();
        assert_eq!(cache.clear().await.unwrap(), 2_500);
        assert_eq!(cache.clear().await.unwrap(), 0);
        assert!(cache.list(&ListOptions::default()).await.unwrap().entries.is_empty());
        assert!(other.has("k").await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn a_full_store_refuses_new_keys_alone() {
    let world = World::memory();
    let stores = world.stores();
    let config = MemoryConfig { max_entries: 2, ..MemoryConfig::default() };
    stores.register("app:small", MemoryProvider::with_clock(config, world.clock.shared())).unwrap();
    let unit = stores.unit_of_work();
    let small = unit.acquire("app:small").unwrap();
    small.set("a", &1.into(), ttl(1.0)).await.unwrap();
    small.set("b", &1.into(), Ttl::NONE).await.unwrap();
    assert_eq!(kind(small.set("c", &1.into(), Ttl::NONE).await), ("UNAVAILABLE", true));
    small.set("a", &2.into(), ttl(1.0)).await.unwrap();
    // An expired entry does not stand in the way.
    world.clock.advance(SECOND);
    small.set("c", &1.into(), Ttl::NONE).await.unwrap();
}

/// The end of such a life came before the provider had seen its beginning, and was refused as one in the past.
#[tokio::test]
async fn the_shortest_life_is_no_error() {
    let dir = tempfile::tempdir().unwrap();
    let files =
        UnifiedStorageManager::builder().fallback(FsProvider::builder(dir.path()).open().await.unwrap());
    let memory = UnifiedStorageManager::builder().fallback(MemoryProvider::default());
    for manager in [memory.build().unwrap(), files.build().unwrap()] {
        let stores = KeyValueStores::new(&manager, AllowAll);
        stores.register_routed("a").unwrap();
        let unit = stores.unit_of_work();
        let handle = unit.acquire("a").unwrap();
        for _ in 0..50 {
            let begin =
                Increment { init: Some(Number::Integer(0)), ttl: Some(ttl(1e-9)), ..Increment::default() };
            handle.incr("n", begin).await.unwrap();
            handle.set("k", &1.into(), ttl(1e-9)).await.unwrap();
            handle.set("k", &1.into(), Ttl::NONE).await.unwrap();
            assert!(handle.replace("k", &2.into(), ttl(1e-6)).await.unwrap());
            handle.set("k", &1.into(), Ttl::NONE).await.unwrap();
            assert!(handle.expire("k", ttl(2e-6)).await.unwrap());
        }
        manager.close().await.into_result().unwrap();
    }
}
