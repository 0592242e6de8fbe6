//! P16: errors name provider, operation and item, and hold no payload.

use std::error::Error;

use crate::{
    Condition, ErrorKind, ItemKey, Retry, SaveRequest, StorageError, StorageQuery, Tags,
    conformance::{Fixture, Store, support::*},
};

/// A payload that must show up nowhere.
const SECRET: &str = "S3CR3T-8d1f";

fn assert_context(store: &Store, error: &StorageError, operation: &str, key: Option<ItemKey<'_>>) {
    let seen = (error.provider(), error.operation(), error.content_type(), error.key());
    let name = store.info().name;
    let expected = (Some(&*name), Some(operation), key.map(ItemKey::content_type), key.map(ItemKey::key));
    assert_eq!(seen, expected, "provider, operation, content type and key of {error:?}");
    let mut text = format!("{error} {error:?}");
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(" {error} {error:?}"));
        cause = error.source();
    }
    assert!(!text.contains(SECRET), "the error quotes the payload: {text}");
    assert!(!error.message().is_empty(), "an error without words");
}

/// P16: A save that is refused names provider, operation and item.
pub async fn the_error_of_a_save_names_provider_operation_and_item(fixture: &Fixture) {
    let store = fixture.open().await;
    put(&store, "k", SECRET).await;
    for bad in [
        request("k", SECRET).expires_at(fixture.now()),
        request("k", SECRET).tags(Tags::from([("", SECRET)])),
        request("k", SECRET).tags(Tags::from([("n".repeat(129), String::new())])),
    ] {
        let error = refused(store.save(bad).await, ErrorKind::Invalid);
        assert_context(&store, &error, "save", Some(key("k")));
        assert_eq!(error.retry(), Retry::Never);
    }
}

/// P16: A condition that does not hold names provider, operation and item.
pub async fn the_error_of_a_condition_names_provider_operation_and_item(fixture: &Fixture) {
    let store = fixture.open().await;
    let version = put(&store, "k", SECRET).await.metadata.version;
    let exists = store.save(request("k", SECRET).condition(Condition::Absent)).await;
    assert_context(&store, &refused(exists, ErrorKind::AlreadyExists), "save", Some(key("k")));
    let conflict = store.save(request("k", SECRET).condition(Condition::Version(version + 1))).await;
    assert_context(&store, &refused(conflict, ErrorKind::VersionConflict), "save", Some(key("k")));
    let conflict = store.delete(key("k"), Condition::Version(version + 1)).await;
    assert_context(&store, &refused(conflict, ErrorKind::VersionConflict), "delete", Some(key("k")));
}

/// P16: A payload too large names provider, operation and item.
pub async fn the_error_of_a_large_payload_names_provider_operation_and_item(fixture: &Fixture) {
    let store = fixture.open().await;
    let max = store.info().capabilities.max_payload;
    let large = SaveRequest::new(key("k"), vec![0; max as usize + 1]);
    let answer = store.save(large).await.map(|item| item.metadata);
    let error = refused(answer, ErrorKind::TooLarge { size: max + 1, max });
    assert_context(&store, &error, "save", Some(key("k")));
}

/// P16: A touch that is refused names provider and item.
pub async fn the_error_of_a_touch_names_provider_and_item(fixture: &Fixture) {
    let store = fixture.open().await;
    put(&store, "k", SECRET).await;
    let error = refused(store.touch(key("k"), Some(fixture.now())).await, ErrorKind::Invalid);
    // A touch made of a load and a save may say which of them failed.
    let operation = error.operation().expect("an operation");
    assert!(["touch", "save"].contains(&operation), "{error:?}");
    assert_context(&store, &error, operation, Some(key("k")));
}

/// P16: A query that is refused names provider and operation, and no item.
pub async fn the_error_of_a_query_names_provider_and_operation(fixture: &Fixture) {
    let store = fixture.open().await;
    let error = refused(store.search(&StorageQuery::new().pattern("[")).await, ErrorKind::InvalidQuery);
    assert_context(&store, &error, "search", None);
}

/// P16: A closed provider names itself, the operation and the item.
pub async fn the_error_of_a_closed_provider_names_operation_and_item(fixture: &Fixture) {
    let store = fixture.open().await;
    store.close().await.unwrap();
    let error = refused(store.save(request("k", SECRET)).await, ErrorKind::Closed);
    assert_context(&store, &error, "save", Some(key("k")));
    let error = refused(store.load(key("k")).await, ErrorKind::Closed);
    assert_context(&store, &error, "load", Some(key("k")));
    let error = refused(store.delete(key("k"), Condition::None).await, ErrorKind::Closed);
    assert_context(&store, &error, "delete", Some(key("k")));
    let error = refused(store.cleanup().await, ErrorKind::Closed);
    assert_context(&store, &error, "cleanup", None);
}

/// P14, P16: Each failure of a batch names its own item.
pub async fn each_error_of_a_batch_names_its_own_item(fixture: &Fixture) {
    let store = fixture.open().await;
    let batch = vec![
        request("a", SECRET).expires_at(fixture.now()),
        request("b", SECRET),
        request("c", SECRET).expires_at(fixture.now()),
    ];
    for (name, answer) in ["a", "b", "c"].into_iter().zip(store.save_many(batch).await) {
        match answer {
            Ok(item) => assert_eq!(item.metadata.key, name),
            Err(error) => {
                let operation = error.operation().expect("an operation");
                assert!(["save", "save_many"].contains(&operation), "{error:?}");
                assert_context(&store, &error, operation, Some(key(name)));
            }
        }
    }
}

/// P16: A key that could forge lines of a log is shown escaped.
pub async fn a_hostile_key_is_shown_escaped(fixture: &Fixture) {
    let store = fixture.open().await;
    let hostile = "a\u{202e}b\u{2028}c\" d";
    put(&store, hostile, SECRET).await;
    let error =
        refused(store.save(request(hostile, SECRET).expires_at(fixture.now())).await, ErrorKind::Invalid);
    assert_eq!(error.key(), Some(hostile));
    let text = format!("{error} {error:?}");
    assert!(!text.contains(['\u{202e}', '\u{2028}']), "{text}");
}
