//! P1, P2: a save is there as it was given, and replaces the whole item.

use std::{collections::HashSet, time::Duration};

use crate::{
    Bytes, Condition, Encoding, ErrorKind, StorageMetadata, Tags, Timestamp,
    conformance::{Fixture, support::*},
};

/// P1: A load after an acknowledged save returns exactly those bytes and that metadata.
pub async fn a_load_after_a_save_returns_exactly_what_was_saved(fixture: &Fixture) {
    let store = fixture.open().await;
    let far = fixture.far();
    save(&store, request("k", "data").encoding(Encoding::JSON).expires_at(far)).await;
    let item = get(&store, "k").await.expect("the item is there");
    assert_eq!(item.data, "data");
    let StorageMetadata { key, content_type, encoding, expires_at, tags, size, .. } = &*item.metadata;
    assert_eq!((key.as_str(), content_type.as_str(), encoding), ("k", KIND, &Encoding::JSON));
    assert_eq!((*expires_at, *size), (Some(far), 4));
    assert!(tags.is_empty(), "nobody gave it tags: {tags:?}");
}

/// P1: What a save answers is what a load then returns.
pub async fn a_save_answers_the_item_as_it_is_now_stored(fixture: &Fixture) {
    let store = fixture.open().await;
    for data in ["first", "second"] {
        let saved = save(&store, request("k", data).expires_at(fixture.far())).await;
        assert_eq!(saved.data, data);
        assert_stored(&store, &saved).await;
        fixture.tick().await;
    }
}

/// P1: Tags come back exactly.
pub async fn tags_come_back_as_they_were_saved(fixture: &Fixture) {
    let store = fixture.open().await;
    let tags = Tags::from([("tier", "gold"), ("region", "eu west"), ("empty", ""), ("größe", "日本")]);
    let saved = save(&store, request("k", "data").tags(tags.clone())).await;
    assert_eq!(saved.metadata.tags, tags);
    assert_stored(&store, &saved).await;
}

/// P2: A save that names nothing else is raw bytes, untagged, for ever.
pub async fn a_plain_save_is_raw_untagged_and_without_deadline(fixture: &Fixture) {
    let store = fixture.open().await;
    let item = put(&store, "k", "data").await;
    assert_eq!(item.metadata.encoding, Encoding::RAW);
    assert!(item.metadata.tags.is_empty());
    assert_eq!(item.metadata.expires_at, None);
}

/// P1: The times of an item are those of the clock at its save.
pub async fn a_new_item_is_created_and_updated_at_the_time_of_its_save(fixture: &Fixture) {
    let store = fixture.open().await;
    let before = fixture.now();
    let item = put(&store, "k", "data").await;
    let after = fixture.now();
    let created = item.metadata.created_at;
    assert!(before <= created && created <= after, "created at {created}, saved from {before} to {after}");
    assert_eq!(item.metadata.updated_at, created);
}

/// P2: The data of the last save is the data.
pub async fn a_save_replaces_the_data(fixture: &Fixture) {
    let store = fixture.open().await;
    put(&store, "k", "a rather long first text").await;
    put(&store, "k", "short").await;
    assert_eq!(text(&store, "k").await.as_deref(), Some("short"));
}

/// P2: Tags of the earlier save do not linger.
pub async fn a_save_replaces_all_tags(fixture: &Fixture) {
    let store = fixture.open().await;
    save(&store, request("k", "1").tag("a", "1").tag("b", "1")).await;
    save(&store, request("k", "2").tag("b", "2")).await;
    assert_eq!(get(&store, "k").await.unwrap().metadata.tags, Tags::from([("b", "2")]));
    put(&store, "k", "3").await;
    assert_eq!(get(&store, "k").await.unwrap().metadata.tags, Tags::new());
}

/// P2: The encoding is that of the last save.
pub async fn a_save_replaces_the_encoding(fixture: &Fixture) {
    let store = fixture.open().await;
    save(&store, request("k", "{}").encoding(Encoding::JSON)).await;
    put(&store, "k", "{}").await;
    assert_eq!(get(&store, "k").await.unwrap().metadata.encoding, Encoding::RAW);
}

/// P2: The deadline is that of the last save, and none if it names none.
pub async fn a_save_replaces_the_deadline(fixture: &Fixture) {
    let store = fixture.open().await;
    let (far, farther) = (fixture.far(), fixture.far().saturating_add(Duration::from_secs(1)));
    for deadline in [Some(far), Some(farther), None] {
        save(&store, request("k", "data").expires_at(deadline)).await;
        assert_eq!(get(&store, "k").await.unwrap().metadata.expires_at, deadline);
    }
}

/// P2: A live item keeps its id and the time of its creation.
pub async fn a_save_keeps_the_id_and_the_creation_of_a_live_item(fixture: &Fixture) {
    let store = fixture.open().await;
    let first = put(&store, "k", "1").await.metadata;
    fixture.tick().await;
    let second = save(&store, request("k", "2").expires_at(fixture.far())).await.metadata;
    assert_eq!((second.id, second.created_at), (first.id, first.created_at));
}

/// P2: `updated_at` tells the last save.
pub async fn every_save_moves_the_time_of_the_update(fixture: &Fixture) {
    let store = fixture.open().await;
    let first = put(&store, "k", "1").await.metadata;
    fixture.tick().await;
    let now = fixture.now();
    let second = put(&store, "k", "2").await.metadata;
    assert!(second.updated_at >= now, "updated at {}, saved at {now}", second.updated_at);
    assert!(second.updated_at > first.updated_at);
}

/// P2: `updated_at >= created_at`, also if the clock steps back between two saves.
pub async fn no_item_is_updated_before_it_was_created(fixture: &Fixture) {
    let store = fixture.open().await;
    let first = put(&store, "k", "1").await.metadata;
    step_back(fixture);
    let second = put(&store, "k", "2").await.metadata;
    assert_eq!(second.created_at, first.created_at, "the creation moved with the clock");
    assert!(second.updated_at >= second.created_at, "updated {} before created", second.updated_at);
}

/// P2: The version grows at every save.
pub async fn every_save_raises_the_version(fixture: &Fixture) {
    let store = fixture.open().await;
    let mut versions = Vec::new();
    for round in 0..ROUNDS {
        fixture.tick().await;
        versions.push(put(&store, "k", &round.to_string()).await.metadata.version);
    }
    assert_growing(&versions);
}

/// P2: Versions grow where the clock stands still.
pub async fn versions_grow_without_the_help_of_the_clock(fixture: &Fixture) {
    let store = fixture.open().await;
    let mut versions = Vec::new();
    for _ in 0..ROUNDS {
        versions.push(put(&store, "k", "same").await.metadata.version);
    }
    assert_growing(&versions);
}

/// P2: Versions grow where the clock steps back (on the real clock: where it goes its way).
pub async fn versions_grow_under_a_clock_that_steps_back(fixture: &Fixture) {
    let store = fixture.open().await;
    let mut versions = Vec::new();
    for _ in 0..ROUNDS {
        step_back(fixture);
        versions.push(put(&store, "k", "same").await.metadata.version);
    }
    assert_growing(&versions);
}

/// P2: No version is used again after a delete, not even under a clock that steps back.
pub async fn no_version_is_used_again_after_a_delete(fixture: &Fixture) {
    let store = fixture.open().await;
    let mut versions = Vec::new();
    for _ in 0..ROUNDS {
        versions.push(put(&store, "k", "data").await.metadata.version);
        store.delete(key("k"), Condition::None).await.unwrap();
        step_back(fixture);
    }
    assert_growing(&versions);
}

/// P2: No version is used again after an item expired and was swept.
pub async fn no_version_is_used_again_after_expiry_and_cleanup(fixture: &Fixture) {
    let store = fixture.open().await;
    let deadline = fixture.later(1);
    let first = save(&store, request("k", "1").expires_at(deadline)).await.metadata;
    fixture.until(deadline).await;
    cleanup(&store).await;
    step_back(fixture);
    let second = put(&store, "k", "2").await.metadata;
    assert!(second.version > first.version, "{} after {}", second.version, first.version);
}

/// P2: After a delete, a save makes a new item.
pub async fn an_item_saved_after_its_delete_is_a_new_one(fixture: &Fixture) {
    let store = fixture.open().await;
    let first = put(&store, "k", "1").await.metadata;
    store.delete(key("k"), Condition::None).await.unwrap();
    fixture.tick().await;
    let now = fixture.now();
    let second = put(&store, "k", "2").await.metadata;
    assert_ne!(second.id, first.id, "the id of a deleted item was given again");
    assert!(second.created_at >= now, "created at {}, but it was made at {now}", second.created_at);
}

/// P2, P4: A save over an expired item makes a new one, whether or not cleanup ran.
pub async fn an_item_saved_over_an_expired_one_is_a_new_one(fixture: &Fixture) {
    let store = fixture.open().await;
    let deadline = fixture.later(1);
    let first = save(&store, request("k", "1").expires_at(deadline)).await.metadata;
    fixture.until(deadline).await;
    let second = put(&store, "k", "2").await.metadata;
    assert_ne!(second.id, first.id, "the id of an expired item was given again");
    assert!(second.created_at >= deadline, "created at {}, before {deadline}", second.created_at);
    assert!(second.version > first.version);
}

/// P2: Ids are random and differ.
pub async fn every_item_has_an_id_of_its_own(fixture: &Fixture) {
    let store = fixture.open().await;
    let mut ids = HashSet::new();
    for n in 0..100 {
        let id = put(&store, &format!("k{n}"), "data").await.metadata.id;
        assert_eq!(id.get_version_num(), 4, "{id} is no random id");
        assert!(ids.insert(id), "{id} was given twice");
    }
}

/// P1: Many items stand beside each other.
pub async fn many_items_are_kept_apart(fixture: &Fixture) {
    let store = fixture.open().await;
    let names: Vec<_> = (0..300).map(|n| format!("item {n}")).collect();
    save_all(&store, names.iter().map(|name| request(name, name)).collect()).await;
    for name in &names {
        assert_eq!(text(&store, name).await.as_deref(), Some(name.as_str()));
    }
}

/// P2: `size` counts the bytes of the data.
pub async fn the_size_is_the_number_of_bytes(fixture: &Fixture) {
    let store = fixture.open().await;
    for (data, size) in [("four", 4), ("é", 2), ("", 0)] {
        put(&store, "k", data).await;
        assert_eq!(get(&store, "k").await.unwrap().metadata.size, size, "{data:?}");
    }
}

/// P2: Every encoding that can be named is kept by name.
pub async fn encodings_of_any_name_are_kept(fixture: &Fixture) {
    let store = fixture.open().await;
    for name in ["raw", "json", "msgpack", "script.v1", "A+b_c-d", &"e".repeat(64)] {
        let encoding = Encoding::new(name).unwrap();
        save(&store, request("k", "data").encoding(encoding.clone())).await;
        assert_eq!(get(&store, "k").await.unwrap().metadata.encoding, encoding);
    }
}

/// P12: A save that is refused leaves the stored item as it was.
pub async fn a_refused_save_leaves_everything_as_it_was(fixture: &Fixture) {
    let store = fixture.open().await;
    let item = save(&store, request("k", "old").expires_at(fixture.far())).await;
    let nameless = Tags::from([("", "a tag without a name")]);
    refused(store.save(request("k", "new").tags(nameless)).await, ErrorKind::Invalid);
    assert_stored(&store, &item).await;
    refused(store.save(request("k", "new").expires_at(Timestamp::UNIX_EPOCH)).await, ErrorKind::Invalid);
    assert_stored(&store, &item).await;
}

/// P1: A loaded payload belongs to the caller, whatever happens to the item.
pub async fn a_loaded_item_outlives_its_overwrite_and_delete(fixture: &Fixture) {
    let store = fixture.open().await;
    put(&store, "k", "old").await;
    let item = get(&store, "k").await.unwrap();
    put(&store, "k", "new").await;
    store.delete(key("k"), Condition::None).await.unwrap();
    store.close().await.unwrap();
    assert_eq!(item.data, Bytes::from_static(b"old"));
}

const ROUNDS: u32 = 20;

fn assert_growing(versions: &[u64]) {
    assert!(versions.is_sorted_by(|a, b| a < b), "each version is above all before, but: {versions:?}");
}
