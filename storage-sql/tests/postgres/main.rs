//! What PostgreSQL does and suffers beside the contract: its plans, its failures, its neighbours.

#![cfg(feature = "postgres")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests state what they expect by panicking"
)]

mod plans;
#[path = "../support/mod.rs"]
mod support;
