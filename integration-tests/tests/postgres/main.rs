//! Faults of PostgreSQL and of its neighbours, and what must come of each: `docs/RELIABILITY.md` lists them by number.
//!
//! Tests that pause, kill, fill or misconfigure a server start one of their own; the others share one.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests state what they expect by panicking"
)]

mod access;
mod cancelled;
mod collisions;
mod hostile;
mod load;
mod lost;
mod neighbours;
mod support;
