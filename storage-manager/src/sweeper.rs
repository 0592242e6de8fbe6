//! Cleans up in the background.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use storage_core::{ErrorKind, Result, StorageError};
use tokio::{
    runtime::Handle,
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval_at},
};

use crate::dispatch::Dispatch;

/// A task that cleans up at intervals. It ends when this is stopped or dropped, also in the middle of a cleanup.
#[derive(Debug)]
pub(crate) struct Sweeper {
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Sweeper {
    /// Starts to clean up every `interval`, the first time after one interval.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if the interval is zero or there is no runtime.
    pub(crate) fn start(interval: Duration, dispatch: &Arc<Dispatch>) -> Result<Self> {
        if interval.is_zero() {
            return Err(StorageError::new(
                ErrorKind::Config,
                "the interval of the sweeper must be longer than zero",
            ));
        }
        let runtime = Handle::try_current().map_err(|error| {
            StorageError::new(ErrorKind::Config, "a sweeper needs a tokio runtime").with_source(error)
        })?;
        let task = runtime.spawn(sweep(interval, Arc::clone(dispatch)));
        Ok(Self { task: Mutex::new(Some(task)) })
    }

    /// Ends the task and waits until nothing of it runs any more.
    pub(crate) async fn stop(&self) {
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            task.abort();
            // The only way for the task to end; a panic within it was reported by the runtime.
            let _ = task.await;
        }
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        if let Some(task) = self.task.get_mut().unwrap_or_else(PoisonError::into_inner) {
            task.abort();
        }
    }
}

async fn sweep(interval: Duration, dispatch: Arc<Dispatch>) {
    let first = Instant::now().checked_add(interval);
    // An interval beyond the range of the clock never comes.
    let Some(first) = first else { return };
    let mut ticks = interval_at(first, interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // Failures were counted and logged where they were measured; the next round is another chance.
        if let Ok(outcomes) = dispatch.cleanup().await {
            tracing::debug!(failed = outcomes.failures().count(), "storage was swept");
        }
        let _ = dispatch.refresh_usage().await;
    }
}
