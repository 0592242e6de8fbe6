//! Removing expired items, on request and in the background.

use std::sync::Arc;

use storage_core::{CleanupReport, ErrorKind, Result};
use tokio::{
    task::AbortHandle,
    time::{MissedTickBehavior, interval},
};

use crate::{error::closed, provider::Store};

/// Most items removed in one transaction, so that nobody waits for long.
const STEP: usize = 256;

/// Removes expired items, step by step beside other writers. The operation timeout holds for each step.
///
/// Cleanups of one provider come one after the other: side by side, each would leave what another holds at the moment, and
/// what that one gives up after a collision would be left by all.
pub(crate) async fn cleanup(store: &Store) -> Result<CleanupReport> {
    let _turn = store.cleaner.acquire().await.map_err(|_| closed())?;
    let mut report = CleanupReport::default();
    loop {
        let at = store.moment();
        let swept = store.until(at.deadline, store.engine.cleanup_step(at, STEP)).await?;
        report += swept.report;
        if !swept.more {
            return Ok(report);
        }
    }
}

/// Starts the background sweeper if the configuration asks for one. Its owner aborts it.
pub(crate) fn start(store: &Arc<Store>) -> Option<AbortHandle> {
    let every = store.config.cleanup_interval?;
    let store = Arc::clone(store);
    let sweeper = tokio::spawn(async move {
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let swept = match store.enter() {
                Ok(_pass) => cleanup(&store).await,
                Err(error) => Err(error),
            };
            match swept {
                Ok(report) => tracing::debug!(report.expired, report.bytes, "expired items removed"),
                Err(error) if error.kind() == ErrorKind::Closed => return,
                Err(error) => tracing::warn!(%error, "expired items could not be removed"),
            }
        }
    });
    Some(sweeper.abort_handle())
}
