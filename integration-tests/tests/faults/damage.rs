//! Faults 4 and 5: files that are cut, flipped, zeroed or swapped. Nothing may be wrong, and nothing may be missing in
//! silence: either the store does not open and says why, or what cannot be read is an error that names it.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use fastrand::Rng;
use storage_core::{ErrorKind, StorageItem, StorageProvider, StorageQuery};
use storage_fs::{FsProvider, VerifyReport};

use crate::{
    image::Image,
    support::{Ground, assert_holds, key, number_from, open, put, seed, try_open},
};

/// A store to damage: its image after a kill and after an orderly close, and what it holds.
struct Sample {
    killed: Image,
    closed: Image,
    items: BTreeMap<String, StorageItem>,
    /// Everything that was ever acknowledged.
    history: Vec<StorageItem>,
}

/// What damage led to, over many cases.
#[derive(Debug, Default)]
struct Verdict {
    /// The store did not open, and said that it is damaged.
    refused: u32,
    /// It opened, and a read or the scrub named the damage.
    named: u32,
    /// It opened with all it ever held.
    whole: u32,
    /// A value or metadata was not what was saved, or an item came from nowhere.
    wrong: Vec<String>,
    /// An item was missing without an error.
    silent: Vec<String>,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { refused, named, whole, wrong, silent } = self;
        let (wrong, silent) = (wrong.len(), silent.len());
        write!(f, "{refused} refused, {named} named, {whole} whole, {wrong} wrong, {silent} silently missing")
    }
}

impl Verdict {
    fn assert_honest(&self, what: &str) {
        println!("{what}: {self}");
        assert!(self.wrong.is_empty(), "{what}: {self}\n{:#?}", self.wrong);
        assert!(self.silent.is_empty(), "{what}: {self}\n{:#?}", self.silent);
    }
}

async fn sample(folder: &Path) -> Sample {
    let root = folder.join("sample");
    let store = open(&root).await;
    let (mut items, mut history) = (BTreeMap::new(), Vec::new());
    for number in 0..40_u64 {
        let name = format!("item-{number}");
        let size = if number % 10 == 0 { 5_000 } else { 50 + number };
        items.insert(name.clone(), put(&store, &name, size).await.unwrap());
    }
    history.extend(items.values().cloned());
    // Some are replaced and some are gone, so that there is something old to come back.
    for number in 0..10_u64 {
        let name = format!("item-{number}");
        items.insert(name.clone(), put(&store, &name, 70).await.unwrap());
    }
    for number in 30..35_u64 {
        let name = format!("item-{number}");
        assert!(store.delete(key(&name), storage_core::Condition::None).await.unwrap());
        items.remove(&name);
    }
    // Files of replaced payloads are removed in the background.
    crate::support::eventually("replaced files go", || async {
        std::fs::read_dir(root.join("blobs")).unwrap().count() == blobs_of(&items)
    })
    .await;
    history.extend(items.values().cloned());
    let killed = Image::of(&root);
    store.close().await.unwrap();
    Sample { killed, closed: Image::of(&root), items, history }
}

fn blobs_of(items: &BTreeMap<String, StorageItem>) -> usize {
    items.values().filter(|item| item.metadata.size > 4_096).count()
}

/// Opens a damaged image and compares everything with what was saved.
async fn judge(
    root: &Path,
    image: &Image,
    items: &BTreeMap<String, StorageItem>,
    case: &str,
    verdict: &mut Verdict,
) {
    image.restore(root);
    let store = match try_open(root).await {
        Ok(store) => store,
        Err(error) => {
            let kind = error.kind();
            assert!(matches!(kind, ErrorKind::Corrupted | ErrorKind::Config), "{case}: {error:?}");
            verdict.refused += 1;
            return;
        }
    };
    let mut is_named = false;
    for (name, item) in items {
        match store.load(key(name)).await {
            Ok(Some(found)) if found == *item => {}
            Ok(Some(found)) => verdict.wrong.push(format!("{case}: {name} is {:?}", found.metadata)),
            Ok(None) => verdict.silent.push(format!("{case}: {name}")),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Corrupted, "{case}: {error:?}");
                assert_eq!(error.key(), Some(name.as_str()), "{case}: {error:?}");
                is_named = true;
            }
        }
    }
    for query in queries() {
        is_named |= judge_search(&store, &query, items, case, verdict).await;
    }
    let scrub = store.verify().await;
    let is_clean = scrub.as_ref().is_ok_and(VerifyReport::is_clean);
    if is_named && is_clean {
        verdict.silent.push(format!("{case}: verify saw nothing"));
    }
    if is_named || !is_clean {
        verdict.named += 1;
    } else {
        verdict.whole += 1;
    }
    if (verdict.named + verdict.whole).is_multiple_of(8) {
        // Closing may meet the damage too; it must end all the same.
        drop(tokio::time::timeout(Duration::from_secs(30), store.close()).await.expect("close ends"));
    }
}

fn queries() -> [StorageQuery; 4] {
    use storage_core::Order;
    [
        StorageQuery::new().page_size(1_000),
        StorageQuery::new().metadata_only().order(Order::CREATED).page_size(7),
        StorageQuery::new().metadata_only().order(Order::UPDATED.descending()),
        StorageQuery::new().tag("op", "item-7"),
    ]
}

/// A search answers in full or says that it cannot.
async fn judge_search(
    store: &FsProvider,
    query: &StorageQuery,
    items: &BTreeMap<String, StorageItem>,
    case: &str,
    verdict: &mut Verdict,
) -> bool {
    let now = storage_core::Clock::now(&storage_core::SystemClock);
    let compiled = query.compile().unwrap();
    let expected = items.values().filter(|item| compiled.matches(&item.metadata, now)).count();
    let mut query = query.clone();
    let mut found = 0;
    loop {
        let page = match store.search(&query).await {
            Ok(page) => page,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Corrupted, "{case}: {error:?}");
                return true;
            }
        };
        for hit in &page.results {
            let is_known =
                items.get(&hit.item.metadata.key).is_some_and(|item| item.metadata == hit.item.metadata);
            if is_known {
                found += 1;
            } else {
                verdict.wrong.push(format!("{case}: phantom {:?}", hit.item.metadata));
            }
        }
        match page.next {
            Some(next) => query = query.cursor(next),
            None => break,
        }
    }
    if found < expected {
        verdict.silent.push(format!("{case}: {query:?} found {found} of {expected}"));
    }
    false
}

#[tokio::test]
async fn fault_05_a_flipped_bit_is_never_a_wrong_value_nor_a_silent_loss() {
    let mut rng = Rng::with_seed(seed());
    let flips = number_from("DAMAGE_CASES").unwrap_or(1_200);
    let temp = Ground::new();
    let sample = sample(temp.path()).await;
    for (state, image) in [("after a kill", &sample.killed), ("after a close", &sample.closed)] {
        let targets = image.targets();
        let mut verdict = Verdict::default();
        for _ in 0..flips / 2 {
            let path: &PathBuf = rng.choice(&targets).unwrap();
            let mut damaged = image.clone();
            let bytes = &mut damaged.content(path).bytes;
            let (at, bit) = (rng.usize(0..bytes.len()), rng.u8(0..8));
            bytes[at] ^= 1 << bit;
            let case = format!("{state}, bit {bit} of byte {at} of {}", path.display());
            judge(&temp.path().join("damaged"), &damaged, &sample.items, &case, &mut verdict).await;
        }
        verdict.assert_honest(&format!("bit flips {state}"));
    }
}

/// What a salvage wins back was saved once, is whole, and lies in a store that works.
#[tokio::test]
async fn fault_05_a_store_that_does_not_open_any_more_is_salvaged_without_inventing_anything() {
    let mut rng = Rng::with_seed(seed());
    let temp = Ground::new();
    let sample = sample(temp.path()).await;
    let root = temp.path().join("salvaged");
    let (mut salvaged, mut hopeless, mut recovered) = (0_u32, 0_u32, 0);
    for image in [&sample.killed, &sample.closed].into_iter().cycle().take(120) {
        let mut damaged = image.clone();
        // Any byte of the store alike: large files are hit more often.
        let sizes = damaged.files.iter().map(|(path, content)| (path.clone(), content.bytes.len()));
        let mut at = rng.usize(0..sizes.clone().map(|(_, size)| size).sum());
        let path = sizes
            .into_iter()
            .find_map(|(path, size)| {
                if at < size {
                    Some(path)
                } else {
                    at -= size;
                    None
                }
            })
            .unwrap();
        let bytes = &mut damaged.content(&path).bytes;
        bytes[at] ^= 1 << rng.u8(0..8);
        damaged.restore(&root);
        if try_open(&root).await.is_ok() {
            continue;
        }
        match FsProvider::salvage(&root).await {
            Ok(report) => {
                salvaged += 1;
                recovered += report.recovered;
                let case = format!("byte {at} of {}: {report:?}", path.display());
                check_salvaged(&root, &sample.history, &case).await;
            }
            Err(error) => {
                let kind = error.kind();
                assert!(matches!(kind, ErrorKind::Corrupted | ErrorKind::Config), "{error:?}");
                hopeless += 1;
            }
        }
    }
    println!("{salvaged} salvaged with {recovered} items, {hopeless} beyond it");
    assert!(salvaged > hopeless, "{salvaged} salvaged, {hopeless} beyond it");
}

async fn check_salvaged(root: &Path, history: &[StorageItem], case: &str) {
    let store = try_open(root).await.unwrap_or_else(|error| panic!("{case}: {error:?}"));
    let page = store.search(&StorageQuery::new().page_size(1_000)).await.unwrap();
    for hit in &page.results {
        assert!(history.contains(&hit.item), "{case}: {:?} was never saved", hit.item.metadata);
    }
    let report = store.verify().await.unwrap();
    assert!(report.is_clean(), "{case}: {report:?}");
    put(&store, "after", 10).await.unwrap();
    store.close().await.unwrap();
}

#[tokio::test]
async fn fault_05_zeroed_pages_and_swapped_files_are_never_a_wrong_value_nor_a_silent_loss() {
    const PAGE: usize = 4_096;
    let temp = Ground::new();
    let sample = sample(temp.path()).await;
    let root = temp.path().join("damaged");
    for (state, image) in [("after a kill", &sample.killed), ("after a close", &sample.closed)] {
        let mut verdict = Verdict::default();
        for path in image.targets() {
            for page in 0..image.files[&path].bytes.len().div_ceil(PAGE) {
                let mut damaged = image.clone();
                let bytes = &mut damaged.content(&path).bytes;
                let end = bytes.len().min((page + 1) * PAGE);
                bytes[page * PAGE..end].fill(0);
                let case = format!("{state}, page {page} of {} zeroed", path.display());
                judge(&root, &damaged, &sample.items, &case, &mut verdict).await;
            }
        }
        verdict.assert_honest(&format!("zeroed pages {state}"));
        swap_files(&root, image, &sample.items, state).await;
    }
}

async fn swap_files(root: &Path, image: &Image, items: &BTreeMap<String, StorageItem>, state: &str) {
    let mut verdict = Verdict::default();
    let targets = image.targets();
    for (index, one) in targets.iter().enumerate() {
        for other in &targets[index + 1..] {
            // Files of one folder: tables with tables, payloads with payloads.
            if one.parent() != other.parent() {
                continue;
            }
            let mut damaged = image.clone();
            let content = damaged.files[one].clone();
            *damaged.content(one) = damaged.files[other].clone();
            *damaged.content(other) = content;
            let case = format!("{state}, {} and {} swapped", one.display(), other.display());
            judge(root, &damaged, items, &case, &mut verdict).await;
        }
    }
    verdict.assert_honest(&format!("swapped files {state}"));
}

#[tokio::test]
async fn fault_04_a_journal_cut_at_any_byte_of_the_last_commit_opens_to_a_commit_or_says_what_is_lost() {
    let temp = Ground::new();
    let sample = sample(temp.path()).await;
    let root = temp.path().join("cut");
    // The same directory before and after one more save.
    sample.killed.restore(&root);
    let store = open(&root).await;
    let before = Image::of(&root);
    put(&store, "last", 120).await.unwrap();
    let after = Image::of(&root);
    drop(store);

    let journal = after.newest("engine", ".jnl");
    let (start, end) = (before.files[&journal].bytes.len(), after.files[&journal].bytes.len());
    assert!(start < end, "the save is in the journal");
    let mut verdict = Verdict::default();
    for length in start..end {
        let mut cut = after.clone();
        let content = cut.content(&journal);
        content.bytes.truncate(length);
        content.length = length as u64;

        // The save was acknowledged: its loss must be said.
        cut.restore(&root);
        let error = try_open(&root).await.expect_err("an acknowledged write is gone in silence");
        assert_eq!(error.kind(), ErrorKind::Corrupted, "{length}: {error:?}");

        // The save was not acknowledged: the process died while writing it.
        let mark = Path::new("MARK");
        *cut.content(mark) = before.files[mark].clone();
        judge(&root, &cut, &sample.items, &format!("cut to {length} bytes"), &mut verdict).await;
    }
    verdict.assert_honest("cuts within the last commit");
    assert_eq!(verdict.refused + verdict.named, 0, "a torn end is no damage: {verdict}");

    sample.killed.restore(&root);
    let store = open(&root).await;
    assert_holds(&store, &sample.items).await;
    store.close().await.unwrap();
}

#[tokio::test]
async fn fault_04_any_file_cut_short_is_never_a_silent_loss() {
    let temp = Ground::new();
    let sample = sample(temp.path()).await;
    let root = temp.path().join("cut");
    let mut rng = Rng::with_seed(seed());
    for (state, image) in [("after a kill", &sample.killed), ("after a close", &sample.closed)] {
        let mut verdict = Verdict::default();
        for path in image.targets() {
            for _ in 0..6 {
                let mut cut = image.clone();
                let content = cut.content(&path);
                let length = rng.usize(0..content.bytes.len());
                content.bytes.truncate(length);
                content.length = length as u64;
                let case = format!("{state}, {} cut to {length} bytes", path.display());
                judge(&root, &cut, &sample.items, &case, &mut verdict).await;
            }
            let mut gone = image.clone();
            gone.files.remove(&path);
            let case = format!("{state}, {} is gone", path.display());
            judge(&root, &gone, &sample.items, &case, &mut verdict).await;
        }
        verdict.assert_honest(&format!("cut and missing files {state}"));
    }
}
