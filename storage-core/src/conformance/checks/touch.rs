//! A touch is a write that changes the deadline alone.

use std::sync::Arc;

use crate::{
    CleanupReport, Encoding, ErrorKind, Order, StorageItem, StorageMetadata, StorageQuery, Timestamp,
    conformance::{Fixture, Store, support::*},
};

async fn touch(store: &Store, name: &str, deadline: Option<Timestamp>) -> Option<Arc<StorageMetadata>> {
    store.touch(key(name), deadline).await.unwrap_or_else(|error| panic!("touch failed: {error:?}"))
}

/// A touch gives an item that had none a deadline.
pub async fn a_touch_sets_a_deadline(fixture: &Fixture) {
    let store = fixture.open().await;
    put(&store, "k", "data").await;
    let deadline = fixture.later(1);
    assert_eq!(touch(&store, "k", Some(deadline)).await.unwrap().expires_at, Some(deadline));
    assert_eq!(text(&store, "k").await.as_deref(), Some("data"));
    fixture.until(deadline).await;
    assert_eq!(get(&store, "k").await, None);
    assert_eq!(cleanup(&store).await.expired, 1);
}

/// P5: A touch to a later deadline keeps the item across the old one and its sweep.
pub async fn a_touch_extends_a_deadline(fixture: &Fixture) {
    let store = fixture.open().await;
    let (early, late) = (fixture.later(1), fixture.later(3));
    save(&store, request("k", "data").expires_at(early)).await;
    touch(&store, "k", Some(late)).await;
    fixture.until(early).await;
    assert_eq!(cleanup(&store).await, CleanupReport::default());
    assert_eq!(text(&store, "k").await.as_deref(), Some("data"));
    fixture.until(late).await;
    assert_eq!(get(&store, "k").await, None);
}

/// P5: A touch without deadline lets the item live for ever.
pub async fn a_touch_removes_the_deadline(fixture: &Fixture) {
    let store = fixture.open().await;
    let deadline = fixture.later(1);
    save(&store, request("k", "data").expires_at(deadline)).await;
    assert_eq!(touch(&store, "k", None).await.unwrap().expires_at, None);
    fixture.until(deadline).await;
    assert_eq!(cleanup(&store).await, CleanupReport::default());
    assert_eq!(text(&store, "k").await.as_deref(), Some("data"));
}

/// A touch may also bring the end nearer.
pub async fn a_touch_shortens_a_deadline(fixture: &Fixture) {
    let store = fixture.open().await;
    save(&store, request("k", "data").expires_at(fixture.far())).await;
    let deadline = fixture.later(1);
    touch(&store, "k", Some(deadline)).await;
    fixture.until(deadline).await;
    assert_eq!(get(&store, "k").await, None);
}

/// P3: A touch of a missing item says so and stores nothing.
pub async fn a_touch_of_a_missing_item_is_none(fixture: &Fixture) {
    let store = fixture.open().await;
    assert_eq!(touch(&store, "k", None).await, None);
    assert_eq!(touch(&store, "k", Some(fixture.far())).await, None);
    assert_eq!(get(&store, "k").await, None);
}

/// P2: A touch is a write: the version grows and `updated_at` moves.
pub async fn a_touch_raises_the_version_and_moves_the_update(fixture: &Fixture) {
    let store = fixture.open().await;
    let mut last = put(&store, "k", "data").await.metadata;
    for deadline in [Some(fixture.far()), None, None] {
        fixture.tick().await;
        let now = fixture.now();
        let touched = touch(&store, "k", deadline).await.unwrap();
        assert!(touched.version > last.version, "version {} follows {}", touched.version, last.version);
        assert!(touched.updated_at >= now, "updated at {}, touched at {now}", touched.updated_at);
        last = touched;
    }
}

/// P2: A touch keeps data, encoding, id and creation.
pub async fn a_touch_keeps_everything_but_the_deadline(fixture: &Fixture) {
    let store = fixture.open().await;
    let before = save(&store, request("k", "{}").encoding(Encoding::JSON)).await;
    fixture.tick().await;
    let touched = touch(&store, "k", Some(fixture.far())).await.unwrap();
    let expected = StorageMetadata {
        expires_at: touched.expires_at,
        version: touched.version,
        updated_at: touched.updated_at,
        ..(*before.metadata).clone()
    };
    assert_eq!(*touched, expected);
    assert_stored(&store, &StorageItem { data: before.data, metadata: touched }).await;
}

/// P2: A touch keeps the tags, in the item and in the search.
pub async fn a_touch_keeps_the_tags(fixture: &Fixture) {
    let store = fixture.open().await;
    let before = save(&store, request("k", "data").tag("a", "1")).await;
    touch(&store, "k", Some(fixture.far())).await;
    let after = get(&store, "k").await.unwrap();
    assert_eq!(after.metadata.tags, before.metadata.tags);
    assert_eq!(find(&store, &StorageQuery::new().tag("a", "1")).await, [after]);
}

/// P4: A touch to a deadline in the past is `Invalid` and changes nothing.
pub async fn a_touch_into_the_past_is_invalid_and_changes_nothing(fixture: &Fixture) {
    let store = fixture.open().await;
    let item = put(&store, "k", "data").await;
    for past in [fixture.now(), Timestamp::UNIX_EPOCH] {
        refused(store.touch(key("k"), Some(past)).await, ErrorKind::Invalid);
        assert_stored(&store, &item).await;
    }
}

/// P2: `updated_at >= created_at` also for a touch under a clock that stepped back.
pub async fn a_touch_never_updates_before_the_creation(fixture: &Fixture) {
    let store = fixture.open().await;
    let before = put(&store, "k", "data").await.metadata;
    step_back(fixture);
    let touched = touch(&store, "k", None).await.unwrap();
    assert!(touched.updated_at >= touched.created_at, "{touched:?}");
    assert!(touched.version > before.version, "{touched:?}");
}

/// P9: A touched item moves in the order of updates and in the ranges of deadlines.
pub async fn a_touched_item_is_found_at_its_new_place(fixture: &Fixture) {
    let store = fixture.open().await;
    for name in ["a", "b"] {
        put(&store, name, "").await;
        fixture.tick().await;
    }
    let deadline = fixture.far();
    touch(&store, "a", Some(deadline)).await;
    assert_eq!(keys(&store, &StorageQuery::new().order(Order::UPDATED)).await, ["b", "a"]);
    assert_eq!(keys(&store, &StorageQuery::new().expires_after(deadline)).await, ["a"]);
    touch(&store, "a", None).await;
    assert_eq!(keys(&store, &StorageQuery::new().expires_after(deadline)).await, [""; 0]);
}

/// A touch leaves the same key under another content type alone.
pub async fn a_touch_leaves_all_other_items_alone(fixture: &Fixture) {
    let store = fixture.open().await;
    let twin = save(&store, crate::SaveRequest::new(typed("other", "k"), "twin")).await;
    let neighbour = put(&store, "k2", "data").await;
    put(&store, "k", "data").await;
    touch(&store, "k", Some(fixture.far())).await;
    assert_stored(&store, &twin).await;
    assert_stored(&store, &neighbour).await;
}
