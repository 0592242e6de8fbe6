//! P1, P5, P6, P12: what several tasks do at once ends as if they had taken turns.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::{
    Condition, ErrorKind, SaveRequest, StorageItem, StorageQuery, Timestamp,
    conformance::{Fixture, Store, support::*},
};

/// Runs `count` tasks at once and returns their answers in the order of their numbers.
async fn at_once<T, F>(store: &Store, count: u64, task: impl Fn(Store, u64) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let tasks: Vec<_> = (0..count).map(|n| tokio::spawn(task(Arc::clone(store), n))).collect();
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.expect("a task panicked"));
    }
    answers
}

/// P6: Of 100 concurrent `Absent` saves exactly one wins, and its item is the one stored.
pub async fn of_a_hundred_concurrent_absent_saves_exactly_one_wins(fixture: &Fixture) {
    let store = fixture.open().await;
    for round in 0..5 {
        let answers = at_once(&store, 100, move |store, n| async move {
            store.save(request(&format!("k{round}"), &n.to_string()).condition(Condition::Absent)).await
        })
        .await;
        let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
        assert_eq!(won.len(), 1, "exactly one of 100 wins");
        assert_stored(&store, won[0].as_ref().unwrap()).await;
        for answer in lost {
            refused(answer, ErrorKind::AlreadyExists);
        }
    }
}

/// P6: Of concurrent saves under one version exactly one wins.
pub async fn of_concurrent_saves_under_one_version_exactly_one_wins(fixture: &Fixture) {
    let store = fixture.open().await;
    let mut version = put(&store, "k", "start").await.metadata.version;
    for _ in 0..10 {
        let answers = at_once(&store, 20, move |store, n| async move {
            store.save(request("k", &n.to_string()).condition(Condition::Version(version))).await
        })
        .await;
        let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
        assert_eq!(won.len(), 1, "exactly one of 20 wins");
        for answer in lost {
            refused(answer, ErrorKind::VersionConflict);
        }
        version = won[0].as_ref().unwrap().metadata.version;
    }
}

/// P6: Five tasks that each add one ten times, by load and conditional save, end at exactly 50.
pub async fn concurrent_increments_are_never_lost(fixture: &Fixture) {
    let store = fixture.open().await;
    put(&store, "counter", "0").await;
    at_once(&store, 5, |store, _| async move {
        for _ in 0..10 {
            increment(&store).await;
        }
    })
    .await;
    assert_eq!(text(&store, "counter").await.as_deref(), Some("50"));
}

async fn increment(store: &Store) {
    loop {
        let item = get(store, "counter").await.expect("the counter is there");
        let next = text_of(&item.data).parse::<u32>().unwrap() + 1;
        let condition = Condition::Version(item.metadata.version);
        match store.save(request("counter", &next.to_string()).condition(condition)).await {
            Ok(_) => return,
            Err(error) if error.kind() == ErrorKind::VersionConflict => tokio::task::yield_now().await,
            Err(error) => panic!("{error:?}"),
        }
    }
}

/// P6: Of concurrent deletes of one item exactly one says that it was there.
pub async fn of_concurrent_deletes_exactly_one_says_true(fixture: &Fixture) {
    let store = fixture.open().await;
    for _ in 0..10 {
        put(&store, "k", "data").await;
        let answers =
            at_once(
                &store,
                20,
                |store, _| async move { store.delete(key("k"), Condition::None).await.unwrap() },
            )
            .await;
        assert_eq!(answers.iter().filter(|deleted| **deleted).count(), 1, "exactly one of 20 deletes it");
    }
}

/// P6: Between a conditional save and a conditional delete of one version exactly one wins.
pub async fn between_a_save_and_a_delete_of_one_version_exactly_one_wins(fixture: &Fixture) {
    let store = fixture.open().await;
    for _ in 0..20 {
        let version = put(&store, "k", "data").await.metadata.version;
        let won = at_once(&store, 8, move |store, n| async move {
            let condition = Condition::Version(version);
            if n % 2 == 0 {
                store.save(request("k", "new").condition(condition)).await.is_ok()
            } else {
                store.delete(key("k"), condition).await.is_ok_and(|deleted| deleted)
            }
        })
        .await;
        // A delete that came after the winning one finds nothing and says so; it has not won.
        assert_eq!(won.iter().filter(|won| **won).count(), 1, "exactly one of 8 wins");
        store.delete(key("k"), Condition::None).await.unwrap();
    }
}

/// P1: Concurrent saves of different keys all land.
pub async fn concurrent_saves_of_different_keys_all_land(fixture: &Fixture) {
    let store = fixture.open().await;
    let items =
        at_once(&store, 500, |store, n| async move { put(&store, &format!("k{n}"), &n.to_string()).await })
            .await;
    for item in &items {
        assert_stored(&store, item).await;
    }
}

/// P2: Versions of concurrent saves differ, and the highest is the one that stays.
pub async fn the_highest_of_concurrent_versions_stays(fixture: &Fixture) {
    let store = fixture.open().await;
    let items = at_once(&store, 100, |store, n| async move { put(&store, "k", &n.to_string()).await }).await;
    let by_version: BTreeMap<_, _> = items.iter().map(|item| (item.metadata.version, item)).collect();
    assert_eq!(by_version.len(), items.len(), "a version was given twice");
    let ids: BTreeSet<_> = items.iter().map(|item| item.metadata.id).collect();
    assert_eq!(ids.len(), 1, "the item was made more than once");
    assert_stored(&store, by_version.values().last().unwrap()).await;
}

/// Save number `n` of an item in which everything tells `n`: the data, its length, and the deadline.
fn telling(n: u64, base: Timestamp) -> SaveRequest<'static> {
    let deadline = base.saturating_add(Duration::from_micros(n));
    SaveRequest::new(key("k"), n.to_string().repeat(1 + (n % 50) as usize)).expires_at(deadline)
}

fn assert_one_save(item: &StorageItem, base: Timestamp) {
    let n =
        item.metadata.expires_at.expect("each save has a deadline").saturating_since(base).as_micros() as u64;
    let expected = telling(n, base);
    assert_eq!(item.data, expected.data, "the data of one save came with the metadata of save {n}");
    assert_eq!(item.metadata.size, expected.data.len() as u64);
}

/// P1: Readers never see the data of one save with the metadata of another.
pub async fn readers_never_see_a_mix_of_two_saves(fixture: &Fixture) {
    let store = fixture.open().await;
    let base = fixture.far();
    save(&store, telling(0, base)).await;
    let reads = beside_writers(&store, base, |store| async move {
        let item = get(&store, "k").await.expect("it is never deleted");
        assert_one_save(&item, base);
    })
    .await;
    assert!(reads > 0);
}

/// P1, P9: Searchers never see the data of one save with the metadata of another, nor the item twice or not at all.
pub async fn searchers_never_see_a_mix_of_two_saves(fixture: &Fixture) {
    let store = fixture.open().await;
    let base = fixture.far();
    save(&store, telling(0, base)).await;
    beside_writers(&store, base, |store| async move {
        let items = find(&store, &StorageQuery::new().pattern("k")).await;
        assert_eq!(items.len(), 1, "the item is there once at any time: {items:?}");
        assert_one_save(&items[0], base);
    })
    .await;
}

/// Runs `read` again and again while two tasks save 300 times each; says how often.
async fn beside_writers<F>(store: &Store, base: Timestamp, read: impl Fn(Store) -> F) -> u64
where
    F: Future<Output = ()> + Send + 'static,
{
    let writers: Vec<_> = (0..2)
        .map(|writer| {
            let store = Arc::clone(store);
            tokio::spawn(async move {
                for n in 0..300 {
                    save(&store, telling(n * 2 + writer, base)).await;
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    let mut reads = 0;
    while !writers.iter().all(tokio::task::JoinHandle::is_finished) {
        tokio::spawn(read(Arc::clone(store))).await.expect("a reader panicked");
        reads += 1;
    }
    for writer in writers {
        writer.await.expect("a writer panicked");
    }
    reads
}

/// P12: A search by tag never finds an item that has another tag now, nor loses one that has it all along.
pub async fn a_search_by_tag_never_shows_another_tag(fixture: &Fixture) {
    let store = fixture.open().await;
    save(&store, request("k", "0").tag("turn", "0").tag("always", "1")).await;
    let writer = {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for n in 1..300 {
                let turn = (n % 2).to_string();
                save(&store, request("k", &turn).tag("turn", turn.clone()).tag("always", "1")).await;
                tokio::task::yield_now().await;
            }
        })
    };
    while !writer.is_finished() {
        for turn in ["0", "1"] {
            for item in find(&store, &StorageQuery::new().tag("turn", turn)).await {
                assert_eq!(
                    (item.metadata.tags.get("turn"), text_of(&item.data).as_str()),
                    (Some(turn), turn)
                );
            }
        }
        assert_eq!(keys(&store, &StorageQuery::new().tag("always", "1")).await, ["k"]);
        tokio::task::yield_now().await;
    }
    writer.await.expect("the writer panicked");
}

/// P5: A cleanup beside writers never removes an item that was saved anew.
pub async fn a_cleanup_beside_writers_never_removes_a_new_item(fixture: &Fixture) {
    let store = fixture.open().await;
    for _ in 0..5 {
        let deadline = fixture.later(2);
        let names: Vec<_> = (0..40).map(|n| format!("k{n}")).collect();
        save_all(&store, names.iter().map(|name| request(name, "old").expires_at(deadline)).collect()).await;
        fixture.until(deadline).await;
        let sweeper = {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for _ in 0..20 {
                    cleanup(&store).await;
                    tokio::task::yield_now().await;
                }
            })
        };
        let items =
            at_once(&store, 40, |store, n| async move { put(&store, &format!("k{n}"), "new").await }).await;
        sweeper.await.expect("the sweeper panicked");
        for item in &items {
            assert_stored(&store, item).await;
        }
    }
}

/// P13: Of concurrent cleanups, each expired item is counted by one.
pub async fn concurrent_cleanups_count_each_item_once(fixture: &Fixture) {
    let store = fixture.open().await;
    let deadline = fixture.later(2);
    let names: Vec<_> = (0..200).map(|n| format!("k{n}")).collect();
    save_all(&store, names.iter().map(|name| request(name, "data").expires_at(deadline)).collect()).await;
    fixture.until(deadline).await;
    let reports = at_once(&store, 8, |store, _| async move { cleanup(&store).await }).await;
    assert_eq!(reports.iter().map(|report| report.expired).sum::<u64>(), 200, "{reports:?}");
}

/// P10: A walk beside writers sees each item that is not written exactly once.
pub async fn a_walk_beside_writers_sees_each_untouched_item_once(fixture: &Fixture) {
    let store = fixture.open().await;
    let still: Vec<_> = (0..100).map(|n| format!("still {n:03}")).collect();
    save_all(&store, still.iter().map(|name| request(name, "")).collect()).await;
    let stop = Arc::new(AtomicBool::new(false));
    let writer = {
        let (store, stop) = (Arc::clone(&store), Arc::clone(&stop));
        tokio::spawn(async move {
            for n in (0..50).cycle() {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                // Names before, between and behind the quiet ones.
                for name in [format!("a{n}"), format!("still {n:03}+"), format!("z{n}")] {
                    put(&store, &name, "").await;
                    store.delete(key(&name), Condition::None).await.unwrap();
                }
                tokio::task::yield_now().await;
            }
        })
    };
    for order in [crate::Order::KEY, crate::Order::CREATED, crate::Order::UPDATED.descending()] {
        let mut seen = keys(&store, &StorageQuery::new().order(order).page_size(7)).await;
        seen.retain(|name| name.starts_with("still") && !name.ends_with('+'));
        seen.sort_unstable();
        assert_eq!(seen, still, "{order}");
    }
    stop.store(true, Ordering::Relaxed);
    writer.await.expect("the writer panicked");
}

/// P6: Concurrent touches and saves lose nothing: the last version tells who was last.
pub async fn touches_and_saves_at_once_take_turns(fixture: &Fixture) {
    let store = fixture.open().await;
    put(&store, "k", "start").await;
    let far = fixture.far();
    let versions = at_once(&store, 40, move |store, n| async move {
        match n % 4 {
            0 => store.touch(key("k"), Some(far)).await.unwrap().expect("it is never deleted").version,
            _ => put(&store, "k", &n.to_string()).await.metadata.version,
        }
    })
    .await;
    let distinct: BTreeSet<_> = versions.iter().collect();
    assert_eq!(distinct.len(), versions.len(), "a version was given twice");
    assert_eq!(get(&store, "k").await.unwrap().metadata.version, **distinct.last().unwrap());
}

/// P14: Batches at once do not mix their answers.
pub async fn concurrent_batches_keep_their_own_order(fixture: &Fixture) {
    let store = fixture.open().await;
    at_once(&store, 8, |store, batch| async move {
        for round in 0..5 {
            let names: Vec<_> = (0..50).map(|n| format!("{batch}/{round}/{n}")).collect();
            let items = save_all(&store, names.iter().map(|name| request(name, name)).collect()).await;
            assert!(items.iter().zip(&names).all(|(item, name)| text_of(&item.data) == *name));
            let wanted: Vec<_> = names.iter().map(|name| key(name)).collect();
            for (name, answer) in names.iter().zip(store.load_many(&wanted).await) {
                assert_eq!(text_of(&answer.unwrap().expect("just saved").data), *name);
            }
        }
    })
    .await;
}

/// P17: Under the load of 64 tasks, every call ends within 30 seconds.
pub async fn every_call_ends_in_time_under_load(fixture: &Fixture) {
    const BOUND: Duration = Duration::from_secs(30);
    let store = fixture.open().await;
    let searches = store.info().capabilities.search;
    at_once(&store, 64, move |store, task| async move {
        for n in 0..10 {
            let name = format!("{}", (task * 10 + n) % 97);
            let round = async {
                put(&store, &name, &name).await;
                get(&store, &name).await;
                if searches {
                    store.search(&StorageQuery::new().pattern("1*").page_size(10)).await.unwrap();
                }
                store.delete(key(&name), Condition::None).await.unwrap();
                cleanup(&store).await;
            };
            assert!(
                tokio::time::timeout(BOUND, round).await.is_ok(),
                "a round of calls takes more than {BOUND:?}"
            );
        }
    })
    .await;
}
