//! What scripts find in the sandbox, and how they end.

use std::{io, time::Duration};

use storage_manager::{
    ErrorKind,
    lua::{Limit, Outcome, Sandbox, Script},
    script::{ScriptResult, ScriptValue},
};

use crate::support::{Host, finish, raised};

#[test]
fn limits_that_stop_every_script_are_refused() {
    let error = Sandbox::new().memory_limit(Sandbox::LEAST_MEMORY - 1).vm().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    let error = Sandbox::new().timeout(Duration::ZERO).vm().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
}

#[tokio::test]
async fn the_longest_timeout_is_no_limit() {
    let vm = Sandbox::new().timeout(Duration::MAX).memory_limit(Sandbox::LEAST_MEMORY).vm().unwrap();
    finish(vm, "assert(1 + 1 == 2)").await;
}

#[tokio::test]
async fn print_joins_by_tabs_and_asks_for_text() {
    let host = Host::new();
    let vm = host.sandbox().vm().unwrap();
    finish(
        vm,
        "print(1, 'a', nil, true, setmetatable({}, { __tostring = function() return 'me' end })) print()",
    )
    .await;
    assert_eq!(host.printed(), ["1\ta\tnil\ttrue\tme", ""]);
}

#[tokio::test]
async fn a_sink_that_fails_raises_in_the_script() {
    let sandbox = Sandbox::new().print_to(|_| Err(io::Error::other("the pipe is closed")));
    let error = raised(sandbox.vm().unwrap(), "\nprint('x')").await;
    assert!(error.to_string().contains("the pipe is closed"), "{error}");
    assert_eq!(error.line(), Some(2));
}

#[tokio::test]
async fn arguments_are_seen_as_dots() {
    let vm = Sandbox::new().vm().unwrap();
    let script =
        Script::new("a.lua", "assert(select('#', ...) == 2) assert(... == 'a' and select(2, ...) == '')");
    assert!(matches!(vm.run(script, ["a", ""]).await, Outcome::Finished(_)));
}

#[tokio::test]
async fn errors_say_where_they_came_from() {
    let sandbox = Sandbox::new();
    for (source, line, message) in [
        ("\n\nerror('no')", Some(3), "test.lua:3: no"),
        ("#!/usr/bin/env storage\nerror('no')", Some(2), "test.lua:2: no"),
        ("local x = nil\nreturn x.y", Some(2), "nil"),
        ("return +", Some(1), "test.lua:1:"),
        ("\nerror({})", None, "table"),
        ("\nerror('bare', 0)", Some(2), "bare"),
        ("\x1bLua", Some(1), ""),
    ] {
        let error = raised(sandbox.vm().unwrap(), source).await;
        if line.is_some() {
            assert!(error.line() == line || source.starts_with('\x1b'), "{source:?}: {error:?}");
        }
        assert!(error.to_string().contains(message), "{source:?}: {error}");
        assert!(!error.message().contains("traceback"), "{source:?}: {error}");
    }
}

#[tokio::test]
async fn guarded_functions_do_what_their_originals_do() {
    let vm = Sandbox::new().vm().unwrap();
    finish(
        vm,
        r##"
        local text = ("ab,"):rep(200000) .. "needle" .. ("ab,"):rep(10)
        local needle = ("ab,"):rep(7) .. "needle"
        local first, last = text:find(needle, 1, true)
        assert(text:sub(first, last) == needle and first == 200000 * 3 - 21 + 1)
        assert(text:find(needle, first) == first and text:find(needle, first + 1) == nil)
        assert(text:find(needle, -40) == nil and text:find(needle, -#text) == first)
        assert(text:find(needle, #text + 2, true) == nil)
        assert(("a.b"):find(".", 1, true) == 2 and ("a.b"):find("%.") == 2 and (""):find("") == 1)
        assert(select(3, ("k=v"):find("(%w)=(%w)")) == "k")
        assert(not pcall(string.find, "x") and not pcall(string.find, {}, "x"))

        local list = { 3, 1, 2 }
        table.sort(list)
        assert(table.concat(list) == "123")
        table.sort(list, function(a, b) return a > b end)
        assert(table.concat(list) == "321")
        assert(not pcall(table.sort, { 1, "x" }))

        local long = {}
        for i = 1, 100010 do long[i] = i end
        table.move(long, 1, 100010, 3)
        assert(long[1] == 1 and long[2] == 2 and long[3] == 1 and long[100012] == 100010)
        local copy = table.move(long, 3, 100012, 1, {})
        assert(copy[1] == 1 and copy[100010] == 100010 and #copy == 100010)
        assert(table.move({ 1, 2, 3 }, 2, 3, 1)[1] == 2 and not pcall(table.move, {}, "x"))

        assert((""):rep(5) == "" and (""):rep(3, ",") == ",," or string.split)
        assert(("ab"):rep(2) == "abab" and ("x"):rep(-1) == "" and not pcall(string.rep))

        local ok, message = xpcall(function() error("inner", 0) end, function(e) return "handled " .. e end)
        assert(not ok and message == "handled inner")
        assert(select('#', xpcall(function(...) return ... end, print, 1, nil, 3)) == 4)
        assert(not pcall(xpcall))

        if string.split then
            local parts = ("a, b, c"):split(", ")
            assert(#parts == 3 and parts[3] == "c" and #("a,b"):split() == 2 and #("abc"):split("") == 3)
            assert(#("a, "):split(", ") == 2 and #(""):split("--") == 1)
        end"##,
    )
    .await;
}

#[tokio::test]
async fn memory_and_time_are_told_apart() {
    let sandbox = Sandbox::new().memory_limit(4 << 20).timeout(Duration::from_secs(30));
    let vm = sandbox.vm().unwrap();
    let outcome = vm.run(Script::new("a.lua", "local t = {} while true do t[#t + 1] = {} end"), []).await;
    assert!(matches!(outcome, Outcome::Stopped(Limit::Memory(bytes)) if bytes == 4 << 20), "{outcome:?}");
    let vm = sandbox.timeout(Duration::from_millis(50)).vm().unwrap();
    let outcome = vm.run(Script::new("a.lua", "pcall(function() while true do end end)"), []).await;
    assert!(matches!(outcome, Outcome::Stopped(Limit::Time(_))), "{outcome:?}");
}

#[tokio::test]
async fn libraries_of_a_machine_do_not_reach_the_next() {
    let sandbox = Sandbox::new();
    let vm = sandbox.vm().unwrap();
    let _ = vm.run(Script::new("a.lua", "planted = 1 string.rep = nil"), []).await;
    finish(sandbox.vm().unwrap(), "assert(planted == nil and ('x'):rep(2) == 'xx')").await;
}

/// What a script returns in a machine of its own.
async fn returned(source: &str) -> ScriptResult<Vec<ScriptValue>> {
    let outcome = Sandbox::new().vm().unwrap().run(Script::new("a.lua", source), []).await;
    let Outcome::Finished(returned) = outcome else { panic!("{outcome:?}\n{source}") };
    returned
}

#[tokio::test]
async fn what_a_script_returns_reaches_the_host() {
    assert_eq!(returned("").await.unwrap(), []);
    assert_eq!(returned("return nil").await.unwrap(), [ScriptValue::Nil]);
    let values = returned("return 1, nil, 'x\\255', { a = { true } }, 0.5, nil").await.unwrap();
    assert_eq!(values.len(), 6);
    assert_eq!((&values[0], &values[1], &values[4]), (&1.into(), &ScriptValue::Nil, &0.5.into()));
    assert_eq!(values[2], ScriptValue::String((&b"x\xff"[..]).into()));
    let inner = values[3].as_table().and_then(|table| table.get("a")?.as_table());
    assert_eq!(inner.unwrap().sequence(), [true.into()]);
}

#[tokio::test]
async fn what_no_value_is_is_returned_as_a_refusal_with_its_place() {
    for (source, message) in [
        ("return print", "value[1]: a function cannot be stored"),
        ("return 1, { run = print }", "value[2].run: a function cannot be stored"),
        ("local t = {} t.t = t return t", "value[1].t: a table within itself cannot be stored"),
        (
            "local t = {} for i = 1, 65 do t[i] = i end return (unpack or table.unpack)(t)",
            "returned 65 values",
        ),
        ("local s = ('x'):rep(10000000) return s, s", "value[2]: more than 16777216 bytes"),
    ] {
        let error = returned(source).await.unwrap_err();
        assert!(error.message().contains(message), "{source}: {error}");
    }
}
