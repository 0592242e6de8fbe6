//! Several processes on one store, and processes that are killed.

use std::{
    io::{BufRead, BufReader, Read, Write},
    process::{Child, Stdio},
    time::Duration,
};

use crate::sandbox::{Sandbox, wait_until};

/// A process that holds the store open until it is killed, because nobody reads on what it prints.
fn holder(sandbox: &Sandbox) -> Child {
    let mut child =
        sandbox.command(&["search"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    // The first line of a list longer than a pipe holds is written while the store is open.
    let mut first = [0];
    child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    child
}

/// A store whose listing does not fit into a pipe.
fn long_list() -> Sandbox {
    let sandbox = Sandbox::new();
    for n in 0..2_000 {
        sandbox.write(format!("files/{n:05}.txt"), "x");
    }
    sandbox.ok(&["demo", "files"]);
    sandbox
}

#[test]
fn a_second_process_is_told_at_once_that_the_store_is_locked() {
    let sandbox = long_list();
    let mut first = holder(&sandbox);
    // The first one ends only when it is killed: whoever waited for it would wait for ever.
    for arguments in [&["count"][..], &["save", "note", "a", "x"], &["verify"]] {
        sandbox.fails(arguments).is(4, "Locked", "another process");
    }

    // A killed process leaves no lock behind.
    first.kill().unwrap();
    first.wait().unwrap();
    assert_eq!(sandbox.ok(&["count", "--type", "txt"]), "2000\n");
}

#[test]
fn waiting_for_input_keeps_nobody_out() {
    let sandbox = Sandbox::new();
    sandbox.ok(&["save", "note", "a", "x"]);
    let mut waiting = sandbox
        .command(&["save", "note", "slow"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    assert_eq!(sandbox.ok(&["count"]), "1\n");
    let mut input = waiting.stdin.take().unwrap();
    input.write_all(b"late").unwrap();
    drop(input);
    assert!(waiting.wait().unwrap().success());
    assert_eq!(sandbox.ok(&["load", "note", "slow"]), "late");
}

#[test]
fn an_acknowledged_save_survives_kill_9() {
    let sandbox = Sandbox::new();
    for round in 0..5 {
        let (key, data) = (format!("k{round}"), format!("data {round}"));
        let mut child = sandbox
            .command(&["save", "note", &key, &data, "--tag", "round=yes", "--ttl", "1h"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut acknowledgement = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut acknowledgement).unwrap();
        // The signal of `Child::kill` is SIGKILL.
        child.kill().unwrap();
        child.wait().unwrap();

        assert!(acknowledgement.starts_with(&format!("saved {key} (note)")), "{acknowledgement}");
        assert_eq!(sandbox.ok(&["load", "note", &key]), data);
        assert_eq!(sandbox.ok(&["count", "--tag", "round=yes"]), format!("{}\n", round + 1));
    }
    assert_eq!(sandbox.run(&["verify"]).status, 0);
}

#[test]
fn a_tour_that_is_interrupted_leaves_a_whole_store() {
    let sandbox = Sandbox::new();
    for n in 0..2_000 {
        sandbox.write(format!("files/{n:05}.txt"), format!("file {n}"));
    }
    let mut child =
        sandbox.command(&["demo", "files"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_until("the store", || sandbox.path("storage-data/MARK").exists());
    // Wherever this finds it, the store must be whole.
    std::thread::sleep(Duration::from_millis(30));
    child.kill().unwrap();
    child.wait().unwrap();

    let verified = sandbox.document(&["verify"]);
    assert_eq!(verified["damaged"], serde_json::json!([]));
    // The tour's own three short-lived items may have expired meanwhile.
    let (intact, live) =
        (verified["intact"].as_u64().unwrap(), sandbox.document(&["count"]).as_u64().unwrap());
    assert!((live..=live + 3).contains(&intact), "{intact} intact, {live} live");
    // Going on from there works.
    sandbox.ok(&["demo", "files"]);
    assert_eq!(sandbox.ok(&["count", "--type", "txt"]), "2000\n");
}

#[test]
fn standard_output_that_cannot_be_written_is_a_failure() {
    let sandbox = Sandbox::new();
    sandbox.ok(&["save", "note", "a", "x"]);
    for arguments in [&["load", "note", "a"][..], &["search"], &["--json", "stats"]] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = sandbox.command(arguments).stdout(full).stderr(Stdio::piped()).output().unwrap();
        assert_eq!(output.status.code(), Some(6), "{arguments:?} {output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("standard output cannot be written"));
    }
}
