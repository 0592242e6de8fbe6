//! Files that are not there, not ours, of another version, damaged or held by others.

use std::{fs, time::Duration};

use rusqlite::Connection;
use storage_core::{Condition, ErrorKind, Health, SaveRequest, StorageProvider, StorageQuery};
use storage_sql::{SqlConfig, SqlProvider};

use super::{
    config, hasty, open,
    support::{key, load, save},
};

async fn refused(config: SqlConfig) -> ErrorKind {
    SqlProvider::connect(config).await.unwrap_err().kind()
}

#[tokio::test]
async fn a_store_is_made_only_where_it_may_be() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("store.db");
    let missing = SqlProvider::builder(config(&file)).create(false).connect().await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    assert!(!file.exists(), "looking for a store must not make one");
    // A database of somebody else, without a store in it.
    Connection::open(&file).unwrap().execute_batch("CREATE TABLE theirs (a)").unwrap();
    let missing = SqlProvider::builder(config(&file)).create(false).connect().await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    let store = open(&file).await.unwrap();
    save(&store, "a", "1").await.unwrap();
    store.close().await.unwrap();
    let store = SqlProvider::builder(config(&file)).create(false).connect().await.unwrap();
    assert_eq!(load(&store, "a").await.unwrap().as_deref(), Some("1"));
    assert!(Connection::open(&file).unwrap().execute("INSERT INTO theirs VALUES (1)", ()).is_ok());
}

#[tokio::test]
async fn what_is_no_store_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(refused(config(directory.path())).await, ErrorKind::Config);
    assert_eq!(refused(config(&directory.path().join("no/such/directory.db"))).await, ErrorKind::Config);
    let text = directory.path().join("text.db");
    fs::write(&text, "this is no database, but a text that is long enough to have a header".repeat(40))
        .unwrap();
    assert_eq!(refused(config(&text)).await, ErrorKind::Corrupted);
    assert!(fs::read_to_string(&text).unwrap().starts_with("this is no database"));
    let foreign = directory.path().join("foreign.db");
    Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE storage_items (a, b)").unwrap();
    let error = open(&foreign).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.message().contains("storage_items"), "{error}");
}

#[tokio::test]
async fn a_newer_format_is_refused_and_names_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("store.db");
    open(&file).await.unwrap().close().await.unwrap();
    let other = Connection::open(&file).unwrap();
    other.execute("UPDATE storage_items_store SET format = 7", ()).unwrap();
    drop(other);
    let error = open(&file).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.message().contains("format 7"), "{error}");
}

#[tokio::test]
async fn a_missing_index_or_table_is_refused() {
    for lost in ["INDEX storage_items_by_updated", "TABLE storage_items_tags", "TABLE storage_items_store"] {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("store.db");
        open(&file).await.unwrap().close().await.unwrap();
        Connection::open(&file).unwrap().execute_batch(&format!("DROP {lost}")).unwrap();
        assert_eq!(refused(config(&file)).await, ErrorKind::Config, "{lost}");
    }
}

#[tokio::test]
async fn a_table_that_is_dropped_under_load_is_a_failure_and_no_miss() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("store.db");
    let store = open(&file).await.unwrap();
    save(&store, "a", "1").await.unwrap();
    Connection::open(&file).unwrap().execute_batch("DROP TABLE storage_items").unwrap();
    assert_eq!(load(&store, "a").await.unwrap_err().kind(), ErrorKind::Config);
    assert_eq!(save(&store, "b", "1").await.unwrap_err().kind(), ErrorKind::Config);
    assert_eq!(store.search(&StorageQuery::new()).await.unwrap_err().kind(), ErrorKind::Config);
    store.close().await.unwrap();
}

#[tokio::test]
async fn two_stores_share_a_file_and_not_their_items() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("store.db");
    let named = |table: &str| SqlConfig { table_name: table.into(), ..config(&file) };
    let first = SqlProvider::connect(named("first")).await.unwrap();
    let second = SqlProvider::connect(named("second")).await.unwrap();
    save(&first, "a", "1").await.unwrap();
    assert_eq!(load(&second, "a").await.unwrap(), None);
    save(&second, "a", "2").await.unwrap();
    assert_eq!(load(&first, "a").await.unwrap().as_deref(), Some("1"));
    let upper = SqlProvider::connect(named("FIRST")).await;
    assert_eq!(upper.unwrap_err().kind(), ErrorKind::Config, "names of tables have no case on SQLite");
}

#[tokio::test]
async fn a_lock_that_another_holds_is_waited_for_and_then_unavailable() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("store.db");
    let store = SqlProvider::connect(hasty(&file)).await.unwrap();
    save(&store, "a", "1").await.unwrap();
    let other = Connection::open(&file).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = save(&store, "a", "2").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert_eq!(error.retry(), storage_core::Retry::Safe);
    let error = store.cleanup().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    // Readers wait for nobody.
    assert_eq!(load(&store, "a").await.unwrap().as_deref(), Some("1"));
    assert_eq!(store.count(&StorageQuery::new()).await.unwrap(), 1);
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { save(&store, "a", "3").await }
    });
    other.execute_batch("ROLLBACK").unwrap();
    // Either it came before the rollback and waited, or after it.
    waiting.await.unwrap().unwrap();
    assert_eq!(load(&store, "a").await.unwrap().as_deref(), Some("3"));
}

#[tokio::test]
async fn a_file_that_another_keeps_to_itself_is_locked() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("store.db");
    let other = Connection::open(&file).unwrap();
    other.execute_batch("PRAGMA locking_mode = EXCLUSIVE; CREATE TABLE a (b); BEGIN IMMEDIATE").unwrap();
    let error = SqlProvider::connect(hasty(&file)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked, "{error}");
}

#[tokio::test]
async fn damage_of_one_item_is_named_and_leaves_the_others() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("store.db");
    let store = open(&file).await.unwrap();
    for name in ["data", "tags", "version", "time", "fine"] {
        save(&store, name, "1").await.unwrap();
    }
    assert_eq!(store.verify().await.unwrap().intact, 5);
    let other = Connection::open(&file).unwrap();
    for (key, change) in [
        ("data", "data = x'32'"),
        ("tags", "tags = '{\"name\":\"other\"}'"),
        ("version", "version = version - 1"),
        ("time", "expires_at = 9000000000000000"),
    ] {
        let update = format!("UPDATE storage_items SET {change} WHERE key = '{key}'");
        assert_eq!(other.execute(&update, ()).unwrap(), 1);
        let error = load(&store, key).await.unwrap_err();
        assert_eq!((error.kind(), error.key()), (ErrorKind::Corrupted, Some(key)), "{error}");
    }
    assert_eq!(load(&store, "fine").await.unwrap().as_deref(), Some("1"));
    let error = store.search(&StorageQuery::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupted);
    let report = store.verify().await.unwrap();
    let mut named: Vec<_> = report.damaged.iter().filter_map(|damaged| damaged.key.as_deref()).collect();
    named.sort_unstable();
    assert_eq!((report.intact, named), (1, vec!["data", "tags", "time", "version"]));
}

#[tokio::test]
async fn a_search_that_takes_too_long_ends_at_its_deadline_and_gives_its_connection_back() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("store.db");
    let config = SqlConfig { operation_timeout: Duration::from_millis(30), pool_size: 1, ..config(&file) };
    let store = SqlProvider::connect(config).await.unwrap();
    let mut other = Connection::open(&file).unwrap();
    let rows = other.transaction().unwrap();
    rows.execute_batch(
        "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 300000)
         INSERT INTO storage_items SELECT n, 'note', printf('%06d', n), x'00', n, n, NULL, n, 'raw', 0, '{}', 0, 0, x''
         FROM n",
    )
    .unwrap();
    rows.commit().unwrap();
    let query = StorageQuery::new().pattern("*no such key*");
    let error = store.count(&query).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    // With one connection, this answers only if the search has ended.
    super::support::eventually("the connection came back", || async { load(&store, "a").await.ok() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_cancelled_calls_leave_every_connection_and_no_transaction() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("store.db");
    let store = SqlProvider::connect(SqlConfig { pool_size: 2, ..config(&file) }).await.unwrap();
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    for n in 0..10_000 {
        let store = store.clone();
        let call = tokio::spawn(async move {
            let name = format!("k{}", n % 50);
            match n % 4 {
                0 => drop(save(&store, &name, "x").await),
                1 => drop(load(&store, &name).await),
                2 => drop(store.search(&StorageQuery::new().tag("name", &name)).await),
                _ => drop(store.delete(key(&name), Condition::None).await),
            }
        });
        if random.u8(..8) == 0 {
            tokio::task::yield_now().await;
        }
        call.abort();
    }
    let other = Connection::open(&file).unwrap();
    other.busy_timeout(Duration::from_secs(10)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE; ROLLBACK").unwrap();
    drop(other);
    for _ in 0..8 {
        save(&store, "last", "1").await.unwrap();
        assert_eq!(load(&store, "last").await.unwrap().as_deref(), Some("1"));
        store.search(&StorageQuery::new()).await.unwrap();
    }
    assert_eq!(store.health().await, Health::Healthy);
    assert!(store.verify().await.unwrap().is_clean());
    store.close().await.unwrap();
    // The last connection took the log away with it: nobody holds the file.
    assert!(!file.with_extension("db-wal").exists());
}

#[tokio::test]
async fn the_sweeper_works_in_the_background_and_ends_with_close() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("store.db");
    let clock = storage_core::ManualClock::default();
    let config = SqlConfig { cleanup_interval: Some(Duration::from_millis(5)), ..config(&file) };
    let store = SqlProvider::builder(config).clock(clock.shared()).connect().await.unwrap();
    let soon = storage_core::Clock::now(&clock).saturating_add(Duration::from_secs(1));
    store.save(SaveRequest::new(key("a"), "1").tag("t", "1").expires_at(soon)).await.unwrap();
    clock.advance(Duration::from_secs(1));
    let other = Connection::open(&file).unwrap();
    let rows = |table: &str| {
        other.query_row(&format!("SELECT count(*) FROM {table}"), (), |row| row.get::<_, i64>(0)).unwrap()
    };
    super::support::eventually("the sweep", || async {
        (rows("storage_items") + rows("storage_items_tags") == 0).then_some(())
    })
    .await;
    store.close().await.unwrap();
    store.close().await.unwrap();
    drop(other);
    assert!(!file.with_extension("db-wal").exists());
}

#[tokio::test]
async fn a_file_that_is_removed_is_a_failure_and_no_miss() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("store.db");
    let store = open(&file).await.unwrap();
    save(&store, "a", "1").await.unwrap();
    fs::remove_file(&file).unwrap();
    assert_eq!(load(&store, "a").await.unwrap_err().kind(), ErrorKind::Config);
    store.close().await.unwrap();
}
