//! The guided tour.

use std::{fs, os::unix::fs::symlink, process::Command};

use serde_json::{Value, json};

use crate::sandbox::Sandbox;

/// A small source tree with everything that a tour must cope with.
fn source_tree() -> Sandbox {
    let sandbox = Sandbox::new();
    for n in 0..30 {
        sandbox.write(format!("src/module-{n}.rs"), format!("//! Module {n}.\n"));
    }
    sandbox.write("README.md", "# Read me\n");
    sandbox.write("docs/big.bin", vec![0xFF; 300_000]);
    sandbox.write("docs/empty", "");
    sandbox.write("it's [odd] *.txt", "odd");
    sandbox.write("-dash.txt", "dash");
    sandbox.write(".git/HEAD", "ref");
    sandbox.write("target/debug/x", "x");
    sandbox.write("bell\u{7}.txt", "x");
    symlink(sandbox.path("src"), sandbox.path("link")).unwrap();
    sandbox
}

/// Runs a command line that the tour printed, as somebody would who copies it into a shell.
fn paste(sandbox: &Sandbox, line: &str) {
    let output = Command::new("sh")
        .args(["-c", line])
        .current_dir(sandbox.path("."))
        .env_remove("STORAGE_URL")
        .output();
    let output = output.unwrap();
    assert!(output.status.success(), "{line}: {output:?}");
    assert!(!output.stdout.is_empty(), "{line} answers nothing");
}

/// The commands that the tour printed: those it ran, and those to try next.
fn printed_commands(out: &str) -> Vec<&str> {
    let ran = out.lines().filter_map(|line| line.strip_prefix("$ "));
    let next = out.split("== Try next\n").nth(1).unwrap().lines().map(str::trim);
    ran.chain(next).filter(|line| !line.is_empty()).collect()
}

#[test]
fn a_source_tree_is_saved_found_expired_and_measured() {
    let sandbox = source_tree();
    let out = sandbox.ok(&["demo"]);
    for part in [
        "Saved 35 files",
        "Left out: version control and build directories (2), the store itself (1), symbolic links (1), \
         names that no key can have (1).\n",
        "--tag ext=rs",
        "--pattern 'src/*'",
        "--updated-after 20",
        "… 30 items in all",
        "Saved 3 items: 3 found.",
        "before any cleanup: 0 found.",
        "removed 3 expired items",
        "storage_operations_total{",
        "== Try next",
    ] {
        assert!(out.contains(part), "{part:?} in {out}");
    }
    assert!(!out.contains(['\u{1b}', '\r']), "no colours and no bar without a terminal");

    assert_eq!(sandbox.ok(&["count", "--type", "rs"]), "30\n");
    assert_eq!(sandbox.ok(&["count", "--tag", "folder=docs"]), "2\n");
    assert_eq!(sandbox.ok(&["count", "--tag", "size=medium"]), "1\n");
    assert_eq!(sandbox.run(&["load", "bin", "docs/big.bin"]).bytes, vec![0xFF; 300_000]);
    assert_eq!(sandbox.ok(&["load", "file", "docs/empty"]), "");
    assert_eq!(sandbox.ok(&["load", "txt", "--", "-dash.txt"]), "dash");
    assert_eq!(sandbox.ok(&["load", "txt", "it's [odd] *.txt"]), "odd");
    assert_eq!(sandbox.ok(&["count"]), "35\n", "nothing else is left behind");

    for command in printed_commands(&out) {
        paste(&sandbox, command);
    }
}

#[test]
fn an_empty_directory_gets_items_of_the_tour_s_own() {
    let sandbox = Sandbox::new();
    let mut out = String::new();
    for _ in 0..2 {
        out = sandbox.ok(&["demo"]);
        assert!(out.contains("There are no files, so the tour saved 6 items of its own"), "{out}");
        assert_eq!(sandbox.ok(&["count"]), "6\n");
    }
    let commands = printed_commands(&out);
    assert!(commands.len() >= 10, "{commands:?}");
    for command in commands {
        paste(&sandbox, command);
    }
}

#[test]
fn a_second_tour_saves_what_has_changed_meanwhile() {
    let sandbox = source_tree();
    sandbox.ok(&["demo"]);
    let before = sandbox.document(&["load", "md", "README.md", "--meta"]);
    sandbox.write("README.md", "changed");
    sandbox.ok(&["demo"]);
    assert_eq!(sandbox.ok(&["load", "md", "README.md"]), "changed");
    let after = sandbox.document(&["load", "md", "README.md", "--meta"]);
    assert_eq!(after["created_at"], before["created_at"]);
    assert!(after["version"].as_u64() > before["version"].as_u64());
}

#[test]
fn the_tour_of_another_directory_and_store_prints_commands_that_name_it() {
    let sandbox = source_tree();
    let out = sandbox.ok(&["--store", "fs:my store", "demo", "docs"]);
    assert!(out.contains("Saved 2 files"), "{out}");
    assert!(!sandbox.path("storage-data").exists());
    let commands = printed_commands(&out);
    assert!(commands.iter().all(|command| command.contains("--store 'fs:my store'")), "{commands:?}");
    paste(&sandbox, commands[0]);
    paste(&sandbox, commands.last().unwrap());
}

#[test]
fn a_tour_in_memory_leaves_nothing_and_says_what_does() {
    let sandbox = source_tree();
    let out = sandbox.ok(&["--store", "memory:", "demo"]);
    assert!(out.contains("Saved 35 files"), "{out}");
    assert!(!sandbox.path("storage-data").exists());
    let next = out.split("== Try next\n").nth(1).unwrap().trim();
    paste(&sandbox, next);
    assert!(sandbox.path("storage-data").exists());
}

#[test]
fn programs_get_the_tour_as_one_document() {
    let sandbox = source_tree();
    let story = sandbox.document(&["demo"]);
    assert_eq!((&story["saved"], &story["samples"]), (&json!(35), &json!(false)));
    assert_eq!(story["expired"], json!({ "saved": 3, "found_before": 3, "found_after": 0 }));
    assert_eq!(story["cleanup"]["expired"], 3);
    assert_eq!(
        story["skipped"],
        json!({ "tool_directory": 2, "own_store": 1, "symbolic_link": 1, "unfit_name": 1 })
    );
    let searches = story["searches"].as_array().unwrap();
    assert_eq!(searches.len(), 3);
    assert!(searches.iter().all(|search| search["hits"].as_u64() > Some(0)), "{searches:?}");
    assert!(!story["metrics"].as_array().unwrap().is_empty());
    paste(&sandbox, story["next"][0].as_str().unwrap());
}

#[test]
fn a_directory_that_is_none_is_refused_before_a_store_is_made() {
    let sandbox = Sandbox::new();
    sandbox.write("file", "x");
    sandbox.fails(&["demo", "missing"]).is(2, "Invalid", "missing cannot be read");
    sandbox.fails(&["demo", "file"]).is(2, "Invalid", "file is not a directory");
    assert!(!sandbox.path("storage-data").exists());
}

#[test]
fn a_tour_through_its_own_store_finds_no_files() {
    let sandbox = Sandbox::new();
    sandbox.ok(&["save", "note", "a", "x"]);
    let before = fs::read_dir(sandbox.path("storage-data")).unwrap().count();
    assert!(sandbox.ok(&["demo", "storage-data"]).contains("There are no files"));
    assert_eq!(fs::read_dir(sandbox.path("storage-data")).unwrap().count(), before);
}

#[test]
fn ten_thousand_files_take_seconds() {
    let sandbox = Sandbox::new();
    for n in 0..10_000 {
        sandbox.write(format!("files/{}/{n}.txt", n % 100), format!("file {n}\n"));
    }
    let story: Value = sandbox.document(&["demo", "files"]);
    assert_eq!(story["saved"], 10_000);
    // Half a second on two free cores; a file at a time would take minutes.
    assert!(story["seconds"].as_f64().unwrap() < 60.0, "{}", story["seconds"]);
    assert_eq!(sandbox.ok(&["count", "--pattern", "77/*"]), "100\n");
}
