//! Coroutines of scripts, which may wait for stores like the script itself.

use std::time::Duration;

use storage_manager::lua::{Limit, Outcome, Sandbox, Script, mlua};

use crate::support::{Host, finish, raised};

/// A machine with `wait(value)`, which gives the value back after the host was busy with something else for a while.
fn machine(host: &Host) -> storage_manager::lua::ScriptVm {
    let vm = host.key_value();
    let wait = vm.lua().create_async_function(async |_, values: mlua::MultiValue| {
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
        Ok(values)
    });
    vm.lua().globals().set("wait", wait.unwrap()).unwrap();
    vm
}

#[tokio::test]
async fn coroutines_do_what_the_language_says() {
    finish(
        Sandbox::new().vm().unwrap(),
        r##"
        local function count(from, to) for i = from, to do coroutine.yield(i) end return "end" end
        local co = coroutine.create(count)
        assert(coroutine.status(co) == "suspended" and type(co) == "thread")
        local ok, first = coroutine.resume(co, 1, 2)
        assert(ok and first == 1)
        assert(select(2, coroutine.resume(co)) == 2 and select(2, coroutine.resume(co)) == "end")
        assert(coroutine.status(co) == "dead" and coroutine.resume(co) == false)

        local sum = 0
        for i in coroutine.wrap(function() count(1, 10) end) do sum = sum + i end
        assert(sum == 55)

        local echo = coroutine.create(function(...) while true do coroutine.yield(select('#', ...), ...) end end)
        assert(select('#', coroutine.resume(echo, nil, nil)) == 4)
        local nothing = coroutine.create(function() coroutine.yield() end)
        assert(select('#', coroutine.resume(nothing)) == 1 and select('#', coroutine.resume(nothing)) == 1)

        local failing = coroutine.create(function() error({ code = 7 }) end)
        local ok, err = coroutine.resume(failing)
        assert(not ok and err.code == 7)
        local ok, err = pcall(coroutine.wrap(function() error({ code = 8 }) end))
        assert(not ok and err.code == 8)
        assert(not pcall(coroutine.create, 1) and not pcall(coroutine.resume, 1))

        assert(not coroutine.isyieldable())
        assert(coroutine.wrap(coroutine.isyieldable)())
        local main = coroutine.running()
        assert(coroutine.wrap(function() return coroutine.running() ~= main end)())
        local ok, err = pcall(coroutine.yield, 1)
        assert(not ok and tostring(err):find("outside a coroutine"))
        assert(not coroutine.resume(main))
        assert(coroutine.wrap(function() return coroutine.status(main) end)() == "normal")
        local closed = coroutine.create(count)
        assert(coroutine.resume(closed, 1, 2) and coroutine.close(closed) and coroutine.status(closed) == "dead")"##,
    )
    .await;
}

/// mlua's own marker for a wait went to the script, and the call was lost.
#[tokio::test]
async fn a_coroutine_waits_for_a_store_like_the_script_itself() {
    let host = Host::new();
    finish(
        machine(&host),
        r##"
        local cache = require("store").get("app:cache")
        local function work(n)
            assert(wait("a", nil, n) == "a" and select('#', wait(nil, nil)) == 2)
            assert(cache:set("k" .. n, wait(n)))
            coroutine.yield(cache:incr("sum", n, 0))
            return cache:get("k" .. n)
        end
        local threads = {}
        for n = 1, 20 do threads[n] = coroutine.create(work) end
        for n = 1, 20 do
            local ok, sum = coroutine.resume(threads[n], n)
            assert(ok and sum == n * (n + 1) / 2, sum)
        end
        for n = 20, 1, -1 do
            local ok, value = coroutine.resume(threads[n])
            assert(ok and value == n and coroutine.status(threads[n]) == "dead")
        end

        local function nested(depth)
            if depth == 0 then return wait(cache:get("sum")) end
            return coroutine.wrap(nested)(depth - 1)
        end
        assert(nested(20) == 210)
        assert(select(2, coroutine.resume(coroutine.create(function() return pcall(wait, "x") end))) == true)
        local ok, err = coroutine.resume(coroutine.create(function() wait() error("later", 0) end))
        assert(not ok and err == "later")
        for value in coroutine.wrap(function() for i = 1, 3 do coroutine.yield(wait(i)) end end) do
            assert(value == cache:get("k" .. value))
        end"##,
    )
    .await;
}

#[tokio::test]
async fn a_wait_where_nothing_can_wait_is_an_error_that_can_be_caught() {
    let host = Host::new();
    finish(
        machine(&host),
        r##"
        local co = coroutine.create(function() return wait("late") end)
        local ok, err = pcall(string.gsub, "x", "x", function() return select(2, coroutine.resume(co)) end)
        assert(not ok and tostring(err):find("yield"), err)
        assert(coroutine.status(co) == "suspended")
        local ok, value = coroutine.resume(co)
        assert(ok and value == "late", "the wait goes on where that is possible")
        local function waits_in(f, ...)
            local ok, err = pcall(f, ...)
            assert(not ok and tostring(err):find("yield"), err)
        end
        waits_in(table.sort, { 2, 1 }, function(a, b) return wait(a) < b end)
        waits_in(string.gsub, "x", "x", wait)
        waits_in(tostring, setmetatable({}, { __tostring = function() return wait("x") end }))
        local text = ("abc"):gsub(".", coroutine.wrap(function() while true do coroutine.yield("-") end end))
        assert(text == "---")"##,
    )
    .await;
}

#[tokio::test]
async fn an_error_in_a_coroutine_says_its_line() {
    let source = "\nlocal co = coroutine.wrap(function()\n error('no')\nend)\nco()";
    let error = raised(Sandbox::new().vm().unwrap(), source).await;
    assert_eq!((error.line(), error.message()), (Some(3), "test.lua:3: no"));
}

#[tokio::test]
async fn coroutines_are_stopped_at_the_deadline_whenever_they_were_made() {
    let sandbox = Sandbox::new().timeout(Duration::from_millis(100));
    for source in [
        "coroutine.wrap(function() while true do end end)()",
        "local function loop() while true do end end
         local inner = coroutine.create(function() while true do pcall(loop) end end)
         while true do pcall(coroutine.resume, inner) end",
        "while true do coroutine.wrap(function() coroutine.yield() end)() end",
        "local ping = coroutine.wrap(function() while true do coroutine.yield() end end) while true do ping() end",
        "coroutine.wrap(function() wait() end)()",
    ] {
        let vm = sandbox.vm().unwrap();
        let wait =
            vm.lua().create_async_function(async |_, ()| std::future::pending::<mlua::Result<()>>().await);
        vm.lua().globals().set("wait", wait.unwrap()).unwrap();
        let outcome = vm.run(Script::new("a.lua", source), []).await;
        assert!(matches!(outcome, Outcome::Stopped(Limit::Time(_))), "{outcome:?}\n{source}");
    }
}

/// Nothing of a script runs after its host gave it up, not even what stands behind the coroutine that waited.
#[tokio::test]
async fn a_script_that_is_given_up_within_a_coroutine_does_not_go_on() {
    let host = Host::new();
    let vm = host.key_value();
    let lua = vm.lua().clone();
    let wait = lua.create_async_function(async |_, ()| std::future::pending::<mlua::Result<()>>().await);
    lua.globals().set("wait", wait.unwrap()).unwrap();
    let source = "
        kept = require('store').get('app:cache')
        reached = 'nothing'
        coroutine.wrap(function() coroutine.wrap(function() wait() reached = 'inner' end)() reached = 'outer' end)()
        reached = 'behind'";
    let run = vm.run(Script::new("a.lua", source), []);
    assert!(tokio::time::timeout(Duration::from_millis(100), run).await.is_err());
    let check = "assert(reached == 'nothing', reached) assert(select(2, kept:get('x')):kind() == 'INVALID')";
    lua.load(check).exec_async().await.unwrap();
}
