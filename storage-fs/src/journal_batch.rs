//! The batches of the engine's journals.
//!
//! A journal is a sequence of batches, followed by zeros that were allocated ahead:
//! start (`1`, count `u32`, sequence `u64`), entries (`2`, kind `u8`, compression `u8`, keyspace `u64`, key length `u16`,
//! value length `u32`, stored length `u32`, key, value; or `4`, keyspace `u64`), end (`3`, XXH3-64 over the entries, magic).
//!
//! Count and sequence are not protected by the checksum. The state that the writer puts into every batch is: its floor
//! lies above the sequence number of the batch before and not above that of its own.

use xxhash_rust::xxh3::xxh3_64;

use crate::{cut::Cut, state::State};

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;
const MAGIC: [u8; 4] = *b"FJL\x03";
/// Kinds of entries above this one do not occur in a journal.
const LAST_KIND: u8 = 2;

/// A whole batch of a journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Batch {
    pub(crate) length: usize,
    /// The engine's number, which decides what is newer; a flipped bit in it shows only in the batch that follows.
    pub(crate) sequence: u64,
    /// Every batch that the writer commits carries one.
    pub(crate) state: Option<State>,
}

impl Batch {
    /// The least number that this batch can have; protected, if the batch carries a state.
    pub(crate) fn floor(&self) -> u64 {
        self.state.map_or(self.sequence, |state| state.floor)
    }
}

/// What stands at some place of a journal.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Parsed {
    Batch(Batch),
    /// The bytes end within a batch.
    Incomplete,
    /// No batch starts here.
    Broken,
}

/// What stands at the beginning of `bytes`, behind a batch with this floor.
pub(crate) fn parse(bytes: &[u8], floor: Option<u64>) -> Parsed {
    match bytes.first() {
        None => Parsed::Incomplete,
        Some(&START) => parse_batch(bytes, floor).unwrap_or(Parsed::Incomplete),
        Some(_) => Parsed::Broken,
    }
}

/// A cheap look that spares the search a parse at almost every wrong place.
pub(crate) fn looks_like_start(bytes: &[u8], floor: Option<u64>) -> bool {
    let mut cut = Cut::new(bytes);
    let (start, count, sequence) = (cut.u8(), cut.u32(), cut.u64());
    // Close to the end of the window there may be too little to see; then the parse decides.
    start == Some(START)
        && sequence.is_none_or(|sequence| count != Some(0) && follows(sequence, floor))
        && cut.u8().is_none_or(|tag| tag == ITEM || tag == CLEAR)
}

/// Parses a batch; `None` if the bytes end before it does.
fn parse_batch(bytes: &[u8], floor: Option<u64>) -> Option<Parsed> {
    let mut cut = Cut::new(bytes);
    let (_start, count, sequence) = (cut.u8()?, cut.u32()?, cut.u64()?);
    if count == 0 || !follows(sequence, floor) {
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
    let fits = state.is_none_or(|state| state.fits(sequence) && follows(state.floor, floor));
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

/// Whether `number` may come after a batch with this floor: numbers grow. The engine's highest bit has another use.
fn follows(number: u64, floor: Option<u64>) -> bool {
    floor.is_none_or(|floor| number > floor) && number < 1 << 62
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The bytes of a batch that holds nothing but its state.
    pub(crate) fn batch(sequence: u64) -> Vec<u8> {
        let state = State { sequence, mark: 0, session: 0, floor: sequence };
        let value = state.to_bytes();
        let mut entries = vec![ITEM, 0, 0];
        entries.extend(1_u64.to_le_bytes());
        entries.extend((State::KEY.len() as u16).to_le_bytes());
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

    #[test]
    fn a_batch_is_taken_only_behind_a_lower_floor() {
        let is_batch = |bytes: &[u8], floor| matches!(parse(bytes, floor), Parsed::Batch(_));
        assert!(is_batch(&batch(5), None) && is_batch(&batch(5), Some(4)));
        assert!(!is_batch(&batch(5), Some(5)));
        // Raising the number does not help a batch whose floor says that it is old.
        let mut raised = batch(5);
        raised[5] = 9;
        assert!(is_batch(&raised, Some(4)) && !is_batch(&raised, Some(5)));
    }
}
