//! Redis and Valkey: one node, a cluster, a master watched by sentinels.

mod cluster;
mod places;
mod sentinel;
pub(crate) mod server;

use std::{
    thread,
    time::{Duration, Instant},
};

pub use cluster::{Cluster, ClusterBuilder};
pub use places::Place;
pub use sentinel::{Sentinels, SentinelsBuilder};
pub use server::{Server, ServerBuilder};

/// Servers agree with each other within seconds, also on a machine that is busy with compiling.
const AGREEING: Duration = Duration::from_secs(60);

/// Polls until `done` says yes.
fn eventually(what: &str, done: impl Fn() -> bool) {
    let deadline = Instant::now() + AGREEING;
    while !done() {
        assert!(Instant::now() < deadline, "{what} within {AGREEING:?}");
        thread::sleep(Duration::from_millis(10));
    }
}
