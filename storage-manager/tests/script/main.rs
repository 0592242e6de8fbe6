//! What scripts are promised, sentence by sentence, on a store in memory, on one on disk and, with the
//! feature `redis`, on one on a server.
#![expect(clippy::unwrap_used, reason = "tests state what they expect by panicking")]

mod agent;
mod counting;
mod key_value;
mod model;
mod policy;
mod properties;
mod support;
