//! P18: damage is reported, and never read as something else.
//!
//! Only files below the directory of the check can be damaged here. A provider whose data lies elsewhere proves P18 by
//! tests of its own.

use std::{
    fs,
    path::{Path, PathBuf},
};

use fastrand::Rng;

use crate::{
    ErrorKind, StorageItem, StorageQuery,
    conformance::{Fixture, Store, support::*},
};

/// P18: One flipped bit anywhere in the files is no miss, no wrong value and no panic: the store or the item says that it
/// is damaged, or nothing has happened.
pub async fn one_flipped_bit_is_never_a_miss_or_a_wrong_value(fixture: &Fixture) {
    let store = fixture.open().await;
    let mut items = Vec::new();
    for n in 0..20 {
        let name = format!("k{n}");
        items.push(save(&store, request(&name, &name.repeat(n * 5))).await);
    }
    store.close().await.unwrap();
    fixture.forget(store);
    let whole = Files::read(fixture.directory());
    let mut random = fixture.random();
    for _ in 0..FLIPS {
        let place = whole.flip_one_bit(&mut random);
        if let Some(store) = opened_or_refused(fixture, &place).await {
            assert_right_or_corrupted(&store, &items, &place).await;
            store.close().await.ok();
            fixture.forget(store);
        }
        whole.write_back(fixture.directory());
    }
    let store = fixture.open().await;
    for item in &items {
        assert_stored(&store, item).await;
    }
}

const FLIPS: usize = 12;

async fn opened_or_refused(fixture: &Fixture, place: &str) -> Option<Store> {
    match fixture.try_open().await {
        Ok(store) => Some(store),
        Err(error) => {
            let told = matches!(error.kind(), ErrorKind::Corrupted | ErrorKind::Config);
            assert!(told, "after a flip in {place} the store does not open, and says: {error:?}");
            None
        }
    }
}

async fn assert_right_or_corrupted(store: &Store, items: &[StorageItem], place: &str) {
    for item in items {
        match store.load(item.metadata.item_key().unwrap()).await {
            Ok(found) => assert_eq!(found.as_ref(), Some(item), "after a flip in {place}"),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Corrupted, "after a flip in {place}: {error:?}");
            }
        }
    }
    if store.info().capabilities.search {
        match store.search(&StorageQuery::new()).await {
            Ok(page) => assert_eq!(page.results.len(), items.len(), "a search after a flip in {place}"),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Corrupted, "after a flip in {place}: {error:?}");
            }
        }
    }
}

/// The files of a closed store, to be put back after each damage.
struct Files(Vec<(PathBuf, Vec<u8>)>);

impl Files {
    fn read(directory: &Path) -> Self {
        let mut files = Vec::new();
        let mut folders = vec![directory.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let bytes = fs::read(&path).unwrap();
                    files.push((path, bytes));
                }
            }
        }
        Self(files)
    }

    /// Flips a random bit of a random file that holds any, and says where.
    fn flip_one_bit(&self, random: &mut Rng) -> String {
        let filled: Vec<_> = self.0.iter().filter(|(_, bytes)| !bytes.is_empty()).collect();
        let Some((path, bytes)) = random.choice(filled) else { return "no file at all".to_owned() };
        let (at, bit) = (random.usize(..bytes.len()), random.u8(..8));
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << bit;
        fs::write(path, damaged).unwrap();
        format!("{}, byte {at}, bit {bit}", path.display())
    }

    fn write_back(&self, directory: &Path) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
        }
        for (path, bytes) in &self.0 {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }
}
