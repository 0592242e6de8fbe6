//! Making lost indexes anew from the items.

use storage_core::Result;
use tokio::time::Instant;

use crate::{
    index::{count_entries, for_each_entry},
    items::damaged,
    keys::Bucket,
    record::{self, HEAD},
    reply, scripts,
    store::Store,
    wire::{Access, Call},
};

/// Keys that the server looks at in one step.
const STEP: &str = "1000";

/// Makes the index of every bucket anew that is not marked as whole, and says how many items were put back.
///
/// The deadline of an operation holds for each step. Writers may go on: what they save indexes itself.
pub(crate) async fn rebuild(store: &Store) -> Result<u64> {
    let mut restored = 0;
    for number in store.missing_markers(store.deadline()).await? {
        let Some(bucket) = store.layout.buckets.get(number) else { continue };
        let mut cursor = b"0".to_vec();
        loop {
            let deadline = store.deadline();
            let (next, items) = scan(store, bucket, &cursor, deadline).await?;
            restored += restore(store, bucket, items, deadline).await?;
            if next == b"0" {
                break;
            }
            cursor = next;
        }
        store.mark(bucket, store.deadline()).await?;
    }
    Ok(restored)
}

/// One step through the keys of the bucket's node: where to go on, and the items of the bucket that were met.
async fn scan(
    store: &Store,
    bucket: &Bucket,
    cursor: &[u8],
    deadline: Instant,
) -> Result<(Vec<u8>, Vec<Vec<u8>>)> {
    let mut pattern = Vec::with_capacity(bucket.items.len() + 8);
    for byte in &bucket.items {
        if b"*?[]\\^-".contains(byte) {
            pattern.push(b'\\');
        }
        pattern.push(*byte);
    }
    pattern.push(b'*');
    let call = Call::read(bucket.slot, "SCAN").arg(cursor).arg("MATCH").arg(pattern).arg("COUNT").arg(STEP);
    reply::scanned(store.wire.call(call, deadline).await?)
}

/// Puts items back into the index of their bucket.
async fn restore(store: &Store, bucket: &Bucket, items: Vec<Vec<u8>>, deadline: Instant) -> Result<u64> {
    let reads = items.iter().map(|item| Call::read(bucket.slot, "GET").key(item));
    let answers = store.wire.call_all(reads.collect(), deadline).await;
    let mut calls = Vec::with_capacity(items.len());
    for (item, answer) in items.iter().zip(answers) {
        let Some(name) = bucket.name(item) else { continue };
        let read = answer.and_then(reply::bytes).and_then(|stored| {
            let Some(stored) = stored else { return Ok(None) };
            let decoded =
                record::decode(name, record::hash(name), &stored.clone().into()).map_err(damaged)?;
            Ok(Some((decoded.metadata, stored)))
        });
        match read {
            Ok(Some((metadata, stored))) => {
                if count_entries(&metadata, store.config.indexing) > 0 {
                    let call = Call::script(bucket.slot, &scripts::REINDEX, Access::Write);
                    let mut call =
                        call.key(item).key(&bucket.index).arg(stored.get(..HEAD).unwrap_or_default());
                    for_each_entry(&metadata, &stored, store.config.indexing, |entry| {
                        call.push("0");
                        call.push(entry);
                    });
                    calls.push(call);
                }
            }
            Ok(None) => {}
            // A load says the same of it; the others are put back.
            Err(error) if error.kind() == storage_core::ErrorKind::Corrupted => {
                tracing::warn!(%error, "a damaged item cannot be put back into the index");
            }
            Err(error) => return Err(error),
        }
    }
    let mut restored = 0;
    for answer in store.wire.call_all(calls, deadline).await {
        restored += reply::number(&answer?)?;
    }
    Ok(restored)
}
