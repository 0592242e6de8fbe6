//! Checks the engine's manifests before the engine reads them.
//!
//! Each keyspace of the engine has a file `current` that names its newest manifest and holds the manifest's checksum, which
//! the engine does not compare: a flipped bit there makes it open an older manifest, and with it a keyspace whose newer
//! tables are missing without a word. A keyspace without `current` it takes for one that was never finished, and removes it
//! with all it holds. So both are looked for here.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use xxhash_rust::xxh3::xxh3_128;

use crate::{cut::Cut, engine::Space};

const XXH3: u8 = 0;

/// The first manifest that is not what `current` says it is, or the place where one is missing.
///
/// The engine was made as a whole, so that each of its keyspaces is finished.
///
/// # Errors
/// Failures to read the files.
pub(crate) fn find_damaged(engine: &Path) -> io::Result<Option<PathBuf>> {
    let keyspaces = engine.join("keyspaces");
    let mut finished = 0;
    for folder in entries(&keyspaces)? {
        match if_there(fs::read(folder.join("current")))? {
            Some(current) if is_whole(&folder, &current)? => finished += 1,
            _ => return Ok(Some(folder)),
        }
    }
    // The engine keeps one more for itself.
    Ok((finished <= Space::ALL.len()).then_some(keyspaces))
}

fn entries(path: &Path) -> io::Result<Vec<PathBuf>> {
    let Some(found) = if_there(fs::read_dir(path))? else { return Ok(Vec::new()) };
    found.map(|entry| entry.map(|entry| entry.path())).collect()
}

fn is_whole(folder: &Path, current: &[u8]) -> io::Result<bool> {
    let Some((version, checksum)) = parse(current) else { return Ok(false) };
    let manifest = if_there(fs::read(folder.join(format!("v{version}"))))?;
    Ok(manifest.is_some_and(|manifest| xxh3_128(&manifest) == checksum))
}

/// The number of the manifest and its checksum.
fn parse(current: &[u8]) -> Option<(u64, u128)> {
    let mut cut = Cut::new(current);
    let (version, checksum, kind) = (cut.u64()?, u128::from_le_bytes(cut.array()?), cut.u8()?);
    (kind == XXH3 && cut.rest().is_empty()).then_some((version, checksum))
}

fn if_there<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(cause) if matches!(cause.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(cause) => Err(cause),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::FsConfig, engine::Engine};

    /// A flipped bit in `current` once made an index empty, and searches short, without an error.
    #[test]
    fn every_flipped_bit_in_current_and_in_the_manifest_is_found() {
        let temp = tempfile::tempdir().unwrap();
        drop(Engine::open(temp.path(), &FsConfig::default(), 1 << 30).unwrap());
        assert_eq!(find_damaged(temp.path()).unwrap(), None);
        let folder = temp.path().join("keyspaces/1");
        let (version, _) = parse(&fs::read(folder.join("current")).unwrap()).unwrap();
        for name in ["current".to_owned(), format!("v{version}")] {
            let good = fs::read(folder.join(&name)).unwrap();
            for at in 0..good.len() * 8 {
                let mut bad = good.clone();
                bad[at / 8] ^= 1 << (at % 8);
                fs::write(folder.join(&name), bad).unwrap();
                assert_eq!(find_damaged(temp.path()).unwrap(), Some(folder.clone()), "{name}, bit {at}");
            }
            fs::remove_file(folder.join(&name)).unwrap();
            assert_eq!(find_damaged(temp.path()).unwrap(), Some(folder.clone()), "{name} is gone");
            fs::write(folder.join(&name), good).unwrap();
        }
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(find_damaged(temp.path()).unwrap(), Some(temp.path().join("keyspaces")));
    }
}
