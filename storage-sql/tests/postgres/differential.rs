//! P9: random stores and queries.

use storage_core::{ManualClock, StorageProvider};
use storage_sql::SqlProvider;

use crate::support::{
    differential::{compare, seed},
    postgres::config,
};

async fn compared(name: &str, changes: usize) {
    let clock = ManualClock::default();
    let store = SqlProvider::builder(config(name)).clock(clock.shared()).connect().await.unwrap();
    compare(store.clone(), clock, seed(), changes).await;
    store.close().await.unwrap();
}

#[tokio::test]
async fn many_items_are_searched_as_memory_does() {
    compared("differential", 250).await;
}

#[tokio::test]
async fn few_items_are_searched_as_memory_does() {
    compared("differential_few", 30).await;
}
