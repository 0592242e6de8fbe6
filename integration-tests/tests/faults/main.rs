//! Faults of the machine below a store, and what must come of each: `docs/RELIABILITY.md` lists them by number.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests state what they expect by panicking"
)]

mod abuse;
mod crash;
mod damage;
mod disk;
mod image;
mod limits;
mod listing;
mod places;
#[cfg(feature = "fault-injection")]
mod planted;
mod power;
mod support;
mod syscalls;
