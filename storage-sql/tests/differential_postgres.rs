//! Random stores and queries on PostgreSQL.

#![cfg(feature = "postgres")]

mod support;

use support::{differential::compare, postgres::config};

#[tokio::test]
async fn postgres_answers_as_memory_does() {
    compare(config("differential"), 250).await;
}

#[tokio::test]
async fn postgres_with_few_items_answers_as_memory_does() {
    compare(config("differential_few"), 30).await;
}
