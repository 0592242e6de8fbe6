//! The globals `store` and `registry`: what their documents show, in scripts of our own.

use std::time::Duration;

use storage_manager::{
    FsProvider, MemoryProvider, UnifiedStorageManager,
    lua::{Sandbox, Script, install_agent_modules},
    script::{RulePolicy, ScriptRegistry, ScriptStore},
};

use crate::support::{Host, finish, raised};

#[tokio::test]
async fn basic_values_keep_their_types() {
    let host = Host::new();
    for module in ["store", "registry"] {
        let script = r#"
            MODULE.put("last_run", os.time())
            MODULE.put("host", "production-1")
            MODULE.put("active", true)
            MODULE.put("disabled", false)
            MODULE.put("version", 2.5)
            MODULE.put("count", 7)
            assert(type(MODULE.get("last_run")) == "number")
            assert(MODULE.get("host") == "production-1")
            assert(MODULE.get("active") == true)
            assert(MODULE.get("disabled") == false)
            assert(MODULE.get("version") == 2.5)
            assert(MODULE.get("count") == 7)
            if math.type then
                assert(math.type(MODULE.get("count")) == "integer")
                MODULE.put("whole float", 7.0)
                assert(math.type(MODULE.get("whole float")) == "float")
            end"#;
        host.run_agent(&script.replace("MODULE", module)).await;
    }
}

#[tokio::test]
async fn tables_come_back_whole_and_as_copies() {
    Host::new()
        .run_agent(
            r#"
            local config = { timeout = 30, retries = 3, servers = { "srv1", "srv2", "srv3" },
                limits = { cpu = 80, memory = 90.5 }, [10] = "sparse", [true] = "flag" }
            registry.put("config", config)
            config.timeout = 99
            local read = registry.get("config")
            assert(read.timeout == 30 and read.retries == 3 and read.limits.memory == 90.5)
            assert(#read.servers == 3 and read.servers[3] == "srv3")
            assert(read[10] == "sparse" and read[true] == "flag")
            read.limits.cpu = 0
            assert(registry.get("config").limits.cpu == 80)
            local names = {}
            for key in pairs(registry.get("config").limits) do names[#names + 1] = key end
            assert(#names == 2)"#,
        )
        .await;
}

#[tokio::test]
async fn a_get_gives_the_time_of_the_put_in_whole_seconds() {
    let host = Host::new();
    host.run_agent("store.put('a', 1) registry.put('a', 1)").await;
    let put_at = host.now();
    host.clock.advance(Duration::from_millis(90_500));
    host.run_agent(&format!(
        r#"
        for _, module in ipairs({{ store, registry }}) do
            local value, timestamp = module.get("a")
            assert(value == 1 and timestamp == {put_at})
            assert(#os.date("%Y-%m-%d %H:%M:%S", timestamp) == 19)
            module.put("a", 1)
            local _, again = module.get("a")
            assert(again == {}, "an equal value is a new put")
        end"#,
        host.now()
    ))
    .await;
}

#[tokio::test]
async fn a_missing_key_is_two_nils_and_or_gives_a_default() {
    Host::new()
        .run_agent(
            r#"
            assert(select('#', registry.get("limit")) == 2)
            local value, timestamp = store.get("limit")
            assert(value == nil and timestamp == nil)
            local limit = registry.get("limit") or 80
            assert(limit == 80)
            registry.put("counter", 1)
            registry.put("counter", (registry.get("counter") or 0) + 1)
            assert(registry.get("counter") == 2)"#,
        )
        .await;
}

#[tokio::test]
async fn put_and_delete_return_nothing_and_delete_is_silent() {
    Host::new()
        .run_agent(
            r##"
            for _, module in ipairs({ store, registry }) do
                assert(select('#', module.put("a", 1)) == 0)
                assert(select('#', module.delete("a")) == 0)
                assert(select('#', module.delete("a")) == 0)
                assert(module.get("a") == nil)
            end
            for _, name in ipairs({ "dns", "http" }) do store.put("cache_" .. name, name) end
            for _, name in ipairs({ "dns", "http", "unknown" }) do store.delete("cache_" .. name) end
            assert(store.get("cache_dns") == nil and store.get("cache_http") == nil)"##,
        )
        .await;
}

#[tokio::test]
async fn an_explicit_nil_is_stored_and_a_missing_value_is_a_mistake() {
    let host = Host::new();
    host.run_agent(
        r#"
        store.put("a", nil)
        local value, timestamp = store.get("a")
        assert(value == nil and timestamp ~= nil)
        local ok, err = pcall(store.put, "a")
        assert(not ok and err:kind() == "INVALID")"#,
    )
    .await;
}

#[tokio::test]
async fn scripts_have_keys_of_their_own_and_share_global_ones() {
    let host = Host::new();
    finish(
        host.agent(Some("monitor-cpu")),
        r#"
        assert(EXEC_IDENT == "monitor-cpu")
        store.put("state", "cpu")
        store.put_global("agent_version", "2.5.1")
        assert(store.get_global("state") == nil)
        assert(store.get_global("monitor-cpu:state") == nil)
        assert(store.get("agent_version") == nil)
        EXEC_IDENT = "monitor-disk"
        assert(store.get("state") == "cpu", "assigning the name moves nothing")"#,
    )
    .await;
    finish(
        host.agent(Some("monitor-disk")),
        r#"
        assert(store.get("state") == nil)
        assert(store.get_global("agent_version") == "2.5.1")
        local zone = store.get_global("timezone") or "UTC"
        assert(zone == "UTC")
        store.delete_global("agent_version")
        assert(store.get_global("agent_version") == nil)"#,
    )
    .await;
}

#[tokio::test]
async fn store_and_registry_never_meet() {
    let host = Host::new();
    host.run_agent("store.put_global('a', 1) assert(registry.get('a') == nil) registry.put('a', 2)").await;
    host.run_agent("assert(store.get_global('a') == 1 and registry.get('a') == 2)").await;
}

#[tokio::test]
async fn without_an_identity_keys_are_global_or_refused() {
    let host = Host::new();
    finish(
        host.agent(None),
        "assert(EXEC_IDENT == nil) store.put('a', 1) assert(store.get_global('a') == 1)",
    )
    .await;
    let vm = host.sandbox().vm().unwrap();
    let strict = ScriptStore::builder(&host.manager).require_ident().build();
    install_agent_modules(vm.lua(), &strict, &ScriptRegistry::new(&host.manager)).unwrap();
    finish(
        vm,
        r#"
        local ok, err = pcall(store.put, "a", 1)
        assert(not ok and err:kind() == "INVALID" and not err:retryable())
        store.put_global("a", 1)"#,
    )
    .await;
}

#[tokio::test]
async fn failures_are_raised_as_objects_with_file_and_line() {
    let host = Host::new();
    host.run_agent(
        r#"
        local ok, err = pcall(store.put, "", 1)
        assert(not ok and err:kind() == "INVALID" and err:message() == "the key is empty")
        assert(tostring(err) == err:message() and "put: " .. err == "put: the key is empty")
        for _, key in ipairs({ 42, true, {} }) do
            local ok, err = pcall(store.get, key)
            assert(not ok and err:kind() == "INVALID" and err:message():find("must be a string"))
        end
        assert(select(2, pcall(registry.get)):kind() == "INVALID")"#,
    )
    .await;
    let error = raised(host.agent(None), "\n\nregistry.put('a\\n', 1)").await;
    assert_eq!(error.line(), Some(3), "{error}");
    assert_eq!(error.to_string(), "test.lua:3: the key holds a control character (character 2)");
}

#[tokio::test]
async fn what_a_policy_denies_is_raised() {
    let rules = r#"[
        {"effect": "allow", "actions": "agent.*", "resources": "*"},
        {"effect": "deny", "actions": "agent.registry.put", "resources": "*"}
    ]"#;
    let policy: RulePolicy = serde_json::from_str(rules).unwrap();
    let host = Host::new();
    let vm = host.sandbox().vm().unwrap();
    let registry = ScriptRegistry::new(&host.manager).with_policy(policy);
    install_agent_modules(vm.lua(), &host.store(None), &registry).unwrap();
    finish(
        vm,
        r#"
        local ok, err = pcall(registry.put, "a", 1)
        assert(not ok and err:kind() == "PERMISSION_DENIED" and not err:retryable())
        assert(registry.get("a") == nil)"#,
    )
    .await;
}

/// A manager whose store is on disk and whose registry is where the host wants it.
async fn manager_at(directory: &std::path::Path, volatile_registry: bool) -> UnifiedStorageManager {
    let builder = UnifiedStorageManager::builder();
    let builder = builder.fallback(FsProvider::builder(directory).open().await.unwrap());
    let builder = match volatile_registry {
        true => builder.register(ScriptRegistry::CONTENT_TYPE, MemoryProvider::default()),
        false => builder,
    };
    builder.build().unwrap()
}

#[tokio::test]
async fn a_restart_keeps_the_store_and_the_registry_unless_that_is_volatile() {
    for (volatile, kept) in [(false, "42"), (true, "nil")] {
        let directory = tempfile::tempdir().unwrap();
        for source in [
            "store.put('a', 41) store.put_global('b', { 1 }) registry.put('a', 42)".to_owned(),
            format!(
                "assert(store.get('a') == 41 and store.get_global('b')[1] == 1 and registry.get('a') == {kept})"
            ),
        ] {
            let manager = manager_at(directory.path(), volatile).await;
            let registry = ScriptRegistry::new(&manager);
            assert_eq!(registry.is_durable().unwrap(), !volatile);
            let vm = Sandbox::new().vm().unwrap();
            let store = ScriptStore::builder(&manager).ident("m".parse().unwrap()).build();
            install_agent_modules(vm.lua(), &store, &registry).unwrap();
            finish(vm, &source).await;
            manager.close().await.into_result().unwrap();
        }
    }
}

#[tokio::test]
async fn one_machine_has_one_module_called_store() {
    let host = Host::new();
    let vm = host.key_value();
    let error = install_agent_modules(vm.lua(), &host.store(None), &ScriptRegistry::new(&host.manager));
    assert!(error.unwrap_err().to_string().contains("called `store`"));
    finish(vm, "assert(store == nil and registry == nil and require('store').get)").await;
    let outcome = host.agent(None).run(Script::new("a.lua", "return require('store')"), []).await;
    assert!(matches!(outcome, storage_manager::lua::Outcome::Raised(_)));
}
