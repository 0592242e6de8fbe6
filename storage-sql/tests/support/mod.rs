//! The servers of these tests: one of each engine for all checks of a program, which ends with it.

#![allow(dead_code, reason = "each test program uses its own part of this")]
#![allow(clippy::expect_used, reason = "tests state what they expect by panicking")]

pub(crate) mod differential;
#[cfg(feature = "postgres")]
pub(crate) mod postgres;
