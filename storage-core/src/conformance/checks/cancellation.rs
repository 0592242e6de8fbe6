//! P12: a call that is dropped half-way leaves the old or the new item, in every index alike, and nothing blocked.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    task::Poll,
};

use crate::{
    Condition, Order, SaveRequest, StorageItem, StorageQuery, Timestamp,
    conformance::{Fixture, Store, support::*},
};

/// More polls than any call may need.
const MOST_POLLS: usize = 500;

/// Drives `call` and drops it if it is not done after `polls` polls.
async fn dropped_after<T>(polls: usize, call: impl Future<Output = T>) -> Option<T> {
    let mut call = pin!(call);
    let mut left = polls;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match call.as_mut().poll(context) {
            Poll::Ready(answer) => Poll::Ready(Some(answer)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

fn old(name: &str) -> SaveRequest<'_> {
    request(name, "old").tag("side", "old")
}

fn new(name: &str, far: Timestamp) -> SaveRequest<'_> {
    request(name, "new").tag("side", "new").expires_at(far)
}

/// What a load and every index say of one item.
struct Sight {
    item: Option<StorageItem>,
    found: Vec<(&'static str, bool, Vec<StorageItem>)>,
}

/// Looks at an item from all sides at a moment when nobody changes it: a dropped call may still land in the background.
async fn settled(store: &Store, name: &str) -> Sight {
    for _ in 0..200 {
        let item = get(store, name).await;
        let found = looked_up(store, name, item.as_ref()).await;
        if get(store, name).await == item {
            return Sight { item, found };
        }
    }
    panic!("{name:?} never comes to rest");
}

async fn looked_up(
    store: &Store,
    name: &str,
    item: Option<&StorageItem>,
) -> Vec<(&'static str, bool, Vec<StorageItem>)> {
    let side = item.and_then(|item| item.metadata.tags.get("side"));
    let expires = item.is_some_and(|item| item.metadata.expires_at.is_some());
    let mut found = Vec::new();
    for (index, expected, query) in [
        ("key", item.is_some(), StorageQuery::new()),
        ("content type", item.is_some(), StorageQuery::new().content_type(KIND)),
        ("created", item.is_some(), StorageQuery::new().order(Order::CREATED)),
        ("updated", item.is_some(), StorageQuery::new().order(Order::UPDATED.descending())),
        ("expiry", expires, StorageQuery::new().expires_before(Timestamp::MAX)),
        ("tag of the old", side == Some("old"), StorageQuery::new().tag("side", "old")),
        ("tag of the new", side == Some("new"), StorageQuery::new().tag("side", "new")),
    ] {
        let mut items = find(store, &query).await;
        items.retain(|item| item.metadata.key == name);
        found.push((index, expected, items));
    }
    found
}

/// Asserts that the item is in one of the `allowed` states, and that every index agrees with the load.
async fn assert_whole(store: &Store, name: &str, allowed: &[Option<&str>]) {
    let Sight { item, found } = settled(store, name).await;
    let data = item.as_ref().map(|item| text_of(&item.data));
    assert!(allowed.contains(&data.as_deref()), "{name:?} is {data:?}, and not one of {allowed:?}");
    for (index, expected, items) in found {
        let expected = if expected { item.as_slice() } else { &[] };
        assert_eq!(items, expected, "the index by {index} disagrees with the load of {name:?}");
    }
}

/// Asserts that whatever is stored there, the key can be written, read and deleted.
async fn assert_usable(store: &Store, name: &str) {
    save(store, request(name, "after").tag("side", "after")).await;
    assert_whole(store, name, &[Some("after")]).await;
    assert!(store.delete(key(name), Condition::None).await.unwrap(), "the item was there");
    assert_whole(store, name, &[None]).await;
}

/// Runs the body for k = 0, 1, … polls, on a key of its own each, until the call came to its end.
macro_rules! for_every_poll {
    (|$polls:ident, $name:ident| $body:block) => {
        for $polls in 0..=MOST_POLLS {
            let $name = &*format!("k{}", $polls);
            let answer = $body;
            if answer.is_some() {
                break;
            }
            assert!($polls < MOST_POLLS, "the call is not done after {MOST_POLLS} polls");
        }
    };
}

/// P12: A dropped save of a new item leaves it or nothing.
pub async fn a_dropped_save_of_a_new_item_leaves_all_or_nothing(fixture: &Fixture) {
    let (store, far) = (fixture.open().await, fixture.far());
    for_every_poll!(|polls, name| {
        let answer = dropped_after(polls, store.save(new(name, far))).await;
        assert_whole(&store, name, &[None, Some("new")]).await;
        assert_usable(&store, name).await;
        answer
    });
}

/// P12: A dropped overwrite leaves the old or the new item.
pub async fn a_dropped_overwrite_leaves_the_old_or_the_new_item(fixture: &Fixture) {
    let (store, far) = (fixture.open().await, fixture.far());
    for_every_poll!(|polls, name| {
        save(&store, old(name)).await;
        let answer = dropped_after(polls, store.save(new(name, far))).await;
        assert_whole(&store, name, &[Some("old"), Some("new")]).await;
        assert_usable(&store, name).await;
        answer
    });
}

/// P6, P12: A dropped conditional save leaves the old or the new item, and the condition was checked.
pub async fn a_dropped_conditional_save_leaves_the_old_or_the_new_item(fixture: &Fixture) {
    let (store, far) = (fixture.open().await, fixture.far());
    for_every_poll!(|polls, name| {
        let version = save(&store, old(name)).await.metadata.version;
        let wrong = new(name, far).condition(Condition::Version(version + 1));
        let refused = dropped_after(polls, store.save(wrong)).await;
        assert_whole(&store, name, &[Some("old")]).await;
        let right = new(name, far).condition(Condition::Version(version));
        let answer = dropped_after(polls, store.save(right)).await;
        assert_whole(&store, name, &[Some("old"), Some("new")]).await;
        assert_usable(&store, name).await;
        answer.and(refused)
    });
}

/// P12: A dropped delete leaves the old item or none.
pub async fn a_dropped_delete_leaves_all_or_nothing(fixture: &Fixture) {
    let store = fixture.open().await;
    for_every_poll!(|polls, name| {
        save(&store, old(name)).await;
        let answer = dropped_after(polls, store.delete(key(name), Condition::None)).await;
        assert_whole(&store, name, &[Some("old"), None]).await;
        assert_usable(&store, name).await;
        answer
    });
}

/// P12: A dropped touch leaves the old or the new deadline, in the item as in the index.
pub async fn a_dropped_touch_leaves_the_old_or_the_new_deadline(fixture: &Fixture) {
    let (store, far) = (fixture.open().await, fixture.far());
    for_every_poll!(|polls, name| {
        save(&store, old(name)).await;
        let answer = dropped_after(polls, store.touch(key(name), Some(far))).await;
        assert_whole(&store, name, &[Some("old")]).await;
        assert_usable(&store, name).await;
        answer
    });
}

/// P12, P14: A dropped batch of saves leaves the old or the new of each item.
pub async fn a_dropped_batch_of_saves_leaves_the_old_or_the_new_of_each(fixture: &Fixture) {
    let (store, far) = (fixture.open().await, fixture.far());
    for_every_poll!(|polls, name| {
        let names = ["a", "b", "c"].map(|part| format!("{name}{part}"));
        save_all(&store, names.iter().map(|name| old(name)).collect()).await;
        let batch = names.iter().map(|name| new(name, far)).collect();
        let answer = dropped_after(polls, store.save_many(batch)).await;
        for name in &names {
            assert_whole(&store, name, &[Some("old"), Some("new")]).await;
            assert_usable(&store, name).await;
        }
        answer
    });
}

/// P12, P14: A dropped batch of deletes leaves each item whole or gone.
pub async fn a_dropped_batch_of_deletes_leaves_each_whole_or_gone(fixture: &Fixture) {
    let store = fixture.open().await;
    for_every_poll!(|polls, name| {
        let names = ["a", "b", "c"].map(|part| format!("{name}{part}"));
        save_all(&store, names.iter().map(|name| old(name)).collect()).await;
        let answer = dropped_after(polls, store.delete_many(&names.each_ref().map(|name| key(name)))).await;
        for name in &names {
            assert_whole(&store, name, &[Some("old"), None]).await;
            assert_usable(&store, name).await;
        }
        answer
    });
}

/// P12: A dropped cleanup leaves live items alone, expired ones invisible, and the rest to the next cleanup.
pub async fn a_dropped_cleanup_leaves_the_rest_to_the_next(fixture: &Fixture) {
    let store = fixture.open().await;
    for_every_poll!(|polls, name| {
        let deadline = fixture.later(2);
        let live = format!("{name} live");
        save(&store, old(&live)).await;
        save(&store, old(name).expires_at(deadline)).await;
        fixture.until(deadline).await;
        let answer = dropped_after(polls, store.cleanup()).await;
        assert_whole(&store, name, &[None]).await;
        assert_whole(&store, &live, &[Some("old")]).await;
        cleanup(&store).await;
        assert_eq!(cleanup(&store).await.expired, 0, "one whole cleanup takes what a dropped one left");
        assert_usable(&store, name).await;
        answer
    });
}

/// P12: Dropped reads change nothing and block nothing.
pub async fn dropped_reads_change_nothing(fixture: &Fixture) {
    let store = fixture.open().await;
    let item = save(&store, old("k")).await;
    let (query, wanted) = (StorageQuery::new().tag("side", "old"), [key("k"), key("none")]);
    for_every_poll!(|polls, _name| {
        let done = [
            dropped_after(polls, store.load(key("k"))).await.is_some(),
            dropped_after(polls, store.load_many(&wanted)).await.is_some(),
            dropped_after(polls, store.search(&query)).await.is_some(),
            dropped_after(polls, store.count(&query)).await.is_some(),
            dropped_after(polls, store.usage()).await.is_some(),
            dropped_after(polls, store.health()).await.is_some(),
        ];
        assert_stored(&store, &item).await;
        done.iter().all(|done| *done).then_some(())
    });
    assert_whole(&store, "k", &[Some("old")]).await;
}

/// P12, P15: A dropped close can be called again, and then everything is closed.
pub async fn a_dropped_close_can_be_called_again(fixture: &Fixture) {
    let store = fixture.open().await;
    let item = put(&store, "k", "data").await;
    let _ = dropped_after(1, store.close()).await;
    store.close().await.unwrap();
    refused(store.load(key("k")).await, crate::ErrorKind::Closed);
    if store.info().capabilities.durable {
        let store = fixture.reopen(store).await;
        assert_stored(&store, &item).await;
    }
}

/// P12: Many calls at once, each dropped after a random number of polls or aborted with its task, leave every item old or
/// new, every index in agreement, and no permit behind.
pub async fn many_calls_dropped_at_random_leave_no_trace(fixture: &Fixture) {
    let (store, far) = (fixture.open().await, fixture.far());
    let mut random = fixture.random();
    let names: Vec<_> = (0..60).map(|n| format!("k{n}")).collect();
    for _ in 0..3 {
        save_all(&store, names.iter().map(|name| old(name)).collect()).await;
        let tasks: Vec<_> = names
            .iter()
            .map(|name| {
                let (store, name, polls) = (Arc::clone(&store), name.clone(), random.usize(..6));
                tokio::spawn(
                    async move { dropped_after(polls, store.save(new(&name, far))).await.transpose() },
                )
            })
            .collect();
        for task in tasks {
            if random.u8(..4) == 0 {
                task.abort();
            }
            match task.await {
                Ok(answer) => drop(answer.expect("the save succeeds or is dropped")),
                Err(error) => assert!(error.is_cancelled(), "a task panicked"),
            }
        }
        for name in &names {
            assert_whole(&store, name, &[Some("old"), Some("new")]).await;
        }
    }
    assert_usable(&store, "k0").await;
    let live = find(&store, &StorageQuery::new()).await.len() as u64;
    assert_eq!(count(&store, &StorageQuery::new()).await, live);
}
