//! The tests of the crash tests: a store with a planted bug must be caught, or the harness counts for nothing.

use integration_tests::{Crash, Settings};

use crate::support::{PROGRAM, seed};

/// What the harness says of a store with this bug, within 40 crashes.
fn caught(fault: &str) -> String {
    let scratch = tempfile::tempdir().unwrap();
    let store = scratch.path().join("store");
    let settings = Settings { fault: Some(fault.to_owned()), ..Settings::default() };
    let mut crash = Crash::new(PROGRAM, &store, scratch.path(), settings, seed());
    match crash.kill(40) {
        Ok(()) => panic!("{fault} was not caught: {:?}", crash.figures()),
        Err(why) => why,
    }
}

#[test]
fn an_index_entry_left_out_is_caught() {
    let why = caught("skip-index-entry");
    assert!(why.contains("an index disagrees"), "{why}");
}

#[test]
fn a_delete_that_forgets_an_index_entry_is_caught() {
    let why = caught("keep-index-entry");
    assert!(why.contains("an index disagrees") || why.contains("verify is not clean"), "{why}");
}

#[test]
fn an_acknowledgement_before_the_sync_is_caught() {
    let why = caught("acknowledge-before-sync");
    assert!(["lost", "missing", "is back"].iter().any(|word| why.contains(word)), "{why}");
}
