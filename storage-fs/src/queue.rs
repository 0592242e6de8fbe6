//! The queue between callers and the writer: bounded in bytes, in order, and cancellable until the writer takes over.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use storage_core::{ErrorKind, Result, StorageError};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    time::{Instant, timeout_at},
};

use crate::{
    error::failure,
    transaction::{Answer, Op},
};

const UNIT: u64 = 1_024;

/// The queue between callers and the writer.
#[derive(Debug)]
pub(crate) struct Queue {
    // One permit stands for `UNIT` bytes.
    budget: Arc<Semaphore>,
    permits: u32,
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    entries: VecDeque<Entry>,
    closed: bool,
    // Whether the writer sleeps: waking it when it does not is a system call for nothing.
    idle: bool,
}

/// An operation in the queue.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) op: Op,
    pub(crate) bytes: u64,
    answer: oneshot::Sender<Result<Answer>>,
    claimed: Arc<AtomicBool>,
    // Given back once the operation is answered.
    _permit: Option<OwnedSemaphorePermit>,
}

impl Entry {
    /// Takes the operation over from its caller; `false` if the caller gave up before.
    pub(crate) fn claim(&self) -> bool {
        !self.claimed.swap(true, Ordering::AcqRel)
    }

    /// Separates the operation from the way to answer it.
    pub(crate) fn split(self) -> (Op, Reply) {
        (self.op, Reply { answer: self.answer, _permit: self._permit })
    }
}

/// The way to answer an operation.
#[derive(Debug)]
pub(crate) struct Reply {
    answer: oneshot::Sender<Result<Answer>>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Reply {
    pub(crate) fn send(self, answer: Result<Answer>) {
        // A caller that no longer waits does not want the answer.
        drop(self.answer.send(answer));
    }
}

/// What a caller holds while its operation is under way. Dropping it withdraws the operation if the writer has not taken
/// it over yet.
#[derive(Debug)]
pub(crate) struct Ticket {
    answer: oneshot::Receiver<Result<Answer>>,
    claimed: Arc<AtomicBool>,
}

impl Ticket {
    /// Waits for the answer.
    ///
    /// # Errors
    /// The failure of the operation; [`ErrorKind::Timeout`] if it was not begun before the deadline, and
    /// [`ErrorKind::OutcomeUnknown`] if it was.
    pub(crate) async fn wait(mut self, deadline: Instant) -> Result<Answer> {
        match timeout_at(deadline, &mut self.answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(failure(ErrorKind::OutcomeUnknown, "the writer ended without an answer")),
            Err(_) if self.withdraw() => {
                Err(too_late("the writer was busy until the deadline; nothing was changed"))
            }
            Err(_) => Err(failure(
                ErrorKind::OutcomeUnknown,
                "the deadline passed while the write was being committed",
            )),
        }
    }

    fn withdraw(&self) -> bool {
        !self.claimed.swap(true, Ordering::AcqRel)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.withdraw();
    }
}

/// What the writer finds in the queue.
#[derive(Debug)]
pub(crate) enum Taken {
    Entries(Vec<Entry>),
    /// The queue is closed and empty.
    Closed,
}

impl Queue {
    pub(crate) fn new(bytes: u64) -> Self {
        let permits = u32::try_from(bytes / UNIT).unwrap_or(u32::MAX >> 4).max(1);
        Self {
            budget: Arc::new(Semaphore::new(permits as usize)),
            permits,
            waiting: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Waits for room for `bytes` of payload.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`] at the deadline, [`ErrorKind::Closed`] once the queue is closed.
    pub(crate) async fn reserve(
        &self,
        bytes: u64,
        deadline: Instant,
    ) -> Result<Option<OwnedSemaphorePermit>> {
        // What is larger than the whole budget takes all of it and so travels alone.
        let permits = u32::try_from(1 + bytes / UNIT).unwrap_or(u32::MAX).min(self.permits);
        let budget = Arc::clone(&self.budget);
        if let Ok(permit) = Arc::clone(&budget).try_acquire_many_owned(permits) {
            return Ok(Some(permit));
        }
        // What is rare is boxed, so that every call need not make room for it.
        match Box::pin(timeout_at(deadline, budget.acquire_many_owned(permits))).await {
            Ok(Ok(permit)) => Ok(Some(permit)),
            Ok(Err(_)) => Err(closed()),
            Err(_) => Err(too_late("no room in the queue of writes until the deadline; nothing was changed")),
        }
    }

    /// Hands operations over in order; `bytes` are those of all together.
    ///
    /// # Errors
    /// [`ErrorKind::Closed`] once the queue is closed.
    pub(crate) fn push(
        &self,
        ops: impl IntoIterator<Item = (Op, u64), IntoIter: ExactSizeIterator>,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Result<Vec<Ticket>> {
        let ops = ops.into_iter();
        let mut permit = permit;
        let mut tickets = Vec::with_capacity(ops.len());
        let mut waiting = self.lock();
        if waiting.closed {
            return Err(closed());
        }
        let last = ops.len().saturating_sub(1);
        for (index, (op, bytes)) in ops.enumerate() {
            let (answer, receiver) = oneshot::channel();
            let claimed = Arc::new(AtomicBool::new(false));
            tickets.push(Ticket { answer: receiver, claimed: Arc::clone(&claimed) });
            // The permit is that of the whole group and goes with its last operation.
            let permit = if index == last { permit.take() } else { None };
            waiting.entries.push_back(Entry { op, bytes, answer, claimed, _permit: permit });
        }
        let wake = std::mem::take(&mut waiting.idle);
        drop(waiting);
        if wake {
            self.changed.notify_one();
        }
        Ok(tickets)
    }

    /// Waits for operations and takes the oldest ones, up to the bounds but at least one.
    pub(crate) fn take(&self, most_entries: usize, most_bytes: u64) -> Taken {
        let mut waiting = self.lock();
        while waiting.entries.is_empty() {
            if waiting.closed {
                return Taken::Closed;
            }
            waiting.idle = true;
            waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        waiting.idle = false;
        let mut taken = Vec::with_capacity(waiting.entries.len().min(most_entries));
        let mut bytes = 0;
        while let Some(entry) = waiting.entries.front() {
            bytes += entry.bytes;
            if !taken.is_empty() && (taken.len() >= most_entries || bytes > most_bytes) {
                break;
            }
            taken.extend(waiting.entries.pop_front());
        }
        Taken::Entries(taken)
    }

    /// Takes no more operations; those that are waiting are still worked on.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.budget.close();
        self.changed.notify_all();
    }

    /// Drops what is waiting; for when no writer will come for it any more.
    pub(crate) fn abandon(&self) {
        self.close();
        let left = std::mem::take(&mut self.lock().entries);
        for entry in left {
            // Not begun, and never will be.
            entry.split().1.send(Err(closed()));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // No code that can panic runs under this lock.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) fn closed() -> StorageError {
    failure(ErrorKind::Closed, "the store is closed")
}

pub(crate) fn too_late(what: &'static str) -> StorageError {
    failure(ErrorKind::Timeout, what)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use storage_core::Condition;

    use super::*;

    fn op() -> Op {
        Op::Delete { key: b"t\0k".to_vec(), condition: Condition::None }
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(20)
    }

    #[tokio::test]
    async fn what_does_not_fit_waits_until_the_deadline_and_fits_once_room_is_given_back() {
        let queue = Queue::new(4 * UNIT);
        let held = queue.reserve(2 * UNIT, soon()).await.unwrap();
        assert_eq!(queue.reserve(UNIT, soon()).await.unwrap_err().kind(), ErrorKind::Timeout);
        drop(held);
        // More than the whole budget travels alone instead of never.
        assert!(queue.reserve(u64::MAX, soon()).await.is_ok());
    }

    #[tokio::test]
    async fn an_operation_is_withdrawn_before_and_unknown_after_the_writer_takes_it() {
        let queue = Queue::new(UNIT);
        let mut tickets = queue.push(vec![(op(), 0), (op(), 0)], None).unwrap();
        let (second, first) = (tickets.pop().unwrap(), tickets.pop().unwrap());
        assert_eq!(first.wait(soon()).await.unwrap_err().kind(), ErrorKind::Timeout);
        let Taken::Entries(entries) = queue.take(10, u64::MAX) else { panic!("closed") };
        assert_eq!(entries.iter().map(Entry::claim).collect::<Vec<_>>(), [false, true]);
        assert_eq!(second.wait(soon()).await.unwrap_err().kind(), ErrorKind::OutcomeUnknown);
    }

    #[tokio::test]
    async fn a_closed_queue_refuses_new_operations_and_hands_out_the_old() {
        let queue = Queue::new(UNIT);
        let tickets = queue.push(vec![(op(), 0)], None).unwrap();
        queue.close();
        assert_eq!(queue.push(vec![(op(), 0)], None).unwrap_err().kind(), ErrorKind::Closed);
        assert_eq!(queue.reserve(0, soon()).await.unwrap_err().kind(), ErrorKind::Closed);
        assert!(matches!(queue.take(1, 0), Taken::Entries(entries) if entries.len() == 1));
        assert!(matches!(queue.take(1, 0), Taken::Closed));
        for ticket in tickets {
            assert_eq!(ticket.wait(soon()).await.unwrap_err().kind(), ErrorKind::OutcomeUnknown);
        }
    }

    #[test]
    fn a_take_is_bounded_in_entries_and_bytes_but_never_empty() {
        let queue = Queue::new(UNIT);
        let _tickets = queue.push(vec![(op(), 9), (op(), 1), (op(), 1), (op(), 1)], None).unwrap();
        let sizes: Vec<usize> = (0..3)
            .map(|_| match queue.take(2, 5) {
                Taken::Entries(entries) => entries.len(),
                Taken::Closed => 0,
            })
            .collect();
        assert_eq!(sizes, [1, 2, 1]);
    }
}
