//! The queue of writes: bounded in bytes, in order for each item, and cancellable until a writer takes over.

use std::{
    collections::{HashSet, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::Mutex;
use storage_core::{ErrorKind, Result};
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot},
    time::{Instant, timeout_at},
};
use xxhash_rust::xxh3::Xxh3;

use crate::{
    engine::{Write, Written},
    error::{closed, failure, too_late},
};

/// What one permit of the budget stands for, in bytes.
const UNIT: u64 = 1_024;
/// How far a writer looks for writes of items that no other writer works on, in batches.
const LOOK_AHEAD: usize = 4;
/// Most bytes of payload in one batch, unless one write alone has more.
const MOST_BYTES: u64 = 4 << 20;

/// The queue between callers and writers.
#[derive(Debug)]
pub(crate) struct Queue {
    budget: Arc<Semaphore>,
    permits: u32,
    waiting: Mutex<Waiting>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    entries: VecDeque<Entry>,
    /// The items that writers work on, as [`Entry::item`]: whoever else writes one of them waits, so that the writes of one
    /// item are applied in their order. Two items with one hash merely wait for each other.
    busy: HashSet<u64>,
    closed: bool,
}

/// A write in the queue.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) write: Arc<Write>,
    pub(crate) deadline: Instant,
    item: u64,
    answer: oneshot::Sender<Result<Written>>,
    claimed: Arc<AtomicBool>,
    /// Given back once the write is answered.
    permit: Option<OwnedSemaphorePermit>,
}

impl Entry {
    /// Answers the caller, who by then is the only owner of the write.
    pub(crate) fn answer(self, answer: Result<Written>) {
        let Self { write, answer: sender, permit, .. } = self;
        drop((write, permit));
        // A caller that no longer waits does not want the answer.
        drop(sender.send(answer));
    }

    /// Takes the write over from its caller; `false` if the caller gave up before.
    fn claim(&self) -> bool {
        !self.claimed.swap(true, Ordering::AcqRel)
    }
}

/// What a caller holds while its write is under way. Dropping it withdraws the write if no writer has taken it over yet.
#[derive(Debug)]
pub(crate) struct Ticket {
    answer: oneshot::Receiver<Result<Written>>,
    claimed: Arc<AtomicBool>,
}

impl Ticket {
    /// Waits for the answer.
    ///
    /// # Errors
    /// The failure of the write; [`ErrorKind::Timeout`] if it was not begun before the deadline, and
    /// [`ErrorKind::OutcomeUnknown`] if it was.
    pub(crate) async fn wait(mut self, deadline: Instant) -> Result<Written> {
        match timeout_at(deadline, &mut self.answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(failure(ErrorKind::OutcomeUnknown, "the writer ended without an answer")),
            Err(_) if self.withdraw() => Err(too_late(
                "the database was busy with other writes until the deadline; nothing was changed",
            )),
            Err(_) => {
                Err(failure(ErrorKind::OutcomeUnknown, "the deadline passed while the write was under way"))
            }
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

/// The shape of the batches that an engine takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) most_writes: usize,
    /// Whether an item may be in a batch more than once.
    pub(crate) repeats: bool,
}

/// Writes that a writer works on. Dropping it lets other writers at their items.
#[derive(Debug)]
pub(crate) struct Batch<'q> {
    queue: &'q Queue,
    pub(crate) entries: Vec<Entry>,
    items: HashSet<u64>,
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        let mut waiting = self.queue.waiting.lock();
        for item in &self.items {
            waiting.busy.remove(item);
        }
        let wake = !waiting.entries.is_empty() || waiting.closed;
        drop(waiting);
        if wake {
            self.queue.changed.notify_one();
        }
    }
}

impl Queue {
    pub(crate) fn new(bytes: u64) -> Self {
        let permits = u32::try_from(bytes / UNIT).unwrap_or(u32::MAX >> 4).max(1);
        Self {
            budget: Arc::new(Semaphore::new(permits as usize)),
            permits,
            waiting: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// Waits for room for `bytes` of payload.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`] at the deadline, [`ErrorKind::Closed`] once the queue is closed.
    pub(crate) async fn reserve(&self, bytes: u64, deadline: Instant) -> Result<OwnedSemaphorePermit> {
        // What is larger than the whole budget takes all of it and so travels alone.
        let permits = u32::try_from(1 + bytes / UNIT).unwrap_or(u32::MAX).min(self.permits);
        let budget = Arc::clone(&self.budget);
        if let Ok(permit) = Arc::clone(&budget).try_acquire_many_owned(permits) {
            return Ok(permit);
        }
        // What is rare is boxed, so that every call need not make room for it.
        match Box::pin(timeout_at(deadline, budget.acquire_many_owned(permits))).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) => Err(closed()),
            Err(_) => Err(too_late("no room in the queue of writes until the deadline; nothing was changed")),
        }
    }

    /// Hands writes over in order. The permit is that of all together.
    ///
    /// # Errors
    /// [`ErrorKind::Closed`] once the queue is closed.
    pub(crate) fn push(
        &self,
        writes: Vec<Arc<Write>>,
        permit: OwnedSemaphorePermit,
        deadline: Instant,
    ) -> Result<Vec<Ticket>> {
        let mut permit = Some(permit);
        let last = writes.len().saturating_sub(1);
        let (entries, tickets): (Vec<_>, Vec<_>) = writes
            .into_iter()
            .enumerate()
            .map(|(index, write)| {
                let (answer, receiver) = oneshot::channel();
                let claimed = Arc::new(AtomicBool::new(false));
                let ticket = Ticket { answer: receiver, claimed: Arc::clone(&claimed) };
                let item = item(&write);
                // The permit goes with the last write of the group.
                let permit = if index == last { permit.take() } else { None };
                (Entry { write, deadline, item, answer, claimed, permit }, ticket)
            })
            .unzip();
        let mut waiting = self.waiting.lock();
        if waiting.closed {
            return Err(closed());
        }
        waiting.entries.extend(entries);
        drop(waiting);
        self.changed.notify_one();
        Ok(tickets)
    }

    /// Waits for writes and takes the oldest ones that may be begun; `None` once the queue is closed and empty.
    pub(crate) async fn take(&self, shape: Shape) -> Option<Batch<'_>> {
        loop {
            let changed = self.changed.notified();
            {
                let mut waiting = self.waiting.lock();
                let (entries, items) = waiting.take(shape);
                // Others may take what is left.
                let wake = !waiting.entries.is_empty() || waiting.closed;
                let done = waiting.closed && waiting.entries.is_empty();
                drop(waiting);
                if !entries.is_empty() {
                    if wake {
                        self.changed.notify_one();
                    }
                    return Some(Batch { queue: self, entries, items });
                }
                if done {
                    self.changed.notify_one();
                    return None;
                }
            }
            changed.await;
        }
    }

    /// Takes no more writes; those that are waiting are still worked on.
    pub(crate) fn close(&self) {
        self.waiting.lock().closed = true;
        self.budget.close();
        self.changed.notify_one();
    }
}

impl Waiting {
    fn take(&mut self, shape: Shape) -> (Vec<Entry>, HashSet<u64>) {
        let mut taken = Vec::new();
        let mut items = HashSet::new();
        let mut passed = VecDeque::new();
        // Items of writes that were passed over: later writes of theirs must not overtake them.
        let mut blocked = HashSet::new();
        let mut bytes = 0;
        for _ in 0..shape.most_writes.saturating_mul(LOOK_AHEAD) {
            let Some(entry) = self.entries.pop_front() else { break };
            let ours = shape.repeats && items.contains(&entry.item);
            if !ours && (self.busy.contains(&entry.item) || blocked.contains(&entry.item)) {
                blocked.insert(entry.item);
                passed.push_back(entry);
                continue;
            }
            let more = bytes + entry.write.bytes();
            if !taken.is_empty() && more > MOST_BYTES {
                passed.push_back(entry);
                break;
            }
            if !entry.claim() {
                continue;
            }
            bytes = more;
            if !ours {
                self.busy.insert(entry.item);
                items.insert(entry.item);
            }
            taken.push(entry);
            if taken.len() >= shape.most_writes {
                break;
            }
        }
        while let Some(entry) = passed.pop_back() {
            self.entries.push_front(entry);
        }
        (taken, items)
    }
}

/// A hash of the item that is written.
fn item(write: &Write) -> u64 {
    let (content_type, key) = write.identity();
    let mut hash = Xxh3::new();
    hash.update(content_type.as_bytes());
    // No content type and no key holds it.
    hash.update(&[0]);
    hash.update(key.as_bytes());
    hash.digest()
}
