//! How statements find their rows, told by the server itself while it runs them.

use std::time::Duration;

use storage_core::{
    Clock, Condition, ItemKey, ManualClock, Order, SaveRequest, StorageProvider, StorageQuery, Timestamp,
};
use storage_sql::SqlProvider;
use test_servers::{found, postgres::Server};

use crate::support::postgres::on;

const ITEMS: u32 = 100_000;

/// A plan that the server wrote down: the statement, and what was done for it.
struct Plan {
    text: String,
}

impl Plan {
    fn of_all(log: &str, table: &str) -> Vec<Self> {
        let plans = log.split("Query Text:").skip(1).map(|text| Self { text: text.to_owned() });
        plans.filter(|plan| plan.text.contains(table)).collect()
    }

    /// Rows that were read and thrown away, of the node with most of them.
    fn most_removed(&self) -> u64 {
        let removed = self.text.lines().filter_map(|line| {
            let (_, number) = line.split_once("Rows Removed by ")?;
            number.rsplit(' ').next()?.parse::<u64>().ok()
        });
        removed.max().unwrap_or(0)
    }

    fn sorts_many(&self) -> bool {
        let mut lines = self.text.lines();
        lines.any(|line| {
            let Some((node, actual)) = line.split_once("actual rows=") else { return false };
            let rows: u64 = actual.split([' ', '.']).next().unwrap_or("0").parse().unwrap();
            node.contains("Sort") && rows > 1_000
        })
    }
}

fn content_type(number: u32) -> &'static str {
    ["note", "session", "image/png", "report"][number as usize % 4]
}

async fn filled(server: &Server, clock: &ManualClock) -> SqlProvider {
    let store = SqlProvider::builder(on(server, "plans")).clock(clock.shared()).connect().await.unwrap();
    // Statistics come when the test says so.
    server.sql("ALTER TABLE plans SET (autovacuum_enabled = off)");
    for thousand in 0..ITEMS / 1_000 {
        let numbers = thousand * 1_000..(thousand + 1) * 1_000;
        let keys: Vec<_> =
            numbers.clone().map(|number| format!("user:{:06}", number * 7_919 % ITEMS)).collect();
        let requests = numbers.zip(&keys).map(|(number, key)| {
            let key = ItemKey::new(content_type(number), key).unwrap();
            let mut request = SaveRequest::new(key, "a value").tag("group", (number % 1_000).to_string());
            request = request.tag("parity", (number % 2).to_string());
            if number % 100 == 0 {
                request = request
                    .expires_at(clock.now().saturating_add(Duration::from_secs(u64::from(number) + 60)));
            }
            request
        });
        for saved in store.save_many(requests.collect()).await {
            saved.unwrap();
        }
        clock.advance(Duration::from_millis(10));
    }
    store
}

/// Two pages of a query.
async fn pages(store: &SqlProvider, query: StorageQuery) -> usize {
    let first = store.search(&query).await.unwrap();
    let mut found = first.results.len();
    if let Some(next) = first.next {
        found += store.search(&query.cursor(next)).await.unwrap().results.len();
    }
    found
}

#[tokio::test]
async fn no_statement_reads_a_hundred_thousand_items_to_find_a_few() {
    let builder = Server::builder()
        .setting("shared_preload_libraries = 'auto_explain'")
        .setting("auto_explain.log_analyze = on")
        .setting("auto_explain.log_timing = off");
    let Some(server) = found(builder.start()) else { return };
    let clock = ManualClock::default();
    let store = filled(&server, &clock).await;
    store.close().await.unwrap();
    server.sql("ALTER SYSTEM SET auto_explain.log_min_duration = 0");
    server.sql("SELECT pg_reload_conf()");
    let store = SqlProvider::builder(on(&server, "plans")).clock(clock.shared()).connect().await.unwrap();
    // Once without statistics, as in a table that was just filled, and once with them.
    for analyzed in [false, true] {
        if analyzed {
            server.sql("ANALYZE plans");
        }
        let before = server.output().len();
        use_everything(&store, &clock).await;
        let log = server.output().split_off(before);
        let plans = Plan::of_all(&log, "\"plans\"");
        assert!(plans.len() > 60, "{} plans are too few: does the server write them down?", plans.len());
        for plan in plans {
            let text = &plan.text;
            assert!(!text.contains("Seq Scan on"), "analyzed: {analyzed}: {text}");
            assert!(!plan.sorts_many(), "analyzed: {analyzed}: {text}");
            assert!(plan.most_removed() <= 1_000, "analyzed: {analyzed}: {text}");
        }
    }
    store.close().await.unwrap();
}

async fn use_everything(store: &SqlProvider, clock: &ManualClock) {
    let now = clock.now();
    let recent = Timestamp::from_micros(now.as_micros() - 50_000).unwrap();
    for order in [Order::KEY, Order::CREATED, Order::UPDATED] {
        for order in [order, order.descending()] {
            let all = StorageQuery::new().order(order).page_size(50);
            let of_type = all.clone().content_type("session");
            assert_eq!(pages(store, all.clone()).await, 100);
            assert_eq!(pages(store, of_type.clone()).await, 100);
            assert_eq!(pages(store, all.clone().tag("group", "123")).await, 100);
            assert_eq!(pages(store, of_type.clone().tag("group", "124")).await, 0);
            assert_eq!(pages(store, all.clone().tag("parity", "1")).await, 100);
            assert_eq!(pages(store, of_type.clone().tag("parity", "1").tag("group", "125")).await, 100);
            assert_eq!(pages(store, all.clone().pattern("user:00123*")).await, 10);
            assert_eq!(pages(store, all.clone().pattern("user:001234")).await, 1);
            assert_eq!(pages(store, all.clone().created_after(recent)).await, 100);
            assert_eq!(pages(store, of_type.clone().updated_after(recent)).await, 100);
            let soon = now.saturating_add(Duration::from_secs(2_000));
            assert!(pages(store, all.clone().expires_before(soon)).await > 5);
        }
    }
    let rare = StorageQuery::new().tag("group", "7");
    assert_eq!(store.count(&rare).await.unwrap(), 100);
    for number in [1, 2, 3] {
        let key = format!("user:{:06}", number * 7_919);
        let item = ItemKey::new(content_type(number), &key).unwrap();
        let version = store.load(item).await.unwrap().unwrap().metadata.version;
        let request = SaveRequest::new(item, "a value").tag("group", number.to_string());
        let request = request.tag("parity", (number % 2).to_string());
        store.save(request.clone().condition(Condition::Version(version))).await.unwrap();
        store.touch(item, None).await.unwrap().unwrap();
        assert!(store.delete(item, Condition::None).await.unwrap());
        store.save(request.condition(Condition::Absent)).await.unwrap();
        assert!(store.load_many(&[item]).await[0].as_ref().unwrap().is_some());
        let version = store.load(item).await.unwrap().unwrap().metadata.version;
        assert!(store.delete(item, Condition::Version(version)).await.unwrap());
        let request = SaveRequest::new(item, "a value").tag("group", number.to_string());
        store.save(request.tag("parity", (number % 2).to_string())).await.unwrap();
    }
    store.cleanup().await.unwrap();
}
