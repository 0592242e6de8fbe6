//! The modules `store` and `registry`.

use std::{
    io,
    sync::{Arc, Mutex},
};

use storage_manager::{
    Encoding, MemoryProvider, Timestamp, UnifiedStorageManager,
    script::{ScriptLimits, ScriptRegistry, ScriptStore, ScriptTable, ScriptValue, Stamped},
};

use crate::support::{SECOND, World, kind, settings};

fn store_of(world: &World, ident: &str) -> ScriptStore {
    ScriptStore::builder(&world.manager).ident(ident.parse().unwrap()).build()
}

fn value(found: Option<Stamped>) -> Option<ScriptValue> {
    found.map(|found| found.value)
}

#[tokio::test]
async fn a_value_comes_back_as_it_was_with_the_seconds_of_its_put() {
    World::each(|world| async move {
        let store = store_of(&world, "monitor-cpu");
        world.clock.set("2026-02-03T16:44:42.999999Z".parse().unwrap());
        let seconds = "2026-02-03T16:44:42Z".parse::<Timestamp>().unwrap().as_micros() / 1_000_000;
        for value in
            [settings(), 0.into(), 1.0.into(), false.into(), "text".into(), ScriptTable::new().into()]
        {
            store.put("state", &value).await.unwrap();
            let found = store.get("state").await.unwrap().unwrap();
            assert_eq!((found.value, found.timestamp), (value, seconds), "{}", world.name);
        }
        // The time moves with every put, also of the same value.
        world.clock.advance(SECOND);
        store.put("state", &false.into()).await.unwrap();
        assert_eq!(store.get("state").await.unwrap().unwrap().timestamp, seconds + 1);
    })
    .await;
}

#[tokio::test]
async fn what_is_absent_is_told_from_nil_and_false() {
    World::each(|world| async move {
        let store = store_of(&world, "a");
        assert_eq!(store.get("x").await.unwrap(), None);
        store.put("x", &ScriptValue::Nil).await.unwrap();
        assert_eq!(value(store.get("x").await.unwrap()), Some(ScriptValue::Nil));
        store.put("x", &false.into()).await.unwrap();
        assert_eq!(value(store.get("x").await.unwrap()), Some(false.into()));
    })
    .await;
}

#[tokio::test]
async fn deleting_removes_the_entry_and_nothing_else() {
    World::each(|world| async move {
        let store = store_of(&world, "a");
        store.delete("missing").await.unwrap();
        store.put("x", &1.into()).await.unwrap();
        store.put("y", &2.into()).await.unwrap();
        store.delete("x").await.unwrap();
        store.delete("x").await.unwrap();
        assert_eq!(store.get("x").await.unwrap(), None);
        assert_eq!(value(store.get("y").await.unwrap()), Some(2.into()));
    })
    .await;
}

#[tokio::test]
async fn namespaces_never_meet() {
    World::each(|world| async move {
        let (one, two) = (store_of(&world, "a"), store_of(&world, "a:b"));
        one.put("b:c", &1.into()).await.unwrap();
        two.put("c", &2.into()).await.unwrap();
        one.put_global("a:b:c", &3.into()).await.unwrap();
        one.put_global("c", &4.into()).await.unwrap();
        assert_eq!(value(one.get("b:c").await.unwrap()), Some(1.into()));
        assert_eq!(value(two.get("c").await.unwrap()), Some(2.into()));
        assert_eq!(value(two.get_global("a:b:c").await.unwrap()), Some(3.into()));
        assert_eq!(value(two.get_global("c").await.unwrap()), Some(4.into()));
        assert_eq!(one.get("c").await.unwrap(), None);
        assert_eq!(two.get("b:c").await.unwrap(), None);
        assert_eq!(one.get_global("a:c").await.unwrap(), None);
        two.delete_global("c").await.unwrap();
        assert_eq!(one.get_global("c").await.unwrap(), None);
        assert_eq!(value(two.get("c").await.unwrap()), Some(2.into()));
    })
    .await;
}

#[tokio::test]
async fn runs_of_one_script_share_their_values_and_a_restart_keeps_them() {
    let mut world = World::fs().await;
    let registry = ScriptRegistry::new(&world.manager);
    assert!(registry.is_durable().unwrap());
    registry.put("k", &settings()).await.unwrap();
    store_of(&world, "monitor-cpu").put("k", &1.into()).await.unwrap();
    store_of(&world, "monitor-cpu").put_global("k", &2.into()).await.unwrap();
    world.restart().await;
    let store = store_of(&world, "monitor-cpu");
    assert_eq!(value(store.get("k").await.unwrap()), Some(1.into()));
    assert_eq!(value(store.get_global("k").await.unwrap()), Some(2.into()));
    assert_eq!(value(ScriptRegistry::new(&world.manager).get("k").await.unwrap()), Some(settings()));
    world.manager.close().await.into_result().unwrap();
}

#[tokio::test]
async fn a_volatile_registry_says_so_and_forgets() {
    let volatile = || {
        let manager = UnifiedStorageManager::builder().fallback(MemoryProvider::default()).build().unwrap();
        ScriptRegistry::new(&manager)
    };
    let registry = volatile();
    registry.put("k", &1.into()).await.unwrap();
    assert!(!registry.is_durable().unwrap());
    assert_eq!(volatile().get("k").await.unwrap(), None);
}

#[tokio::test]
async fn store_and_registry_do_not_share_keys() {
    World::each(|world| async move {
        let (store, registry) = (store_of(&world, "a"), ScriptRegistry::new(&world.manager));
        registry.put("k", &1.into()).await.unwrap();
        registry.put(":k", &2.into()).await.unwrap();
        assert_eq!(store.get_global("k").await.unwrap(), None);
        store.put_global("k", &3.into()).await.unwrap();
        assert_eq!(value(registry.get("k").await.unwrap()), Some(1.into()));
        registry.delete("k").await.unwrap();
        assert_eq!(registry.get("k").await.unwrap(), None);
        assert_eq!(value(store.get_global("k").await.unwrap()), Some(3.into()));
    })
    .await;
}

/// Collects what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn without_an_identity_own_keys_are_global_ones_with_one_warning() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let world = World::memory();
    let store = ScriptStore::builder(&world.manager).build();
    store.put_global("k", &0.into()).await.unwrap();
    assert!(log.0.lock().unwrap().is_empty());
    store.put("k", &1.into()).await.unwrap();
    assert_eq!(value(store.get_global("k").await.unwrap()), Some(1.into()));
    store.delete("k").await.unwrap();
    assert_eq!(store.get("k").await.unwrap(), None);
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert_eq!(text.matches("WARN").count(), 1, "{text}");
}

#[tokio::test]
async fn an_identity_can_be_required() {
    let world = World::memory();
    let store = ScriptStore::builder(&world.manager).require_ident().build();
    assert_eq!(kind(store.put("k", &1.into()).await), ("INVALID", false));
    assert_eq!(kind(store.get("k").await), ("INVALID", false));
    assert_eq!(kind(store.delete("k").await), ("INVALID", false));
    store.put_global("k", &1.into()).await.unwrap();
    assert_eq!(value(store.get_global("k").await.unwrap()), Some(1.into()));
}

#[tokio::test]
async fn what_cannot_be_stored_is_refused_and_changes_nothing() {
    World::each(|world| async move {
        let limits = ScriptLimits { depth: 2, nodes: 100, bytes: 1_000 };
        let ident = "a".parse().unwrap();
        let store = ScriptStore::builder(&world.manager).ident(ident).limits(limits).build();
        store.put("k", &1.into()).await.unwrap();
        let deep = ScriptTable::from(vec![ScriptTable::from(vec![ScriptTable::from(vec![1])])]).into();
        let error = store.put("k", &deep).await.unwrap_err();
        assert!(error.message().starts_with("value[1][1]: more than 2 tables"), "{error}");
        for bad in ["x".repeat(1_001).into(), ScriptTable::from(vec![1; 100]).into()] {
            assert_eq!(kind(store.put("k", &bad).await), ("INVALID", false));
        }
        for bad in ["", "a\nb", &"k".repeat(513)] {
            assert_eq!(kind(store.put(bad, &1.into()).await), ("INVALID", false));
        }
        assert_eq!(value(store.get("k").await.unwrap()), Some(1.into()));
        assert_eq!(world.manager.usage().await.unwrap().total().items, 1);
    })
    .await;
}

#[tokio::test]
async fn entries_are_items_that_hosts_find_and_write() {
    World::each(|world| async move {
        let store = store_of(&world, "monitor-cpu");
        store.put("k", &settings()).await.unwrap();
        let item =
            world.manager.load_bytes("monitor-cpu:k", ScriptStore::CONTENT_TYPE).await.unwrap().unwrap();
        assert_eq!(item.metadata.encoding.as_str(), "script");
        assert_eq!(item.metadata.expires_at, None);

        // What the host stores as JSON or as bytes is a value for the script.
        let content_type = ScriptStore::CONTENT_TYPE;
        world.manager.save("monitor-cpu:json", vec![1, 2], content_type).await.unwrap();
        let list = ScriptTable::from(vec![1, 2]).into();
        assert_eq!(value(store.get("json").await.unwrap()), Some(list));
        world.manager.save_bytes("monitor-cpu:raw", &b"\xff"[..], content_type).await.unwrap();
        let raw = ScriptValue::String(b"\xff"[..].into());
        assert_eq!(value(store.get("raw").await.unwrap()), Some(raw));

        // What is damaged or foreign is an error, never a miss and never another value.
        let encoding = Encoding::new("script").unwrap();
        let damaged = world.manager.save_bytes("monitor-cpu:bad", &[1, 7][..], content_type);
        damaged.encoding(encoding).await.unwrap();
        let foreign = world.manager.save_bytes("monitor-cpu:foreign", &b"x"[..], content_type);
        foreign.encoding(Encoding::new("cbor").unwrap()).await.unwrap();
        for key in ["bad", "foreign"] {
            let error = store.get(key).await.unwrap_err();
            assert_eq!(error.kind().as_str(), "INTERNAL");
            assert!(error.message().contains(&format!("monitor-cpu:{key}")), "{error}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_closed_store_is_an_error_and_no_absent_value() {
    let world = World::memory();
    let store = store_of(&world, "a");
    world.manager.close().await.into_result().unwrap();
    assert_eq!(kind(store.get("k").await), ("UNAVAILABLE", false));
    assert_eq!(kind(store.put("k", &1.into()).await), ("UNAVAILABLE", false));
}
