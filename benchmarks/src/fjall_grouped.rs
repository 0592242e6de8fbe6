//! Bare fjall with group commit: the same entries as storage-fs writes, and nothing of its contract.
//!
//! No condition, no version, no old index entries to remove, no checksum of its own: what is left is the engine's price.

use std::{path::Path, sync::mpsc, thread};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use storage_core::{Clock as _, ItemKey, SaveRequest, SystemClock};
use tokio::sync::oneshot;

use crate::maps::Store;

/// Entries of one save: keyspace, key, value.
type Entries = Vec<(usize, Vec<u8>, Vec<u8>)>;

const KEYSPACES: [&str; 4] = ["items", "tags", "created", "updated"];

/// A database with one writer thread that commits what waits together.
pub(crate) struct GroupedFjall {
    items: Keyspace,
    queue: mpsc::Sender<(Entries, oneshot::Sender<()>)>,
}

impl GroupedFjall {
    /// Opens a database with a cache of `cache` bytes.
    pub(crate) fn open(path: &Path, cache: u64) -> Self {
        let database = Database::builder(path).cache_size(cache).open().expect("the engine opens");
        let spaces: Vec<_> = KEYSPACES
            .iter()
            .map(|name| database.keyspace(name, KeyspaceCreateOptions::default).expect("a keyspace opens"))
            .collect();
        let items = spaces[0].clone();
        let (queue, waiting) = mpsc::channel();
        thread::spawn(move || write(&database, &spaces, &waiting));
        Self { items, queue }
    }
}

fn write(database: &Database, spaces: &[Keyspace], waiting: &mpsc::Receiver<(Entries, oneshot::Sender<()>)>) {
    while let Ok(first) = waiting.recv() {
        let mut batch = database.batch().durability(Some(PersistMode::SyncData));
        let mut callers = Vec::new();
        for (entries, caller) in std::iter::once(first).chain(waiting.try_iter()) {
            for (space, key, value) in entries {
                batch.insert(&spaces[space], key, value);
            }
            callers.push(caller);
        }
        batch.commit().expect("the engine commits");
        for caller in callers {
            // A caller that has gone needs no answer.
            let _gone = caller.send(());
        }
    }
}

impl Store for GroupedFjall {
    async fn save(&self, request: SaveRequest<'_>) {
        let (caller, done) = oneshot::channel();
        self.queue.send((entries(&request), caller)).expect("the writer lives");
        done.await.expect("the writer answers");
    }

    async fn load(&self, key: ItemKey<'_>) -> bool {
        self.items.get(item_key(key)).expect("the engine reads").is_some()
    }
}

fn item_key(key: ItemKey<'_>) -> Vec<u8> {
    [key.content_type().as_bytes(), &[0], key.key().as_bytes()].concat()
}

/// The item, one entry a tag, created and updated: as long as those of storage-fs.
fn entries(request: &SaveRequest<'_>) -> Entries {
    // What the record of storage-fs holds beside payload, encoding and tags.
    const HEAD: usize = 58;
    let item = item_key(request.key);
    let mut record = vec![0; HEAD];
    record.extend_from_slice(request.encoding.as_str().as_bytes());
    for (name, value) in request.tags.iter() {
        record.extend_from_slice(&[0; 3]);
        record.extend_from_slice(name.as_bytes());
        record.extend_from_slice(value.as_bytes());
    }
    record.extend_from_slice(&request.data);
    let time = SystemClock.now().as_micros().to_be_bytes();
    let mut entries = vec![(0, item.clone(), record)];
    for (name, value) in request.tags.iter() {
        let tag = xxhash_rust::xxh3::xxh3_64([name.as_bytes(), &[0], value.as_bytes()].concat().as_slice());
        entries.push((1, [&tag.to_be_bytes()[..], &item].concat(), Vec::new()));
    }
    entries.push((2, [&time[..], &item].concat(), Vec::new()));
    entries.push((3, [&time[..], &item].concat(), Vec::new()));
    entries
}
