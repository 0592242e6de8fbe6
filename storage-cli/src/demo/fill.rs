//! The first part of the tour: saving files, in batches, with bounded memory.

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use storage_manager::{ErrorKind, ItemKey, SaveRequest};
use tokio::{
    sync::mpsc::{self, Receiver, Sender},
    task::spawn_blocking,
};

use super::{
    samples,
    scan::{Found, Skipped, Source, Walk},
};
use crate::{error::Failure, store::Store};

/// A batch is saved when it has this many items …
const BATCH_ITEMS: usize = 256;
/// … or this many bytes.
const BATCH_BYTES: usize = 8 * 1_024 * 1_024;

/// What was saved and what was left out.
#[derive(Debug, Default)]
pub(super) struct Filled {
    pub(super) items: u64,
    pub(super) bytes: u64,
    pub(super) elapsed: Duration,
    pub(super) skipped: BTreeMap<Skipped, u64>,
    /// There was no file, so that samples were saved.
    pub(super) are_samples: bool,
    content_types: BTreeMap<String, u64>,
    folders: BTreeMap<String, u64>,
    /// The first item that reads well on a terminal: content type and key.
    pub(super) readable: Option<(String, String)>,
}

impl Filled {
    /// The content type with most items.
    pub(super) fn main_content_type(&self) -> Option<&str> {
        most(&self.content_types)
    }

    /// The top folder with most items; `None` if all files lie at the top.
    pub(super) fn main_folder(&self) -> Option<&str> {
        most(&self.folders)
    }

    fn count(&mut self, source: &Source) {
        self.items += 1;
        self.bytes += source.data.len() as u64;
        *self.content_types.entry(source.content_type.clone()).or_default() += 1;
        if let Some((folder, _)) = source.key.split_once('/') {
            *self.folders.entry(folder.to_owned()).or_default() += 1;
        }
        if self.readable.is_none() && reads_well(&source.data) {
            self.readable = Some((source.content_type.clone(), source.key.clone()));
        }
    }

    fn skip(&mut self, reason: Skipped, count: u64) {
        if count > 0 {
            *self.skipped.entry(reason).or_default() += count;
        }
    }
}

fn most(counts: &BTreeMap<String, u64>) -> Option<&str> {
    counts.iter().max_by_key(|(_, count)| **count).map(|(name, _)| name.as_str())
}

fn reads_well(data: &[u8]) -> bool {
    (1..4_096).contains(&data.len())
        && str::from_utf8(data).is_ok_and(|text| !text.chars().any(|c| c.is_control() && !c.is_whitespace()))
}

/// Saves every file below `dir`, or samples if there is none. `visible` shows a progress bar on a terminal.
pub(super) async fn fill(
    store: &Store,
    dir: &Path,
    own_store: Option<&Path>,
    visible: bool,
) -> Result<Filled, Failure> {
    let (dir, own_store) = (dir.to_owned(), own_store.map(Path::to_owned));
    let expected = count_files(dir.clone(), own_store.clone()).await?;
    let bar = if visible { progress_bar(expected.values().sum()) } else { ProgressBar::hidden() };
    for content_type in largest(expected) {
        store.add_route(&content_type)?;
    }
    let started = Instant::now();
    let (sender, batches) = mpsc::channel(2);
    // The reader ends when the receiver is gone, so that waiting for it below takes no longer than one batch.
    let reader = spawn_blocking(move || read(&dir, own_store.as_deref(), &sender));
    let filled = save_all(store, batches, &bar).await;
    bar.finish_and_clear();
    reader.await.map_err(|error| Failure::io("the files could not be read", &error.into()))?;
    let mut filled = filled?;
    if filled.items == 0 {
        filled.are_samples = true;
        save_batch(store, &samples::all(), &mut filled).await?;
    }
    filled.elapsed = started.elapsed();
    Ok(filled)
}

/// A bar on standard error, which shows nothing where that is no terminal.
fn progress_bar(files: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} files  {per_sec}  {eta}");
    ProgressBar::new(files).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// How many files of each content type there are.
async fn count_files(dir: PathBuf, own_store: Option<PathBuf>) -> Result<BTreeMap<String, u64>, Failure> {
    let shown = dir.display().to_string();
    let count = move || {
        let mut counts = BTreeMap::new();
        for candidate in Walk::new(&dir, own_store.as_deref())?.flatten() {
            *counts.entry(candidate.content_type()).or_insert(0) += 1;
        }
        Ok::<_, io::Error>(counts)
    };
    let counted = spawn_blocking(count).await.unwrap_or_else(|error| Err(error.into()));
    counted.map_err(|error| Failure::io(format!("{shown} cannot be read"), &error))
}

/// The few content types with most files.
fn largest(counts: BTreeMap<String, u64>) -> impl Iterator<Item = String> {
    const FEW: usize = 3;
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| Reverse(*count));
    counts.into_iter().take(FEW).map(|(content_type, _)| content_type)
}

/// A batch of items, and what was left out on the way to it.
#[derive(Debug, Default)]
struct Batch {
    sources: Vec<Source>,
    bytes: usize,
    skipped: BTreeMap<Skipped, u64>,
}

impl Batch {
    fn add(&mut self, found: Found) {
        match found.and_then(Source::read) {
            Ok(source) => {
                self.bytes += source.data.len();
                self.sources.push(source);
            }
            Err(reason) => *self.skipped.entry(reason).or_default() += 1,
        }
    }

    const fn is_full(&self) -> bool {
        self.sources.len() >= BATCH_ITEMS || self.bytes >= BATCH_BYTES
    }
}

/// Reads files into batches until there are no more, or nobody takes them any more.
fn read(dir: &Path, own_store: Option<&Path>, batches: &Sender<Batch>) {
    let mut batch = Batch::default();
    match Walk::new(dir, own_store) {
        Ok(walk) => {
            for found in walk {
                batch.add(found);
                if batch.is_full() && batches.blocking_send(std::mem::take(&mut batch)).is_err() {
                    return;
                }
            }
        }
        // It could be listed a moment ago.
        Err(_) => batch.add(Err(Skipped::Unreadable)),
    }
    // Nobody to take the last batch means that saving failed, which is reported there.
    let _ = batches.blocking_send(batch);
}

async fn save_all(store: &Store, mut batches: Receiver<Batch>, bar: &ProgressBar) -> Result<Filled, Failure> {
    let mut filled = Filled::default();
    while let Some(batch) = batches.recv().await {
        save_batch(store, &batch.sources, &mut filled).await?;
        for (reason, count) in batch.skipped {
            filled.skip(reason, count);
        }
        bar.inc(batch.sources.len() as u64);
    }
    Ok(filled)
}

async fn save_batch(store: &Store, sources: &[Source], filled: &mut Filled) -> Result<(), Failure> {
    let mut requests = Vec::with_capacity(sources.len());
    for source in sources {
        let key = ItemKey::new(&source.content_type, &source.key)?;
        requests.push(SaveRequest::new(key, source.data.clone()).tags(source.tags.clone()));
    }
    for (source, saved) in sources.iter().zip(store.save_many(requests).await) {
        match saved {
            Ok(_) => filled.count(source),
            // What one file alone suffers from does not end the tour.
            Err(error) => match error.kind() {
                ErrorKind::TooLarge { .. } => filled.skip(Skipped::TooLarge, 1),
                ErrorKind::Invalid | ErrorKind::InvalidKey => filled.skip(Skipped::UnfitName, 1),
                _ => return Err(error.into()),
            },
        }
    }
    Ok(())
}
