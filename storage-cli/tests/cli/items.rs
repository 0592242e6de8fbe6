//! Saving, loading, touching and deleting single items.

use std::{ffi::OsStr, fs, os::unix::ffi::OsStrExt};

use crate::sandbox::{Sandbox, wait_until};

#[test]
fn data_comes_back_byte_for_byte_from_argument_file_and_standard_input() {
    let sandbox = Sandbox::new();
    let every_byte: Vec<u8> = (0..=255).collect();
    sandbox.write("every.bin", &every_byte);

    sandbox.ok(&["save", "note", "argument", "hello"]);
    sandbox.ok(&["save", "note", "file", "--file", "every.bin"]);
    assert_eq!(sandbox.run_with_input(&["save", "note", "input"], &every_byte).status, 0);
    assert_eq!(sandbox.run_with_input(&["save", "note", "empty input"], b"").status, 0);
    sandbox.ok(&["save", "note", "empty", ""]);
    sandbox.ok(&["save", "note", "dashes", "--", "--json"]);
    sandbox.ok(&["save", "note", "number", "-5"]);

    for (key, data) in [
        ("argument", &b"hello"[..]),
        ("file", &every_byte),
        ("input", &every_byte),
        ("empty input", b""),
        ("empty", b""),
        ("dashes", b"--json"),
        ("number", b"-5"),
    ] {
        let answer = sandbox.run(&["load", "note", key]);
        assert_eq!((answer.status, &*answer.bytes, &*answer.err), (0, data, ""), "{key}");
    }
}

#[test]
fn an_argument_that_is_no_utf_8_is_stored_as_given() {
    let sandbox = Sandbox::new();
    let data = b"\xff\xfe\x01";
    let saved = sandbox.command(&["save", "note", "a"]).arg(OsStr::from_bytes(data)).output().unwrap();
    assert!(saved.status.success(), "{saved:?}");
    assert_eq!(sandbox.run(&["load", "note", "a"]).bytes, data);
}

#[test]
fn a_large_item_of_megabytes_comes_back() {
    let sandbox = Sandbox::new();
    let data: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    sandbox.write("large", &data);
    sandbox.ok(&["save", "blob", "large", "--file", "large"]);
    assert!(sandbox.run(&["load", "blob", "large"]).bytes == data);
}

#[test]
fn save_tells_people_what_was_saved() {
    let sandbox = Sandbox::new();
    let out = sandbox.ok(&["save", "note", "a", "hello", "--ttl", "1h30m"]);
    for part in ["saved a (note)", "5 B", "version ", "expires in 1h 30m"] {
        assert!(out.contains(part), "{part:?} in {out:?}");
    }
    assert!(sandbox.ok(&["save", "note", "b", ""]).contains("no deadline"));
}

#[test]
fn types_keep_equal_keys_apart() {
    let sandbox = Sandbox::new();
    sandbox.ok(&["save", "a", "key", "one"]);
    sandbox.ok(&["save", "b", "key", "two"]);
    assert_eq!(sandbox.ok(&["load", "a", "key"]), "one");
    sandbox.ok(&["delete", "a", "key"]);
    assert_eq!(sandbox.ok(&["load", "b", "key"]), "two");
}

#[test]
fn metadata_is_shown_instead_of_the_data() {
    let sandbox = Sandbox::new();
    sandbox.ok(&["save", "note", "a", "hello", "--tag", "tier=gold", "--tag", "empty="]);
    let out = sandbox.ok(&["load", "note", "a", "--meta"]);
    for part in [
        "content type  note",
        "expires at    never",
        "encoding      raw",
        "tags          empty= tier=gold",
        "size          5 B",
    ] {
        assert!(out.contains(part), "{part:?} in {out}");
    }
    assert!(!out.contains("hello"));
}

#[test]
fn a_missing_item_is_exit_status_1() {
    let sandbox = Sandbox::new();
    sandbox.ok(&["save", "note", "a", "x"]);
    for arguments in [
        &["load", "note", "b"][..],
        &["load", "note", "b", "--meta"],
        &["delete", "note", "b"],
        &["delete", "note", "b", "--if-version", "7"],
        &["touch", "note", "b", "--persist"],
    ] {
        let failed = sandbox.fails(arguments);
        failed.is(1, "NotFound", "no such item");
        assert_eq!((&failed.error["content_type"], &failed.error["key"]), (&"note".into(), &"b".into()));
    }
}

#[test]
fn delete_deletes_once() {
    let sandbox = Sandbox::new();
    sandbox.ok(&["save", "note", "a", "x"]);
    assert_eq!(sandbox.ok(&["delete", "note", "a"]), "deleted a (note)\n");
    assert_eq!(sandbox.run(&["delete", "note", "a"]).status, 1);
    assert_eq!(sandbox.run(&["load", "note", "a"]).status, 1);
}

#[test]
fn conditions_that_do_not_hold_are_exit_status_3_and_change_nothing() {
    let sandbox = Sandbox::new();
    sandbox.ok(&["save", "note", "a", "first", "--if-absent"]);
    let version = sandbox.document(&["load", "note", "a", "--meta"])["version"].to_string();

    sandbox.fails(&["save", "note", "a", "x", "--if-absent"]).is(3, "AlreadyExists", &version);
    sandbox.fails(&["save", "note", "a", "x", "--if-version", "7"]).is(3, "VersionConflict", &version);
    sandbox.fails(&["save", "note", "b", "x", "--if-version", "7"]).is(
        3,
        "VersionConflict",
        "no item is stored",
    );
    sandbox.fails(&["delete", "note", "a", "--if-version", "7"]).is(3, "VersionConflict", &version);
    assert_eq!(sandbox.ok(&["load", "note", "a"]), "first");

    sandbox.ok(&["save", "note", "a", "second", "--if-version", &version]);
    assert_eq!(sandbox.ok(&["load", "note", "a"]), "second");
    let version = sandbox.document(&["load", "note", "a", "--meta"])["version"].to_string();
    sandbox.ok(&["delete", "note", "a", "--if-version", &version]);
    sandbox.ok(&["save", "note", "a", "third", "--if-absent"]);
}

#[test]
fn an_item_is_gone_at_its_deadline_and_cleanup_counts_it() {
    let sandbox = Sandbox::new();
    sandbox.ok(&["save", "note", "a", "x", "--ttl", "2s"]);
    sandbox.ok(&["save", "note", "b", "x", "--expires-at", "2999-01-01T00:00:00Z"]);
    wait_until("expiry", || sandbox.run(&["load", "note", "a"]).status == 1);
    assert_eq!(sandbox.ok(&["count"]), "1\n");
    assert_eq!(sandbox.run(&["touch", "note", "a", "--persist"]).status, 1);
    let report = sandbox.document(&["cleanup"]);
    assert_eq!((&report["expired"], &report["bytes"]), (&1.into(), &1.into()));
    assert!(sandbox.ok(&["cleanup"]).starts_with("removed 0 expired items"));
    assert_eq!(sandbox.ok(&["load", "note", "b"]), "x");
}

#[test]
fn touch_moves_and_removes_the_deadline() {
    let sandbox = Sandbox::new();
    sandbox.ok(&["save", "note", "a", "x", "--tag", "k=v"]);
    let before = sandbox.document(&["load", "note", "a", "--meta"]);

    let out = sandbox.ok(&["touch", "note", "a", "--ttl", "2h"]);
    assert!(out.starts_with("touched a (note)") && out.contains("expires in 2h"), "{out}");
    let timed = sandbox.document(&["touch", "note", "a", "--expires-at", "2999-01-01T02:00:00+02:00"]);
    assert_eq!(timed["expires_at"], "2999-01-01T00:00:00Z");
    let kept = sandbox.document(&["touch", "note", "a", "--persist"]);
    assert!(kept["expires_at"].is_null());

    for field in ["id", "created_at", "tags", "encoding", "size"] {
        assert_eq!(kept[field], before[field], "{field}");
    }
    assert!(kept["version"].as_u64() > before["version"].as_u64());
    assert_eq!(sandbox.ok(&["load", "note", "a"]), "x");
}

#[test]
fn a_save_replaces_deadline_and_tags_as_well() {
    let sandbox = Sandbox::new();
    let first = sandbox.document(&["save", "note", "a", "x", "--ttl", "1h", "--tag", "k=v"]);
    let second = sandbox.document(&["save", "note", "a", "y"]);
    assert_eq!(second["id"], first["id"]);
    assert_eq!(second["created_at"], first["created_at"]);
    assert!(second["expires_at"].is_null());
    assert_eq!(second["tags"], serde_json::json!({}));
}

#[test]
fn the_store_is_the_option_else_the_environment_else_a_directory_here() {
    let sandbox = Sandbox::new();
    sandbox.ok(&["save", "note", "a", "default"]);
    assert!(sandbox.path("storage-data").is_dir());
    let environment = |arguments: &[&str]| {
        let output = sandbox.command(arguments).env("STORAGE_URL", "fs:other").output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    environment(&["save", "note", "a", "environment"]);
    assert!(sandbox.path("other").is_dir());
    assert_eq!(environment(&["load", "note", "a"]), "environment");
    assert_eq!(environment(&["--store", "fs:storage-data", "load", "note", "a"]), "default");
    assert_eq!(environment(&["load", "note", "a", "--store", "fs:./storage-data"]), "default");
    let absolute = format!("fs:{}", sandbox.path("other").display());
    assert_eq!(sandbox.ok(&["--store", &absolute, "load", "note", "a"]), "environment");
}

#[test]
fn a_memory_store_works_and_keeps_nothing() {
    let sandbox = Sandbox::new();
    let saved = sandbox.run(&["--store", "memory:", "save", "note", "a", "x"]);
    assert_eq!(saved.status, 0);
    assert!(saved.err.contains("gone when the command ends"), "{saved:?}");
    assert_eq!(sandbox.run(&["--store", "memory:", "load", "note", "a"]).status, 1);
    assert_eq!(sandbox.ok(&["--store", "memory:", "count"]), "0\n");
    assert!(sandbox.ok(&["--store", "memory:", "verify"]).starts_with("nothing to verify"));
    assert_eq!(fs::read_dir(sandbox.path(".")).unwrap().count(), 0, "nothing is left on disk");
}

#[test]
fn help_and_version_are_answers() {
    let sandbox = Sandbox::new();
    assert!(sandbox.ok(&["--version"]).starts_with("storage "));
    let help = sandbox.ok(&["--help"]);
    for command in
        ["save", "load", "delete", "touch", "search", "count", "cleanup", "stats", "verify", "demo"]
    {
        assert!(help.contains(&format!("\n  {command} ")), "{command}");
        assert!(sandbox.ok(&[command, "--help"]).contains("Usage: storage "), "{command}");
    }
    assert!(help.contains("Exit status"));
}

#[test]
fn the_help_shows_no_secret_of_the_environment() {
    let output =
        Sandbox::new().command(&["--help"]).env("STORAGE_URL", "redis://user:S3CR3T@host").output().unwrap();
    assert!(!String::from_utf8_lossy(&output.stdout).contains("S3CR3T"));
}
