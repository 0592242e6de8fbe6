//! P9: random stores and queries.

use crate::support::{differential::compare, postgres::config};

#[tokio::test]
async fn many_items_are_searched_as_memory_does() {
    compare(config("differential"), 250).await;
}

#[tokio::test]
async fn few_items_are_searched_as_memory_does() {
    compare(config("differential_few"), 30).await;
}
