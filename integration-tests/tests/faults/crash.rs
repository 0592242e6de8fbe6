//! Faults 1 and 3: the process is killed while it works, and while it opens what a killed one left.

use integration_tests::{Crash, Mount, Settings, can_mount, unavailable};

use crate::support::{PROGRAM, number_from, seed};

/// Cycles of both tests together; `CRASH_CYCLES` asks for any other number.
const CYCLES: u64 = 200;

fn cycles() -> u64 {
    number_from("CRASH_CYCLES").unwrap_or(CYCLES).div_ceil(2)
}

#[test]
fn fault_01_03_every_acknowledged_write_survives_kill_9_also_during_recovery() {
    let scratch = tempfile::tempdir().unwrap();
    let store = scratch.path().join("store");
    let mut crash = Crash::new(PROGRAM, &store, scratch.path(), Settings::default(), seed());
    if let Err(why) = crash.kill(cycles()) {
        panic!("{why}\nthe store is left in {}", scratch.keep().display());
    }
    let figures = crash.figures();
    println!("{figures:?}");
    // A harness that kills before anything happens would prove nothing.
    assert!(figures.acknowledged > figures.cycles * 20, "{figures:?}");
    assert!(figures.in_flight > figures.cycles, "{figures:?}");
    assert!(cycles() < 50 || figures.while_opening > 0 && figures.closed > 0, "{figures:?}");
}

/// On a disk of 64 MiB the engine flushes and compacts small tables all the time, so that kills meet it at that too.
#[test]
fn fault_01_03_kill_9_during_flush_and_compaction_loses_nothing() {
    if let Err(why) = can_mount() {
        return unavailable("killing a store on a small disk", &why);
    }
    let disk = Mount::in_memory(64 << 20).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let store = disk.path().join("store");
    let mut crash = Crash::new(PROGRAM, &store, scratch.path(), Settings::default(), seed());
    crash.kill(cycles()).unwrap_or_else(|why| panic!("{why}"));
    println!("{:?}", crash.figures());
    assert!(crash.figures().in_flight > crash.figures().cycles, "{:?}", crash.figures());
}
