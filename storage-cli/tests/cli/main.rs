//! The `storage` binary, run as people and programs run it.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests state what they expect by panicking"
)]

mod bad_input;
mod damage;
mod demo;
mod filters;
mod items;
mod json;
#[cfg(any(feature = "lua54", feature = "luau"))]
mod lua;
mod mounts;
mod processes;
mod sandbox;
mod script_values;
#[cfg(feature = "redis")]
mod servers;
