//! What a provider says of itself is true.

use crate::{
    Condition, ErrorKind, StorageQuery,
    conformance::{Fixture, Need, support::*},
};

/// The provider has a short name, which holds no path of the user's, and does not change.
pub async fn the_name_is_short_and_holds_no_secret(fixture: &Fixture) {
    let store = fixture.open().await;
    let name = store.info().name;
    assert!((1..=64).contains(&name.len()), "{name:?}");
    assert!(!name.contains(&*fixture.directory().to_string_lossy()), "{name:?} holds the path of the data");
    put(&store, "k", "data").await;
    assert_eq!(store.info().name, name);
}

/// What is offered does not change while the provider works.
pub async fn what_is_offered_does_not_change(fixture: &Fixture) {
    let store = fixture.open().await;
    let info = store.info();
    assert!(info.capabilities.max_payload > 0, "a provider that takes no payload stores nothing");
    put(&store, "k", "data").await;
    assert_eq!(store.info(), info);
    store.close().await.unwrap();
    assert_eq!(store.info(), info);
}

/// The `Debug` text of a provider holds no payload.
pub async fn the_debug_text_holds_no_payload(fixture: &Fixture) {
    let store = fixture.open().await;
    put(&store, "k", "S3CR3T-payload").await;
    let text = format!("{store:?}");
    assert!(!text.contains("S3CR3T-payload"), "{text}");
}

/// Instead of a check whose need the provider does not meet: it must say so, and do nothing.
pub(in crate::conformance) async fn what_is_lacking_is_said(fixture: &Fixture, need: Need) {
    let store = fixture.open().await;
    let item = put(&store, "k", "data").await;
    let version = Condition::Version(item.metadata.version);
    match need {
        Need::conditions => {
            for condition in [Condition::Absent, version] {
                refused(store.save(request("k", "new").condition(condition)).await, ErrorKind::Unsupported);
            }
            refused(store.delete(key("k"), version).await, ErrorKind::Unsupported);
        }
        Need::tags => {
            refused(store.save(request("k", "new").tag("a", "1")).await, ErrorKind::Unsupported);
        }
        Need::search => {
            refused(store.search(&StorageQuery::new()).await, ErrorKind::Unsupported);
            refused(store.count(&StorageQuery::new()).await, ErrorKind::Unsupported);
            refused(store.usage().await, ErrorKind::Unsupported);
        }
        Need::metadata => {
            let other = request("k", "new").encoding(crate::Encoding::new("x-another").unwrap());
            refused(store.save(other).await, ErrorKind::Unsupported);
            let other = crate::SaveRequest::new(typed("another", "k"), "new");
            refused(store.save(other).await, ErrorKind::Unsupported);
            assert_eq!(load(&store, typed("another", "k")).await, None);
            if store.info().capabilities.search {
                let now = fixture.now();
                for query in [
                    StorageQuery::new().order(crate::Order::CREATED),
                    StorageQuery::new().order(crate::Order::UPDATED.descending()),
                    StorageQuery::new().created_after(now),
                    StorageQuery::new().updated_before(now),
                    StorageQuery::new().expires_after(now),
                ] {
                    refused(store.search(&query).await, ErrorKind::Unsupported);
                }
            }
        }
        Need::durable => {
            // A shared server may well outlive the client that says nothing of durability.
            if !store.info().capabilities.shared {
                let store = fixture.reopen(store).await;
                assert_eq!(get(&store, "k").await, None, "not durable, yet it is still there");
            }
            return;
        }
    }
    assert_stored(&store, &item).await;
}
