//! `require("store")`: what its document shows, in scripts of our own.

use std::time::Duration;

use storage_manager::{
    lua::{Outcome, Script, install_key_value_module, mlua::Lua, release_handles},
    script::RulePolicy,
};

use crate::support::{Host, finish};

#[tokio::test]
async fn values_are_set_got_and_expire() {
    let host = Host::new();
    host.run_key_value(
        r#"
        assert(cache:set("user:123", { name = "Alice" }, 3600) == true)
        assert(cache:set("user:123:name", "Alice") == true)
        assert(cache:set("session:abc", { user_id = 123, role = "admin" }, 300.5))
        assert(cache:get("user:123").name == "Alice")
        assert(cache:get("session:abc").role == "admin")
        assert(cache:get("unknown") == nil and select('#', cache:get("unknown")) == 1)
        assert(cache:release() == true)"#,
    )
    .await;
    host.clock.advance(Duration::from_secs(301));
    host.run_key_value(
        r#"
        assert(cache:get("session:abc") == nil and cache:has("session:abc") == false)
        assert(cache:get("user:123").name == "Alice")
        assert(cache:delete("session:abc") == false)"#,
    )
    .await;
}

#[tokio::test]
async fn has_makes_a_lock_that_the_caller_is_told_about() {
    Host::new()
        .run_key_value(
            r#"
            local function work(resource)
                if cache:has("lock:" .. resource) then
                    return nil, errors.new("CONFLICT", "Resource is locked")
                end
                cache:set("lock:" .. resource, true, 30)
                return "done"
            end
            assert(work("disk") == "done")
            local result, err = work("disk")
            assert(result == nil and err:kind() == errors.CONFLICT and tostring(err) == "Resource is locked")
            assert(cache:add("lock:tape", true, 30) == true and cache:add("lock:tape", true, 30) == false)
            assert(cache:delete("lock:disk") == true and cache:delete("lock:disk") == false)
            assert(not pcall(errors.new, "NO_SUCH_KIND", "x"))"#,
        )
        .await;
}

#[tokio::test]
async fn failures_are_second_results_with_kinds() {
    Host::new()
        .run_key_value(
            r#"
            local function fails(kind, ...)
                local value, err = ...
                assert(value == nil and err, "no failure")
                assert(err:kind() == kind and err:retryable() == false, err:kind() .. ": " .. err)
                return err:message()
            end
            fails(errors.INVALID, store.get(""))
            fails(errors.INVALID, store.get(42))
            fails(errors.NOT_FOUND, store.get("app:unknown"))
            fails("INVALID", cache:get(""))
            fails("INVALID", cache:get(42))
            fails("INVALID", cache:get())
            fails("INVALID", cache:set("a", nil))
            fails("INVALID", cache:set("a", print))
            for _, ttl in ipairs({ -1, 0 / 0, 1 / 0, "10", {} }) do fails("INVALID", cache:set("a", 1, ttl)) end
            fails("INVALID", cache:put("a", 1, { only_if_absent = true, if_version = "1" }))
            fails("INVALID", cache:put("a", 1, { if_version = "x" }))
            fails("INVALID", cache:put("a", 1, { if_absent = true }))
            fails("INVALID", cache:put("a", 1, true))
            fails("INVALID", cache:list({ limit = 0 }))
            fails("INVALID", cache:list({ limit = 1.5 }))
            fails("INVALID", cache:list({ prefixes = "x" }))
            fails("NOT_FOUND", cache:incr("a"))
            assert(cache:set("a", 1, 0) and cache:set("a", 1, nil) and cache:ttl("a") == 0)
            cache:release()
            for _, method in ipairs({ "get", "set", "has", "delete", "ttl", "incr", "info", "clear", "list" }) do
                fails("INVALID", cache[method](cache, "a", 1))
            end
            assert(cache:release() == true)"#,
        )
        .await;
}

#[tokio::test]
async fn two_handles_of_one_store_are_independent() {
    Host::new()
        .run_key_value(
            r#"
            local other = store.get("app:cache")
            cache:set("a", 1)
            assert(tostring(cache) == "store app:cache")
            cache:release()
            assert(tostring(cache) == "store app:cache (released)")
            assert(other:get("a") == 1)"#,
        )
        .await;
}

#[tokio::test]
async fn numbers_are_counted_up_in_one_step() {
    let host = Host::new();
    host.run_key_value(
        r#"
        assert(cache:incr("n", 1, 0, 60) == 1)
        assert(cache:incr("n") == 2 and cache:incr("n", 5) == 7 and cache:incr("n", -10) == -3)
        local left = cache:ttl("n")
        assert(left > 0 and left <= 60)
        assert(cache:incr("f", 0.5, 1) == 1.5)
        cache:set("text", "1")
        local _, err = cache:incr("text")
        assert(err:kind() == "INVALID" and cache:get("text") == "1")"#,
    )
    .await;
    let runs = (0..8).map(|_| host.run_key_value("for _ = 1, 25 do assert(cache:incr('shared', 1, 0)) end"));
    futures_util::future::join_all(runs).await;
    host.run_key_value("assert(cache:get('shared') == 200)").await;
}

#[tokio::test]
async fn deadlines_are_asked_for_and_moved() {
    let host = Host::new();
    host.run_key_value(
        r#"
        cache:set("a", 1, 10)
        assert(cache:ttl("a") == 10 and cache:ttl("unknown") == nil)
        assert(cache:expire("a", 100) == true and cache:ttl("a") == 100)
        assert(cache:expire("a", 0) == true and cache:ttl("a") == 0)
        assert(cache:expire("unknown", 10) == false)
        assert(cache:expire("a", 5))"#,
    )
    .await;
    host.clock.advance(Duration::from_secs(5));
    host.run_key_value("assert(not cache:exists('a'))").await;
}

#[tokio::test]
async fn conditional_writes_see_versions() {
    Host::new()
        .run_key_value(
            r#"
            local first = assert(cache:put("a", 1, { only_if_absent = true }))
            local _, err = cache:put("a", 2, { only_if_absent = true })
            assert(err:kind() == errors.ALREADY_EXISTS)
            local entry = cache:entry("a")
            assert(entry.version == first and entry.value == 1 and entry.ttl == 0 and entry.size > 0)
            assert(entry.created_at == entry.updated_at)
            local second = assert(cache:put("a", 2, { if_version = entry.version, ttl = 60 }))
            assert(second ~= first)
            local _, conflict = cache:put("a", 3, { if_version = first })
            assert(conflict:kind() == errors.CONFLICT and cache:get("a") == 2)
            assert(cache:entry("unknown") == nil)
            assert(cache:replace("a", 4) == true and cache:replace("unknown", 4) == false)"#,
        )
        .await;
}

#[tokio::test]
async fn keys_are_listed_page_by_page_and_cleared() {
    Host::new()
        .run_key_value(
            r##"
            for i = 1, 25 do cache:set(("user:%02d"):format(i), i, 60) end
            cache:set("other", true)
            local seen, after = {}, nil
            repeat
                local page = assert(cache:list({ prefix = "user:", limit = 10, after = after }))
                for _, item in ipairs(page.items) do
                    seen[#seen + 1] = item.key
                    assert(item.ttl > 0 and type(item.version) == "string" and item.value == nil)
                end
                after = page.cursor
                assert(page.has_more == (after ~= nil))
            until not after
            assert(#seen == 25 and seen[1] == "user:01" and seen[25] == "user:25")
            assert(#cache:list().items == 26)
            assert(cache:clear() == 26 and #cache:list().items == 0)
            local info = cache:info()
            assert(info.id == "app:cache" and info.durable == false and info.max_key_bytes == 1024)"##,
        )
        .await;
}

#[tokio::test]
async fn what_a_policy_denies_is_a_second_result() {
    let rules = r#"[
        {"effect": "allow", "actions": ["store.get", "store.key.*"], "resources": "app:cache"},
        {"effect": "deny", "actions": "store.key.set", "resources": "app:cache"}
    ]"#;
    let policy: RulePolicy = serde_json::from_str(rules).unwrap();
    let host = Host::with_policy(policy);
    host.run_key_value(
        r#"
        local ok, err = cache:set("a", 1)
        assert(ok == nil and err:kind() == errors.PERMISSION_DENIED and not err:retryable())
        assert(cache:get("a") == nil and select('#', cache:get("a")) == 1)
        local _, err = store.get("app:secret")
        assert(err:kind() == errors.PERMISSION_DENIED)"#,
    )
    .await;
}

#[tokio::test]
async fn handles_are_released_with_the_script() {
    let host = Host::new();
    let vm = host.key_value();
    let lua = vm.lua().clone();
    finish(vm, "kept = require('store').get('app:cache') assert(kept:set('a', 1))").await;
    // The host kept the machine; the handle in it is of no use.
    lua.load("local value, err = kept:get('a') assert(value == nil and err:kind() == 'INVALID')")
        .exec_async()
        .await
        .unwrap();
    lua.load("local handle, err = require('store').get('app:cache') assert(not handle and err:kind() == 'INVALID')")
        .exec_async()
        .await
        .unwrap();
}

#[tokio::test]
async fn a_host_without_a_sandbox_ends_units_of_work_itself() {
    let host = Host::new();
    let lua = Lua::new();
    install_key_value_module(&lua, host.stores.unit_of_work()).unwrap();
    lua.load("kept = require('store').get('app:cache') assert(kept:set('a', 1))").exec_async().await.unwrap();
    release_handles(&lua);
    lua.load("assert(select(2, kept:get('a')):kind() == 'INVALID')").exec_async().await.unwrap();
}

#[cfg(feature = "lua54")]
#[tokio::test]
async fn a_handle_is_released_at_the_end_of_its_block() {
    Host::new()
        .run_key_value(
            r#"
            local kept
            do
                local handle <close> = store.get("app:cache")
                kept = handle
                assert(handle:set("a", 1))
            end
            assert(select(2, kept:get("a")):kind() == "INVALID")
            pcall(function()
                local handle <close> = store.get("app:cache")
                kept = handle
                error("x")
            end)
            assert(select(2, kept:get("a")):kind() == "INVALID")"#,
        )
        .await;
}

#[tokio::test]
async fn calls_work_within_pcall_iterators_and_metamethods() {
    let host = Host::new();
    host.run_key_value(
        r#"
        cache:set("a", 1)
        assert(select(2, pcall(cache.get, cache, "a")) == 1)
        assert(select(2, xpcall(function() return cache:get("a") end, print)) == 1)
        assert(not pcall(cache.get, {}, "a") and not pcall(cache.get))
        assert(getmetatable(cache) == nil or type(getmetatable(cache)) ~= "table")"#,
    )
    .await;
    let outcome =
        host.key_value().run(Script::new("a.lua", "error(errors.new('TIMEOUT', 'late'))"), []).await;
    let Outcome::Raised(error) = outcome else { panic!("{outcome:?}") };
    assert_eq!((error.message(), error.line()), ("late", Some(1)));
}

/// The sum was stored, and then could not be answered.
#[cfg(feature = "luau")]
#[tokio::test]
async fn a_sum_that_luau_cannot_hold_is_refused_and_the_number_stays() {
    Host::new()
        .run_key_value(
            r#"
            for _, sign in ipairs({ 1, -1 }) do
                cache:set("n", sign * (2 ^ 53 - 1))
                assert(cache:incr("n", sign) == sign * 2 ^ 53)
                local sum, err = cache:incr("n", sign)
                assert(sum == nil and err:kind() == "INVALID" and not err:retryable())
                assert(cache:get("n") == sign * 2 ^ 53)
            end
            local sum, err = cache:incr("new", 2, 2 ^ 53)
            assert(sum == nil and err:kind() == "INVALID" and not cache:has("new"))"#,
        )
        .await;
}
