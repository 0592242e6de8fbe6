//! What scripts stored, as people and programs see it, and the other way round.

use serde_json::json;
use storage_manager::{
    Encoding, FsProvider, UnifiedStorageManager,
    script::{ScriptStore, ScriptTable, ScriptValue},
};

use crate::sandbox::Sandbox;

/// Does something to the default store as a host of scripts would.
fn host(sandbox: &Sandbox, work: impl AsyncFnOnce(&UnifiedStorageManager, ScriptStore)) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let provider = FsProvider::open(sandbox.path("storage-data")).await.unwrap();
        let manager = UnifiedStorageManager::builder().fallback(provider).build().unwrap();
        let store = ScriptStore::builder(&manager).ident("job".parse().unwrap()).build();
        work(&manager, store).await;
        manager.close().await.into_result().unwrap();
    });
}

#[test]
fn values_of_scripts_are_json_or_tagged() {
    let sandbox = Sandbox::new();
    let mut mixed = ScriptTable::from(vec![1.0]);
    mixed.insert("x", f64::INFINITY);
    host(&sandbox, async |_, store| {
        let plain = ScriptTable::from_iter([("on", ScriptValue::from(true)), ("n", 30.into())]);
        store.put("plain", &plain.into()).await.unwrap();
        store.put("mixed", &mixed.clone().into()).await.unwrap();
        store.put_global("bytes", &ScriptValue::String(b"\xff"[..].into())).await.unwrap();
    });
    let load = |key| sandbox.ok(&["load", "script/store", key]);
    assert_eq!(load("job:plain"), "{\"n\":30,\"on\":true}\n");
    assert_eq!(load("job:mixed"), "{\"$table\":[[1,1.0],[\"x\",{\"$float\":\"inf\"}]]}\n");
    assert_eq!(load(":bytes"), "{\"$bytes\":\"/w==\"}\n");
    let document = sandbox.document(&["load", "script/store", "job:plain"]);
    assert_eq!(document["data"], json!({ "n": 30, "on": true }));
    assert_eq!(document["metadata"]["encoding"], "script");
    assert_eq!(sandbox.run(&["load", "script/store", ":bytes", "--raw"]).bytes, [1, 0x81, 0xff]);
    let table = sandbox.ok(&["search", "--pattern", "job:plain", "--data"]);
    assert!(table.lines().nth(1).unwrap().ends_with("{\"n\":30,\"on\":true}"), "{table}");
}

#[test]
fn scripts_read_what_was_saved_as_json() {
    let sandbox = Sandbox::new();
    sandbox.ok(&["save", "script/store", ":limits", "{\"cpu\": 80}", "--as-json"]);
    host(&sandbox, async |_, store| {
        let limits = ScriptTable::from_iter([("cpu", 80)]);
        assert_eq!(store.get_global("limits").await.unwrap().unwrap().value, limits.into());
    });
}

#[test]
fn a_damaged_value_is_exit_status_5_and_can_be_had_raw() {
    let sandbox = Sandbox::new();
    host(&sandbox, async |manager, _| {
        let save = manager.save_bytes(":bad", &[1, 7][..], ScriptStore::CONTENT_TYPE);
        save.encoding(Encoding::new("script").unwrap()).await.unwrap();
    });
    let failed = sandbox.fails(&["load", "script/store", ":bad"]);
    assert_eq!((failed.status, &*failed.kind), (5, "Corrupted"));
    assert_eq!(sandbox.run(&["load", "script/store", ":bad", "--raw"]).bytes, [1, 7]);
}
