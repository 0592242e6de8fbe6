//! Searching and counting.

use std::process::Stdio;

use crate::sandbox::Sandbox;

/// The keys that a search gives, in its order.
fn keys(sandbox: &Sandbox, filters: &[&str]) -> Vec<String> {
    let lines = sandbox.ok(&[&["--json", "search"], filters].concat());
    let key = |line: &str| {
        let document: serde_json::Value = serde_json::from_str(line).unwrap();
        document["key"].as_str().unwrap().to_owned()
    };
    lines.lines().map(key).collect()
}

/// Checks the hits of a search, and that count gives their number.
#[track_caller]
fn finds(sandbox: &Sandbox, filters: &[&str], expected: &[&str]) {
    assert_eq!(keys(sandbox, filters), expected, "{filters:?}");
    assert_eq!(sandbox.ok(&[&["count"], filters].concat()), format!("{}\n", expected.len()), "{filters:?}");
}

fn filled() -> Sandbox {
    let sandbox = Sandbox::new();
    for (content_type, key, options) in [
        ("note", "c", &["--tag", "tier=gold", "--tag", "lang=en"][..]),
        ("note", "a", &["--tag", "tier=gold", "--ttl", "1h"]),
        ("profile", "user:1", &["--tag", "tier=silver", "--ttl", "3h"]),
        ("profile", "user:2", &["--tag", "tier="]),
    ] {
        sandbox.ok(&[&["save", content_type, key, "data"][..], options].concat());
    }
    sandbox
}

#[test]
fn every_filter_holds_alone_and_together() {
    let sandbox = filled();
    finds(&sandbox, &[], &["a", "c", "user:1", "user:2"]);
    finds(&sandbox, &["--type", "note"], &["a", "c"]);
    finds(&sandbox, &["--pattern", "user:*"], &["user:1", "user:2"]);
    finds(&sandbox, &["--pattern", "?"], &["a", "c"]);
    finds(&sandbox, &["--pattern", "[b-z]"], &["c"]);
    finds(&sandbox, &["--pattern", "user:\\*"], &[]);
    finds(&sandbox, &["--tag", "tier=gold"], &["a", "c"]);
    finds(&sandbox, &["--tag", "tier=gold", "--tag", "lang=en"], &["c"]);
    finds(&sandbox, &["--tag", "tier="], &["user:2"]);
    finds(&sandbox, &["--type", "profile", "--tag", "tier=gold"], &[]);
    finds(&sandbox, &["--expires-after", "2020-01-01T00:00:00Z"], &["a", "user:1"]);
    finds(&sandbox, &["--expires-before", "2999-01-01T00:00:00Z", "--type", "note"], &["a"]);
    finds(&sandbox, &["--type", "unheard-of"], &[]);
}

#[test]
fn time_filters_are_inclusive_after_and_exclusive_before() {
    let sandbox = filled();
    let metadata = sandbox.document(&["load", "profile", "user:1", "--meta"]);
    let created = metadata["created_at"].as_str().unwrap();
    finds(&sandbox, &["--created-after", created], &["user:1", "user:2"]);
    finds(&sandbox, &["--created-before", created], &["a", "c"]);

    let touched = sandbox.document(&["touch", "note", "c", "--persist"]);
    let updated = touched["updated_at"].as_str().unwrap();
    finds(&sandbox, &["--updated-after", updated], &["c"]);
    finds(&sandbox, &["--updated-before", updated], &["a", "user:1", "user:2"]);

    let expires = metadata["expires_at"].as_str().unwrap();
    finds(&sandbox, &["--expires-after", expires], &["user:1"]);
    finds(&sandbox, &["--expires-before", expires], &["a"]);
}

#[test]
fn hits_come_in_the_order_asked_for_and_no_more_than_that() {
    let sandbox = filled();
    sandbox.ok(&["touch", "note", "c", "--persist"]);
    for (order, expected) in [
        ("key", ["a", "c", "user:1", "user:2"]),
        ("-key", ["user:2", "user:1", "c", "a"]),
        ("created", ["c", "a", "user:1", "user:2"]),
        ("-created", ["user:2", "user:1", "a", "c"]),
        ("updated", ["a", "user:1", "user:2", "c"]),
        ("-updated", ["c", "user:2", "user:1", "a"]),
    ] {
        assert_eq!(keys(&sandbox, &["--order", order]), expected, "{order}");
        assert_eq!(keys(&sandbox, &["--order", order, "--limit", "2"]), expected[..2], "{order}");
    }
    assert_eq!(keys(&sandbox, &["--limit", "0"]), [""; 0]);
    assert_eq!(keys(&sandbox, &["--limit", "18446744073709551615"]).len(), 4);
}

#[test]
fn people_get_an_aligned_table() {
    let sandbox = Sandbox::new();
    sandbox.ok(&["save", "note", "日本", "x", "--tag", "k=v"]);
    sandbox.ok(&["save", "a/longer-type", "a", &"y".repeat(2_000), "--ttl", "5m"]);
    let out = sandbox.ok(&["search"]);
    let lines: Vec<_> = out.lines().collect();
    assert_eq!(lines.len(), 3, "{out}");
    assert!(
        lines[0].starts_with("KEY   TYPE           SIZE     UPDATED               EXPIRES  VERSION"),
        "{out}"
    );
    assert!(lines[1].starts_with("a     a/longer-type  2.0 KiB  20"), "{out}");
    assert!(lines[2].starts_with("日本  note           1 B      20"), "{out}");
    assert!(lines[2].ends_with("  k=v") && lines[2].contains("Z  never    "), "{out}");
}

#[test]
fn data_is_shown_on_request() {
    let sandbox = Sandbox::new();
    sandbox.ok(&["save", "note", "a", "hello\nworld"]);
    sandbox.ok(&["save", "note", "b", &"é".repeat(100)]);
    sandbox.run_with_input(&["save", "note", "c"], b"\xff");
    assert!(!sandbox.ok(&["search"]).contains("hello"));
    let out = sandbox.ok(&["search", "--data"]);
    let lines: Vec<_> = out.lines().collect();
    assert!(lines[0].ends_with("  DATA"), "{out}");
    assert!(lines[1].ends_with("  hello\\nworld"), "{out}");
    assert!(lines[2].ends_with(&format!("  {}…", "é".repeat(80))), "{out}");
    assert!(lines[3].ends_with("  (binary)"), "{out}");
}

#[test]
fn hostile_keys_tags_and_data_cannot_reach_the_terminal() {
    let sandbox = Sandbox::new();
    sandbox.ok(&["save", "note", "a\u{202e}b", "\u{1b}[31mred\u{7}", "--tag", "t=\u{2066}x"]);
    let out = sandbox.ok(&["search", "--data"]);
    assert!(!out.contains(['\u{1b}', '\u{7}', '\u{202e}', '\u{2066}']), "{out:?}");
    for shown in ["a\\u{202e}b", "\\u{1b}[31mred\\u{7}", "t=\\u{2066}x"] {
        assert!(out.contains(shown), "{shown} in {out}");
    }
    let meta = sandbox.ok(&["load", "note", "a\u{202e}b", "--meta"]);
    assert!(!meta.contains('\u{202e}'), "{meta:?}");
    // Programs get every character.
    assert_eq!(keys(&sandbox, &[]), ["a\u{202e}b"]);
}

#[test]
fn no_hit_is_no_failure() {
    let sandbox = filled();
    let answer = sandbox.run(&["search", "--type", "other"]);
    assert_eq!((answer.status, &*answer.out, &*answer.err), (0, "", "no item matches\n"));
    let answer = sandbox.run(&["--json", "search", "--type", "other"]);
    assert_eq!((answer.status, &*answer.out, &*answer.err), (0, "", ""));
    assert_eq!(sandbox.ok(&["count", "--type", "other"]), "0\n");
}

#[test]
fn more_hits_than_a_page_are_all_listed_and_a_reader_may_leave_early() {
    let sandbox = Sandbox::new();
    for n in 0..1_100 {
        sandbox.write(format!("files/{n:05}.txt"), "x");
    }
    sandbox.ok(&["demo", "files"]);
    let found = keys(&sandbox, &["--type", "txt"]);
    assert_eq!(found.len(), 1_100);
    assert!(found.is_sorted() && found[1_099] == "01099.txt");
    assert_eq!(sandbox.ok(&["search", "--type", "txt"]).lines().count(), 1_101);
    assert_eq!(keys(&sandbox, &["--type", "txt", "--limit", "1001"]).len(), 1_001);

    for arguments in
        [&["search"][..], &["--json", "search"], &["search", "--data"], &["--help"], &["demo", "files"]]
    {
        let mut child =
            sandbox.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?} {output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{arguments:?}");
    }
}
