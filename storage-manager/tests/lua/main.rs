//! What scripts see of the storage, on either interpreter.
#![cfg(all(any(feature = "lua54", feature = "luau"), feature = "memory", feature = "fs"))]
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "helpers of tests fail loudly")]

mod agent;
mod cancellation;
mod coroutines;
mod everywhere;
mod guide;
mod key_value;
mod model;
mod sandbox;
mod support;
mod values;
