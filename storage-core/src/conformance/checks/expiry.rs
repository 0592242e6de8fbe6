//! P4, P5: expired is gone at once, and what was saved anew stays.

use std::time::Duration;

use crate::{
    CleanupReport, Condition, ErrorKind, StorageItem, StorageQuery, Timestamp, Usage,
    conformance::{Fixture, Store, support::*},
};

/// A store in which the item `k`, tagged `a=1`, has just expired, and nothing else is.
async fn expired(fixture: &Fixture) -> Store {
    let store = fixture.open().await;
    let deadline = fixture.later(1);
    let tagged = store.info().capabilities.tags;
    let plain = request("k", "data").expires_at(deadline);
    save(&store, if tagged { plain.tag("a", "1") } else { plain }).await;
    fixture.until(deadline).await;
    store
}

/// P4: An item lives until the instant before its deadline.
pub async fn an_item_lives_until_just_before_its_deadline(fixture: &Fixture) {
    let store = fixture.open().await;
    let deadline = fixture.later(2);
    let item = save(&store, request("k", "data").expires_at(deadline)).await;
    if fixture.manual().is_some() {
        fixture.until(deadline.saturating_sub(Duration::from_micros(1))).await;
    }
    assert_stored(&store, &item).await;
}

/// P4: At the exact instant of its deadline an item is gone.
pub async fn an_item_is_gone_at_the_exact_instant_of_its_deadline(fixture: &Fixture) {
    let store = expired(fixture).await;
    assert_eq!(get(&store, "k").await, None);
}

/// P4: Without any cleanup, an expired item is in no search.
pub async fn an_expired_item_is_in_no_search(fixture: &Fixture) {
    let store = expired(fixture).await;
    for query in [
        StorageQuery::new(),
        StorageQuery::new().content_type(KIND),
        StorageQuery::new().pattern("k"),
        StorageQuery::new().expires_before(Timestamp::MAX),
        StorageQuery::new().metadata_only(),
        StorageQuery::new().order(crate::Order::UPDATED),
    ] {
        assert_eq!(find(&store, &query).await, [], "{query:?}");
    }
}

/// P4: Without any cleanup, the tags of an expired item find nothing.
pub async fn an_expired_item_is_found_by_none_of_its_tags(fixture: &Fixture) {
    let store = expired(fixture).await;
    assert_eq!(find(&store, &StorageQuery::new().tag("a", "1")).await, []);
    assert_eq!(count(&store, &StorageQuery::new().tag("a", "1")).await, 0);
}

/// P4: Without any cleanup, an expired item is not counted.
pub async fn an_expired_item_is_not_counted(fixture: &Fixture) {
    let store = expired(fixture).await;
    assert_eq!(count(&store, &StorageQuery::new()).await, 0);
    assert_eq!(count(&store, &StorageQuery::new().content_type(KIND)).await, 0);
}

/// P4: Without any cleanup, an expired item is not in the usage.
pub async fn an_expired_item_is_not_in_the_usage(fixture: &Fixture) {
    let store = expired(fixture).await;
    assert_eq!(store.usage().await.unwrap(), Usage::default());
}

/// P4: Batches do not see expired items.
pub async fn an_expired_item_is_invisible_to_batches(fixture: &Fixture) {
    let store = expired(fixture).await;
    let loaded = store.load_many(&[key("k")]).await;
    assert_eq!(loaded.into_iter().map(Result::unwrap).collect::<Vec<_>>(), [None::<StorageItem>]);
    let deleted = store.delete_many(&[key("k")]).await;
    assert_eq!(deleted.into_iter().map(Result::unwrap).collect::<Vec<_>>(), [false]);
}

/// P4: A touch does not revive an expired item.
pub async fn an_expired_item_cannot_be_touched(fixture: &Fixture) {
    let store = expired(fixture).await;
    assert_eq!(store.touch(key("k"), None).await.unwrap(), None);
    assert_eq!(store.touch(key("k"), Some(fixture.far())).await.unwrap(), None);
    assert_eq!(get(&store, "k").await, None);
}

/// P4: An expired item does not come back to life by waiting or by cleaning up.
pub async fn an_expired_item_stays_gone(fixture: &Fixture) {
    let store = expired(fixture).await;
    for _ in 0..3 {
        fixture.tick().await;
        assert_eq!(get(&store, "k").await, None);
        cleanup(&store).await;
    }
}

/// P4: A deadline in the past is `Invalid`, and nothing is stored.
pub async fn a_deadline_in_the_past_is_invalid_and_stores_nothing(fixture: &Fixture) {
    let store = fixture.open().await;
    let hour_ago = fixture.now().saturating_sub(Duration::from_secs(3_600));
    for past in [hour_ago, Timestamp::UNIX_EPOCH, Timestamp::MIN] {
        refused(store.save(request("k", "data").expires_at(past)).await, ErrorKind::Invalid);
        assert_eq!(get(&store, "k").await, None);
    }
    assert_eq!(cleanup(&store).await.expired, 0, "something was stored");
}

/// P4: A deadline of this very instant is in the past.
pub async fn a_deadline_of_now_is_invalid(fixture: &Fixture) {
    let store = fixture.open().await;
    refused(store.save(request("k", "data").expires_at(fixture.now())).await, ErrorKind::Invalid);
    assert_eq!(get(&store, "k").await, None);
}

/// P4: A save refused for its deadline leaves the old item.
pub async fn a_deadline_in_the_past_leaves_the_old_item(fixture: &Fixture) {
    let store = fixture.open().await;
    let item = put(&store, "k", "old").await;
    refused(store.save(request("k", "new").expires_at(fixture.now())).await, ErrorKind::Invalid);
    assert_stored(&store, &item).await;
}

/// P4: The shortest possible life is a microsecond (on the real clock: a unit of the suite's time).
pub async fn the_nearest_deadline_in_the_future_is_taken(fixture: &Fixture) {
    let store = fixture.open().await;
    let deadline = match fixture.manual() {
        Some(_) => fixture.now().saturating_add(Duration::from_micros(1)),
        None => fixture.later(1),
    };
    let item = save(&store, request("k", "data").expires_at(deadline)).await;
    assert_stored(&store, &item).await;
    fixture.until(deadline).await;
    assert_eq!(get(&store, "k").await, None);
}

/// P4: The farthest deadline is kept exactly.
pub async fn the_farthest_deadline_is_kept(fixture: &Fixture) {
    let store = fixture.open().await;
    let item = save(&store, request("k", "data").expires_at(Timestamp::MAX)).await;
    assert_eq!(item.metadata.expires_at, Some(Timestamp::MAX));
    assert_stored(&store, &item).await;
}

/// P1: Deadlines are kept to the microsecond.
pub async fn deadlines_are_kept_to_the_microsecond(fixture: &Fixture) {
    let store = fixture.open().await;
    for micros in [1, 999, 1_000, 999_999] {
        let deadline = fixture.far().saturating_add(Duration::from_micros(micros));
        save(&store, request("k", "data").expires_at(deadline)).await;
        assert_eq!(get(&store, "k").await.unwrap().metadata.expires_at, Some(deadline));
    }
}

/// P5: A re-save without a deadline lives for ever.
pub async fn a_resave_without_deadline_lives_for_ever(fixture: &Fixture) {
    let store = fixture.open().await;
    let deadline = fixture.later(1);
    save(&store, request("k", "old").expires_at(deadline)).await;
    let item = put(&store, "k", "new").await;
    fixture.until(deadline).await;
    assert_stored(&store, &item).await;
    assert_eq!(cleanup(&store).await, CleanupReport::default());
    assert_stored(&store, &item).await;
}

/// P5: A re-save with a later deadline lives until that.
pub async fn a_resave_with_a_later_deadline_lives_until_that(fixture: &Fixture) {
    let store = fixture.open().await;
    let (early, late) = (fixture.later(1), fixture.later(3));
    save(&store, request("k", "old").expires_at(early)).await;
    let item = save(&store, request("k", "new").expires_at(late)).await;
    fixture.until(early).await;
    assert_eq!(cleanup(&store).await, CleanupReport::default());
    assert_stored(&store, &item).await;
    fixture.until(late).await;
    assert_eq!(get(&store, "k").await, None);
    assert_eq!(cleanup(&store).await.expired, 1);
}

/// P2: A re-save with an earlier deadline ends earlier.
pub async fn a_resave_with_an_earlier_deadline_ends_earlier(fixture: &Fixture) {
    let store = fixture.open().await;
    save(&store, request("k", "old").expires_at(fixture.far())).await;
    let deadline = fixture.later(1);
    save(&store, request("k", "new").expires_at(deadline)).await;
    fixture.until(deadline).await;
    assert_eq!(get(&store, "k").await, None);
    assert_eq!(cleanup(&store).await.expired, 1);
}

/// P5: The sweep of an expired item leaves the item that was saved in its place.
pub async fn an_item_saved_over_an_expired_one_survives_the_sweep(fixture: &Fixture) {
    let store = expired(fixture).await;
    let item = put(&store, "k", "new").await;
    cleanup(&store).await;
    assert_stored(&store, &item).await;
    cleanup(&store).await;
    assert_stored(&store, &item).await;
}

/// P5: An item saved over an expired one is found at its new place alone.
pub async fn an_item_saved_over_an_expired_one_is_found_by_its_new_tags_alone(fixture: &Fixture) {
    let store = expired(fixture).await;
    let item = save(&store, request("k", "new").tag("a", "2")).await;
    cleanup(&store).await;
    assert_eq!(find(&store, &StorageQuery::new().tag("a", "1")).await, []);
    assert_eq!(find(&store, &StorageQuery::new().tag("a", "2")).await, std::slice::from_ref(&item));
    assert_eq!(find(&store, &StorageQuery::new()).await, [item]);
}

/// P4: Each item has a deadline of its own.
pub async fn the_expiry_of_one_item_leaves_the_others(fixture: &Fixture) {
    let store = fixture.open().await;
    let (early, late) = (fixture.later(1), fixture.later(3));
    save(&store, request("early", "").expires_at(early)).await;
    let late = save(&store, request("late", "").expires_at(late)).await;
    let eternal = put(&store, "eternal", "").await;
    fixture.until(early).await;
    assert_eq!(get(&store, "early").await, None);
    assert_stored(&store, &late).await;
    assert_stored(&store, &eternal).await;
}

/// P4: Any number of items may share a deadline.
pub async fn items_that_share_a_deadline_expire_together(fixture: &Fixture) {
    let store = fixture.open().await;
    let deadline = fixture.later(2);
    let names: Vec<_> = (0..50).map(|n| format!("k{n}")).collect();
    save_all(&store, names.iter().map(|name| request(name, "").expires_at(deadline)).collect()).await;
    fixture.until(deadline).await;
    for name in &names {
        assert_eq!(get(&store, name).await, None);
    }
    assert_eq!(cleanup(&store).await.expired, 50);
}

/// P4: A delete takes the deadline with it.
pub async fn an_item_saved_after_a_delete_does_not_inherit_the_deadline(fixture: &Fixture) {
    let store = fixture.open().await;
    let deadline = fixture.later(1);
    save(&store, request("k", "old").expires_at(deadline)).await;
    store.delete(key("k"), Condition::None).await.unwrap();
    let item = put(&store, "k", "new").await;
    fixture.until(deadline).await;
    cleanup(&store).await;
    assert_stored(&store, &item).await;
}
