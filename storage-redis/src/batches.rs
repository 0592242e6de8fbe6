//! Several items at once: one answer each, in the order of the request, one round trip per node and part, and one deadline
//! for all of them.

use std::collections::HashSet;

use redis::Value;
use storage_core::{Condition, ItemKey, Result, SaveRequest, StorageItem};
use tokio::time::Instant;

use crate::{
    items::{Save, deleted, loaded},
    keys::Place,
    store::Store,
    wire::Call,
};

/// Most calls that travel together.
const MOST_CALLS: usize = 1_024;
/// About the most bytes that travel together.
const MOST_BYTES: usize = 8 << 20;

impl Store {
    pub(crate) async fn load_many(&self, keys: &[ItemKey<'_>]) -> Vec<Result<Option<StorageItem>>> {
        let deadline = self.deadline();
        let mut answers = Vec::with_capacity(keys.len());
        for keys in keys.chunks(MOST_CALLS) {
            let now = self.now();
            let places: Vec<_> = keys.iter().map(|key| self.place(*key)).collect();
            let calls = places.iter().map(|place| place.as_ref().map(Place::load).ok());
            let replies = self.call_some(calls.collect(), deadline).await;
            for ((key, place), reply) in keys.iter().zip(places).zip(replies) {
                answers.push(place.and_then(|place| loaded(*key, place.hash, now, reply?)));
            }
        }
        answers
    }

    pub(crate) async fn delete_many(&self, keys: &[ItemKey<'_>]) -> Vec<Result<bool>> {
        let deadline = self.deadline();
        let mut answers = Vec::with_capacity(keys.len());
        let mut rest = keys;
        while !rest.is_empty() {
            let (part, behind) = rest.split_at(together(rest, |key| *key, |_| 0));
            rest = behind;
            let calls = part.iter().map(|key| {
                let place = self.place(*key).ok()?;
                Some(self.delete_call(&place, Condition::None))
            });
            let replies = self.call_some(calls.collect(), deadline).await;
            answers.extend(replies.into_iter().map(|reply| deleted(reply?, Condition::None)));
        }
        answers
    }

    pub(crate) async fn save_many(&self, requests: Vec<SaveRequest<'_>>) -> Vec<Result<StorageItem>> {
        let deadline = self.deadline();
        let mut answers = Vec::with_capacity(requests.len());
        let mut rest = requests;
        while !rest.is_empty() {
            let behind = rest.split_off(together(&rest, |request| request.key, |request| request.data.len()));
            let part = std::mem::replace(&mut rest, behind);
            let (mut saves, mut calls) = (Vec::with_capacity(part.len()), Vec::with_capacity(part.len()));
            for request in part {
                let place = self.place(request.key);
                let save = Save::new(request, self).and_then(|save| Ok((save.call(&place?, self), save)));
                let (call, save) =
                    save.map_or_else(|error| (None, Err(error)), |(call, save)| (Some(call), Ok(save)));
                calls.push(call);
                saves.push(save);
            }
            let replies = self.call_some(calls, deadline).await;
            let parts = saves.into_iter().zip(replies);
            answers.extend(parts.map(|(save, reply)| save.and_then(|save| save.answered(reply?))));
        }
        answers
    }

    /// Makes the calls that there are; the others are answered with nothing.
    async fn call_some(&self, calls: Vec<Option<Call>>, deadline: Instant) -> Vec<Result<Value>> {
        let there: Vec<bool> = calls.iter().map(Option::is_some).collect();
        let calls = calls.into_iter().flatten().collect();
        let mut replies = self.wire.call_all(calls, deadline).await.into_iter();
        there
            .into_iter()
            .map(|is| if is { replies.next().unwrap_or(Ok(Value::Nil)) } else { Ok(Value::Nil) })
            .collect()
    }
}

/// How many of `requests` may travel together, at least one: a bounded number, and each key once, because calls that travel
/// together may be applied in any order.
fn together<'k, R>(requests: &[R], key: impl Fn(&R) -> ItemKey<'k>, bytes: impl Fn(&R) -> usize) -> usize {
    let mut seen = HashSet::with_capacity(requests.len().min(MOST_CALLS));
    let mut room = MOST_BYTES;
    let fits = requests.iter().take(MOST_CALLS).take_while(|request| {
        let fits = room > 0 && seen.insert(key(request));
        room = room.saturating_sub(bytes(request));
        fits
    });
    fits.count().max(1)
}
