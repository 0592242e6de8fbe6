//! P15: close is idempotent, closed is closed, and what was acknowledged is there after reopening.

use std::{sync::Arc, time::Duration};

use crate::{
    Condition, ErrorKind, Health, Order, Result, StorageQuery,
    conformance::{Fixture, Store, support::*},
};

/// P15: Closing twice, or at once from several tasks, is fine.
pub async fn close_is_idempotent(fixture: &Fixture) {
    let store = fixture.open().await;
    put(&store, "k", "data").await;
    let closing: Vec<_> = (0..4)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.close().await })
        })
        .collect();
    for task in closing {
        task.await.unwrap().unwrap();
    }
    store.close().await.unwrap();
}

async fn closed(fixture: &Fixture) -> Store {
    let store = fixture.open().await;
    put(&store, "k", "data").await;
    store.close().await.unwrap();
    store
}

fn assert_all_closed<T: std::fmt::Debug>(answers: Vec<Result<T>>, length: usize) {
    assert_eq!(answers.len(), length, "a batch answers each entry, also when closed");
    for answer in answers {
        refused(answer, ErrorKind::Closed);
    }
}

/// P15: Saves and deletes after close are `Closed`.
pub async fn writes_after_close_are_closed(fixture: &Fixture) {
    let store = closed(fixture).await;
    refused(store.save(request("k", "new")).await, ErrorKind::Closed);
    refused(store.delete(key("k"), Condition::None).await, ErrorKind::Closed);
    refused(store.touch(key("k"), None).await, ErrorKind::Closed);
    refused(store.cleanup().await, ErrorKind::Closed);
}

/// P15: Loads after close are `Closed`, and no misses.
pub async fn loads_after_close_are_closed(fixture: &Fixture) {
    let store = closed(fixture).await;
    refused(store.load(key("k")).await, ErrorKind::Closed);
    refused(store.load(key("never saved")).await, ErrorKind::Closed);
}

/// P15: Searches, counts and usage after close are `Closed`, and not empty.
pub async fn searches_after_close_are_closed(fixture: &Fixture) {
    let store = closed(fixture).await;
    refused(store.search(&StorageQuery::new()).await, ErrorKind::Closed);
    refused(store.count(&StorageQuery::new()).await, ErrorKind::Closed);
    refused(store.usage().await, ErrorKind::Closed);
}

/// P15: Every entry of a batch after close is `Closed`.
pub async fn batches_after_close_are_closed(fixture: &Fixture) {
    let store = closed(fixture).await;
    assert_all_closed(store.save_many(vec![request("k", "1"), request("l", "2")]).await, 2);
    assert_all_closed(store.load_many(&[key("k"), key("l")]).await, 2);
    assert_all_closed(store.delete_many(&[key("k"), key("l")]).await, 2);
}

/// P15: A closed provider is not healthy, and still says who it is.
pub async fn a_closed_provider_says_so_in_its_health(fixture: &Fixture) {
    let store = closed(fixture).await;
    let health = store.health().await;
    assert!(matches!(health, Health::Unhealthy(_)), "closed, yet {health:?}");
    assert!(!store.info().name.is_empty());
}

/// P15: A provider that answers is healthy.
pub async fn an_open_provider_is_healthy(fixture: &Fixture) {
    let store = fixture.open().await;
    assert_eq!(store.health().await, Health::Healthy);
    put(&store, "k", "data").await;
    assert_eq!(store.health().await, Health::Healthy);
}

/// P15: A save that races with close is either acknowledged or refused, and ends.
pub async fn saves_that_race_with_close_end_with_an_answer(fixture: &Fixture) {
    let store = fixture.open().await;
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for n in 0..1_000 {
                    match store.save(request(&format!("{writer}/{n}"), "data")).await {
                        Ok(_) => {}
                        Err(error) if error.kind() == ErrorKind::Closed => return,
                        Err(error) => panic!("neither saved nor closed: {error:?}"),
                    }
                }
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(5)).await;
    store.close().await.unwrap();
    for writer in writers {
        writer.await.unwrap();
    }
}

/// P15: Every acknowledged save is there after reopening, exactly.
pub async fn items_are_there_after_reopening_exactly_as_saved(fixture: &Fixture) {
    let store = fixture.open().await;
    let mut items = Vec::new();
    for n in 0..50 {
        let name = format!("k{n}");
        let request = request(&name, &name.repeat(n)).expires_at((n % 2 == 0).then(|| fixture.far()));
        items.push(save(&store, request).await);
        fixture.tick().await;
    }
    let store = fixture.reopen(store).await;
    for item in &items {
        assert_stored(&store, item).await;
    }
}

/// P15: Large payloads are there after reopening.
pub async fn large_payloads_are_there_after_reopening(fixture: &Fixture) {
    let store = fixture.open().await;
    let size = store.info().capabilities.max_payload.min(1_000_000) as usize;
    let item = save(&store, crate::SaveRequest::new(key("k"), vec![7; size])).await;
    let store = fixture.reopen(store).await;
    assert!(get(&store, "k").await.as_ref() == Some(&item), "the large payload is not what was saved");
}

/// P15: Deletes hold after reopening.
pub async fn deleted_items_stay_deleted_after_reopening(fixture: &Fixture) {
    let store = fixture.open().await;
    put(&store, "stays", "data").await;
    put(&store, "goes", "data").await;
    store.delete(key("goes"), Condition::None).await.unwrap();
    let store = fixture.reopen(store).await;
    assert_eq!(get(&store, "goes").await, None);
    assert_eq!(text(&store, "stays").await.as_deref(), Some("data"));
}

/// P15: Overwrites and touches hold after reopening.
pub async fn the_last_write_holds_after_reopening(fixture: &Fixture) {
    let store = fixture.open().await;
    put(&store, "k", "first").await;
    let second = put(&store, "k", "second").await;
    put(&store, "touched", "data").await;
    let touched = store.touch(key("touched"), Some(fixture.far())).await.unwrap();
    let store = fixture.reopen(store).await;
    assert_stored(&store, &second).await;
    assert_eq!(get(&store, "touched").await.map(|item| item.metadata), touched);
}

/// P15: Every index answers after reopening as before.
pub async fn searches_answer_after_reopening_as_before(fixture: &Fixture) {
    let store = fixture.open().await;
    for n in 0..30 {
        let name = format!("k{n:02}");
        let plain = request(&name, &name).expires_at((n % 3 == 0).then(|| fixture.far()));
        save(&store, plain.tag("parity", if n % 2 == 0 { "even" } else { "odd" })).await;
        fixture.tick().await;
    }
    for name in ["k03", "k20"] {
        save(&store, request(name, "again").tag("parity", "none")).await;
    }
    let queries = [
        StorageQuery::new(),
        StorageQuery::new().tag("parity", "even"),
        StorageQuery::new().tag("parity", "none"),
        StorageQuery::new().order(Order::CREATED.descending()),
        StorageQuery::new().order(Order::UPDATED),
        StorageQuery::new().expires_after(fixture.now()),
        StorageQuery::new().pattern("k1*"),
    ];
    let mut before = Vec::new();
    for query in &queries {
        before.push((find(&store, query).await, count(&store, query).await));
    }
    let usage = store.usage().await.unwrap();
    let store = fixture.reopen(store).await;
    for (query, before) in queries.iter().zip(&before) {
        assert_eq!(
            (&find(&store, query).await, &count(&store, query).await),
            (&before.0, &before.1),
            "{query:?}"
        );
    }
    assert_eq!(store.usage().await.unwrap(), usage);
}

/// P4, P15: What expired while the store was closed is gone, and cleanup finds it.
pub async fn what_expires_while_closed_is_gone_and_swept(fixture: &Fixture) {
    let store = fixture.open().await;
    let deadline = fixture.later(2);
    save(&store, request("k", "data").expires_at(deadline)).await;
    let eternal = put(&store, "eternal", "data").await;
    store.close().await.unwrap();
    fixture.until(deadline).await;
    let store = fixture.reopen(store).await;
    assert_eq!(get(&store, "k").await, None);
    let report = cleanup(&store).await;
    assert_eq!((report.expired, report.bytes), (1, 4));
    assert_stored(&store, &eternal).await;
}

/// P15: What cleanup removed does not come back.
pub async fn swept_items_stay_away_after_reopening(fixture: &Fixture) {
    let store = fixture.open().await;
    let deadline = fixture.later(1);
    save(&store, request("k", "data").expires_at(deadline)).await;
    fixture.until(deadline).await;
    assert_eq!(cleanup(&store).await.expired, 1);
    let store = fixture.reopen(store).await;
    assert_eq!(cleanup(&store).await.expired, 0);
    assert_eq!(get(&store, "k").await, None);
}

/// P2, P15: No version is used again after reopening, not even if the clock stepped back meanwhile.
pub async fn no_version_is_used_again_after_reopening(fixture: &Fixture) {
    let mut store = fixture.open().await;
    let mut last = 0;
    for _ in 0..5 {
        let version = put(&store, "k", "data").await.metadata.version;
        assert!(version > last, "version {version} follows {last}");
        last = version;
        store.delete(key("k"), Condition::None).await.unwrap();
        step_back(fixture);
        store = fixture.reopen(store).await;
    }
}

/// P15: A cursor goes on after reopening.
pub async fn a_walk_goes_on_after_reopening(fixture: &Fixture) {
    let store = fixture.open().await;
    for name in ["a", "b", "c"] {
        put(&store, name, "").await;
    }
    let query = StorageQuery::new().page_size(2);
    let first = store.search(&query).await.unwrap();
    let store = fixture.reopen(store).await;
    assert_eq!(keys(&store, &query.cursor(first.next)).await, ["c"]);
}

/// P15: Acknowledged saves survive a program that ends without closing.
pub async fn acknowledged_saves_survive_a_drop_without_close(fixture: &Fixture) {
    let store = fixture.open().await;
    let item = put(&store, "k", "data").await;
    fixture.forget(store);
    // The lock of the directory is free once the last task of the dropped provider has ended.
    let reopened = std::sync::Mutex::new(None);
    eventually("a dropped provider lets go of its directory", || async {
        match fixture.try_open().await {
            Ok(store) => reopened.lock().unwrap().replace(store).is_none(),
            Err(error) if error.kind() == ErrorKind::Locked => false,
            Err(error) => panic!("reopening failed: {error:?}"),
        }
    })
    .await;
    let store = reopened.into_inner().unwrap().expect("it was opened");
    assert_stored(&store, &item).await;
}
