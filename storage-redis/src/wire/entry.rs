//! A call on its way through a link, and how it comes back.

use redis::Value;
use storage_core::StorageError;
use tokio::{
    sync::{OwnedSemaphorePermit, oneshot},
    time::Instant,
};

use super::call::{Access, Call};

/// A call, its deadline, and the place among those under way that it holds.
#[derive(Debug)]
pub(super) struct Trip {
    pub(super) call: Call,
    pub(super) deadline: Instant,
    /// The node is told that it is asked for a slot that is still being moved to it.
    pub(super) asking: bool,
    #[expect(dead_code, reason = "held until the call has ended")]
    pub(super) permit: OwnedSemaphorePermit,
}

/// A call in the hands of a link.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) trip: Trip,
    answer: oneshot::Sender<Answer>,
}

/// What comes back.
pub(super) type Answer = Result<Value, Box<Setback>>;

/// A call that was not answered with a value, and may be sent again.
#[derive(Debug)]
pub(super) struct Setback {
    pub(super) trip: Trip,
    pub(super) reason: Reason,
}

/// Why a call was not answered with a value.
#[derive(Debug)]
pub(super) enum Reason {
    /// The server answered with this error.
    Refused(String),
    /// There is no connection, or there is none any more.
    Broken { sent: bool, cause: StorageError },
    /// Its deadline passed.
    Late { sent: bool },
}

impl Entry {
    pub(super) fn new(trip: Trip) -> (Self, oneshot::Receiver<Answer>) {
        let (answer, receiver) = oneshot::channel();
        (Self { trip, answer }, receiver)
    }

    pub(super) fn is_abandoned(&self) -> bool {
        self.answer.is_closed()
    }

    pub(super) fn deadline(&self) -> Instant {
        self.trip.deadline
    }

    /// Gives the caller its value. Nobody waits for it if the caller went away.
    pub(super) fn succeed(self, value: Value) {
        drop(self.answer.send(Ok(value)));
    }

    /// Gives the call back.
    pub(super) fn fail(self, reason: Reason) {
        drop(self.answer.send(Err(Box::new(Setback { trip: self.trip, reason }))));
    }
}

impl Setback {
    /// Whether it is unknown what the call has changed.
    pub(super) fn is_outcome_unknown(&self) -> bool {
        let sent = match self.reason {
            Reason::Refused(_) => false,
            Reason::Broken { sent, .. } | Reason::Late { sent } => sent,
        };
        sent && self.trip.call.access() == Access::Write
    }
}
