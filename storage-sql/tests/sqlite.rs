//! What is particular to SQLite: one file, several processes, and what happens to disks.

#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests state what they expect by panicking")]

#[path = "support/mod.rs"]
mod support;

#[path = "sqlite/disk.rs"]
mod disk;
#[path = "sqlite/files.rs"]
mod files;
#[path = "sqlite/processes.rs"]
mod processes;

use std::{path::Path, time::Duration};

use storage_core::{ManualClock, Result};
use storage_sql::{SqlConfig, SqlProvider};

fn config(file: &Path) -> SqlConfig {
    SqlConfig::from_url(&format!("sqlite:{}", file.display())).unwrap()
}

/// A configuration that does not wait long for a lock.
fn hasty(file: &Path) -> SqlConfig {
    SqlConfig { lock_timeout: Duration::from_millis(100), ..config(file) }
}

async fn open(file: &Path) -> Result<SqlProvider> {
    SqlProvider::connect(config(file)).await
}

#[tokio::test]
async fn random_queries_are_answered_as_memory_does() {
    let directory = tempfile::tempdir().unwrap();
    let clock = ManualClock::default();
    let store = SqlProvider::builder(config(&directory.path().join("store.db"))).clock(clock.shared());
    let store = store.connect().await.unwrap();
    support::differential::compare(store, clock, support::differential::seed(), 250).await;
}

#[tokio::test]
async fn no_text_of_a_caller_becomes_part_of_a_statement() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory.path().join("store.db")).await.unwrap();
    support::corpus::survives(&store).await;
}
