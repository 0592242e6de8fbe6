//! What is particular to MySQL and MariaDB: a server that is killed, paused, full of locks or short of rights.

#![cfg(feature = "mysql")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests state what they expect by panicking"
)]

#[path = "support/mod.rs"]
mod support;

#[path = "mysql/locks.rs"]
mod locks;
#[path = "mysql/losses.rs"]
mod losses;
#[path = "mysql/plain.rs"]
mod plain;
#[path = "mysql/refusals.rs"]
mod refusals;
#[path = "mysql/sharing.rs"]
mod sharing;

use storage_core::ManualClock;
use storage_sql::{SqlConfig, SqlProvider};

/// The configuration of a store of its own on the server that these tests share.
fn config() -> SqlConfig {
    support::mysql::config(&name())
}

fn name() -> String {
    format!("store_{:016x}", fastrand::u64(..))
}

async fn open(config: SqlConfig) -> SqlProvider {
    SqlProvider::connect(config).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_queries_are_answered_as_memory_does() {
    let clock = ManualClock::default();
    let store = SqlProvider::builder(config()).clock(clock.shared()).connect().await.unwrap();
    support::differential::compare(store, clock, support::differential::seed(), 100).await;
}

#[tokio::test]
async fn no_text_of_a_caller_becomes_part_of_a_statement() {
    let store = open(config()).await;
    support::corpus::survives(&store).await;
    store.verify().await.unwrap();
    storage_core::StorageProvider::close(&store).await.unwrap();
}
