//! The servers of these tests: one for all checks of a program, which ends with it.

#![allow(dead_code, reason = "each test program uses its own part of this")]
#![allow(clippy::expect_used, reason = "tests state what they expect by panicking")]

#[cfg(feature = "mysql")]
pub(crate) mod mysql;
