//! What every batch says about the store as a whole, in the same atomic step as its items.

use crate::cut::Cut;

/// What every batch says about the store as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct State {
    /// Number of the batch; each is one above the one before.
    pub(crate) sequence: u64,
    /// The highest version given so far; no version is ever given twice.
    pub(crate) mark: u64,
    /// How often the store was opened; part of the names of payload files.
    pub(crate) session: u32,
    /// The engine's own number of this batch is at least this, and not much more. The engine's journal does not protect
    /// that number, although it decides which of two writes is the newer one.
    pub(crate) floor: u64,
}

impl State {
    /// Where the state stands in its keyspace, and how it is recognised in a journal: no item or index key looks like it.
    pub(crate) const KEY: &'static [u8] = b"\xffstorage-fs state";

    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(28);
        bytes.extend_from_slice(&self.sequence.to_le_bytes());
        bytes.extend_from_slice(&self.mark.to_le_bytes());
        bytes.extend_from_slice(&self.session.to_le_bytes());
        bytes.extend_from_slice(&self.floor.to_le_bytes());
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut cut = Cut::new(bytes);
        let state = Self { sequence: cut.u64()?, mark: cut.u64()?, session: cut.u32()?, floor: cut.u64()? };
        cut.rest().is_empty().then_some(state)
    }

    /// Whether a batch with this state can have this number in the engine.
    pub(crate) fn fits(self, engine_sequence: u64) -> bool {
        // Flushes and compactions that run meanwhile take a few numbers.
        const MOST_BETWEEN: u64 = 1 << 20;
        engine_sequence >= self.floor && engine_sequence - self.floor < MOST_BETWEEN
    }

    pub(crate) fn of_entry(key: &[u8], value: &[u8]) -> Option<Self> {
        if key == Self::KEY { Self::from_bytes(value) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_reads_back_and_nothing_else_is_one() {
        let state = State { sequence: 1, mark: u64::MAX, session: 3, floor: 9 };
        assert_eq!(State::of_entry(State::KEY, &state.to_bytes()), Some(state));
        assert_eq!(State::of_entry(b"note\0a", &state.to_bytes()), None);
        assert_eq!(State::from_bytes(&[0; 27]), None);
        assert_eq!(State::from_bytes(&[0; 29]), None);
    }
}
