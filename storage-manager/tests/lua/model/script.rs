//! Scripts that are made up step by step.

use std::{fmt::Write, time::Duration};

use fastrand::Rng;
use storage_manager::Timestamp;

/// The steps of one script, beside the clock that they move.
pub(super) struct Steps<'a> {
    pub(super) random: &'a mut Rng,
    /// What the clock will show when the script is here.
    now: &'a mut Timestamp,
    text: String,
    count: usize,
}

impl<'a> Steps<'a> {
    pub(super) const fn new(random: &'a mut Rng, now: &'a mut Timestamp) -> Self {
        Self { random, now, text: String::new(), count: 0 }
    }

    pub(super) const fn now(&self) -> Timestamp {
        *self.now
    }

    /// A step that calls one of the functions of the prelude.
    pub(super) fn write(&mut self, check: &str, arguments: &str) {
        self.count += 1;
        writeln!(self.text, "{check}({}, {arguments})", self.count).unwrap();
    }

    /// As [`write`](Self::write), which keeps the answer as the version of the write `number`.
    pub(super) fn write_version(&mut self, number: usize, check: &str, arguments: &str) {
        write!(self.text, "V[{number}] = ").unwrap();
        self.write(check, arguments);
    }

    /// A step that expects nothing.
    pub(super) fn say(&mut self, line: &str) {
        writeln!(self.text, "{line}").unwrap();
    }

    pub(super) fn advance(&mut self) {
        let millis = self.random.choice([1, 400, 500, 999, 2_500, 120_000]).unwrap();
        *self.now = self.now.saturating_add(Duration::from_millis(millis));
        writeln!(self.text, "advance({millis})").unwrap();
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }
}
