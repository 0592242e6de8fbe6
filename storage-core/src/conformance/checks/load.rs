//! P1, P3: a load answers what is there and changes nothing.

use crate::conformance::{Fixture, support::*};

/// P3: A key that was never saved loads as none.
pub async fn a_missing_item_is_none(fixture: &Fixture) {
    let store = fixture.open().await;
    assert_eq!(get(&store, "k").await, None);
    put(&store, "other", "data").await;
    assert_eq!(get(&store, "k").await, None);
}

/// P1: Loading is no write: times and versions stay.
pub async fn a_load_changes_nothing(fixture: &Fixture) {
    let store = fixture.open().await;
    let saved = put(&store, "k", "data").await;
    for _ in 0..3 {
        fixture.tick().await;
        assert_stored(&store, &saved).await;
    }
}

/// P1: A load sees the last acknowledged save, again and again.
pub async fn a_load_sees_every_save_at_once(fixture: &Fixture) {
    let store = fixture.open().await;
    for round in 0..100 {
        let data = round.to_string();
        put(&store, "k", &data).await;
        assert_eq!(text(&store, "k").await, Some(data));
    }
}

/// P1: Another task sees an acknowledged save as well.
pub async fn a_load_in_another_task_sees_the_save(fixture: &Fixture) {
    let store = fixture.open().await;
    for round in 0..20 {
        let saved = put(&store, "k", &round.to_string()).await;
        let reader = std::sync::Arc::clone(&store);
        let seen = tokio::spawn(async move { get(&reader, "k").await }).await.unwrap();
        assert_eq!(seen, Some(saved));
    }
}
