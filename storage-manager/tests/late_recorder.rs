//! A recorder that is installed after the manager has been at work. In a process of its own, because the facade takes one
//! global recorder only.
#![expect(clippy::unwrap_used, reason = "tests state what they expect by panicking")]

mod support;

use std::sync::Arc;

use storage_manager::{ManualClock, UnifiedStorageManager};
use support::{memory, notebook::Notebook};

/// Handles that were resolved before any recorder was there once recorded nothing for ever.
#[test]
fn a_recorder_sees_everything_from_its_installation_on() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let manager =
        UnifiedStorageManager::builder().register("note", memory(&ManualClock::default())).build().unwrap();
    let saves = "storage_operations_total{operation=save,content_type=note,success=true}";
    let work = || runtime.block_on(async { manager.save("k", 1, "note").await.unwrap() });
    work();

    // One that this thread alone has for a while.
    let local = Notebook::default();
    metrics::with_local_recorder(&local, work);
    assert_eq!(local.sum(saves), 1.0);
    work();
    assert_eq!(local.sum(saves), 1.0);

    let global = Arc::new(Notebook::default());
    metrics::set_global_recorder(Arc::clone(&global)).unwrap();
    work();
    work();
    assert_eq!(global.sum(saves), 2.0);
    assert_eq!(global.sum("storage_operations_in_flight{content_type=note}"), 0.0);
}
