//! Crashes stores on purpose and looks at what is left.
//!
//! A child process works on a store and says through a pipe what it is about to do and what was acknowledged. Its parent
//! kills it at a random moment and lets the next child compare the store with what it was told: every acknowledged write
//! is there, every other one is there as a whole or not at all, and every index agrees with the data.
//!
//! The tests use this library; `storage-torture crash CYCLES` runs it for as long as anyone likes.

#![expect(clippy::expect_used, clippy::panic, reason = "a harness states what it expects by panicking")]

mod check;
mod crash;
mod jobs;
mod ledger;
mod machine;
mod model;
mod process;
mod protocol;
mod store;
mod witness;
mod workload;

pub use check::{check, scrub};
pub use crash::{Crash, Figures};
pub use jobs::run;
pub use ledger::{Ledger, Tally};
pub use machine::{Mount, PowerSwitch, can_mount, can_trace, unavailable};
pub use model::Model;
pub use process::Child;
pub use protocol::{Action, Entry, Job, Line, Outcome, Plan, payload};
pub use store::{HeldClock, Settings};
pub use witness::Witness;
pub use workload::Workload;
