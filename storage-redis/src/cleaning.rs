//! Removing expired items, on request and in the background.

use std::sync::Arc;

use storage_core::{CleanupReport, ErrorKind, Result};
use tokio::{
    task::AbortHandle,
    time::{MissedTickBehavior, interval},
};

use crate::{
    index::{self, Span},
    keys::Bucket,
    reply, scripts,
    store::Store,
    wire::{Access, Call},
};

/// Items removed by one script, which takes about a millisecond for that.
const STEP: usize = 48;

/// What is left to do in one bucket.
#[derive(Debug)]
struct Rest {
    bucket: usize,
    span: Span,
}

/// Removes expired items, step by step beside other callers: a step in every bucket at once. The deadline of an operation
/// holds for each step.
pub(crate) async fn cleanup(store: &Store) -> Result<CleanupReport> {
    let missing = store.missing_markers(store.deadline()).await?;
    for bucket in missing {
        store.examine(bucket, store.deadline()).await?;
    }
    let mut due = Span::of_prefix(index::DEADLINES);
    // An item is gone at the very instant of its deadline.
    due.end_behind(index::DEADLINES, store.now());
    let mut rest: Vec<Rest> =
        (0..store.layout.buckets.len()).map(|bucket| Rest { bucket, span: due.clone() }).collect();
    let mut report = CleanupReport::default();
    while !rest.is_empty() {
        rest = step(store, rest, &mut report).await?;
    }
    Ok(report)
}

/// Sweeps the next entries of each bucket, and says where there may be more.
async fn step(store: &Store, rest: Vec<Rest>, report: &mut CleanupReport) -> Result<Vec<Rest>> {
    let deadline = store.deadline();
    let buckets = &store.layout.buckets;
    let calls = rest.iter().filter_map(|Rest { bucket, span }| {
        let bucket = buckets.get(*bucket)?;
        let call = Call::read(bucket.slot, "ZRANGE").key(&bucket.index).arg(&span.min).arg(&span.max);
        Some(call.arg("BYLEX").arg("LIMIT").arg("0").arg(STEP.to_string()))
    });
    let answers = store.wire.call_all(calls.collect(), deadline).await;
    let (mut again, mut sweeps) = (Vec::new(), Vec::new());
    for (mut rest, answer) in rest.into_iter().zip(answers) {
        let entries = reply::list(answer?)?;
        let (Some(last), Some(bucket)) = (entries.last(), buckets.get(rest.bucket)) else { continue };
        sweeps.push(sweep(store, bucket, &entries));
        if entries.len() == STEP {
            rest.span.behind(last, false, false);
            again.push(rest);
        }
    }
    for answer in store.wire.call_all(sweeps, deadline).await {
        *report += reply::swept(&answer?)?;
    }
    Ok(again)
}

fn sweep(store: &Store, bucket: &Bucket, entries: &[Vec<u8>]) -> Call {
    let mut call =
        Call::script(bucket.slot, &scripts::SWEEP, Access::Write).key(&bucket.mark).key(&bucket.index);
    // An entry that cannot be read names no item: there is nothing to remove with it.
    let readable = || entries.iter().filter_map(|entry| Some((entry, index::read_deadline(entry)?)));
    for (_, entry) in readable() {
        call.push_key(&bucket.item(entry.name));
    }
    let mut call = call.arg(store.flag()).arg("");
    for (entry, _) in readable() {
        call.push(entry);
    }
    call
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
            let swept = match store.gate.enter() {
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
