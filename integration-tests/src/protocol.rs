//! What parent and child say to each other: a job on the command line, and lines of JSON through the child's output.

use std::{
    io::{Write, stdout},
    path::PathBuf,
    process::exit,
};

use serde::{Deserialize, Serialize};
use storage_core::{Bytes, Encoding, ItemKey, StorageMetadata, Tags, Timestamp};

use crate::store::Settings;

/// The tag that names the call which wrote an item; the payload follows from it, so that a mix of two saves shows.
pub(crate) const OP: &str = "op";

/// What a child is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Job {
    /// The directory of the store.
    pub directory: PathBuf,
    /// How it is opened.
    pub settings: Settings,
    /// And then.
    pub plan: Plan,
}

/// What a child does with the opened store.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Plan {
    /// Compares the store with a model, then works on it until it is killed or its input ends.
    Torture {
        /// The file that holds the model.
        model: PathBuf,
        /// Seeds the work.
        seed: u64,
    },
    /// Compares the store with a model and closes it.
    Check {
        /// The file that holds the model.
        model: PathBuf,
    },
    /// Holds the store open until its input ends.
    Hold,
    /// Saves and deletes one after the other, `calls` times, in an order that is always the same, then closes.
    Sequence {
        /// Number of calls.
        calls: u32,
    },
    /// Opens the store with at most `files` open files to spare, saves large payloads at once, then frees the files.
    FewFiles {
        /// How many files the test may open.
        files: u32,
    },
    /// Saves `count` items of `size` bytes at once and reports the most memory that the process ever had.
    Flood {
        /// Number of saves.
        count: u32,
        /// Payload bytes of each.
        size: usize,
    },
}

/// One change of one item.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Entry {
    /// The item, as content type, `|` and key.
    pub name: String,
    /// The change.
    pub action: Action,
}

/// A change of an item.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Action {
    /// A save.
    Save {
        /// Its deadline.
        expires_at: Option<Timestamp>,
        /// Its tags, with the name of the call.
        tags: Tags,
        /// Its encoding.
        encoding: Encoding,
        /// The size of its payload.
        size: u64,
    },
    /// A touch.
    Touch {
        /// The new deadline.
        expires_at: Option<Timestamp>,
    },
    /// A delete, perhaps of one version only.
    Delete {
        /// That version.
        version: Option<u64>,
    },
}

/// What a call answered for one entry.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Outcome {
    /// The item as it is stored now.
    Live(StorageMetadata),
    /// Whether a live item was deleted.
    Gone(bool),
    /// The touched item was not there.
    Missing,
    /// The condition did not hold, or a short deadline passed while the call waited.
    Refused,
    /// It failed; the kind and the text.
    Failed(String, String),
}

/// One line from a child.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Line {
    /// The store is open.
    Opened,
    /// It could not be opened.
    NotOpened(String, String),
    /// The store agrees with the model and holds exactly these items.
    Agrees(Vec<StorageMetadata>),
    /// The store does not agree with the model, or a read was wrong.
    Disagrees(String),
    /// A task is about to make a call.
    Intent(u32, Vec<Entry>),
    /// The call of that task returned.
    Answer(u32, Vec<Outcome>),
    /// The most bytes of memory that the process had, when the store was open and at the end.
    Memory(u64, u64),
    /// The store was closed without an error.
    Closed,
}

impl Line {
    /// Sends the line in one write. A child without parent has nothing left to do.
    pub fn send(&self) {
        let mut text = serde_json::to_vec(self).expect("lines are JSON");
        text.push(b'\n');
        let mut out = stdout().lock();
        if out.write_all(&text).and_then(|()| out.flush()).is_err() {
            exit(3);
        }
    }
}

/// The name of an item in lines and models.
pub(crate) fn name(content_type: &str, key: &str) -> String {
    format!("{content_type}|{key}")
}

/// The identity behind a name.
pub(crate) fn item_key(name: &str) -> ItemKey<'_> {
    let (content_type, key) = name.split_once('|').expect("names hold a separator");
    ItemKey::new(content_type, key).expect("names are made of valid parts")
}

/// The payload that the call `op` saves.
pub fn payload(op: &str, size: u64) -> Bytes {
    let seed = op.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut bytes = vec![0; usize::try_from(size).expect("payloads fit in memory")];
    fastrand::Rng::with_seed(seed).fill(&mut bytes);
    bytes.into()
}
