//! Counts the calls under way, so that `close` can wait for them and refuse what comes later.

use std::sync::atomic::{AtomicUsize, Ordering};

use storage_core::{ErrorKind, Result, StorageError};
use tokio::sync::Notify;

use crate::error::failure;

/// The highest bit says that the gate is closed, the others count the calls under way.
const CLOSED: usize = 1 << (usize::BITS - 1);

/// A gate that calls pass until it is closed.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    state: AtomicUsize,
    empty: Notify,
}

impl Gate {
    /// Passes the gate; the call is under way until the pass is dropped.
    ///
    /// # Errors
    /// [`ErrorKind::Closed`].
    pub(crate) fn enter(&self) -> Result<Pass<'_>> {
        let before = self.state.fetch_add(1, Ordering::AcqRel);
        let pass = Pass(self);
        if before & CLOSED == 0 { Ok(pass) } else { Err(closed()) }
    }

    /// Lets nobody pass any more.
    pub(crate) fn close(&self) {
        self.state.fetch_or(CLOSED, Ordering::AcqRel);
    }

    /// Waits until no call is under way.
    pub(crate) async fn emptied(&self) {
        loop {
            let notified = self.empty.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            if self.state.load(Ordering::Acquire) & !CLOSED == 0 {
                return;
            }
            notified.await;
        }
    }
}

/// A call under way.
#[derive(Debug)]
pub(crate) struct Pass<'a>(&'a Gate);

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if self.0.state.fetch_sub(1, Ordering::AcqRel) == CLOSED | 1 {
            self.0.empty.notify_waiters();
        }
    }
}

/// What a call after `close` is answered.
pub(crate) fn closed() -> StorageError {
    failure(ErrorKind::Closed, "the provider is closed")
}
