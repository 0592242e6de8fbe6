//! P3: a delete says whether a live item was there.

use crate::{
    Condition, ErrorKind, StorageQuery,
    conformance::{Fixture, Store, support::*},
};

async fn delete(store: &Store, name: &str) -> bool {
    store.delete(key(name), Condition::None).await.unwrap_or_else(|error| panic!("delete failed: {error:?}"))
}

/// P3: Deleting a live item says `true`, and the item is gone.
pub async fn deleting_a_live_item_says_true_and_removes_it(fixture: &Fixture) {
    let store = fixture.open().await;
    put(&store, "k", "data").await;
    assert!(delete(&store, "k").await, "a live item was there");
    assert_eq!(get(&store, "k").await, None);
}

/// P3: Deleting what was never there says `false`.
pub async fn deleting_a_missing_item_says_false(fixture: &Fixture) {
    let store = fixture.open().await;
    assert!(!delete(&store, "k").await, "nothing was there");
}

/// P3: The second delete says `false`.
pub async fn deleting_twice_says_true_and_then_false(fixture: &Fixture) {
    let store = fixture.open().await;
    put(&store, "k", "data").await;
    assert_eq!([delete(&store, "k").await, delete(&store, "k").await], [true, false]);
}

/// P3, P4: An expired item is not there to be deleted.
pub async fn deleting_an_expired_item_says_false(fixture: &Fixture) {
    let store = fixture.open().await;
    let deadline = fixture.later(1);
    save(&store, request("k", "data").expires_at(deadline)).await;
    fixture.until(deadline).await;
    assert!(!delete(&store, "k").await, "the item had expired");
}

/// P3: Other items stay, those of the same key under another content type included.
pub async fn a_delete_leaves_all_other_items_alone(fixture: &Fixture) {
    let store = fixture.open().await;
    for name in ["k", "k2", "K", "k/"] {
        put(&store, name, name).await;
    }
    let twin = save(&store, crate::SaveRequest::new(typed("other", "k"), "twin")).await;
    delete(&store, "k").await;
    for name in ["k2", "K", "k/"] {
        assert_eq!(text(&store, name).await.as_deref(), Some(name));
    }
    assert_stored(&store, &twin).await;
}

/// P9: A deleted item is in no search, count or usage.
pub async fn a_deleted_item_is_gone_from_search_count_and_usage(fixture: &Fixture) {
    let store = fixture.open().await;
    put(&store, "k", "data").await;
    delete(&store, "k").await;
    assert_eq!(names(&store, &StorageQuery::new()).await, [""; 0]);
    assert_eq!(count(&store, &StorageQuery::new()).await, 0);
    assert_eq!(store.usage().await.unwrap(), crate::Usage::default());
}

/// P12: The tags of a deleted item find nothing.
pub async fn the_tags_of_a_deleted_item_find_nothing(fixture: &Fixture) {
    let store = fixture.open().await;
    save(&store, request("k", "data").tag("a", "1")).await;
    save(&store, request("stays", "data").tag("a", "1")).await;
    delete(&store, "k").await;
    assert_eq!(keys(&store, &StorageQuery::new().tag("a", "1")).await, ["stays"]);
}

/// P3: A deleted key can be saved again.
pub async fn a_deleted_item_can_be_saved_again(fixture: &Fixture) {
    let store = fixture.open().await;
    for round in 0..5 {
        let data = round.to_string();
        put(&store, "k", &data).await;
        assert_eq!(text(&store, "k").await, Some(data));
        assert!(delete(&store, "k").await);
        assert_eq!(get(&store, "k").await, None);
    }
}

/// P6: A delete under the right version removes the item.
pub async fn a_delete_under_the_right_version_removes_the_item(fixture: &Fixture) {
    let store = fixture.open().await;
    let version = put(&store, "k", "data").await.metadata.version;
    assert!(store.delete(key("k"), Condition::Version(version)).await.unwrap());
    assert_eq!(get(&store, "k").await, None);
}

/// P6: A delete under another version is a conflict and removes nothing.
pub async fn a_delete_under_a_wrong_version_is_a_conflict_and_removes_nothing(fixture: &Fixture) {
    let store = fixture.open().await;
    let stale = put(&store, "k", "old").await.metadata.version;
    let item = put(&store, "k", "new").await;
    for wrong in [stale, item.metadata.version + 1, 0, u64::MAX] {
        let answer = store.delete(key("k"), Condition::Version(wrong)).await;
        refused(answer, ErrorKind::VersionConflict);
        assert_stored(&store, &item).await;
    }
}

/// P3: A conditional delete of a missing item says `false`, whatever the version.
pub async fn a_conditional_delete_of_a_missing_item_says_false(fixture: &Fixture) {
    let store = fixture.open().await;
    let version = put(&store, "k", "data").await.metadata.version;
    delete(&store, "k").await;
    for named in [version, 0] {
        assert!(!store.delete(key("k"), Condition::Version(named)).await.unwrap());
    }
}

/// P3, P4: A conditional delete of an expired item says `false`.
pub async fn a_conditional_delete_of_an_expired_item_says_false(fixture: &Fixture) {
    let store = fixture.open().await;
    let deadline = fixture.later(1);
    let version = save(&store, request("k", "data").expires_at(deadline)).await.metadata.version;
    fixture.until(deadline).await;
    for named in [version, version + 1] {
        assert!(!store.delete(key("k"), Condition::Version(named)).await.unwrap());
    }
}

/// P6: A delete on the condition of absence makes no sense, and is refused.
pub async fn a_delete_conditional_on_absence_is_invalid(fixture: &Fixture) {
    let store = fixture.open().await;
    refused(store.delete(key("k"), Condition::Absent).await, ErrorKind::Invalid);
    let item = put(&store, "k", "data").await;
    refused(store.delete(key("k"), Condition::Absent).await, ErrorKind::Invalid);
    assert_stored(&store, &item).await;
}
