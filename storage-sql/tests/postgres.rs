//! PostgreSQL beside the contract: searches compared with memory, plans, plain tables.

#![cfg(feature = "postgres")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests state what they expect by panicking"
)]

#[path = "postgres/differential.rs"]
mod differential;
#[path = "postgres/plain.rs"]
mod plain;
#[path = "postgres/plans.rs"]
mod plans;
mod support;
