//! Fault 8: the n-th sync or write of the process fails, for every n. What was acknowledged is there, what failed is not
//! (unless its error said that nobody knows), and a store that could not sync takes no more writes.

use std::path::Path;

use integration_tests::{Child, Job, Line, Model, Plan, Settings, can_trace, unavailable};

use crate::support::{Heard, PROGRAM};

const CALLS: u32 = 16;

/// How a run with one failing system call went.
#[derive(Debug)]
struct Run {
    acknowledged: u32,
    failed: Vec<(String, String)>,
    /// Whether the store could not even be opened.
    not_opened: Option<(String, String)>,
}

/// Runs a small sequence of calls while `fault` is injected, then compares the store with what was said.
fn run(directory: &Path, fault: &str) -> Run {
    let job = |plan| Job { directory: directory.to_owned(), settings: Settings::default(), plan };
    let inject = format!("inject={fault}");
    let traced = format!("trace={}", fault.split(':').next().unwrap());
    let strace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", &traced, "-e", &inject];
    let mut child = Child::start_with(&strace, PROGRAM, &job(Plan::Sequence { calls: CALLS }));
    let (mut heard, mut not_opened) = (Heard::new(), None);
    while let Some(line) = child.line() {
        match heard.take(line).unwrap_or_else(|why| panic!("{fault}: {why}")) {
            Some(Line::NotOpened(kind, text)) => not_opened = Some((kind, text)),
            // That a store which could not sync is not closed in good order is right.
            Some(Line::Disagrees(why)) if why.starts_with("close") => {}
            Some(Line::Disagrees(why)) => panic!("{fault}: {why}"),
            _ => {}
        }
    }
    child.wait();
    let errors = child.errors();
    assert!(!errors.contains("panicked"), "{fault}: {errors}");
    check(directory, &heard.model, fault);
    Run { acknowledged: heard.acknowledged, failed: heard.failed, not_opened }
}

/// A child that nobody harms finds the last durable state.
fn check(directory: &Path, model: &Model, fault: &str) {
    let notes = tempfile::tempdir().unwrap();
    let path = notes.path().join("model.json");
    std::fs::write(&path, serde_json::to_vec(model).unwrap()).unwrap();
    let plan = Plan::Check { model: path };
    let job = Job { directory: directory.to_owned(), settings: Settings::default(), plan };
    let mut child = Child::start(PROGRAM, &job);
    loop {
        match child.line() {
            Some(Line::Opened | Line::Agrees(_)) => {}
            Some(Line::Closed) => return,
            other => panic!("{fault}: {other:?} {}", child.errors()),
        }
    }
}

/// Fails each n-th call of `syscall` once, until n is past the last one; says how many runs that were.
fn sweep(syscall: &str, error: &str, most: u32, judge: impl Fn(&str, &Run)) -> u32 {
    for n in 1..=most {
        let temp = tempfile::tempdir().unwrap();
        let fault = format!("{syscall}:error={error}:when={n}");
        let run = run(&temp.path().join("store"), &fault);
        judge(&fault, &run);
        if run.not_opened.is_none() && run.failed.is_empty() && run.acknowledged == CALLS && n > most / 2 {
            return n;
        }
    }
    most
}

fn typed(fault: &str, run: &Run) {
    let kinds = ["Unavailable", "Full", "ReadOnly", "OutcomeUnknown", "Corrupted"];
    for (kind, text) in run.failed.iter().chain(&run.not_opened) {
        assert!(kinds.contains(&kind.as_str()), "{fault}: {kind}: {text}");
    }
}

#[test]
fn fault_08_a_failed_sync_poisons_the_store_and_reopening_finds_the_last_durable_state() {
    if let Err(why) = can_trace() {
        return unavailable("failing system calls", &why);
    }
    let poisoned = std::cell::Cell::new(0);
    for syscall in ["fdatasync", "fsync"] {
        sweep(syscall, "EIO", 16, |fault, run| {
            typed(fault, run);
            let refused = run.failed.iter().filter(|(kind, _)| kind == "ReadOnly").count();
            poisoned.set(poisoned.get() + usize::from(refused > 0));
        });
    }
    assert!(poisoned.get() > 5, "no failing sync ever poisoned the store");
}

#[test]
fn fault_08_a_failed_sync_of_every_later_commit_refuses_every_later_write() {
    if let Err(why) = can_trace() {
        return unavailable("failing system calls", &why);
    }
    let temp = tempfile::tempdir().unwrap();
    let run = run(&temp.path().join("store"), "fdatasync:error=EIO:when=4+");
    typed("every fdatasync from the fourth on", &run);
    assert!(run.failed.len() as u32 + run.acknowledged == CALLS, "{run:?}");
    assert!(run.failed.iter().any(|(kind, _)| kind == "ReadOnly"), "{run:?}");
}

#[test]
fn fault_08_a_disk_that_fills_within_a_system_call_is_full_and_nothing_acknowledged_is_lost() {
    if let Err(why) = can_trace() {
        return unavailable("failing system calls", &why);
    }
    for syscall in ["fdatasync", "fallocate", "ftruncate"] {
        sweep(syscall, "ENOSPC", 6, typed);
    }
}
