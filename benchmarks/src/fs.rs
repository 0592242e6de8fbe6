//! The fs provider beside bare fjall with group commit, and beside one file per item.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use storage_core::{SaveRequest, StorageProvider};
use storage_fs::{FsConfig, FsProvider};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::{
    Options,
    files::Files,
    fjall_grouped::GroupedFjall,
    items, latency,
    maps::{Provider, Store},
    measure::{Turn, Until, Workload, median, median_turn, runtime, turn},
    memory::searched,
    table::{Better, Table},
};

/// The cache of both engines: enough for the whole set of the load bench.
const CACHE: u64 = 512 << 20;

/// Measures durable saves, loads, tag search, opening and the size on disk.
pub(crate) fn run(options: &Options, table: &mut Table) {
    saves(options, table);
    loads(options, table);
    sizes(options, table);
    large(options, table);
}

fn large(options: &Options, table: &mut Table) {
    let (runtime, directory) = (runtime(), scratch(options));
    latency::measure(options, "fs", &provider(&runtime, directory.path()), table);
}

pub(crate) fn scratch(options: &Options) -> TempDir {
    TempDir::with_prefix_in("bench-", &options.directory).expect("the directory is writable")
}

pub(crate) fn provider(runtime: &Runtime, path: &Path) -> Arc<dyn StorageProvider> {
    let config = FsConfig { cache_size: CACHE, ..FsConfig::default() };
    let open = FsProvider::builder(path).config(config).open();
    Arc::new(runtime.block_on(open).expect("the provider opens"))
}

/// Durable saves of new items.
struct Saves<S> {
    store: S,
    payload: Bytes,
    tasks: u64,
}

impl<S: Store> Workload for Saves<S> {
    async fn step(&self, task: u64, n: u64) {
        let at = n * self.tasks + task;
        let key = items::key(at.wrapping_mul(999_999_937) % 1_000_000_000);
        self.store.save(items::request(&key, at, &self.payload)).await;
    }
}

/// Measures durable saves.
pub(crate) fn saves(options: &Options, table: &mut Table) {
    let names = [
        "storage-fs (indexed)",
        "bare fjall, grouped, same entries",
        "file per item, fsync + rename + dirsync",
    ];
    for tasks in [1, 64] {
        let mut turns: [Vec<Turn>; 3] = Default::default();
        for _ in 0..options.rounds {
            turns[0].push(save_turn(options, tasks, |runtime, path| Provider(provider(runtime, path))));
            turns[1].push(save_turn(options, tasks, |_, path| GroupedFjall::open(path, CACHE)));
            turns[2].push(save_turn(options, tasks, |_, path| Files::new(path.to_owned())));
        }
        let what = format!("fs: durable save, 256 B and 3 tags, {tasks} tasks");
        for (name, turns) in names.iter().zip(&turns) {
            table.add(&what, name, median_turn(turns).per_second, "/s", Better::More);
        }
        for (name, turns) in names.iter().zip(&turns) {
            table.add(&format!("{what}: p99"), name, median_turn(turns).p99_micros, "µs", Better::Less);
        }
    }
    raw_write(options, table);
}

fn save_turn<S: Store>(options: &Options, tasks: u64, open: impl FnOnce(&Runtime, &Path) -> S) -> Turn {
    let (runtime, directory) = (runtime(), scratch(options));
    let store = open(&runtime, directory.path());
    let workload = Arc::new(Saves { store, payload: items::payload(), tasks });
    turn(&runtime, &workload, tasks, Until::Elapsed(Duration::from_secs_f64(options.seconds)))
}

/// The floor below every durable save of one task: append the bytes of one save, fdatasync.
fn raw_write(options: &Options, table: &mut Table) {
    use std::io::Write;
    // Record and index entries of one save come to about this many bytes in the engine's journal.
    let bytes = vec![b'x'; 640];
    let directory = scratch(options);
    let mut file = std::fs::File::create(directory.path().join("raw")).expect("the file is created");
    let (began, mut writes) = (Instant::now(), 0);
    while began.elapsed().as_secs_f64() < options.seconds {
        file.write_all(&bytes).and_then(|()| file.sync_data()).expect("the disk writes");
        writes += 1;
    }
    let rate = f64::from(writes) / began.elapsed().as_secs_f64();
    table.add(
        "fs: durable save, 256 B and 3 tags, 1 tasks",
        "write + fdatasync of 640 B",
        rate,
        "/s",
        Better::More,
    );
}

/// Loads of items that were saved before.
struct Loads<S> {
    store: S,
    keys: Arc<Vec<String>>,
}

impl<S: Store> Workload for Loads<S> {
    async fn step(&self, task: u64, n: u64) {
        let at = (n * 7_919 + task * 104_729) as usize % self.keys.len();
        assert!(self.store.load(items::identity(&self.keys[at])).await, "a saved item is found");
    }
}

/// Measures warm loads.
pub(crate) fn loads(options: &Options, table: &mut Table) {
    const COUNT: u64 = 100_000;
    let (runtime, ours_at, fjall_at, files_at) =
        (runtime(), scratch(options), scratch(options), scratch(options));
    let keys = Arc::new((0..COUNT).map(items::key).collect::<Vec<_>>());
    let ours = Loads { store: Provider(provider(&runtime, ours_at.path())), keys: Arc::clone(&keys) };
    fill(&runtime, &ours.store.0, 0, COUNT);
    let fjall = Loads { store: GroupedFjall::open(fjall_at.path(), CACHE), keys: Arc::clone(&keys) };
    let files = Loads { store: Files::new(files_at.path().to_owned()), keys: Arc::clone(&keys) };
    runtime.block_on(async {
        for start in (0..COUNT).step_by(1_000) {
            let payload = items::payload();
            let keys = &keys;
            let saves = (start..start + 1_000)
                .map(|n| fjall.store.save(items::request(&keys[n as usize], n, &payload)));
            futures_util::future::join_all(saves).await;
        }
        for n in 0..COUNT {
            std::fs::write(files_at.path().join(keys[n as usize].replace(':', "_")), items::payload())
                .expect("the file is written");
        }
    });
    let (ours, fjall, files) = (Arc::new(ours), Arc::new(fjall), Arc::new(files));
    let mut turns: [Vec<Turn>; 3] = Default::default();
    let until = Until::Elapsed(Duration::from_secs_f64(options.seconds));
    for _ in 0..options.rounds {
        turns[0].push(turn(&runtime, &ours, 8, until));
        turns[1].push(turn(&runtime, &fjall, 8, until));
        turns[2].push(turn(&runtime, &files, 8, until));
    }
    let what = format!("fs: warm load, {COUNT} items, 8 tasks");
    for (name, turns) in ["storage-fs", "bare fjall, same cache", "file per item"].iter().zip(&turns) {
        table.add(&what, name, median_turn(turns).per_second, "/s", Better::More);
    }
}

/// Saves the items `from..to` in batches.
pub(crate) fn fill(runtime: &Runtime, provider: &Arc<dyn StorageProvider>, from: u64, to: u64) {
    let payload = items::payload();
    runtime.block_on(async {
        for start in (from..to).step_by(1_000) {
            let keys: Vec<_> = (start..to.min(start + 1_000)).map(items::key).collect();
            let requests: Vec<SaveRequest<'_>> =
                keys.iter().zip(start..).map(|(key, n)| items::request(key, n, &payload)).collect();
            for answer in provider.save_many(requests).await {
                answer.expect("the provider saves");
            }
        }
    });
}

/// One store that grows from 10,000 to a million items: search, opening and bytes at each size.
fn sizes(options: &Options, table: &mut Table) {
    let (runtime, directory) = (runtime(), scratch(options));
    let mut filled = 0;
    for count in [10_000, 100_000, 1_000_000_u64] {
        let store = provider(&runtime, directory.path());
        fill(&runtime, &store, filled, count);
        filled = count;
        let times: Vec<_> =
            (0..200).map(|n| searched(&runtime, &store, n * 7 % (count / items::GROUP))).collect();
        table.add(
            &format!("fs: search by tag, {} of {count} items", items::GROUP),
            "storage-fs",
            median(times),
            "µs",
            Better::Less,
        );

        let crashed = image(directory.path(), options);
        runtime.block_on(store.close()).expect("the provider closes");
        drop(store);
        opening(&runtime, directory.path(), &format!("fs: open {count} items after close"), table);
        opening(&runtime, crashed.path(), &format!("fs: open {count} items after kill -9"), table);
        let bytes = size(directory.path()) as f64 / count as f64;
        table.add(
            &format!("fs: bytes per item on disk, {count} items"),
            "storage-fs (256 B payload, 3 tags)",
            bytes,
            "B",
            Better::Less,
        );
    }
}

fn opening(runtime: &Runtime, path: &Path, what: &str, table: &mut Table) {
    let began = Instant::now();
    let store = provider(runtime, path);
    let opened = began.elapsed().as_secs_f64() * 1e3;
    runtime.block_on(store.close()).expect("the provider closes");
    table.add(what, "storage-fs", opened, "ms", Better::Less);
}

/// Copies the files as they are: what a killed process leaves behind.
///
/// The engine goes on merging tables meanwhile; a copy that one of them escaped is made again.
fn image(from: &Path, options: &Options) -> TempDir {
    const TRIES: usize = 100;
    for _ in 0..TRIES {
        let target = scratch(options);
        match copy(from, target.path()) {
            Ok(()) => return target,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => panic!("the store cannot be copied: {error}"),
        }
    }
    panic!("the files of the store never stood still");
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    for entry in files(from) {
        let target = to.join(entry.strip_prefix(from).expect("the entry lies below"));
        std::fs::create_dir_all(target.parent().expect("a file has a parent"))?;
        std::fs::copy(&entry, &target)?;
    }
    Ok(())
}

fn size(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    files(path).iter().map(|file| std::fs::metadata(file).map_or(0, |data| data.blocks() * 512)).sum()
}

fn files(path: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).expect("the directory is readable") {
        let path = entry.expect("the entry is readable").path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}
