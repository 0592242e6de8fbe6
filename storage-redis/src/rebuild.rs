//! Making lost indexes anew from the items.

use std::collections::{BTreeMap, HashMap};

use redis::Value;
use storage_core::{ErrorKind, Result};
use tokio::time::Instant;

use crate::{
    error::failure,
    keys::Bucket,
    reply, scripts,
    store::Store,
    wire::{Access, Call},
};

/// Keys that the server looks at in one round trip.
const STEP: &str = "1000";
/// Items that are put back in one round trip.
const PORTION: usize = 128;
/// Attempts to get through while slots move from node to node.
const ROUNDS: usize = 16;

/// What became of lost indexes.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Rebuilt {
    /// Items that were put back.
    pub(crate) items: u64,
    /// Whether the time was over before all indexes were whole.
    pub(crate) is_unfinished: bool,
}

/// Buckets of one node whose indexes are lost, by what the keys of their items begin with.
type Lost<'a> = HashMap<&'a [u8], &'a Bucket>;

/// Makes the index of every bucket anew that is not marked as whole. With `until`, nothing is put back any more behind it.
///
/// The deadline of an operation holds for each round trip. Writers may go on: an item is put back as it is at that moment.
pub(crate) async fn rebuild(store: &Store, until: Option<Instant>) -> Result<Rebuilt> {
    let mut rebuilt = Rebuilt::default();
    for _ in 0..ROUNDS {
        let lost = lost_by_node(store).await?;
        if lost.is_empty() {
            return Ok(rebuilt);
        }
        for (node, lost) in lost {
            rebuild_on(store, &node, &lost, until, &mut rebuilt).await?;
            if rebuilt.is_unfinished {
                return Ok(rebuilt);
            }
        }
    }
    Err(failure(ErrorKind::Unavailable, "the lost indexes move from node to node, or are lost over and over"))
}

async fn lost_by_node(store: &Store) -> Result<BTreeMap<String, Lost<'_>>> {
    let mut lost: BTreeMap<_, Lost<'_>> = BTreeMap::new();
    for number in store.missing_markers(store.deadline()).await? {
        if let Some(bucket) = store.layout.buckets.get(number) {
            lost.entry(store.wire.node_of(bucket.slot)).or_default().insert(&bucket.items, bucket);
        }
    }
    Ok(lost)
}

/// Looks at all keys of a node and puts the items of its lost buckets back. Buckets that left the node meanwhile are not
/// marked: some of their items may not have been met.
async fn rebuild_on(
    store: &Store,
    node: &str,
    lost: &Lost<'_>,
    until: Option<Instant>,
    rebuilt: &mut Rebuilt,
) -> Result<()> {
    let Some(first) = lost.values().next() else { return Ok(()) };
    let stays = |bucket: &Bucket| store.wire.node_of(bucket.slot) == node;
    let is_over = || until.is_some_and(|until| until <= Instant::now());
    let pattern = pattern(store, lost);
    let mut cursor = b"0".to_vec();
    while !is_over() {
        let scan = Call::read(first.slot, "SCAN").arg(&cursor).arg("MATCH").arg(&pattern);
        let scan = scan.arg("COUNT").arg(STEP);
        let (next, items) = reply::scanned(store.wire.call(scan, store.deadline()).await?)?;
        if !stays(first) {
            return Ok(());
        }
        for items in items.chunks(PORTION).take_while(|_| !is_over()) {
            rebuilt.items += restore(store, lost, items).await?;
        }
        if next == b"0" && !is_over() {
            let whole = lost.values().copied().filter(|bucket| stays(bucket));
            return store.mark(whole, store.deadline()).await;
        }
        cursor = next;
    }
    rebuilt.is_unfinished = true;
    Ok(())
}

/// What the keys of items look like: those of one bucket, or of all.
fn pattern(store: &Store, lost: &Lost<'_>) -> Vec<u8> {
    let (before, behind) = match lost.keys().next() {
        Some(items) if lost.len() == 1 => (*items, &b"*"[..]),
        _ => (store.config.prefix.as_bytes(), &b":{*}:i:*"[..]),
    };
    let mut pattern = Vec::with_capacity(2 * before.len() + behind.len());
    for byte in before {
        if b"*?[]\\^-".contains(byte) {
            pattern.push(b'\\');
        }
        pattern.push(*byte);
    }
    pattern.extend_from_slice(behind);
    pattern
}

/// Puts items back into the indexes of their buckets.
async fn restore(store: &Store, lost: &Lost<'_>, items: &[Vec<u8>]) -> Result<u64> {
    let calls = items.iter().filter_map(|item| {
        let bucket = lost.get(before_name(item)?)?;
        let call = Call::script(bucket.slot, &scripts::REINDEX, Access::Write);
        Some(call.key(item).key(&bucket.index).arg(store.flag()))
    });
    let mut restored = 0;
    for answer in store.wire.call_all(calls.collect(), store.deadline()).await {
        match answer? {
            Value::Array(_) => tracing::warn!("a damaged item cannot be put back into the index"),
            answer => restored += reply::number(&answer)?,
        }
    }
    Ok(restored)
}

/// What the key of an item holds before its content type: the braces of the bucket are the first ones.
fn before_name(item: &[u8]) -> Option<&[u8]> {
    let tag = item.iter().position(|byte| *byte == b'}')?;
    item.get(..tag + b"}:i:".len())
}
