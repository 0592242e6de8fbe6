//! Reads the records that index entries name, and repairs entries that name nothing.

use std::collections::HashMap;

use storage_core::{ErrorKind, Result, StorageItem, StorageMetadata};

use crate::{
    items::damaged,
    record::{self, HEAD, Head},
    reply, scripts,
    wire::{Access, Call},
};

use super::{Outcome, Search, candidate::Candidate, plan::Section};

/// Bytes read to get the metadata of an item: the head and what most metadata take.
const START: usize = 256;
/// Records read in one round trip.
const MOST_RECORDS: usize = 4_096;
/// Entries repaired by one search.
const MOST_REPAIRS: usize = 256;

/// An entry whose item does not have it.
struct Stray<'c> {
    candidate: &'c Candidate,
    /// The version that was seen not to have it; `None` if there was no item.
    version: Option<u64>,
}

impl Search<'_> {
    /// The hits among `candidates`, in their order.
    pub(super) async fn hits(
        &self,
        candidates: &[Candidate],
        section: &Section,
    ) -> Outcome<Vec<StorageItem>> {
        let mut hits = Vec::with_capacity(candidates.len());
        for part in candidates.chunks(MOST_RECORDS) {
            let mut strays = Vec::new();
            for (candidate, item) in part.iter().zip(self.records(part).await?) {
                match item {
                    None => strays.push(Stray { candidate, version: None }),
                    Some(item) if !section.has(candidate, &item.metadata) => {
                        strays.push(Stray { candidate, version: Some(item.metadata.version) });
                    }
                    Some(item) => hits.extend(Some(item).filter(|item| self.is_hit(&item.metadata))),
                }
            }
            self.repair(strays).await;
        }
        Ok(hits)
    }

    fn is_hit(&self, metadata: &StorageMetadata) -> bool {
        self.query.matches(metadata, self.now) && self.query.is_after_cursor(metadata)
    }

    /// The items that entries name, with their payloads unless the query leaves them out.
    async fn records(&self, candidates: &[Candidate]) -> Outcome<Vec<Option<StorageItem>>> {
        if !self.query.is_metadata_only() {
            return self.whole_records(candidates).await;
        }
        let metadata = self.metadata(candidates).await?;
        let without_data = |metadata| StorageItem {
            data: storage_core::Bytes::new(),
            metadata: std::sync::Arc::new(metadata),
        };
        Ok(metadata.into_iter().map(|metadata| metadata.map(without_data)).collect())
    }

    /// The records that entries name: one command for each bucket.
    async fn whole_records(&self, candidates: &[Candidate]) -> Outcome<Vec<Option<StorageItem>>> {
        let mut by_bucket: HashMap<usize, (Call, Vec<usize>)> = HashMap::new();
        for (place, candidate) in candidates.iter().enumerate() {
            let (Some(bucket), Some(name)) =
                (self.store.layout.buckets.get(candidate.bucket), candidate.name())
            else {
                continue;
            };
            let (call, places) = by_bucket
                .entry(candidate.bucket)
                .or_insert_with(|| (Call::read(bucket.slot, "MGET"), Vec::new()));
            call.push_key(&bucket.item(name));
            places.push(place);
        }
        let (calls, places): (Vec<_>, Vec<_>) = by_bucket.into_values().unzip();
        let mut records: Vec<Option<StorageItem>> = candidates.iter().map(|_| None).collect();
        let answers = self.store.wire.call_all(calls, self.deadline()).await;
        let mut missing = Vec::new();
        for (places, answer) in places.into_iter().zip(answers) {
            for (place, stored) in places.into_iter().zip(reply::options(answer?)?) {
                match stored {
                    Some(stored) => put(&mut records, place, decode(candidates, place, stored)?),
                    None => missing.push(place),
                }
            }
        }
        self.look_again(candidates, missing, &mut records).await?;
        Ok(records)
    }

    /// Reads what was not there, or is no string: a command for several keys does not tell.
    async fn look_again(
        &self,
        candidates: &[Candidate],
        missing: Vec<usize>,
        records: &mut [Option<StorageItem>],
    ) -> Outcome<()> {
        let calls = missing.iter().filter_map(|place| self.read_call(candidates.get(*place)?, "GET"));
        let answers = self.store.wire.call_all(calls.collect(), self.deadline()).await;
        for (place, answer) in missing.into_iter().zip(answers) {
            let answer = answer.map_err(|error| about(error, candidates.get(place)))?;
            if let Some(stored) = reply::bytes(answer)? {
                put(records, place, decode(candidates, place, stored)?);
            }
        }
        Ok(())
    }

    /// The metadata of the items that entries name.
    pub(super) async fn metadata(&self, candidates: &[Candidate]) -> Outcome<Vec<Option<StorageMetadata>>> {
        let mut found = Vec::with_capacity(candidates.len());
        for (candidate, start) in candidates.iter().zip(self.starts(candidates, START).await?) {
            let read = match (start, candidate.name()) {
                (Some(start), Some(name)) => {
                    let hash = record::hash(name);
                    let read = Head::of(&start).and_then(|head| record::metadata(name, hash, &head, &start));
                    Some(read.map_err(|damage| damaged(damage).with_key(name))?)
                }
                _ => None,
            };
            found.push(read);
        }
        Ok(found)
    }

    /// The heads of the items that entries name.
    pub(super) async fn heads(&self, candidates: &[Candidate]) -> Outcome<Vec<Option<Head>>> {
        let mut heads = Vec::with_capacity(candidates.len());
        for (candidate, start) in candidates.iter().zip(self.read_starts(candidates, HEAD).await?) {
            let head = start.map(|start| Head::of(&start)).transpose();
            heads.push(head.map_err(|damage| about(damaged(damage), Some(candidate)))?);
        }
        Ok(heads)
    }

    /// The starts of records, each with its whole metadata.
    async fn starts(&self, candidates: &[Candidate], length: usize) -> Outcome<Vec<Option<Vec<u8>>>> {
        let mut starts = self.read_starts(candidates, length).await?;
        let mut longer = Vec::new();
        let mut longest = 0;
        for (place, start) in starts.iter().enumerate() {
            let needed = start
                .as_ref()
                .and_then(|start| Head::of(start).ok())
                .map_or(0, |head| HEAD + head.metadata as usize);
            if needed > length {
                longer.push(place);
                longest = longest.max(needed);
            }
        }
        if !longer.is_empty() {
            let again: Vec<_> = longer.iter().filter_map(|place| candidates.get(*place)).cloned().collect();
            for (place, start) in longer.into_iter().zip(self.read_starts(&again, longest).await?) {
                put(&mut starts, place, start);
            }
        }
        Ok(starts)
    }

    async fn read_starts(&self, candidates: &[Candidate], length: usize) -> Outcome<Vec<Option<Vec<u8>>>> {
        let mut starts = Vec::with_capacity(candidates.len());
        let end = (length - 1).to_string();
        for part in candidates.chunks(MOST_RECORDS) {
            let calls: Vec<_> = part
                .iter()
                .map(|candidate| Some(self.read_call(candidate, "GETRANGE")?.arg("0").arg(&end)))
                .collect();
            let asked: Vec<_> = calls.iter().map(Option::is_some).collect();
            let calls = calls.into_iter().flatten().collect();
            let mut answers = self.store.wire.call_all(calls, self.deadline()).await.into_iter();
            for (candidate, asked) in part.iter().zip(asked) {
                let answer = if asked { answers.next() } else { None };
                let answer = answer.transpose().map_err(|error| about(error, Some(candidate)))?;
                let start = answer.map(reply::bytes).transpose()?.flatten();
                starts.push(start.filter(|start| !start.is_empty()));
            }
        }
        Ok(starts)
    }

    fn read_call(&self, candidate: &Candidate, command: &'static str) -> Option<Call> {
        let bucket = self.store.layout.buckets.get(candidate.bucket)?;
        Some(Call::read(bucket.slot, command).key(&bucket.item(candidate.name()?)))
    }

    /// Removes entries that belong to no item, unless the item was saved again meanwhile. A failure leaves them to the next
    /// search: they are never shown.
    async fn repair(&self, strays: Vec<Stray<'_>>) {
        if strays.is_empty() {
            return;
        }
        let calls = strays.iter().take(MOST_REPAIRS).filter_map(|stray| {
            let bucket = self.store.layout.buckets.get(stray.candidate.bucket)?;
            let item = bucket.item(stray.candidate.name()?);
            let call =
                Call::script(bucket.slot, &scripts::REPAIR, Access::Write).key(&item).key(&bucket.index);
            let call = call.arg(&stray.candidate.entry);
            Some(match stray.version {
                Some(version) => call.arg(version.to_be_bytes()),
                None => call.arg(""),
            })
        });
        for answer in self.store.wire.call_all(calls.collect(), self.deadline()).await {
            if let Err(error) = answer {
                tracing::debug!(%error, "an index entry that belongs to no item could not be removed");
            }
        }
    }

    /// Reads the payloads of hits whose metadata are known. An item that was changed meanwhile is as it is now, unless it has
    /// another place in the order: there it is found, or was.
    pub(super) async fn with_payloads(&self, hits: Vec<StorageMetadata>) -> Result<Vec<StorageItem>> {
        let names = hits.iter().map(StorageMetadata::item_key).collect::<Result<Vec<_>>>()?;
        let mut items = Vec::with_capacity(hits.len());
        for (hit, answer) in hits.iter().zip(self.store.load_many(&names).await) {
            let item = answer.map_err(|error| match hit.item_key() {
                Ok(name) => error.with_key(name),
                Err(_) => error,
            })?;
            let stands = |item: &StorageItem| self.query.compare(hit, &item.metadata).is_eq();
            items.extend(item.filter(|item| stands(item) && self.is_hit(&item.metadata)));
        }
        Ok(items)
    }
}

fn decode(candidates: &[Candidate], place: usize, stored: Vec<u8>) -> Result<Option<StorageItem>> {
    let Some(name) = candidates.get(place).and_then(Candidate::name) else { return Ok(None) };
    let item = record::decode(name, record::hash(name), &stored.into());
    item.map(Some).map_err(|damage| damaged(damage).with_key(name))
}

fn put<T>(list: &mut [Option<T>], place: usize, value: Option<T>) {
    if let Some(there) = list.get_mut(place) {
        *there = value;
    }
}

/// Says which item a failure is about, if it is about one.
fn about(error: storage_core::StorageError, candidate: Option<&Candidate>) -> storage_core::StorageError {
    match candidate.and_then(Candidate::name) {
        Some(name) if error.kind() == ErrorKind::Corrupted => error.with_key(name),
        _ => error,
    }
}
