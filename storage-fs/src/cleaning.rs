//! Removing expired items, on request and in the background.

use std::{ops::Bound, sync::Arc};

use storage_core::{CleanupReport, ErrorKind, Result, Timestamp};
use tokio::{
    task::{AbortHandle, spawn_blocking},
    time::{MissedTickBehavior, interval},
};

use crate::{
    engine::{Engine, Space},
    error::{engine_error, failure},
    keys,
    shared::Shared,
    transaction::{Answer, Op},
};

/// Most items removed in one commit, so that saves never wait for long.
const MOST_AT_ONCE: usize = 256;

/// Removes expired items, step by step beside other writers. The operation timeout holds for each step.
pub(crate) async fn cleanup(shared: &Arc<Shared>) -> Result<CleanupReport> {
    let now = shared.clock.now();
    let mut report = CleanupReport::default();
    let mut after = None;
    loop {
        let engine = shared.engine().await?;
        let entries = spawn_blocking(move || expired(&engine, after, now)).await;
        let entries = entries
            .map_err(|cause| failure(ErrorKind::Internal, "cleanup panicked").with_source(cause))??;
        let Some(last) = entries.last() else { return Ok(report) };
        after = Some(last.clone());
        let deadline = shared.deadline();
        let permit = shared.queue.reserve(0, deadline).await?;
        for ticket in shared.queue.push(vec![(Op::Sweep { entries }, 0)], permit)? {
            match ticket.wait(deadline).await? {
                Answer::Swept(swept) => report += swept,
                _ => return Err(failure(ErrorKind::Internal, "the writer answered another question")),
            }
        }
    }
}

/// The next entries of the expiry index that are due.
fn expired(engine: &Engine, after: Option<Vec<u8>>, now: Timestamp) -> Result<Vec<Vec<u8>>> {
    let start = after.map_or(Bound::Unbounded, Bound::Excluded);
    // An item is gone at the very instant of its deadline.
    let end = keys::after_prefix(&keys::time(now)).map_or(Bound::Unbounded, Bound::Excluded);
    let view = engine.view();
    let entries = view.range(Space::Expires, (start, end)).take(MOST_AT_ONCE);
    let entries = entries.map(|guard| guard.key().map(|key| key.to_vec()));
    let what = "the index of deadlines cannot be read";
    entries.collect::<fjall::Result<_>>().map_err(|cause| engine_error(what, cause))
}

/// Starts the background sweeper if the configuration asks for one. Its owner aborts it.
pub(crate) fn start(shared: &Arc<Shared>) -> Option<AbortHandle> {
    let every = shared.config.cleanup_interval?;
    let shared = Arc::clone(shared);
    let sweeper = tokio::spawn(async move {
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match cleanup(&shared).await {
                Ok(report) => tracing::debug!(report.expired, report.bytes, "expired items removed"),
                Err(error) if error.kind() == ErrorKind::Closed => return,
                Err(error) => tracing::warn!(%error, "expired items could not be removed"),
            }
        }
    });
    Some(sweeper.abort_handle())
}
