//! The writers: tasks that apply the writes waiting in the queue, many at a time.
//!
//! They take whatever waits and do not linger for more: while a batch is under way, the next one gathers by itself. Because
//! they own the batch, a caller that gives up never drops a transaction in its middle.

use std::sync::Arc;

use storage_core::{ErrorKind, Result, SharedClock};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::{
    engine::{Engine, Moment, Write, Written},
    error::{copy, failure},
    queue::{Batch, Queue, Shape, Ticket},
};

/// What a write counts for in the queue beside its payload, in bytes.
const OVERHEAD: u64 = 1_024;
/// Most writes and payload bytes of one call that are handed over together.
const GROUP: (usize, u64) = (256, 1 << 20);

/// The queue of writes and the tasks that work on it.
#[derive(Debug)]
pub(crate) struct Writer {
    queue: Arc<Queue>,
    tasks: TaskTracker,
}

impl Writer {
    /// Starts as many tasks as the engine takes batches at once. They end once the queue is closed and empty.
    pub(crate) fn start(engine: &Arc<dyn Engine>, clock: &SharedClock, queue_bytes: u64) -> Self {
        let queue = Arc::new(Queue::new(queue_bytes));
        let tasks = TaskTracker::new();
        for _ in 0..engine.writers() {
            tasks.spawn(run(Arc::clone(&queue), Arc::clone(engine), Arc::clone(clock)));
        }
        tasks.close();
        Self { queue, tasks }
    }

    /// Takes no more writes; those that wait are still applied.
    pub(crate) fn begin_close(&self) {
        self.queue.close();
    }

    /// Waits until all writes are answered and the tasks have ended.
    pub(crate) async fn ended(&self) {
        self.tasks.wait().await;
    }

    /// Applies a write and hands it back with what it did.
    pub(crate) async fn write(&self, write: Write, deadline: Instant) -> Result<(Write, Written)> {
        let write = Arc::new(write);
        let permit = self.queue.reserve(write.bytes() + OVERHEAD, deadline).await?;
        let tickets = self.queue.push(vec![Arc::clone(&write)], permit, deadline)?;
        let ticket = tickets.into_iter().next().ok_or_else(lost)?;
        Ok((owned(write), ticket.wait(deadline).await?))
    }

    /// Applies several writes, each in its turn, with one answer for each. A failure in place of a write is its answer.
    pub(crate) async fn write_many(
        &self,
        writes: Vec<Result<Write>>,
        deadline: Instant,
    ) -> Vec<Result<(Write, Written)>> {
        let mut handed = Vec::with_capacity(writes.len());
        let mut group = Group::default();
        for write in writes {
            match write {
                Ok(write) => {
                    if group.is_full(&write) {
                        self.hand_over(std::mem::take(&mut group), &mut handed, deadline).await;
                    }
                    group.push(handed.len(), write);
                    handed.push(Err(lost()));
                }
                Err(error) => handed.push(Err(error)),
            }
        }
        self.hand_over(group, &mut handed, deadline).await;
        let mut answers = Vec::with_capacity(handed.len());
        for handed in handed {
            answers.push(match handed {
                Ok((write, ticket)) => ticket.wait(deadline).await.map(|written| (owned(write), written)),
                Err(error) => Err(error),
            });
        }
        answers
    }

    async fn hand_over(&self, group: Group, handed: &mut [Result<(Arc<Write>, Ticket)>], deadline: Instant) {
        let Group { places, writes, bytes } = group;
        if writes.is_empty() {
            return;
        }
        let tickets = match self.queue.reserve(bytes, deadline).await {
            Ok(permit) => self.queue.push(writes.clone(), permit, deadline),
            Err(error) => Err(error),
        };
        let mut tickets = tickets.map(Vec::into_iter);
        for (place, write) in places.into_iter().zip(writes) {
            let answer = match &mut tickets {
                Ok(tickets) => tickets.next().map(|ticket| (write, ticket)).ok_or_else(lost),
                Err(error) => Err(copy(error)),
            };
            if let Some(slot) = handed.get_mut(place) {
                *slot = answer;
            }
        }
    }
}

/// Writes of one call that are handed over together.
#[derive(Debug, Default)]
struct Group {
    /// Where their tickets go.
    places: Vec<usize>,
    writes: Vec<Arc<Write>>,
    bytes: u64,
}

impl Group {
    fn is_full(&self, next: &Write) -> bool {
        let (most_writes, most_bytes) = GROUP;
        !self.writes.is_empty()
            && (self.writes.len() >= most_writes || self.bytes + next.bytes() > most_bytes)
    }

    fn push(&mut self, place: usize, write: Write) {
        self.places.push(place);
        self.bytes += write.bytes() + OVERHEAD;
        self.writes.push(Arc::new(write));
    }
}

async fn run(queue: Arc<Queue>, engine: Arc<dyn Engine>, clock: SharedClock) {
    let shape = Shape { most_writes: engine.most_writes(), repeats: engine.takes_repeats() };
    while let Some(batch) = queue.take(shape).await {
        let Some(deadline) = batch.entries.iter().map(|entry| entry.deadline).max() else { continue };
        let at = Moment { now: clock.now(), deadline };
        let writes = batch.entries.iter().map(|entry| Arc::clone(&entry.write)).collect();
        let answers = engine.apply(writes, at).await;
        answer(batch, answers);
    }
}

fn answer(mut batch: Batch<'_>, answers: Vec<Result<Written>>) {
    let mut answers = answers.into_iter();
    for entry in std::mem::take(&mut batch.entries) {
        entry.answer(answers.next().unwrap_or_else(|| Err(lost())));
    }
}

/// The write itself: by the time it is answered, nobody else holds it, and nothing is copied.
fn owned(write: Arc<Write>) -> Write {
    Arc::unwrap_or_clone(write)
}

fn lost() -> storage_core::StorageError {
    failure(ErrorKind::Internal, "a write was not answered")
}
