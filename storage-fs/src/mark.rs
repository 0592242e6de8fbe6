//! The high-water mark: the sequence number of the last committed batch, kept outside the journal.
//!
//! Every batch carries its own number into the engine. The mark is written after the batch is durable and before anyone
//! is told, so that at opening an engine that knows fewer batches than the mark has lost acknowledged ones: the loss is
//! reported instead of passing for an older state. The mark is not synced: after a killed process it is exact, and after a
//! power cut it is at most too old, which misses a loss but never invents one.

use std::{fs::File, io, os::unix::fs::FileExt, path::Path};

use storage_core::Result;
use xxhash_rust::xxh3::xxh3_64;

use crate::{cut::Cut, directory::no_links, error::io_error};

const MAGIC: [u8; 8] = *b"fs-mark1";
const BYTES: usize = 24;

/// The open mark file.
#[derive(Debug)]
pub(crate) struct Mark {
    file: File,
}

/// What the mark said at opening.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// The store is new, or its mark was removed.
    Nothing,
    /// The last committed batch.
    Sequence(u64),
    /// The mark itself is damaged and says nothing about the rest.
    Damaged,
}

impl Mark {
    pub(crate) fn open(path: &Path) -> Result<(Self, Found)> {
        let open = || -> io::Result<(File, Vec<u8>)> {
            let file = no_links().create(true).truncate(false).read(true).write(true).open(path)?;
            let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX).min(BYTES + 1);
            let mut bytes = vec![0; length];
            file.read_exact_at(&mut bytes, 0)?;
            Ok((file, bytes))
        };
        let (file, bytes) = open().map_err(|cause| io_error("the store's mark cannot be opened", cause))?;
        let found = if bytes.is_empty() {
            Found::Nothing
        } else {
            parse(&bytes).map_or(Found::Damaged, Found::Sequence)
        };
        Ok((Self { file }, found))
    }

    /// Notes that the batch `sequence` is committed.
    pub(crate) fn write(&self, sequence: u64) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&sequence.to_le_bytes());
        bytes.extend_from_slice(&xxh3_64(&bytes).to_le_bytes());
        self.file.write_all_at(&bytes, 0)
    }

    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

fn parse(bytes: &[u8]) -> Option<u64> {
    let (body, stored) = bytes.split_last_chunk::<8>()?;
    let mut cut = Cut::new(body);
    let magic: [u8; 8] = cut.array()?;
    let sequence = cut.u64()?;
    let good = magic == MAGIC && cut.rest().is_empty() && u64::from_le_bytes(*stored) == xxh3_64(body);
    good.then_some(sequence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_sequence_reads_back_and_damage_is_noticed() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("MARK");
        let (mark, found) = Mark::open(&path).unwrap();
        assert_eq!(found, Found::Nothing);
        for sequence in [u64::MAX, 7] {
            mark.write(sequence).unwrap();
        }
        assert_eq!(Mark::open(&path).unwrap().1, Found::Sequence(7));
        let good = std::fs::read(&path).unwrap();
        for at in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[at / 8] ^= 1 << (at % 8);
            std::fs::write(&path, bad).unwrap();
            assert_eq!(Mark::open(&path).unwrap().1, Found::Damaged, "bit {at}");
        }
        std::fs::write(&path, &good[..good.len() - 1]).unwrap();
        assert_eq!(Mark::open(&path).unwrap().1, Found::Damaged);
    }
}
