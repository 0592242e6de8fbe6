//! Every bad input gets its exit status, its kind and a reason, and stores nothing.

use std::{collections::BTreeSet, fs};

use crate::sandbox::Sandbox;

#[test]
fn keys_and_types_outside_their_limits_are_refused() {
    let sandbox = Sandbox::new();
    let long = "k".repeat(1_025);
    for (key, why) in [
        ("", "key is empty"),
        (&*long, "1025 bytes"),
        ("a\nb", "control character"),
        ("\u{7f}", "control character"),
        ("\u{85}", "control character"),
    ] {
        for command in [
            &["save", "note", key, "x"][..],
            &["load", "note", key],
            &["delete", "note", key],
            &["touch", "note", key, "--persist"],
        ] {
            sandbox.fails(command).is(2, "InvalidKey", why);
        }
    }
    for (content_type, why) in [("", "empty"), ("a b", "' '"), ("é", "'é'"), (&"t".repeat(256), "256 bytes")]
    {
        sandbox.fails(&["save", content_type, "a", "x"]).is(2, "Invalid", why);
        sandbox.fails(&["search", "--type", content_type]).is(2, "InvalidQuery", why);
    }
    sandbox.ok(&["save", "note", &"k".repeat(1_024), "x"]);
}

#[test]
fn keys_that_trouble_other_tools_are_kept_apart() {
    let sandbox = Sandbox::new();
    let keys = [
        "..",
        "/",
        "a/../b",
        "\\",
        " ",
        "a ",
        "a",
        "A",
        "%",
        "'; --",
        "é",
        "e\u{301}",
        "\u{202e}x",
        "*",
        "日本",
    ];
    for key in keys {
        sandbox.ok(&["save", "note", key, key]);
    }
    let lines = sandbox.ok(&["--json", "search", "--data"]);
    let documents = lines.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let found: BTreeSet<_> = documents
        .map(|document| {
            assert_eq!(document["data"], document["metadata"]["key"]);
            document["data"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(found, keys.map(str::to_owned).into());
}

#[test]
fn deadlines_that_cannot_be_are_refused() {
    let sandbox = Sandbox::new();
    for command in [&["save", "note", "a", "x"][..], &["touch", "note", "a"]] {
        for (option, value, why) in [
            ("--ttl", "0s", "longer than zero"),
            ("--ttl", "-5s", "negative"),
            ("--ttl", "-1", "negative"),
            ("--ttl", "NaN", "such as 90s"),
            ("--ttl", "90", "such as 90s"),
            ("--ttl", "1.5h", "such as 90s"),
            ("--ttl", "", "such as 90s"),
            ("--ttl", "99999999999999999999d", "longer than any deadline"),
            ("--ttl", "9999999d", "beyond 9999-12-30"),
            ("--expires-at", "tomorrow", "RFC 3339"),
            ("--expires-at", "2030-03-01T12:00:00", "RFC 3339"),
            ("--expires-at", "2030-02-30T12:00:00Z", "RFC 3339"),
            ("--expires-at", "-5", "RFC 3339"),
            ("--expires-at", "2020-01-01T00:00:00Z", "not in the future"),
            ("--expires-at", "0000-01-01T00:00:00Z", "not in the future"),
        ] {
            sandbox.fails(&[command, &[option, value]].concat()).is(2, "Invalid", why);
        }
    }
    assert!(!sandbox.path("storage-data").exists(), "a bad deadline makes no store");
}

#[test]
fn times_orders_and_numbers_of_a_search_are_checked() {
    let sandbox = Sandbox::new();
    for option in [
        "--created-after",
        "--created-before",
        "--updated-after",
        "--updated-before",
        "--expires-after",
        "--expires-before",
    ] {
        sandbox.fails(&["search", option, "yesterday"]).is(2, "Invalid", option);
        sandbox.fails(&["count", option, "2030-13-01T00:00:00Z"]).is(2, "Invalid", option);
    }
    sandbox.fails(&["search", "--order", "size"]).is(2, "Invalid", "created or updated");
    sandbox.fails(&["search", "--limit", "-1"]).is(2, "Invalid", "whole number");
    sandbox.fails(&["search", "--limit", "many"]).is(2, "Invalid", "whole number");
    sandbox.fails(&["search", "--pattern", ""]).is(2, "InvalidQuery", "empty");
    sandbox.fails(&["search", "--pattern", "["]).is(2, "InvalidQuery", "not closed");
    sandbox.fails(&["count", "--pattern", "a\\"]).is(2, "InvalidQuery", "pattern");
    sandbox.fails(&["save", "note", "a", "x", "--if-version", "-1"]).is(2, "Invalid", "whole number");
    sandbox.fails(&["delete", "note", "a", "--if-version", "1e3"]).is(2, "Invalid", "whole number");
}

#[test]
fn tags_are_checked() {
    let sandbox = Sandbox::new();
    let name = format!("{}=x", "n".repeat(129));
    let value = format!("n={}", "v".repeat(1_025));
    for command in [&["save", "note", "a", "x"][..], &["search"], &["count"]] {
        let tagged = |tags: &[&'static str]| {
            let options: Vec<_> = tags.iter().flat_map(|tag| ["--tag", tag]).collect();
            sandbox.fails(&[command, &options].concat())
        };
        tagged(&["plain"]).is(2, "Invalid", "NAME=VALUE");
        tagged(&["=value"]).is(2, "Invalid", "empty");
        tagged(&["k=1", "k=2"]).is(2, "Invalid", "given twice");
        tagged(&["k=a\u{7}"]).is(2, "Invalid", "control character");
        sandbox.fails(&[command, &["--tag", &name]].concat()).is(2, "Invalid", "129 bytes");
        sandbox.fails(&[command, &["--tag", &value]].concat()).is(2, "Invalid", "1025 bytes");
    }
    let many: Vec<_> = (0..65).map(|n| format!("t{n}=")).collect();
    let many: Vec<_> = many.iter().flat_map(|tag| ["--tag", tag]).collect();
    sandbox.fails(&[&["save", "note", "a", "x"][..], &many].concat()).is(2, "Invalid", "65 tags");
    sandbox.ok(&[&["save", "note", "a", "x"][..], &many[..128]].concat());
}

#[test]
fn what_the_grammar_does_not_know_is_a_usage_error() {
    let sandbox = Sandbox::new();
    for (arguments, why) in [
        (&["frobnicate"][..], "frobnicate"),
        (&["save"], "TYPE"),
        (&["save", "note"], "KEY"),
        (&["save", "note", "a", "x", "--frobnicate"], "--frobnicate"),
        (&["save", "note", "a", "x", "more"], "more"),
        (&["save", "note", "a", "x", "--file", "f"], "cannot be used with"),
        (
            &["save", "note", "a", "x", "--ttl", "1h", "--expires-at", "2999-01-01T00:00:00Z"],
            "cannot be used with",
        ),
        (&["save", "note", "a", "x", "--if-absent", "--if-version", "1"], "cannot be used with"),
        (&["save", "note", "a", "x", "--ttl"], "--ttl"),
        (&["load", "note", "a", "--ttl", "1h"], "--ttl"),
        (&["touch", "note", "a"], "--persist"),
        (&["touch", "note", "a", "--persist", "--ttl", "1h"], "cannot be used with"),
        (&["count", "--limit", "1"], "--limit"),
        (&["count", "--order", "key"], "--order"),
        (&["cleanup", "now"], "now"),
        (&["stats", "--type", "note"], "--type"),
        (&["verify", "x"], "x"),
        (&["demo", "a", "b"], "b"),
    ] {
        sandbox.fails(arguments).is(2, "Usage", why);
    }
    assert!(!sandbox.path("storage-data").exists(), "a usage error makes no store");
}

#[test]
fn no_command_at_all_shows_the_help() {
    let sandbox = Sandbox::new();
    let answer = sandbox.run(&[]);
    assert_eq!(answer.status, 2);
    assert!(answer.err.starts_with("Typed items") && answer.err.contains("Commands:"), "{answer:?}");
    let answer = sandbox.run(&["--json"]);
    assert_eq!(answer.status, 2);
    assert!(
        answer.err.contains(r#""kind":"Usage","message":"'storage' requires a subcommand"#),
        "{answer:?}"
    );
}

#[test]
fn store_urls_are_checked_and_their_secrets_kept() {
    let sandbox = Sandbox::new();
    for (url, why) in [
        ("redis+unknown://user:S3CR3T@host/0", "redis+unknown:"),
        ("mongodb://user:S3CR3T@host/db", "fs:DIR"),
        ("S3CR3T", "no scheme"),
        ("", "no scheme"),
        ("fs:", "names no directory"),
        ("fs://S3CR3T/x", "no host"),
        ("memory:S3CR3T", "memory:"),
    ] {
        let failed = sandbox.fails(&["--store", url, "count"]);
        failed.is(2, "Usage", why);
        assert!(!format!("{failed:?}").contains("S3CR3T"), "{failed:?}");
    }
    for misplaced in [&["redis://user:S3CR3T@host", "count"][..], &["count", "redis://user:S3CR3T@host"]] {
        let failed = sandbox.fails(misplaced);
        failed.is(2, "Usage", "redis://");
        assert!(!format!("{failed:?}").contains("S3CR3T"), "{failed:?}");
    }
}

#[cfg(feature = "sql")]
#[test]
fn urls_of_databases_are_checked_and_their_secrets_kept() {
    let sandbox = Sandbox::new();
    for (url, why) in [
        ("postgres://user:S3CR3T@host/db?pool_size=0", "pool_size"),
        ("mysql://user:S3CR3T@host/db?table_name=a;S3CR3T", "table_name"),
        ("postgres:user:S3CR3T", "//"),
        ("sqlite:", "names no file"),
        ("sqlite:file?pasword=S3CR3T", "pasword"),
    ] {
        let failed = sandbox.fails(&["--store", url, "count"]);
        failed.is(2, "Usage", why);
        assert!(!format!("{failed:?}").contains("S3CR3T"), "{failed:?}");
    }
}

#[cfg(feature = "redis")]
#[test]
fn urls_of_servers_are_checked_and_their_secrets_kept() {
    let sandbox = Sandbox::new();
    for (url, why) in [
        ("redis://user:S3CR3T@host/zero", "database"),
        ("redis://user:S3CR3T@host?pasword=S3CR3T", "pasword"),
        ("redis://user:S3CR3T@host?buckets=0", "buckets"),
        ("redis+cluster://user:S3CR3T@a,b/1", "database"),
        ("redis+sentinel://user:S3CR3T@a,b", "service"),
    ] {
        let failed = sandbox.fails(&["--store", url, "count"]);
        failed.is(2, "Usage", why);
        assert!(!format!("{failed:?}").contains("S3CR3T"), "{failed:?}");
    }
    // Nobody listens on the first port.
    let failed = sandbox.fails(&["--store", "redis://user:S3CR3T@127.0.0.1:1", "count"]);
    failed.is(4, "Unavailable", "nobody listens");
    assert!(!format!("{failed:?}").contains("S3CR3T"), "{failed:?}");
}

#[test]
fn reading_commands_make_no_store() {
    let sandbox = Sandbox::new();
    for arguments in [
        &["load", "note", "a"][..],
        &["delete", "note", "a"],
        &["touch", "note", "a", "--persist"],
        &["search"],
        &["count"],
        &["cleanup"],
        &["stats"],
        &["verify"],
    ] {
        sandbox.fails(arguments).is(1, "NotFound", "no store at ./storage-data");
        assert!(!sandbox.path("storage-data").exists(), "{arguments:?}");
    }
}

#[test]
fn data_that_cannot_be_read_or_stored_is_refused() {
    let sandbox = Sandbox::new();
    sandbox.fails(&["save", "note", "a", "--file", "missing"]).is(2, "Invalid", "missing cannot be read");
    sandbox.fails(&["save", "note", "a", "--file", "."]).is(2, "Invalid", ". cannot be read");
    for bad in ["{", "", "1 2", "nul", "{'a': 1}"] {
        sandbox.fails(&["save", "note", "a", bad, "--as-json"]).is(2, "Invalid", "not JSON");
    }
    fs::File::create(sandbox.path("huge")).unwrap().set_len(64 * 1_024 * 1_024 + 1).unwrap();
    sandbox.fails(&["save", "note", "a", "--file", "huge"]).is(2, "TooLarge", "67108864 bytes");
    assert!(!sandbox.path("storage-data").exists(), "nothing was stored");
}

#[test]
fn hostile_text_in_messages_cannot_reach_the_terminal() {
    let sandbox = Sandbox::new();
    for arguments in [
        &["load", "note", "\u{1b}[31mred\u{202e}"][..],
        &["save", "\u{1b}[31m", "a", "x"],
        &["search", "--order", "\u{1b}[31m"],
        &["\u{1b}[31m"],
        &["save", "note", "a", "--file", "\u{1b}[31m"],
    ] {
        let answer = sandbox.run(arguments);
        assert!(!answer.err.contains(['\u{1b}', '\u{202e}']), "{answer:?}");
        assert_ne!(answer.status, 0);
    }
}
