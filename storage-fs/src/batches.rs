//! Many operations in one call: handed over in groups, read in one go.

use storage_core::{ItemKey, Result, StorageItem};
use tokio::time::Instant;

use crate::{
    engine::Engine,
    error::failure,
    keys::Name,
    provider::{FsProvider, about, unexpected},
    queue::Ticket,
    reads::{self, Pace},
    transaction::{Answer, Op},
};

impl FsProvider {
    /// Hands many operations over in groups, in order, and waits for all answers.
    pub(crate) async fn write_many(&self, ops: Vec<Result<(Op, u64)>>) -> Vec<Result<Answer>> {
        let deadline = self.shared().deadline();
        let mut tickets: Vec<Result<Ticket>> = Vec::with_capacity(ops.len());
        let mut group = Group::default();
        for op in ops {
            match op {
                Ok((op, bytes)) => {
                    if group.is_full(bytes) {
                        self.hand_over(std::mem::take(&mut group), &mut tickets, deadline).await;
                    }
                    group.push(tickets.len(), op, bytes);
                    tickets.push(Err(unexpected()));
                }
                Err(error) => tickets.push(Err(error)),
            }
        }
        self.hand_over(group, &mut tickets, deadline).await;
        let mut answers = Vec::with_capacity(tickets.len());
        for ticket in tickets {
            answers.push(match ticket {
                Ok(ticket) => ticket.wait(deadline).await,
                Err(error) => Err(error),
            });
        }
        answers
    }

    async fn hand_over(&self, group: Group, tickets: &mut [Result<Ticket>], deadline: Instant) {
        let Group { places, ops, bytes } = group;
        let handed = match self.shared().queue.reserve(bytes, deadline).await {
            Ok(permit) => self.shared().queue.push(ops, permit),
            Err(error) => Err(error),
        };
        let mut handed = handed.map(Vec::into_iter);
        for place in places {
            let ticket = match &mut handed {
                Ok(handed) => handed.next().ok_or_else(unexpected),
                Err(error) => Err(failure(error.kind(), error.message().to_owned())),
            };
            if let Some(slot) = tickets.get_mut(place) {
                *slot = ticket;
            }
        }
    }

    pub(crate) async fn load_on_pool(&self, keys: &[ItemKey<'_>]) -> Vec<Result<Option<StorageItem>>> {
        let engine_keys: Vec<Vec<u8>> = keys.iter().map(|key| Name::from(*key).item()).collect();
        let now = self.shared().clock.now();
        let read = move |engine: &Engine, pace: &Pace| {
            let load = |key: &Vec<u8>| {
                pace.step()?;
                let stored = reads::fetch(engine, key)?;
                stored.map_or(Ok(None), |stored| reads::with_payload(pace.shared(), engine, key, stored, now))
            };
            Ok(engine_keys.iter().map(load).collect::<Vec<_>>())
        };
        match self.blocking(Some(self.shared().deadline()), read).await {
            Ok(answers) => {
                let answers = answers.into_iter().zip(keys);
                answers.map(|(answer, key)| answer.map_err(about("load_many", *key))).collect()
            }
            Err(error) => {
                let copy = |key: &ItemKey<'_>| {
                    Err(about("load_many", *key)(failure(error.kind(), error.message().to_owned())))
                };
                keys.iter().map(copy).collect()
            }
        }
    }
}

/// Operations that are handed over together.
#[derive(Debug, Default)]
struct Group {
    // Where their tickets go.
    places: Vec<usize>,
    ops: Vec<(Op, u64)>,
    bytes: u64,
}

impl Group {
    const MOST_OPS: usize = 256;
    const MOST_BYTES: u64 = 1 << 20;

    fn is_full(&self, more: u64) -> bool {
        !self.ops.is_empty() && (self.ops.len() >= Self::MOST_OPS || self.bytes + more > Self::MOST_BYTES)
    }

    fn push(&mut self, place: usize, op: Op, bytes: u64) {
        self.places.push(place);
        // What the queue counts for an operation beside its payload.
        self.bytes += bytes + 1_024;
        self.ops.push((op, bytes));
    }
}
