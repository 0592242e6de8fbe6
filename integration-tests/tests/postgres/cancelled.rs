//! Fault 33: calls that are given up leave nothing behind.

use std::time::Duration;

use storage_core::{Condition, StorageProvider, StorageQuery};

use crate::support::{eventually, get, key, kind, names, open, patient, put, put_all, request, seed, shared};

#[tokio::test(flavor = "multi_thread")]
async fn fault_33_ten_thousand_cancelled_calls_leave_the_pool_full_and_no_transaction_open() {
    let Some(server) = shared() else { return };
    let mut config = patient(&format!("{}?application_name=cancelled", server.url()), "cancelled");
    config.pool_size = 6;
    let store = open(config).await.unwrap();
    let names = names(200);
    put_all(&store, &names).await;
    let mut random = fastrand::Rng::with_seed(seed());
    for round in 0..10_000_u32 {
        let name = names[random.usize(..names.len())].clone();
        let (store, what) = (store.clone(), random.u8(..6));
        let call = tokio::spawn(async move {
            match what {
                0 | 1 => drop(put(&store, &name).await),
                2 => drop(get(&store, &name).await),
                3 => drop(store.delete(key(&name), Condition::None).await),
                4 => drop(store.search(&StorageQuery::new().tag("all", "yes")).await),
                _ => drop(store.touch(key(&name), None).await),
            }
        });
        if round % 4 == 0 {
            tokio::time::sleep(Duration::from_micros(random.u64(..300))).await;
        } else {
            tokio::task::yield_now().await;
        }
        call.abort();
    }
    // All connections can be had at once, and every call works.
    let tasks: Vec<_> = (0..24)
        .map(|number| {
            let store = store.clone();
            tokio::spawn(async move {
                put(&store, &format!("after {number}")).await.unwrap();
                assert!(get(&store, &format!("after {number}")).await.unwrap());
                store.search(&StorageQuery::new().pattern("after*")).await.unwrap();
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let ours = "FROM pg_stat_activity WHERE application_name = 'cancelled'";
    let open = format!("SELECT count(*) {ours} AND state <> 'idle'");
    eventually("no transaction is open", || async { server.sql(&open) == "0" }).await;
    let connections: u32 = server.sql(&format!("SELECT count(*) {ours}")).parse().unwrap();
    assert!((1..=6).contains(&connections), "{connections} connections of at most 6");
    store.close().await.unwrap();
    assert_eq!(server.sql(&format!("SELECT count(*) {ours}")), "0");
}

#[tokio::test]
async fn a_long_search_that_is_given_up_is_ended_on_the_server_too() {
    let Some(server) = shared() else { return };
    let mut config = patient(&format!("{}?application_name=given_up", server.url()), "given_up");
    config.pool_size = 2;
    let store = open(config).await.unwrap();
    put_all(&store, &names(10)).await;
    // Whoever may see no row of the table looks at each for a minute.
    server.sql(
        "CREATE FUNCTION slow() RETURNS boolean LANGUAGE sql VOLATILE AS 'SELECT pg_sleep(60) IS NOT NULL';
         CREATE ROLE slowed LOGIN; GRANT ALL ON ALL TABLES IN SCHEMA public TO slowed;
         ALTER TABLE given_up ENABLE ROW LEVEL SECURITY;
         CREATE POLICY slow ON given_up USING (slow())",
    );
    let url = format!("{}?application_name=slowed", server.url().replace("postgres@", "slowed@"));
    let mut config = patient(&url, "given_up");
    config.pool_size = 2;
    let slowed = open(config).await.unwrap();
    let running =
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'slowed' AND state = 'active'";
    let search = tokio::spawn({
        let slowed = slowed.clone();
        async move { slowed.search(&StorageQuery::new()).await }
    });
    eventually("the search runs", || async { server.sql(running) == "1" }).await;
    search.abort();
    server.sql("ALTER TABLE given_up DISABLE ROW LEVEL SECURITY");
    let found = slowed.search(&StorageQuery::new()).await.unwrap();
    assert_eq!(found.results.len(), 10);
    assert_eq!(server.sql(running), "0");
}

#[tokio::test]
async fn a_caller_that_gives_up_leaves_its_write_whole_or_undone() {
    let Some(server) = shared() else { return };
    let store = open(patient(&server.url(), "whole")).await.unwrap();
    put(&store, "a").await.unwrap();
    for round in 0..200 {
        let name = round.to_string();
        let save = store.save(request("a").tag("round", &name));
        let _cut = tokio::time::timeout(Duration::from_micros(round * 20), save).await;
        let item = store.load(key("a")).await.unwrap().unwrap();
        assert_eq!((&item.data[..], item.metadata.tags.get("name")), (&b"data of a"[..], Some("a")));
    }
    assert_eq!(kind(&put(&store, "a").await), None);
}
