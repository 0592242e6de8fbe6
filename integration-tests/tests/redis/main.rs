//! Faults of a server and of the network before it, and what must come of each: `docs/RELIABILITY.md` lists them by number.
//!
//! Every test starts servers of its own, because it pauses, kills, fills or misconfigures them.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests state what they expect by panicking"
)]

mod access;
mod cluster;
mod errors;
mod expiry;
mod flush;
mod foreign;
mod hang;
mod load;
mod logs;
mod memory;
mod network;
mod planted;
mod restart;
mod secrets;
mod sentinel;
mod stopwatch;
mod support;
mod tls;
