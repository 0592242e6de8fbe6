//! Looks at the tables of contents of the engine's tables before the engine reads them.
//!
//! The engine makes room for as many entries as a table of contents says it has, before it compares the checksum: one flipped
//! bit asks for gigabytes, and a failed allocation ends the process. Everything else about a damaged table the engine
//! reports by itself.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

/// The end of a table: magic, version, kind of checksum, checksum of the contents, their place and their length.
const TRAILER: u64 = 4 + 1 + 1 + 16 + 8 + 8;
const TRAILER_MAGIC: &[u8] = b"SFA!";
const CONTENTS_MAGIC: &[u8] = b"TOC!";
/// The least that an entry takes: place, length, and the length of a name.
const ENTRY: u64 = 8 + 8 + 2;

/// The first table whose contents claim more entries than there is room for.
///
/// Tables that were never finished, which a killed process leaves behind, are not looked at by the engine and not here.
///
/// # Errors
/// Failures to read the files.
pub(crate) fn find_overlong(engine: &Path) -> io::Result<Option<PathBuf>> {
    for keyspace in files(&engine.join("keyspaces"))? {
        for table in files(&keyspace.join("tables"))? {
            if is_overlong(&table)? {
                return Ok(Some(table));
            }
        }
    }
    Ok(None)
}

fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(folder) {
        Ok(found) => found.map(|entry| entry.map(|entry| entry.path())).collect(),
        Err(cause) if matches!(cause.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(Vec::new())
        }
        Err(cause) => Err(cause),
    }
}

fn is_overlong(table: &Path) -> io::Result<bool> {
    let found = fs::symlink_metadata(table)?;
    if !found.is_file() || found.len() < TRAILER {
        return Ok(false);
    }
    let file = File::open(table)?;
    let end = found.len() - TRAILER;
    let mut trailer = [0; TRAILER as usize];
    file.read_exact_at(&mut trailer, end)?;
    let (place, _length) = trailer.split_at(TRAILER as usize - 8);
    let (Some(magic), Some(start)) = (place.first_chunk::<4>(), place.last_chunk::<8>()) else {
        return Ok(false);
    };
    let start = u64::from_le_bytes(*start);
    // What ends elsewhere is no table, or one whose place of the contents the engine fails to find.
    if magic != TRAILER_MAGIC || start.checked_add(8).is_none_or(|first| first > end) {
        return Ok(false);
    }
    let mut head = [0; 8];
    file.read_exact_at(&mut head, start)?;
    let (Some(magic), Some(count)) = (head.first_chunk::<4>(), head.last_chunk::<4>()) else {
        return Ok(false);
    };
    let room = end - start - 8;
    Ok(magic == CONTENTS_MAGIC && u64::from(u32::from_le_bytes(*count)) > room / ENTRY)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        config::{Durability, FsConfig},
        engine::{Engine, Space},
    };

    fn only_table(engine: &Path) -> PathBuf {
        let all = files(&engine.join("keyspaces")).unwrap();
        all.iter().flat_map(|keyspace| files(&keyspace.join("tables")).unwrap()).next().unwrap()
    }

    /// One flipped bit in the number of entries once asked for 43 GB, and the process was aborted.
    #[test]
    fn a_flipped_bit_in_the_number_of_entries_does_not_take_the_process() {
        let temp = tempfile::tempdir().unwrap();
        let open = || Engine::open(temp.path(), &FsConfig::default(), 1 << 30);
        let engine = open().unwrap();
        let mut batch = engine.batch();
        batch.put(Space::Items, b"note\0a", b"value");
        batch.commit(Durability::Immediate).unwrap();
        assert!(engine.flush(Duration::from_secs(20)).unwrap());
        drop(engine);
        assert_eq!(find_overlong(temp.path()).unwrap(), None);

        let table = only_table(temp.path());
        let good = fs::read(&table).unwrap();
        let at = good.windows(4).rposition(|window| window == CONTENTS_MAGIC).unwrap() + 4;
        for bit in 0..32 {
            let mut bad = good.clone();
            bad[at + bit / 8] ^= 1 << (bit % 8);
            fs::write(&table, bad).unwrap();
            // A few entries too many are the engine's to notice.
            assert!(bit < 16 || find_overlong(temp.path()).unwrap().is_some(), "bit {bit}");
            let error = open().unwrap_err();
            assert_eq!(error.kind(), storage_core::ErrorKind::Corrupted, "bit {bit}: {error:?}");
        }
        for length in 0..good.len() {
            fs::write(&table, &good[..length]).unwrap();
            find_overlong(temp.path()).unwrap();
        }
    }
}
