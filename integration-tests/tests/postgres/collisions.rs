//! Fault 29: statements that collide with others.

use storage_core::{Condition, ErrorKind, StorageProvider};
use test_servers::postgres::Server;

use crate::{
    lost::Held,
    support::{config, get, key, kind, names, open, patient, put, request, shared},
};

/// Lets every statement on the table fail with this code so many times, as if it had collided.
fn fail_next(server: &Server, table: &str, code: &str, times: u32) {
    server.sql(&format!(
        "DROP TRIGGER IF EXISTS fail ON {table};
         DROP SEQUENCE IF EXISTS {table}_failures;
         CREATE SEQUENCE {table}_failures;
         CREATE OR REPLACE FUNCTION {table}_fail() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             IF nextval('{table}_failures') <= {times} THEN
                 RAISE EXCEPTION 'made to fail' USING ERRCODE = '{code}';
             END IF;
             RETURN NULL;
         END $$;
         CREATE TRIGGER fail BEFORE INSERT OR UPDATE OR DELETE ON {table}
             FOR EACH STATEMENT EXECUTE FUNCTION {table}_fail()"
    ));
}

#[tokio::test]
async fn fault_29_deadlocks_serialization_failures_and_lock_timeouts_are_sent_again_within_bounds() {
    let Some(server) = shared() else { return };
    let store = open(patient(&server.url(), "collided")).await.unwrap();
    put(&store, "a").await.unwrap();
    for code in ["40P01", "40001", "55P03"] {
        fail_next(server, "collided", code, 3);
        put(&store, "a").await.unwrap();
        // A save is an insertion and an update, as triggers see it.
        assert_eq!(server.sql("SELECT last_value FROM collided_failures"), "5", "{code}");
        fail_next(server, "collided", code, 3);
        assert!(store.touch(key("a"), None).await.unwrap().is_some());
        let before = store.load(key("a")).await.unwrap();
        fail_next(server, "collided", code, 1_000);
        assert_eq!(kind(&store.save(request("a").tag("never", "seen")).await), Some(ErrorKind::Unavailable));
        assert_eq!(store.load(key("a")).await.unwrap(), before);
    }
}

#[tokio::test]
async fn fault_29_other_failures_are_not_sent_again() {
    let Some(server) = shared() else { return };
    let store = open(patient(&server.url(), "refused")).await.unwrap();
    for (code, expected) in
        [("53100", ErrorKind::Full), ("42501", ErrorKind::PermissionDenied), ("XX000", ErrorKind::Internal)]
    {
        fail_next(server, "refused", code, 1);
        assert_eq!(kind(&put(&store, "a").await), Some(expected));
        put(&store, "a").await.unwrap();
    }
}

#[tokio::test]
async fn one_refused_row_does_not_take_the_others_of_its_batch_with_it() {
    let Some(server) = shared() else { return };
    let store = open(patient(&server.url(), "picky")).await.unwrap();
    server.sql("ALTER TABLE picky ADD CONSTRAINT no_seven CHECK (key <> 'item-000007')");
    let names = names(40);
    let answers = store.save_many(names.iter().map(|name| request(name)).collect()).await;
    for (name, answer) in names.iter().zip(&answers) {
        assert_eq!(answer.is_err(), name == "item-000007", "{name}: {answer:?}");
        assert_eq!(get(&store, name).await.unwrap(), name != "item-000007");
    }
    let error = answers[7].as_ref().unwrap_err();
    // The server repeats the whole row in its details.
    assert!(!format!("{error:?}").contains("data of"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_29_batches_that_meet_on_the_same_items_never_lock_each_other_out() {
    let Some(server) = shared() else { return };
    let names = names(100);
    let before = server.sql("SELECT deadlocks FROM pg_stat_database WHERE datname = 'postgres'");
    let tasks: Vec<_> = (0..6)
        .map(|number| {
            let (names, url) = (names.clone(), server.url());
            tokio::spawn(async move {
                let store = open(patient(&url, "meeting")).await.unwrap();
                let mut random = fastrand::Rng::with_seed(number);
                for _ in 0..15 {
                    let mut names = names.clone();
                    random.shuffle(&mut names);
                    if number % 3 == 0 {
                        let keys: Vec<_> = names[..50].iter().map(|name| key(name)).collect();
                        assert!(store.delete_many(&keys).await.iter().all(Result::is_ok));
                    } else {
                        let requests = names.iter().map(|name| request(name)).collect();
                        assert!(store.save_many(requests).await.iter().all(Result::is_ok));
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    server.sql("SELECT pg_stat_force_next_flush()");
    let after = server.sql("SELECT deadlocks FROM pg_stat_database WHERE datname = 'postgres'");
    assert_eq!(before, after, "deadlocks");
}

#[tokio::test]
async fn a_row_that_somebody_else_holds_fails_the_write_within_its_deadline_and_leaves_reads_alone() {
    let Some(server) = shared() else { return };
    let store = open(config(&server.url(), "held")).await.unwrap();
    put(&store, "a").await.unwrap();
    let held = Held::row(server, "held", "a");
    let (saved, loaded) = tokio::join!(store.save(request("a").tag("new", "yes")), get(&store, "a"));
    assert!(matches!(kind(&saved), Some(ErrorKind::Unavailable | ErrorKind::OutcomeUnknown)), "{saved:?}");
    assert!(loaded.unwrap());
    put(&store, "b").await.unwrap();
    held.release();
    put(&store, "a").await.unwrap();
}

/// A version was once thought to be safe if it were above that of the row that the statement could see, or above a mark that a
/// delete leaves. Between a look at both and the insertion, a row could be written and deleted, and its successor got an
/// older version.
#[tokio::test(flavor = "multi_thread")]
async fn versions_grow_through_deletes_and_saves_by_two_providers_at_once() {
    let Some(server) = shared() else { return };
    let url = server.url();
    let stores =
        [open(patient(&url, "versions")).await.unwrap(), open(patient(&url, "versions")).await.unwrap()];
    let tasks: Vec<_> = (0..8)
        .map(|number| {
            let store = stores[number % 2].clone();
            tokio::spawn(async move {
                let mut given = Vec::new();
                let mut newest = 0;
                for round in 0..150 {
                    if (round + number) % 3 == 0 {
                        store.delete(key("one"), Condition::None).await.unwrap();
                    } else {
                        let version = put(&store, "one").await.unwrap().metadata.version;
                        assert!(version > newest, "{version} after {newest} was seen");
                        given.push(version);
                        newest = version;
                    }
                    if let Some(item) = store.load(key("one")).await.unwrap() {
                        assert!(item.metadata.version >= newest, "an older version came back");
                        newest = item.metadata.version;
                    }
                }
                given
            })
        })
        .collect();
    let mut given = Vec::new();
    for task in tasks {
        given.extend(task.await.unwrap());
    }
    let count = given.len();
    given.sort_unstable();
    given.dedup();
    assert_eq!(given.len(), count, "a version was given twice");
}
