//! Decides whether a read runs inline or on the blocking pool.
//!
//! The engine does not say whether a read will be served from memory, but reads come in weather: a store whose last reads
//! were served from memory will most likely serve the next one so too (3 to 10 µs, where a hand-over to the pool costs 30 to
//! 40 µs), and one that just waited for the disk may wait again. So after a slow read the next ones go to the pool, until
//! enough quick ones in a row say that the weather has changed.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

/// Remembers how the last reads went.
#[derive(Debug, Default)]
pub(crate) struct Warmth {
    // How many quick reads in a row are still missing.
    missing: AtomicU32,
}

impl Warmth {
    /// A read that takes this long waited for a disk.
    const SLOW: Duration = Duration::from_micros(250);
    const QUICK_IN_A_ROW: u32 = 16;

    /// Whether the next read may run inline.
    pub(crate) fn is_warm(&self) -> bool {
        self.missing.load(Ordering::Relaxed) == 0
    }

    /// Notes how long a read took, wherever it ran.
    pub(crate) fn note(&self, took: Duration) {
        if took >= Self::SLOW {
            self.missing.store(Self::QUICK_IN_A_ROW, Ordering::Relaxed);
        } else if !self.is_warm() {
            // Two notes at a time may count as one, which only makes it a little more careful.
            self.missing.store(self.missing.load(Ordering::Relaxed).saturating_sub(1), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_slow_read_sends_the_next_ones_to_the_pool_until_enough_were_quick() {
        let warmth = Warmth::default();
        assert!(warmth.is_warm());
        warmth.note(Warmth::SLOW);
        for _ in 0..Warmth::QUICK_IN_A_ROW {
            assert!(!warmth.is_warm());
            warmth.note(Duration::ZERO);
        }
        assert!(warmth.is_warm());
    }
}
