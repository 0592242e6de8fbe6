//! Fault 2: the power goes, and with it everything that was not synced.

use std::path::Path;

use integration_tests::{Child, Crash, Mount, PowerSwitch, Settings, can_mount, unavailable};
use tempfile::TempDir;

use crate::support::{PROGRAM, number_from, seed};

/// Cuts the power under a store again and again.
fn cut_power(settings: Settings, cycles: u64) -> Result<(), String> {
    let scratch = tempfile::tempdir().unwrap();
    let disk = Mount::ext4(&scratch.path().join("disk.img"), 256 << 20).unwrap();
    let mut crash = crash_on(&disk.path().join("store"), &scratch, settings);
    let blackout = |child: &mut Child| {
        PowerSwitch::cut(&disk).unwrap();
        child.kill();
        disk.restart().unwrap();
    };
    while crash.figures().cycles < cycles {
        crash.cycle(blackout)?;
    }
    println!("{:?}", crash.figures());
    crash.finish()
}

fn crash_on(store: &Path, scratch: &TempDir, settings: Settings) -> Crash {
    Crash::new(PROGRAM, store, scratch.path(), settings, seed()).failures_allowed()
}

#[test]
fn fault_02_every_acknowledged_write_survives_a_power_cut() {
    if let Err(why) = can_mount() {
        return unavailable("cutting the power of a disk", &why);
    }
    let cycles = number_from("POWER_CYCLES").unwrap_or(25);
    cut_power(Settings::default(), cycles).unwrap_or_else(|why| panic!("{why}"));
}

#[test]
fn fault_02_a_store_that_does_not_sync_is_caught_by_the_power_cuts() {
    if let Err(why) = can_mount() {
        return unavailable("cutting the power of a disk", &why);
    }
    let settings = Settings { buffered: true, ..Settings::default() };
    let why = cut_power(settings, 40).expect_err("nothing was lost without a sync");
    assert!(["lost", "missing", "is back"].iter().any(|word| why.contains(word)), "{why}");
}
