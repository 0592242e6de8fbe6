//! P6: conditions are checked and applied in one step, and a refused write leaves everything as it was.

use crate::{
    Condition::{Absent, None as Unconditional, Version},
    ErrorKind::{AlreadyExists, VersionConflict},
    StorageQuery,
    conformance::{Fixture, support::*},
};

/// P6: `Absent` saves where nothing is.
pub async fn absent_creates_a_missing_item(fixture: &Fixture) {
    let store = fixture.open().await;
    let item = save(&store, request("k", "data").condition(Absent)).await;
    assert_stored(&store, &item).await;
}

/// P6: `Absent` on a live item is `AlreadyExists` and changes nothing.
pub async fn absent_on_a_live_item_is_already_exists_and_changes_nothing(fixture: &Fixture) {
    let store = fixture.open().await;
    let item = save(&store, request("k", "old").expires_at(fixture.far())).await;
    fixture.tick().await;
    refused(store.save(request("k", "new").condition(Absent)).await, AlreadyExists);
    assert_stored(&store, &item).await;
}

/// P4: An expired item counts as absent.
pub async fn absent_takes_an_expired_item_as_absent(fixture: &Fixture) {
    let store = fixture.open().await;
    let deadline = fixture.later(1);
    save(&store, request("k", "old").expires_at(deadline)).await;
    fixture.until(deadline).await;
    save(&store, request("k", "new").condition(Absent)).await;
    assert_eq!(text(&store, "k").await.as_deref(), Some("new"));
}

/// P6: After a delete the key is absent again.
pub async fn absent_holds_again_after_a_delete(fixture: &Fixture) {
    let store = fixture.open().await;
    for _ in 0..3 {
        save(&store, request("k", "data").condition(Absent)).await;
        assert!(store.delete(key("k"), Unconditional).await.unwrap());
    }
}

/// P6: Absence is asked of the content type and key, not of the key alone.
pub async fn absent_looks_at_this_content_type_alone(fixture: &Fixture) {
    let store = fixture.open().await;
    put(&store, "k", "data").await;
    let twin = crate::SaveRequest::new(typed("other", "k"), "twin").condition(Absent);
    save(&store, twin).await;
}

/// P6: The version of the stored item lets a save through.
pub async fn the_right_version_replaces_the_item(fixture: &Fixture) {
    let store = fixture.open().await;
    let mut version = put(&store, "k", "0").await.metadata.version;
    for round in 1..10 {
        let data = round.to_string();
        let item = save(&store, request("k", &data).condition(Version(version))).await;
        assert_stored(&store, &item).await;
        version = item.metadata.version;
    }
}

/// P6: Any other version is a conflict and changes nothing.
pub async fn a_wrong_version_is_a_conflict_and_changes_nothing(fixture: &Fixture) {
    let store = fixture.open().await;
    let stale = put(&store, "k", "old").await.metadata.version;
    let item = put(&store, "k", "new").await;
    let current = item.metadata.version;
    for wrong in [stale, current - 1, current + 1, 0, u64::MAX] {
        refused(store.save(request("k", "lost").condition(Version(wrong))).await, VersionConflict);
        assert_stored(&store, &item).await;
    }
}

/// P6: A missing item has no version.
pub async fn a_version_of_a_missing_item_is_a_conflict_and_stores_nothing(fixture: &Fixture) {
    let store = fixture.open().await;
    for version in [0, 1, u64::MAX] {
        refused(store.save(request("k", "data").condition(Version(version))).await, VersionConflict);
        assert_eq!(get(&store, "k").await, None);
    }
}

/// P4: An expired item has no version.
pub async fn a_version_of_an_expired_item_is_a_conflict_and_stores_nothing(fixture: &Fixture) {
    let store = fixture.open().await;
    let deadline = fixture.later(1);
    let version = save(&store, request("k", "old").expires_at(deadline)).await.metadata.version;
    fixture.until(deadline).await;
    refused(store.save(request("k", "new").condition(Version(version))).await, VersionConflict);
    assert_eq!(get(&store, "k").await, None);
}

/// P2: The version of a deleted item is not that of its successor.
pub async fn a_version_from_before_a_delete_is_a_conflict(fixture: &Fixture) {
    let store = fixture.open().await;
    let version = put(&store, "k", "same").await.metadata.version;
    store.delete(key("k"), Unconditional).await.unwrap();
    let item = put(&store, "k", "same").await;
    refused(store.save(request("k", "new").condition(Version(version))).await, VersionConflict);
    assert_stored(&store, &item).await;
}

/// P2: A save of the same data is a write as well, and makes earlier versions stale.
pub async fn a_version_is_stale_after_a_save_of_the_same_data(fixture: &Fixture) {
    let store = fixture.open().await;
    let version = put(&store, "k", "same").await.metadata.version;
    put(&store, "k", "same").await;
    refused(store.save(request("k", "same").condition(Version(version))).await, VersionConflict);
}

/// P6: A touch is a write, and makes earlier versions stale.
pub async fn a_version_is_stale_after_a_touch(fixture: &Fixture) {
    let store = fixture.open().await;
    let version = put(&store, "k", "data").await.metadata.version;
    store.touch(key("k"), Some(fixture.far())).await.unwrap();
    refused(store.save(request("k", "new").condition(Version(version))).await, VersionConflict);
    refused(store.delete(key("k"), Version(version)).await, VersionConflict);
}

/// P6: A conditional save replaces the whole item, as every save.
pub async fn a_save_under_a_condition_replaces_the_deadline_too(fixture: &Fixture) {
    let store = fixture.open().await;
    let deadline = fixture.later(1);
    let version = save(&store, request("k", "old").expires_at(deadline)).await.metadata.version;
    save(&store, request("k", "new").condition(Version(version))).await;
    fixture.until(deadline).await;
    cleanup(&store).await;
    assert_eq!(text(&store, "k").await.as_deref(), Some("new"));
}

/// P6: A refused save leaves no trace in any index.
pub async fn a_refused_save_is_found_by_none_of_its_tags(fixture: &Fixture) {
    let store = fixture.open().await;
    let item = save(&store, request("k", "old").tag("a", "old")).await;
    for condition in [Absent, Version(item.metadata.version + 1)] {
        assert!(store.save(request("k", "new").tag("a", "new").condition(condition)).await.is_err());
    }
    assert_eq!(find(&store, &StorageQuery::new().tag("a", "new")).await, []);
    assert_eq!(find(&store, &StorageQuery::new().tag("a", "old")).await, [item]);
}
