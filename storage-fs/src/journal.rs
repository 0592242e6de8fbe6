//! Reads the engine's journals before the engine does.
//!
//! The engine ends its replay at the first entry it cannot read and cuts the file there, refuses to open at all at a wrong
//! checksum, and does not protect the sequence number of a batch. One flipped bit can so take the whole store, or the
//! latest writes in silence. This module decides beforehand which of three cases it is: a whole journal, a torn end (the
//! process died while writing a batch that nobody was told of), or damage.
//!
//! A journal is a sequence of batches, followed by zeros that were allocated ahead:
//! start (`1`, count `u32`, sequence `u64`), entries (`2`, kind `u8`, compression `u8`, keyspace `u64`, key length `u16`,
//! value length `u32`, stored length `u32`, key, value; or `4`, keyspace `u64`), end (`3`, XXH3-64 over the entries, magic).

use std::{
    fs::{self, File},
    io::{self, Read},
    ops::Range,
    path::{Path, PathBuf},
};

use xxhash_rust::xxh3::xxh3_64;

use crate::{cut::Cut, state::State};

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;
const MAGIC: [u8; 4] = *b"FJL\x03";
/// Kinds of entries above this one do not occur in a journal.
const LAST_KIND: u8 = 2;
const CHUNK: usize = 4 << 20;

/// A whole batch of a journal.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Batch {
    length: usize,
    sequence: u64,
    state: Option<State>,
}

/// What stands at some place of a journal.
#[derive(Debug, PartialEq, Eq)]
enum Parsed {
    Batch(Batch),
    /// The bytes end within a batch.
    Incomplete,
    /// No batch starts here.
    Broken,
}

/// What one journal holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Scan {
    /// The whole batches, as ranges of bytes.
    pub(crate) batches: Vec<Range<u64>>,
    /// What stands between or behind them and is neither a batch nor zeros.
    pub(crate) broken: Vec<Range<u64>>,
    /// The newest state that a whole batch carries.
    pub(crate) state: Option<State>,
    last_sequence: Option<u64>,
}

impl Scan {
    /// The engine's number of the last whole batch, here or in the journals before.
    pub(crate) fn last_sequence(&self) -> Option<u64> {
        self.last_sequence
    }

    /// Where the last whole batch ends.
    fn end(&self) -> u64 {
        self.batches.last().map_or(0, |range| range.end)
    }

    /// Whether all that is broken lies behind the last whole batch, as a write that was cut short leaves it.
    fn is_torn(&self) -> bool {
        self.broken.iter().all(|range| range.start >= self.end())
    }
}

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
    let journals = list(engine)?;
    let mut newest_state = None;
    let mut previous = None;
    let newest = journals.len().saturating_sub(1);
    let mut end = None;
    for (index, journal) in journals.into_iter().enumerate() {
        let scan = scan(&journal, previous)?;
        previous = scan.last_sequence.or(previous);
        newest_state = scan.state.or(newest_state);
        let Some(at) = scan.broken.first().map(|range| range.start) else {
            end = Some((journal, scan.end()));
            continue;
        };
        // Behind a batch that was never finished nothing was written, and nobody was told of it.
        return Ok(if index == newest && scan.is_torn() && !is_missing(newest_state, acknowledged) {
            let certain = newest_state.is_some() || acknowledged.is_none();
            Condition::Torn { journal, end: scan.end(), certain }
        } else {
            Condition::Damaged { journal, at }
        });
    }
    // The newest journal holds the newest batch, unless it holds none at all: then the engine's tables decide.
    if let Some((journal, at)) = end
        && is_missing(newest_state, acknowledged)
    {
        return Ok(Condition::Damaged { journal, at });
    }
    Ok(Condition::Whole)
}

/// Whether acknowledged batches are missing behind the newest one.
fn is_missing(newest: Option<State>, acknowledged: Option<u64>) -> bool {
    match (newest, acknowledged) {
        (Some(state), Some(acknowledged)) => state.sequence < acknowledged,
        _ => false,
    }
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

/// Reads one journal; `previous` is the sequence number of the last batch before it.
///
/// # Errors
/// Failures to read the file.
pub(crate) fn scan(journal: &Path, previous: Option<u64>) -> io::Result<Scan> {
    let mut window = Window { file: File::open(journal)?, bytes: Vec::new(), start: 0, at: 0, ended: false };
    let mut scan = Scan { last_sequence: previous, ..Scan::default() };
    loop {
        match window.parse(scan.last_sequence)? {
            Parsed::Batch(batch) => {
                let start = window.position();
                window.at += batch.length;
                scan.batches.push(start..window.position());
                scan.last_sequence = Some(batch.sequence);
                scan.state = batch.state.or(scan.state);
            }
            Parsed::Incomplete | Parsed::Broken => match window.skip_broken(scan.last_sequence)? {
                Some(range) if range.is_empty() => break,
                Some(range) => scan.broken.push(range),
                None => break,
            },
        }
    }
    Ok(scan)
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
    fn parse(&mut self, previous: Option<u64>) -> io::Result<Parsed> {
        loop {
            let parsed = parse(self.rest(), previous);
            if parsed != Parsed::Incomplete || !self.extend()? {
                return Ok(parsed);
            }
        }
    }

    /// Moves to the next whole batch, or to the end, and says what was skipped without trailing zeros; `None` at the end.
    fn skip_broken(&mut self, previous: Option<u64>) -> io::Result<Option<Range<u64>>> {
        let from = self.position();
        let mut last_used = from;
        loop {
            match self.rest().first().copied() {
                None if !self.extend()? => {
                    return Ok(Some(from..last_used).filter(|range| !range.is_empty()));
                }
                None => {}
                Some(0) => self.skip_zeros(),
                Some(first) => {
                    if first == START
                        && looks_like_start(self.rest(), previous)
                        && let Parsed::Batch(_) = self.parse(previous)?
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
        let zeros = self.rest().iter().position(|byte| *byte != 0);
        self.at = zeros.map_or(self.bytes.len(), |zeros| self.at + zeros);
    }
}

/// A cheap look that spares the search a parse at almost every wrong place.
fn looks_like_start(bytes: &[u8], previous: Option<u64>) -> bool {
    let mut cut = Cut::new(bytes);
    let (_tag, count, sequence) = (cut.u8(), cut.u32(), cut.u64());
    // Close to the end of the window there may be too little to see; then the parse decides.
    sequence.is_none_or(|sequence| count != Some(0) && follows(sequence, previous))
        && cut.u8().is_none_or(|tag| tag == ITEM || tag == CLEAR)
}

/// Whether `sequence` may come after `previous`: numbers grow. The engine's highest bit has another use.
fn follows(sequence: u64, previous: Option<u64>) -> bool {
    previous.is_none_or(|previous| sequence > previous) && sequence < 1 << 62
}

fn parse(bytes: &[u8], previous: Option<u64>) -> Parsed {
    match bytes.first() {
        None => Parsed::Incomplete,
        Some(&START) => parse_batch(bytes, previous).unwrap_or(Parsed::Incomplete),
        Some(_) => Parsed::Broken,
    }
}

/// Parses a batch; `None` if the bytes end before it does.
fn parse_batch(bytes: &[u8], previous: Option<u64>) -> Option<Parsed> {
    let mut cut = Cut::new(bytes);
    let (_start, count, sequence) = (cut.u8()?, cut.u32()?, cut.u64()?);
    if count == 0 || !follows(sequence, previous) {
        return Some(Parsed::Broken);
    }
    let entries_at = bytes.len() - cut.rest().len();
    let mut state = None;
    for _ in 0..count {
        match parse_entry(&mut cut)? {
            Entry::Put(key, value) => state = State::of_entry(key, value).or(state),
            Entry::Other => {}
            Entry::Broken => return Some(Parsed::Broken),
        }
    }
    let entries = bytes.get(entries_at..bytes.len() - cut.rest().len())?;
    let (tag, checksum, magic) = (cut.u8()?, cut.u64()?, cut.array::<4>()?);
    let fits = state.is_none_or(|state| state.fits(sequence));
    if tag != END || magic != MAGIC || checksum != xxh3_64(entries) || !fits {
        return Some(Parsed::Broken);
    }
    Some(Parsed::Batch(Batch { length: bytes.len() - cut.rest().len(), sequence, state }))
}

enum Entry<'a> {
    Put(&'a [u8], &'a [u8]),
    Other,
    Broken,
}

fn parse_entry<'a>(cut: &mut Cut<'a>) -> Option<Entry<'a>> {
    match cut.u8()? {
        CLEAR => cut.u64().map(|_| Entry::Other),
        ITEM => {
            let [kind, compression] = cut.array()?;
            let (_keyspace, key_length) = (cut.u64()?, cut.u16()?);
            let (length, stored_length) = (cut.u32()?, cut.u32()?);
            // Our journals are not compressed; the engine would believe the lengths of one that says it is.
            if kind > LAST_KIND || compression != 0 || length != stored_length {
                return Some(Entry::Broken);
            }
            let key = cut.take(key_length.into())?;
            let value = cut.take(usize::try_from(stored_length).ok()?)?;
            Some(if kind == 0 { Entry::Put(key, value) } else { Entry::Other })
        }
        _ => Some(Entry::Broken),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(sequence: u64) -> Vec<u8> {
        let state = State { sequence, mark: 0, session: 0, floor: sequence };
        let mut entries = vec![ITEM, 0, 0];
        entries.extend(1_u64.to_le_bytes());
        entries.extend((State::KEY.len() as u16).to_le_bytes());
        let value = state.to_bytes();
        entries.extend((value.len() as u32).to_le_bytes());
        entries.extend((value.len() as u32).to_le_bytes());
        entries.extend(State::KEY);
        entries.extend(value);
        let mut bytes = vec![START];
        bytes.extend(1_u32.to_le_bytes());
        bytes.extend(sequence.to_le_bytes());
        bytes.extend(&entries);
        bytes.push(END);
        bytes.extend(xxh3_64(&entries).to_le_bytes());
        bytes.extend(MAGIC);
        bytes
    }

    fn examined(bytes: &[u8], acknowledged: Option<u64>) -> Condition {
        let temp = tempfile::tempdir().unwrap();
        fs::write(temp.path().join("0.jnl"), bytes).unwrap();
        examine(temp.path(), acknowledged).unwrap()
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
    fn the_scan_goes_on_behind_damage() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("0.jnl");
        let mut bytes = [batch(1), batch(2), batch(3)].concat();
        let one = batch(1).len();
        bytes[one + 30] ^= 1;
        fs::write(&path, &bytes).unwrap();
        let scan = scan(&path, None).unwrap();
        let one = one as u64;
        assert_eq!(scan.batches, [0..one, 2 * one..3 * one]);
        assert_eq!(scan.broken.first(), Some(&(one..2 * one)));
    }

    #[test]
    fn a_batch_longer_than_the_window_is_read() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("0.jnl");
        let many: Vec<u8> = (1..60_000_u64).flat_map(batch).collect();
        assert!(many.len() > CHUNK);
        fs::write(&path, [many, vec![0; CHUNK]].concat()).unwrap();
        let scan = scan(&path, None).unwrap();
        assert_eq!((scan.batches.len(), scan.broken.len()), (59_999, 0));
    }
}
