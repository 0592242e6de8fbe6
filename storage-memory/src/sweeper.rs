//! The task that removes expired items now and then.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicU8, Ordering},
    },
    thread,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{runtime::Handle, task::AbortHandle, time};

use crate::store::Store;

/// Owns the task. It is started by the first save that needs it, if there is a runtime to run it, and again if its
/// runtime ended.
#[derive(Debug)]
pub(crate) struct Sweeper {
    interval: Duration,
    state: Arc<AtomicU8>,
    task: Mutex<Option<AbortHandle>>,
}

const IDLE: u8 = 0;
const RUNNING: u8 = 1;
/// Stopped for good.
const STOPPED: u8 = 2;

impl Sweeper {
    /// A sweeper that waits `interval` between two rounds; of zero, one that never runs.
    pub(crate) fn new(interval: Duration) -> Self {
        let state = if interval.is_zero() { STOPPED } else { IDLE };
        Self { interval, state: Arc::new(AtomicU8::new(state)), task: Mutex::new(None) }
    }

    /// Starts the task unless it runs.
    pub(crate) fn ensure_running(&self, store: &Arc<Store>) {
        if self.state.load(Ordering::Relaxed) == IDLE
            && let Ok(runtime) = Handle::try_current()
        {
            self.start(&runtime, store);
        }
    }

    #[cold]
    fn start(&self, runtime: &Handle, store: &Arc<Store>) {
        let mut task = self.task.lock();
        if self.state.compare_exchange(IDLE, RUNNING, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            let running = Running { state: Arc::clone(&self.state) };
            *task = Some(runtime.spawn(sweep(Arc::downgrade(store), self.interval, running)).abort_handle());
        }
    }

    /// Stops the task for good.
    pub(crate) fn stop(&self) {
        let mut task = self.task.lock();
        // Under the lock, so that no other task starts in between.
        self.state.store(STOPPED, Ordering::Relaxed);
        if let Some(task) = task.take() {
            task.abort();
        }
    }

    /// Whether the task is there.
    #[cfg(test)]
    pub(crate) fn is_running(&self) -> bool {
        self.state.load(Ordering::Relaxed) == RUNNING
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Held by the task: notes its end, however it comes.
struct Running {
    state: Arc<AtomicU8>,
}

impl Drop for Running {
    fn drop(&mut self) {
        // A runtime without timers makes the task panic. It would do so again: no other attempt is made.
        let next = if thread::panicking() { STOPPED } else { IDLE };
        // Fails if the sweeper was stopped, which is for good.
        let _ = self.state.compare_exchange(RUNNING, next, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// Holds the store only while it works, so that the store is freed with its provider.
async fn sweep(store: Weak<Store>, interval: Duration, running: Running) {
    loop {
        time::sleep(interval).await;
        let Some(store) = store.upgrade() else { break };
        if store.cleanup().await.is_err() {
            // Closed: nothing is left to remove.
            break;
        }
    }
    drop(running);
}

#[cfg(test)]
mod tests {
    use storage_core::{ItemKey, ManualClock, SaveRequest};

    use super::*;
    use crate::MemoryConfig;

    const MINUTE: Duration = Duration::from_secs(60);

    /// A store with one item that has expired.
    fn store() -> Arc<Store> {
        let clock = ManualClock::default();
        let store = Arc::new(Store::new(&MemoryConfig::default(), clock.shared()));
        let key = ItemKey::new("note", "a").unwrap();
        let deadline = store.now().saturating_add(MINUTE);
        store.save(SaveRequest::new(key, "text").expires_at(deadline)).unwrap();
        clock.advance(MINUTE);
        store
    }

    /// Items that take memory, expired or not.
    fn stored(store: &Store) -> usize {
        store.cells().iter().map(|cell| cell.read_indexes().unwrap().slots().stored()).sum()
    }

    #[tokio::test(start_paused = true)]
    async fn expired_items_are_removed_when_the_interval_is_over() {
        let (store, sweeper) = (store(), Sweeper::new(MINUTE));
        sweeper.ensure_running(&store);
        time::sleep(MINUTE - Duration::from_millis(2)).await;
        assert_eq!(stored(&store), 1);
        time::sleep(Duration::from_millis(4)).await;
        assert_eq!(stored(&store), 0);
        assert!(sweeper.is_running(), "for the next round");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stopped_sweeper_removes_nothing_and_stays_stopped() {
        let (store, sweeper) = (store(), Sweeper::new(MINUTE));
        sweeper.ensure_running(&store);
        sweeper.stop();
        sweeper.ensure_running(&store);
        time::sleep(10 * MINUTE).await;
        assert_eq!(stored(&store), 1);
        assert!(!sweeper.is_running());
    }

    #[tokio::test(start_paused = true)]
    async fn an_interval_of_zero_never_starts() {
        let (store, sweeper) = (store(), Sweeper::new(Duration::ZERO));
        sweeper.ensure_running(&store);
        assert!(!sweeper.is_running());
    }

    #[tokio::test(start_paused = true)]
    async fn the_task_ends_with_its_sweeper_and_does_not_keep_the_store() {
        let (store, sweeper) = (store(), Sweeper::new(MINUTE));
        sweeper.ensure_running(&store);
        let (state, memory) = (Arc::clone(&sweeper.state), Arc::downgrade(&store));
        drop(store);
        assert!(memory.upgrade().is_none(), "the waiting task holds no store");
        drop(sweeper);
        // The task lets go of the state when it ends.
        while Arc::strong_count(&state) > 1 {
            tokio::task::yield_now().await;
        }
    }

    #[test]
    fn a_sweeper_whose_runtime_ended_starts_again_in_another() {
        let (store, sweeper) = (store(), Sweeper::new(MINUTE));
        let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let first = runtime();
        first.block_on(async { sweeper.ensure_running(&store) });
        assert!(sweeper.is_running());
        drop(first);
        assert!(!sweeper.is_running());
        sweeper.ensure_running(&store);
        assert!(!sweeper.is_running(), "there is no runtime");
        runtime().block_on(async {
            sweeper.ensure_running(&store);
            assert!(sweeper.is_running());
        });
    }
}
