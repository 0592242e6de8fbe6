//! Hostile and careless scripts, each in a process of its own that is killed after four seconds.
//!
//! On `luau` every one of them has to be stopped in time and within its memory. On `lua54` some cannot be stopped: they are
//! listed by name, and the list is wrong if one of them is stopped after all.
#![cfg(all(any(feature = "lua54", feature = "luau"), feature = "memory"))]
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "helpers of tests fail loudly")]

mod child;
mod verdict;

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
    thread,
};

use verdict::{Ending, LATE, Run};

/// What a script may take. Short, so that the suite is.
pub(crate) const TIMEOUT_MS: u64 = 200;
pub(crate) const MEMORY: usize = 32 << 20;

/// What Lua 5.4 cannot stop: loops where hooks are off, and single calls of its libraries. The documentation of `Sandbox`
/// has the same list.
#[cfg(feature = "lua54")]
const UNSTOPPABLE: &[&str] = &[
    "loop_close_at_deadline",
    "loop_coroutine_close_at_deadline",
    "loop_pcall_recursive",
    "pattern_balanced",
    "pattern_captures",
    "pattern_dots",
    "pattern_gmatch",
    "pattern_gsub",
    "pattern_optional",
    "pattern_pcall",
    "pattern_stars",
    "table_remove_far",
];
#[cfg(feature = "luau")]
const UNSTOPPABLE: &[&str] = &[];

#[test]
fn abuse_is_stopped_in_time_and_within_memory() {
    let scripts = verdict::scripts();
    assert!(scripts.len() >= 45, "only {} scripts", scripts.len());
    let runs = run_all(scripts);
    for run in &runs {
        println!("{run}");
    }
    let hanging: BTreeSet<_> =
        runs.iter().filter(|run| run.ending == Ending::Killed).map(|run| &*run.name).collect();
    let faults: Vec<_> = runs.iter().flat_map(lasting_faults).collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    assert_eq!(
        hanging,
        UNSTOPPABLE.iter().copied().collect(),
        "what could not be stopped is not what is listed"
    );
}

/// What is wrong with a run. A machine that stalls makes a script late by itself: one that is late, and nothing else, runs
/// again alone, and is at fault if it is late each time.
fn lasting_faults(run: &Run) -> Vec<String> {
    const ATTEMPTS: usize = 3;
    let mut faults = run.faults();
    for _ in 0..ATTEMPTS {
        if !faults.iter().any(|fault| fault.ends_with(LATE)) || faults.len() > 1 {
            break;
        }
        let again = verdict::scripts().into_iter().find(|script| script.name == run.name);
        faults = again.map(|script| script.run().faults()).unwrap_or_default();
    }
    faults
}

/// Whoever chooses an interpreter reads the documentation and not this test.
#[cfg(feature = "lua54")]
#[test]
fn what_cannot_be_stopped_is_documented_by_name() {
    let documentation = include_str!("../../src/lua/sandbox.rs");
    let listed =
        documentation.lines().filter(|line| line.starts_with("///")).flat_map(|line| line.split('`'));
    let listed: BTreeSet<_> = listed.filter(|word| verdict::exists(word)).collect();
    assert_eq!(listed, UNSTOPPABLE.iter().copied().collect());
}

/// Runs all scripts, as many at once as there are processors.
fn run_all(scripts: Vec<verdict::Abuse>) -> Vec<Run> {
    let (queue, runs) = (Mutex::new(scripts), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop();
                    let Some(script) = next else { break };
                    let run = script.run();
                    runs.lock().unwrap_or_else(PoisonError::into_inner).push(run);
                }
            });
        }
    });
    runs.into_inner().unwrap()
}
