//! A link to one server: a queue of calls, and the task that brings them over a connection, made anew when it breaks.

use std::{
    collections::VecDeque,
    future::poll_fn,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use storage_core::StorageError;
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, Sleep, sleep_until},
};

use super::{
    address::Address,
    connection::{Connection, Login},
    entry::{Answer, Entry, Reason, Trip},
    session::Session,
};
use crate::config::ReconnectConfig;

/// Most calls taken over from the queue at a time.
const BATCH: usize = 256;
/// Later than every deadline.
const NEVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// What all links of a provider have in common.
pub(super) struct Manner {
    pub(super) login: Login,
    pub(super) reconnect: ReconnectConfig,
    pub(super) response_timeout: Duration,
    pub(super) connections: u16,
}

/// The calling end of a link. Its task ends when it is dropped.
#[derive(Debug)]
pub(super) struct Link {
    queue: mpsc::UnboundedSender<Entry>,
    task: JoinHandle<()>,
}

impl Link {
    /// A link to the server at `address`. It connects when the first call comes.
    pub(super) fn new(address: Address, manner: Arc<Manner>) -> Self {
        let (queue, calls) = mpsc::unbounded_channel();
        let pump = Pump {
            address,
            manner,
            calls: Calls {
                queue: calls,
                batch: Vec::new(),
                waiting: VecDeque::new(),
                has_held_back: false,
                alarm: Alarm::new(),
            },
            failures: 0,
            not_before: Instant::now(),
        };
        Self { queue, task: tokio::spawn(pump.run()) }
    }

    /// Sends a call. `None` if the link was closed before it was answered.
    pub(super) async fn send(&self, trip: Trip) -> Option<Answer> {
        let (entry, answer) = Entry::new(trip);
        self.queue.send(entry).ok()?;
        answer.await.ok()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The working end.
struct Pump {
    address: Address,
    manner: Arc<Manner>,
    calls: Calls,
    /// Connections in a row that were of no use.
    failures: u32,
    not_before: Instant,
}

impl Pump {
    /// Connects whenever a call waits: a server that nobody asks for is left alone.
    async fn run(mut self) {
        while self.calls.some().await {
            match self.connect().await {
                Some(Ok(connection)) => self.serve(connection).await,
                Some(Err(error)) => self.give_up(&error),
                // Nobody waits any more.
                None => {}
            }
        }
    }

    /// A connection, not sooner after a failure than is allowed.
    async fn connect(&mut self) -> Option<storage_core::Result<Connection>> {
        let Self { address, manner, calls, not_before, .. } = self;
        let connecting = async {
            tokio::time::sleep_until(*not_before).await;
            manner.login.connect(address).await
        };
        tokio::select! {
            result = connecting => Some(result),
            () = calls.mind() => None,
        }
    }

    /// Those who waited for the connection are told why there is none.
    fn give_up(&mut self, error: &StorageError) {
        self.back_off();
        for entry in self.calls.take_all() {
            let cause = crate::error::failure(error.kind(), error.message().to_owned());
            entry.fail(Reason::Broken { sent: false, cause });
        }
    }

    async fn serve(&mut self, connection: Connection) {
        let mut session = Session::new(connection);
        let silence = self.manner.response_timeout;
        let calls = &mut self.calls;
        calls.alarm.set(Instant::now());
        let why = poll_fn(|cx| calls.poll_session(&mut session, silence, cx)).await;
        let served = session.has_answered() && !session.is_over();
        session.end(why, &mut calls.waiting);
        // A connection that served is replaced at once; one that did not counts as a failure.
        if served { self.failures = 0 } else { self.back_off() }
    }

    fn back_off(&mut self) {
        let ReconnectConfig { min, max } = self.manner.reconnect;
        let wait = min.saturating_mul(1 << self.failures.min(16)).min(max);
        self.failures = self.failures.saturating_add(1);
        self.not_before = Instant::now() + jittered(wait);
    }
}

/// Between half and all of `wait`, so that the clients of a server that comes back do not come at the same moment.
fn jittered(wait: Duration) -> Duration {
    let random = uuid::Uuid::new_v4().as_u128() as u32;
    wait.mul_f64(0.5 + 0.5 * f64::from(random) / f64::from(u32::MAX))
}

/// The calls that are not on a connection, and the clock for all of them: one timer however many calls there are.
struct Calls {
    queue: mpsc::UnboundedReceiver<Entry>,
    /// Room for what is taken over at once.
    batch: Vec<Entry>,
    waiting: VecDeque<Entry>,
    /// Whether the waiting calls were held back once already.
    has_held_back: bool,
    alarm: Alarm,
}

impl Calls {
    /// Waits for a call; `false` when none can come any more.
    async fn some(&mut self) -> bool {
        if self.waiting.is_empty() {
            let Some(entry) = self.queue.recv().await else { return false };
            self.waiting.push_back(entry);
        }
        self.alarm.set(Instant::now());
        true
    }

    /// Keeps the deadlines of the waiting calls, until none waits.
    async fn mind(&mut self) {
        poll_fn(|cx| {
            self.take_over(cx);
            while self.alarm.poll(cx).is_ready() {
                let now = Instant::now();
                self.expire(now);
                self.alarm.set(self.earliest().unwrap_or(now + NEVER));
            }
            if self.waiting.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Moves calls over the session; ready with the reason that ends it.
    fn poll_session(
        &mut self,
        session: &mut Session,
        silence: Duration,
        cx: &mut Context<'_>,
    ) -> Poll<io::ErrorKind> {
        loop {
            let more = self.take_over(cx);
            if self.holds_back(session) {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            session.put(&mut self.waiting);
            if let Some(heard) = session.silent_since() {
                self.alarm.not_after(heard + silence);
            }
            if let Poll::Ready(cause) = session.poll(cx) {
                return Poll::Ready(cause.kind());
            }
            if session.is_over() {
                return Poll::Ready(io::ErrorKind::ConnectionAborted);
            }
            if self.alarm.poll(cx).is_ready() {
                if let Some(kind) = self.ring(session, silence) {
                    return Poll::Ready(kind);
                }
                continue;
            }
            if !more && (self.waiting.is_empty() || !session.has_room()) {
                return Poll::Pending;
            }
        }
    }

    /// Whether to let other tasks run first, once. Of many callers who were just answered, the first to call again would
    /// otherwise travel alone, because the runtime runs next what was woken last.
    fn holds_back(&mut self, session: &Session) -> bool {
        let are_few = !self.waiting.is_empty() && self.waiting.len() < session.given();
        self.has_held_back = are_few && !self.has_held_back;
        self.has_held_back
    }

    /// What is to be done when the alarm rings.
    fn ring(&mut self, session: &mut Session, silence: Duration) -> Option<io::ErrorKind> {
        let now = Instant::now();
        if session.silent_since().is_some_and(|heard| heard + silence <= now) {
            return Some(io::ErrorKind::TimedOut);
        }
        if session.earliest().is_some_and(|deadline| deadline <= now) {
            // What is not written yet can still be taken back, and is then known not to have been applied.
            session.take_back(&mut self.waiting);
            session.expire(now);
        }
        self.expire(now);
        let silent = session.silent_since().map(|heard| heard + silence);
        let next = [silent, session.earliest(), self.earliest()].into_iter().flatten().min();
        self.alarm.set(next.unwrap_or(now + NEVER));
        None
    }

    /// Takes over calls from the queue; whether there may be more.
    fn take_over(&mut self, cx: &mut Context<'_>) -> bool {
        let Poll::Ready(count) = self.queue.poll_recv_many(cx, &mut self.batch, BATCH) else { return false };
        if let Some(earliest) = self.batch.iter().map(Entry::deadline).min() {
            self.alarm.not_after(earliest);
        }
        self.waiting.extend(self.batch.drain(..));
        count > 0
    }

    fn expire(&mut self, now: Instant) {
        if self.earliest().is_none_or(|deadline| deadline > now)
            && !self.waiting.iter().any(Entry::is_abandoned)
        {
            return;
        }
        for entry in std::mem::take(&mut self.waiting) {
            if entry.deadline() <= now {
                entry.fail(Reason::Late { sent: false });
            } else if !entry.is_abandoned() {
                self.waiting.push_back(entry);
            }
        }
    }

    fn earliest(&self) -> Option<Instant> {
        self.waiting.iter().map(Entry::deadline).min()
    }

    fn take_all(&mut self) -> VecDeque<Entry> {
        while let Ok(entry) = self.queue.try_recv() {
            self.waiting.push_back(entry);
        }
        std::mem::take(&mut self.waiting)
    }
}

/// A timer that is moved forward at every need and backward only when it rings: most deadlines are never reached.
struct Alarm {
    sleep: Pin<Box<Sleep>>,
}

impl Alarm {
    fn new() -> Self {
        Self { sleep: Box::pin(sleep_until(Instant::now() + NEVER)) }
    }

    fn set(&mut self, at: Instant) {
        self.sleep.as_mut().reset(at);
    }

    fn not_after(&mut self, at: Instant) {
        if at < self.sleep.deadline() {
            self.set(at);
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.sleep.as_mut().poll(cx)
    }
}
