//! What a child process does.

use std::{
    fs,
    io::{Read, stdin},
    path::Path,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use storage_core::{Condition, Encoding, SaveRequest, StorageProvider, Tags, Timestamp};
use storage_fs::FsProvider;
use tokio::runtime::Builder;

use crate::{
    check::{check, check_item, scrub},
    model::Model,
    protocol::{Action, Entry, Job, Line, OP, Outcome, Plan, item_key, name},
    store::HeldClock,
    witness::Pipe,
    workload::{Workload, deleted, request, saved},
};

/// Does a job and says so line by line.
pub fn run(job: &Job) -> ExitCode {
    let runtime =
        Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime can be built");
    let clock = HeldClock::default();
    clock.hold();
    let opened = runtime.block_on(job.settings.open(&job.directory, Arc::new(clock.clone())));
    let store = match opened {
        Ok(store) => Arc::new(store),
        Err(error) => {
            Line::NotOpened(error.kind().to_string(), format!("{error:?}")).send();
            return ExitCode::from(4);
        }
    };
    Line::Opened.send();
    match runtime.block_on(follow(job, &store, &clock)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            Line::Disagrees(why).send();
            ExitCode::from(1)
        }
    }
}

async fn follow(job: &Job, store: &Arc<FsProvider>, clock: &HeldClock) -> Result<(), String> {
    match &job.plan {
        Plan::Torture { model, seed } => {
            agree(store, model, clock).await?;
            clock.release();
            let stop = until_input_ends();
            let store: Arc<dyn StorageProvider> = Arc::clone(store) as _;
            Workload { store, witness: Arc::new(Pipe), seed: *seed, stop }.run().await;
        }
        Plan::Check { model } => agree(store, model, clock).await?,
        Plan::Hold => {
            clock.release();
            wait_for_end_of_input();
        }
        Plan::Sequence { calls } => {
            clock.release();
            sequence(store, *calls).await;
        }
        Plan::FewFiles { files } => {
            clock.release();
            few_files(store, *files).await;
        }
        Plan::Flood { count, size } => {
            clock.release();
            flood(store, *count, *size).await?;
        }
    }
    store.close().await.map_err(|error| format!("close: {error:?}"))?;
    Line::Closed.send();
    Ok(())
}

async fn agree(store: &FsProvider, model: &Path, clock: &HeldClock) -> Result<(), String> {
    let text = fs::read(model).map_err(|error| error.to_string())?;
    let model: Model = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    let items = check(store, &model, clock.hold()).await?;
    scrub(store).await?;
    Line::Agrees(items).send();
    Ok(())
}

fn wait_for_end_of_input() {
    drop(stdin().read_to_end(&mut Vec::new()));
}

fn until_input_ends() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    thread::spawn(move || {
        wait_for_end_of_input();
        flag.store(true, Ordering::Relaxed);
    });
    stop
}

/// Calls one after the other: what each changed is certain, whichever of them fails.
async fn sequence(store: &FsProvider, calls: u32) {
    for call in 0..calls {
        let entry = sequence_entry(call);
        Line::Intent(0, vec![entry.clone()]).send();
        let outcome = match &entry.action {
            Action::Save { .. } => saved(store.save(request(&entry, Condition::None)).await),
            _ => deleted(store.delete(item_key(&entry.name), Condition::None).await),
        };
        let has_failed = matches!(outcome, Outcome::Failed(..));
        Line::Answer(0, vec![outcome]).send();
        if has_failed {
            still_readable(store).await;
        }
    }
}

/// A store that refuses writes is read all the same.
async fn still_readable(store: &FsProvider) {
    for key in 0..SEQUENCE_KEYS {
        let name = name("note", &format!("item-{key}"));
        match store.load(item_key(&name)).await {
            Ok(Some(item)) => {
                if let Err(why) = check_item(&item, Timestamp::MIN) {
                    Line::Disagrees(why).send();
                }
            }
            Ok(None) => {}
            Err(error) => Line::Disagrees(format!("load of {name} after a failed write: {error:?}")).send(),
        }
    }
}

const SEQUENCE_KEYS: u32 = 5;

fn sequence_entry(call: u32) -> Entry {
    let name = name("note", &format!("item-{}", call % SEQUENCE_KEYS));
    if call % 4 == 3 {
        return Entry { name, action: Action::Delete { version: None } };
    }
    let tags = Tags::from([(OP, format!("call-{call}"))]);
    let size = if call % 3 == 1 { 6_000 } else { 100 };
    Entry { name, action: Action::Save { expires_at: None, tags, encoding: Encoding::RAW, size } }
}

/// Leaves the process `files` open files to spare, saves large payloads at once, frees the files and saves again.
async fn few_files(store: &Arc<FsProvider>, files: u32) {
    let mut hoard: Vec<fs::File> = std::iter::from_fn(|| fs::File::open("/dev/null").ok()).collect();
    hoard.truncate(hoard.len().saturating_sub(files as usize));
    burst(store, "scarce", 24).await;
    drop(hoard);
    burst(store, "plenty", 24).await;
}

async fn burst(store: &Arc<FsProvider>, prefix: &str, count: u32) {
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..count {
        let tags = Tags::from([(OP, format!("{prefix}-{number}"))]);
        let size = 20_000;
        let action = Action::Save { expires_at: None, tags, encoding: Encoding::RAW, size };
        let entry = Entry { name: name("note", &format!("{prefix}-{number}")), action };
        let store = Arc::clone(store);
        tasks.spawn(async move {
            Line::Intent(number, vec![entry.clone()]).send();
            let answer = store.save(request(&entry, Condition::None)).await;
            Line::Answer(number, vec![saved(answer)]).send();
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.expect("no task panics");
    }
}

/// Saves `count` items at once, then reads each back.
async fn flood(store: &Arc<FsProvider>, count: u32, size: usize) -> Result<(), String> {
    let before = peak_memory();
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..count {
        let store = Arc::clone(store);
        let data = vec![number.to_le_bytes()[0]; size];
        tasks.spawn(async move {
            let key = format!("item-{number}");
            store.save(SaveRequest::new(item_key(&name("note", &key)), data)).await.map(drop)
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.expect("no task panics").map_err(|error| format!("save: {error:?}"))?;
    }
    let after = peak_memory();
    for number in 0..count {
        let name = name("note", &format!("item-{number}"));
        let item = store.load(item_key(&name)).await.map_err(|error| format!("load: {error:?}"))?;
        let is_right = item.is_some_and(|item| *item.data == vec![number.to_le_bytes()[0]; size]);
        if !is_right {
            return Err(format!("{name} is lost"));
        }
    }
    Line::Memory(before, after).send();
    Ok(())
}

/// The most bytes of memory that this process ever had.
fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux tells about its processes");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the peak is there");
    let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().expect("the peak is a number");
    kibibytes * 1_024
}
