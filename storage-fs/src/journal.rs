//! Reads the engine's journals before the engine does.
//!
//! The engine ends its replay at the first entry it cannot read and cuts the file there, refuses to open at all at a wrong
//! checksum, and does not protect the sequence number of a batch. One flipped bit can so take the whole store, or the
//! latest writes in silence. This module decides beforehand which of three cases it is: whole journals, a torn end (the
//! process died while writing a batch that nobody was told of), or damage.

use std::{
    fs::{self, File},
    io::{self, Read},
    ops::Range,
    path::{Path, PathBuf},
};

use crate::{
    journal_batch::{self, Batch, Parsed},
    state::State,
};

const CHUNK: usize = 4 << 20;

/// How the journals of a store are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// Every batch is whole.
    Whole,
    /// The newest journal ends in a batch that was never finished. `certain`: nobody was told of it for sure; otherwise
    /// the engine's tables decide.
    Torn { journal: PathBuf, end: u64, certain: bool },
    /// Batches that may have been acknowledged cannot be read.
    Damaged { journal: PathBuf, at: u64 },
}

/// The journals of an engine, oldest first.
///
/// # Errors
/// Failures to list the folder.
pub(crate) fn list(engine: &Path) -> io::Result<Vec<PathBuf>> {
    let mut journals: Vec<(u64, PathBuf)> = Vec::new();
    let entries = match fs::read_dir(engine) {
        Ok(entries) => entries,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(cause) => return Err(cause),
    };
    for entry in entries {
        let path = entry?.path();
        let id = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".jnl")?.parse::<u64>().ok());
        journals.extend(id.map(|id| (id, path)));
    }
    journals.sort_unstable();
    Ok(journals.into_iter().map(|(_, path)| path).collect())
}

/// Decides how the journals of an engine are; `acknowledged` is the last batch that callers were told of, if known.
///
/// # Errors
/// Failures to read the files.
pub(crate) fn examine(engine: &Path, acknowledged: Option<u64>) -> io::Result<Condition> {
    let journals = Journals::read(engine)?;
    let is_missing = journals.is_missing(acknowledged);
    Ok(match (journals.broken.first(), journals.paths.last()) {
        // Behind a batch that was never finished nothing was written, and nobody was told of it.
        (Some(_), Some(newest)) if !is_missing && journals.are_torn() => Condition::Torn {
            journal: newest.clone(),
            end: journals.end(),
            certain: journals.state.is_some() || acknowledged.is_none(),
        },
        (Some(place), _) => {
            Condition::Damaged { journal: journals.path(place).to_owned(), at: place.range.start }
        }
        // The newest journal holds the newest batch, unless it holds none at all: then the engine's tables decide.
        (None, Some(newest)) if is_missing => {
            Condition::Damaged { journal: newest.clone(), at: journals.end() }
        }
        (None, _) => Condition::Whole,
    })
}

/// Cuts a torn end off, so that the engine does not stumble over it.
///
/// # Errors
/// Failures to change the file.
pub(crate) fn cut(journal: &Path, end: u64) -> io::Result<()> {
    let file = File::options().write(true).open(journal)?;
    file.set_len(end)?;
    file.sync_all()
}

/// What the journals of an engine hold.
#[derive(Debug, Default)]
pub(crate) struct Journals {
    // Oldest first.
    paths: Vec<PathBuf>,
    batches: Vec<Place>,
    // What stands between or behind the batches and is neither a batch nor zeros, in order.
    broken: Vec<Place>,
    // The last whole batch, and the last state that one carried.
    newest: Option<Batch>,
    state: Option<State>,
}

/// Some bytes of a journal.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    journal: usize,
    range: Range<u64>,
}

impl Journals {
    /// Reads the journals of an engine.
    ///
    /// # Errors
    /// Failures to read the files.
    pub(crate) fn read(engine: &Path) -> io::Result<Self> {
        let mut journals = Self::default();
        for path in list(engine)? {
            let window = Window::open(&path)?;
            journals.paths.push(path);
            journals.scan(window)?;
        }
        journals.broken.sort_unstable_by_key(|place| (place.journal, place.range.start));
        Ok(journals)
    }

    fn scan(&mut self, mut window: Window) -> io::Result<()> {
        let journal = self.paths.len().saturating_sub(1);
        loop {
            let floor = self.newest.as_ref().map(Batch::floor);
            match window.parse(floor)? {
                Parsed::Batch(batch) => {
                    let start = window.position();
                    window.at += batch.length;
                    self.accept(batch, Place { journal, range: start..window.position() });
                }
                Parsed::Incomplete | Parsed::Broken => match window.skip_broken(floor)? {
                    Some(range) => self.broken.push(Place { journal, range }),
                    None => return Ok(()),
                },
            }
        }
    }

    /// Takes a whole batch in. Its floor is protected, so that it can tell that the number of the batch before is wrong:
    /// what the engine would take for newer than all that follows is as good as unreadable.
    fn accept(&mut self, batch: Batch, place: Place) {
        if self.newest.as_ref().is_some_and(|newest| newest.sequence >= batch.floor()) {
            self.broken.extend(self.batches.pop());
        }
        self.state = batch.state.or(self.state);
        self.newest = Some(batch);
        self.batches.push(place);
    }

    /// How many places cannot be read.
    pub(crate) fn broken_places(&self) -> u64 {
        self.broken.len() as u64
    }

    /// The journals with places that cannot be read, each with its whole batches.
    pub(crate) fn damaged(&self) -> impl Iterator<Item = (&Path, Vec<Range<u64>>)> {
        let damaged = self
            .paths
            .iter()
            .enumerate()
            .filter(|(journal, _)| self.broken.iter().any(|place| place.journal == *journal));
        damaged.map(|(journal, path)| {
            let batches = self.batches.iter().filter(|place| place.journal == journal);
            (path.as_path(), batches.map(|place| place.range.clone()).collect())
        })
    }

    fn path(&self, place: &Place) -> &Path {
        self.paths.get(place.journal).map_or(Path::new(""), PathBuf::as_path)
    }

    fn is_newest(&self, place: &Place) -> bool {
        place.journal + 1 == self.paths.len()
    }

    /// Where the last whole batch of the newest journal ends.
    fn end(&self) -> u64 {
        self.batches.last().filter(|place| self.is_newest(place)).map_or(0, |place| place.range.end)
    }

    /// Whether all that is broken lies behind the last whole batch, as a write that was cut short leaves it.
    fn are_torn(&self) -> bool {
        self.broken.iter().all(|place| self.is_newest(place) && place.range.start >= self.end())
    }

    /// Whether acknowledged batches are missing behind the newest one.
    fn is_missing(&self, acknowledged: Option<u64>) -> bool {
        match (self.state, acknowledged) {
            (Some(state), Some(acknowledged)) => state.sequence < acknowledged,
            _ => false,
        }
    }
}

/// The part of a journal that is in memory: one chunk, or more where a batch is longer.
struct Window {
    file: File,
    bytes: Vec<u8>,
    // The place of the first byte within the file.
    start: u64,
    at: usize,
    ended: bool,
}

impl Window {
    fn open(journal: &Path) -> io::Result<Self> {
        Ok(Self { file: File::open(journal)?, bytes: Vec::new(), start: 0, at: 0, ended: false })
    }

    fn position(&self) -> u64 {
        self.start + self.at as u64
    }

    fn rest(&self) -> &[u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// Reads on; `false` at the end of the file.
    fn extend(&mut self) -> io::Result<bool> {
        if self.ended {
            return Ok(false);
        }
        if self.at > CHUNK {
            self.bytes.drain(..self.at);
            self.start += self.at as u64;
            self.at = 0;
        }
        let before = self.bytes.len();
        (&mut self.file).take(CHUNK as u64).read_to_end(&mut self.bytes)?;
        self.ended = self.bytes.len() == before;
        Ok(!self.ended)
    }

    /// Parses the batch at the current place, reading on until it is whole.
    fn parse(&mut self, floor: Option<u64>) -> io::Result<Parsed> {
        loop {
            let parsed = journal_batch::parse(self.rest(), floor);
            if parsed != Parsed::Incomplete || !self.extend()? {
                return Ok(parsed);
            }
        }
    }

    /// Moves to the next whole batch, or to the end, and says what was skipped without trailing zeros; `None` at the end.
    fn skip_broken(&mut self, floor: Option<u64>) -> io::Result<Option<Range<u64>>> {
        let from = self.position();
        let mut last_used = from;
        loop {
            match self.rest().first().copied() {
                None if !self.extend()? => {
                    return Ok(Some(from..last_used).filter(|range| !range.is_empty()));
                }
                None => {}
                Some(0) => self.skip_zeros(),
                Some(_) => {
                    if journal_batch::looks_like_start(self.rest(), floor)
                        && let Parsed::Batch(_) = self.parse(floor)?
                    {
                        return Ok(Some(from..self.position()));
                    }
                    self.at += 1;
                    last_used = self.position();
                }
            }
        }
    }

    fn skip_zeros(&mut self) {
        // Tens of megabytes of a journal are zeros. Whole pages are compared many times as fast as bytes are looked at.
        const PAGE: [u8; 4_096] = [0; 4_096];
        while self.rest().starts_with(&PAGE) {
            self.at += PAGE.len();
        }
        let zeros = self.rest().iter().position(|byte| *byte != 0);
        self.at = zeros.map_or(self.bytes.len(), |zeros| self.at + zeros);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal_batch::tests::batch;

    /// A folder with these journals.
    fn engine(journals: &[&[u8]]) -> tempfile::TempDir {
        let temp = tempfile::tempdir().unwrap();
        for (number, bytes) in journals.iter().enumerate() {
            fs::write(temp.path().join(format!("{number}.jnl")), bytes).unwrap();
        }
        temp
    }

    fn examined(bytes: &[u8], acknowledged: Option<u64>) -> Condition {
        examine(engine(&[bytes]).path(), acknowledged).unwrap()
    }

    fn ranges(places: &[Place]) -> Vec<(usize, Range<u64>)> {
        places.iter().map(|place| (place.journal, place.range.clone())).collect()
    }

    #[test]
    fn whole_batches_before_allocated_zeros_are_whole() {
        let bytes = [batch(1), batch(2), vec![0; 100_000]].concat();
        assert_eq!(examined(&bytes, Some(2)), Condition::Whole);
        assert_eq!(examined(&[], None), Condition::Whole);
        assert_eq!(examined(&[0; 10], Some(9)), Condition::Whole, "the engine's tables may hold the rest");
    }

    #[test]
    fn a_cut_batch_that_nobody_was_told_of_is_torn_and_an_acknowledged_one_is_damage() {
        let whole = [batch(1), batch(2)].concat();
        for length in batch(1).len() + 1..whole.len() {
            let bytes = [&whole[..length], &[0; 64]].concat();
            let torn = examined(&bytes, Some(1));
            assert!(
                matches!(torn, Condition::Torn { end, .. } if end == batch(1).len() as u64),
                "{length}: {torn:?}"
            );
            assert!(matches!(examined(&bytes, Some(2)), Condition::Damaged { .. }), "{length}");
        }
    }

    #[test]
    fn every_flipped_bit_in_acknowledged_batches_is_damage() {
        let good = [batch(3), batch(4), batch(5), vec![0; 64]].concat();
        let used = good.len() - 64;
        for at in 0..used * 8 {
            let mut bad = good.clone();
            bad[at / 8] ^= 1 << (at % 8);
            let found = examined(&bad, Some(5));
            // The last number may be a little higher: it is the newest all the same.
            let last_number = 2 * batch(1).len() + 5;
            let harmless = (last_number..last_number + 3).contains(&(at / 8));
            assert!(matches!(found, Condition::Damaged { .. }) || harmless, "bit {at}: {found:?}");
        }
    }

    #[test]
    fn reading_goes_on_behind_damage() {
        let mut bytes = [batch(1), batch(2), batch(3)].concat();
        let one = batch(1).len();
        bytes[one + 30] ^= 1;
        let journals = Journals::read(engine(&[&bytes]).path()).unwrap();
        let one = one as u64;
        assert_eq!(ranges(&journals.batches), [(0, 0..one), (0, 2 * one..3 * one)]);
        assert_eq!(ranges(&journals.broken), [(0, one..2 * one)]);
    }

    /// The number of a batch is not protected. One that a flipped bit had raised, but not by so much that it was not
    /// believed, made all batches behind it look older until their numbers caught up: 8 of 40 were not salvaged.
    #[test]
    fn one_flipped_bit_in_any_journal_costs_no_more_than_one_batch() {
        let good: [Vec<u8>; 2] = [(64..76).flat_map(batch).collect(), (76..82).flat_map(batch).collect()];
        for (journal, bit) in
            good.iter().enumerate().flat_map(|(n, good)| (0..good.len() * 8).map(move |bit| (n, bit)))
        {
            let mut bad = good.clone();
            bad[journal][bit / 8] ^= 1 << (bit % 8);
            let journals = Journals::read(engine(&[&bad[0], &bad[1]]).path()).unwrap();
            let found = (journals.batches.len(), journals.broken.len());
            assert!(matches!(found, (17, 1) | (18, 0)), "bit {bit} of journal {journal}: {found:?}");
        }
    }

    #[test]
    fn the_last_number_of_a_journal_is_told_wrong_by_the_next_journal() {
        let mut first = [batch(1), batch(2)].concat();
        let one = batch(1).len();
        first[one + 5] ^= 64;
        let engine = engine(&[&first, &[batch(3), batch(4)].concat()]);
        let journals = Journals::read(engine.path()).unwrap();
        let one = one as u64;
        assert_eq!(ranges(&journals.broken), [(0, one..2 * one)]);
        assert_eq!(ranges(&journals.batches), [(0, 0..one), (1, 0..one), (1, one..2 * one)]);
        let damaged = Condition::Damaged { journal: engine.path().join("0.jnl"), at: one };
        assert_eq!(examine(engine.path(), Some(4)).unwrap(), damaged);
    }

    #[test]
    fn a_batch_longer_than_the_window_is_read() {
        let many: Vec<u8> = (1..60_000_u64).flat_map(batch).collect();
        assert!(many.len() > CHUNK);
        let bytes = [many, vec![0; CHUNK]].concat();
        let journals = Journals::read(engine(&[&bytes]).path()).unwrap();
        assert_eq!((journals.batches.len(), journals.broken.len()), (59_999, 0));
    }
}
