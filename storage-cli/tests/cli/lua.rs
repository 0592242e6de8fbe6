//! `storage lua`: scripts on the store of the command line.

use crate::sandbox::Sandbox;

const COUNT: &str = "
    local runs = (store.get('runs') or 0) + 1
    store.put('runs', runs)
    registry.put('last', { runs = runs, by = EXEC_IDENT })
    print('run', runs)";

#[test]
fn values_survive_from_one_run_to_the_next() {
    let sandbox = Sandbox::new();
    sandbox.write("count.lua", COUNT);
    let run = ["lua", "--ident", "monitor-cpu", "count.lua"];
    assert_eq!(sandbox.ok(&run), "run\t1\n");
    assert_eq!(sandbox.ok(&run), "run\t2\n");
    assert_eq!(sandbox.ok(&["lua", "--ident", "other", "count.lua"]), "run\t1\n");
    assert_eq!(sandbox.ok(&["load", "script/store", "monitor-cpu:runs"]).trim(), "2");
    let last: serde_json::Value =
        serde_json::from_str(&sandbox.ok(&["load", "script/registry", "last"])).unwrap();
    assert_eq!(last, serde_json::json!({"runs": 1, "by": "other"}));
}

#[test]
fn scripts_come_from_standard_input_and_take_arguments() {
    let sandbox = Sandbox::new();
    let script = b"#!/usr/bin/env storage\nprint(select('#', ...), ...)";
    let answer = sandbox.run_with_input(&["lua", "-", "a b", "--json", "-x", ""], script);
    assert_eq!((answer.status, answer.out.as_str()), (0, "4\ta b\t--json\t-x\t\n"), "{answer:?}");
}

#[test]
fn an_error_of_the_script_is_status_1_with_file_and_line() {
    let sandbox = Sandbox::new();
    sandbox.write("scripts/bad.lua", "\n\nerror('no disk')");
    sandbox.fails(&["lua", "scripts/bad.lua"]).is(1, "Script", "bad.lua:3: no disk");
    sandbox.write("refused.lua", "local ok = true\nstore.put('a', print)");
    sandbox.fails(&["lua", "refused.lua"]).is(
        1,
        "Script",
        "refused.lua:2: value: a function cannot be stored",
    );
    sandbox.write("syntax.lua", "return +");
    sandbox.fails(&["lua", "syntax.lua"]).is(1, "Script", "syntax.lua:1:");
}

#[test]
fn a_script_at_its_limits_is_status_4_and_what_it_stored_is_stored() {
    let sandbox = Sandbox::new();
    sandbox.write("loop.lua", "store.put('a', 1) while true do end");
    sandbox.fails(&["lua", "--timeout", "200ms", "loop.lua"]).is(4, "Stopped", "200ms");
    assert_eq!(sandbox.ok(&["load", "script/store", ":a"]).trim(), "1");
    sandbox.write("grow.lua", "local t = {} while true do t[#t + 1] = {} end");
    sandbox.fails(&["lua", "--memory", "2000000", "grow.lua"]).is(4, "Stopped", "2000000 bytes");
}

#[test]
fn what_cannot_be_run_is_status_2_and_makes_no_store() {
    let sandbox = Sandbox::new();
    sandbox.write("a.lua", "print(1)");
    sandbox.write("bad.yaml", "- name: a\n  kind: store.unknown\n");
    sandbox.write("empty.yaml", "[]");
    sandbox.write("default.yaml", "- {name: default, kind: store.memory}");
    for (arguments, kind, why) in [
        (&["lua", "missing.lua"][..], "Invalid", "missing.lua cannot be read"),
        (&["lua"], "Usage", "SCRIPT"),
        (&["lua", "--modules", "all", "a.lua"], "Usage", "key-value"),
        (&["lua", "--memory", "1000", "a.lua"], "Invalid", "1048576"),
        (&["lua", "--memory", "1M", "a.lua"], "Invalid", "whole number"),
        (&["lua", "--timeout", "0s", "a.lua"], "Invalid", "longer than zero"),
        (&["lua", "--ident", "", "a.lua"], "Invalid", "empty"),
        (&["lua", "--policy", "empty.yaml", "a.lua"], "Invalid", "holds no policy"),
        (&["lua", "--policy", "missing.yaml", "a.lua"], "Invalid", "missing.yaml"),
        (&["lua", "--config", "empty.yaml", "a.lua"], "Usage", "--modules key-value"),
        (&["lua", "--modules", "key-value", "--require-ident", "a.lua"], "Usage", "--modules agent"),
        (&["lua", "--modules", "key-value", "--config", "bad.yaml", "a.lua"], "Invalid", "kind"),
        (
            &["lua", "--modules", "key-value", "--config", "default.yaml", "a.lua"],
            "Invalid",
            "the chosen store",
        ),
    ] {
        sandbox.fails(arguments).is(2, kind, why);
    }
    assert!(!sandbox.path("storage-data").exists());
}

#[test]
fn an_identity_can_be_required() {
    let sandbox = Sandbox::new();
    sandbox.write("own.lua", "store.put('a', 1)");
    sandbox.write("global.lua", "store.put_global('a', 1)");
    sandbox.fails(&["lua", "--require-ident", "own.lua"]).is(1, "Script", "identity");
    sandbox.ok(&["lua", "--require-ident", "global.lua"]);
    sandbox.ok(&["lua", "--require-ident", "--ident", "a", "own.lua"]);
}

#[test]
fn key_value_scripts_find_the_store_and_the_configured_ones() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "stores.yaml",
        "namespace: app\nentries:\n  - name: cache\n    kind: store.memory\n  - name: kept\n    kind: store.fs\n    path: kept\n",
    );
    sandbox.write(
        "a.lua",
        "local store = require('store')
         for _, id in ipairs({ 'default', 'app:cache', 'app:kept' }) do
             local handle = assert(store.get(id))
             print(id, handle:incr('n', 1, 0), handle:info().durable)
         end
         print(select(2, store.get('app:other')):kind(), _G.store, _G.registry)",
    );
    let run = ["lua", "--modules", "key-value", "--config", "stores.yaml", "a.lua"];
    let end = "NOT_FOUND\tnil\tnil\n";
    assert_eq!(sandbox.ok(&run), format!("default\t1\ttrue\napp:cache\t1\tfalse\napp:kept\t1\ttrue\n{end}"));
    assert_eq!(sandbox.ok(&run), format!("default\t2\ttrue\napp:cache\t1\tfalse\napp:kept\t2\ttrue\n{end}"));
}

/// The secret of a configured store comes from the environment, and is not shown when the server refuses it.
#[cfg(feature = "redis")]
#[test]
fn key_value_scripts_find_configured_stores_on_a_server() {
    use test_servers::{found, redis::Server};

    let Some(server) = found(Server::builder().password("canary").start()) else { return };
    let sandbox = Sandbox::new();
    sandbox.write("stores.yaml", "- {name: shared, kind: store.redis, url: '${SHOP_REDIS}', prefix: shop}\n");
    sandbox.write("a.lua", "print(assert(require('store').get('shared')):incr('n', 1, 0))");
    let run = |password: Option<&str>| {
        let mut command =
            sandbox.command(&["lua", "--modules", "key-value", "--config", "stores.yaml", "a.lua"]);
        if let Some(password) = password {
            command.env("SHOP_REDIS", format!("redis://:{password}@{}", server.address()));
        }
        let output = command.output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap(),
        )
    };
    assert_eq!(run(Some("canary")), (Some(0), "1\n".to_owned()));
    assert_eq!(run(Some("canary")), (Some(0), "2\n".to_owned()));
    let (status, refused) = run(Some("canary2"));
    assert!(status != Some(0) && !refused.contains("canary") && !refused.contains("panicked"), "{refused}");
    let (status, missing) = run(None);
    assert_eq!(status, Some(2), "{missing}");
    assert!(missing.contains("[0].url") && missing.contains("SHOP_REDIS is not set"), "{missing}");
}

#[test]
fn a_policy_decides_what_scripts_may_do() {
    let sandbox = Sandbox::new();
    let policy = "policy:\n  - {effect: allow, actions: '*', resources: '*'}\n  - {effect: deny, actions: agent.registry.put, resources: '*'}\n";
    sandbox.write("policy.yaml", policy);
    sandbox.write("a.lua", "store.put('a', 1)\nregistry.put('a', 1)");
    sandbox.fails(&["lua", "--policy", "policy.yaml", "a.lua"]).is(
        1,
        "Script",
        "a.lua:2: agent.registry.put",
    );
    sandbox.ok(&["lua", "a.lua"]);
}
