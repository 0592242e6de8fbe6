//! A script that is stopped while it waits leaves the old or the new value, no held handle, and a host that goes on.

use std::time::Duration;

use storage_manager::{
    FsProvider, MemoryProvider, UnifiedStorageManager,
    lua::{Limit, Outcome, Sandbox, Script, install_agent_modules, install_key_value_module},
    script::{AllowAll, KeyValueStores, ScriptRegistry, ScriptStore, ScriptValue},
};

use crate::support::finish;

/// Whatever the moment, the two halves of a value are of one put.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_timeout_leaves_the_old_or_the_new_value() {
    let directory = tempfile::tempdir().unwrap();
    let provider = FsProvider::builder(directory.path()).open().await.unwrap();
    let manager = UnifiedStorageManager::builder().fallback(provider).build().unwrap();
    let store = ScriptStore::builder(&manager).ident("m".parse().unwrap()).build();
    let mut stopped = 0;
    for round in 0..40_u32 {
        let sandbox = Sandbox::new().timeout(Duration::from_micros(500 + u64::from(round) * 150));
        let vm = sandbox.vm().unwrap();
        install_agent_modules(vm.lua(), &store, &ScriptRegistry::new(&manager)).unwrap();
        let source = "for i = 1, 1e9 do store.put('pair', { i, i, ('x'):rep(5000) }) end";
        let outcome = vm.run(Script::new("a.lua", source), []).await;
        assert!(matches!(outcome, Outcome::Stopped(Limit::Time(_))), "{outcome:?}");
        stopped += 1;
        if let Some(found) = store.get("pair").await.unwrap() {
            let pair = found.value.as_table().unwrap().sequence().to_vec();
            assert_eq!(pair[0], pair[1]);
        }
    }
    assert_eq!(stopped, 40);
    store.put("after", &1.into()).await.unwrap();
    assert_eq!(store.get("after").await.unwrap().unwrap().value, ScriptValue::Integer(1));
    manager.close().await.into_result().unwrap();
}

#[tokio::test]
async fn a_dropped_run_releases_its_handles() {
    let manager = UnifiedStorageManager::builder().fallback(MemoryProvider::default()).build().unwrap();
    let stores = KeyValueStores::new(&manager, AllowAll);
    stores.register_routed("a").unwrap();
    let vm = Sandbox::new().vm().unwrap();
    install_key_value_module(vm.lua(), stores.unit_of_work()).unwrap();
    let lua = vm.lua().clone();
    let wait =
        lua.create_async_function(async |_, ()| std::future::pending::<Result<(), _>>().await).unwrap();
    lua.globals().set("wait", wait).unwrap();
    let source = "kept = require('store').get('a') assert(kept:set('x', 1)) wait()";
    let run = vm.run(Script::new("a.lua", source), []);
    assert!(tokio::time::timeout(Duration::from_millis(100), run).await.is_err());
    let check = "local value, err = kept:get('x') assert(value == nil and err:kind() == 'INVALID')";
    lua.load(check).exec_async().await.unwrap();

    let vm = Sandbox::new().vm().unwrap();
    install_key_value_module(vm.lua(), stores.unit_of_work()).unwrap();
    finish(vm, "assert(require('store').get('a'):get('x') == 1)").await;
}

/// One machine may run several calls at once; a handle that waits in one of them is not locked for the others.
#[tokio::test]
async fn calls_on_one_handle_do_not_keep_each_other_out() {
    let manager = UnifiedStorageManager::builder().fallback(MemoryProvider::default()).build().unwrap();
    let stores = KeyValueStores::new(&manager, AllowAll);
    stores.register_routed("a").unwrap();
    let lua = storage_manager::lua::mlua::Lua::new();
    install_key_value_module(&lua, stores.unit_of_work()).unwrap();
    lua.load("handle = require('store').get('a')").exec().unwrap();
    let calls = (0..50).map(|_| lua.load("assert(handle:incr('n', 1, 0))").exec_async());
    for answer in futures_util::future::join_all(calls).await {
        answer.unwrap();
    }
    lua.load("assert(handle:get('n') == 50) handle:release()").exec_async().await.unwrap();
}
