//! Queries among 100,000 items: the index that each uses, and how many steps it takes.

use rusqlite::{Connection, StatementStatus, params_from_iter};
use storage_core::{Order, StorageQuery, Timestamp};

use super::{connection, schema, search, sql::Sql, statements::Statements};
use crate::{identifier::TableName, plan::Plan};

const ITEMS: i64 = 100_000;
const NOW: Timestamp = Timestamp::UNIX_EPOCH;

struct Full {
    connection: Connection,
    tables: Statements,
    _directory: tempfile::TempDir,
}

impl Full {
    /// A store of 100,000 items: two content types, a tag that one in a thousand has, one that half of them have, and a
    /// deadline for one in a hundred. The rows are made by the database itself and are no whole items; no plan minds.
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("plans.db");
        let mut connection = connection::open(&path, true, std::time::Duration::from_secs(1)).unwrap();
        let table = TableName::new("table_name", "storage_items").unwrap();
        let tables = Statements::new(&table);
        schema::prepare(&mut connection, &table, &tables, true).unwrap();
        let Statements { items, tags, .. } = &tables;
        let numbers =
            format!("WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {ITEMS}) ");
        let keys = "printf('user:%06d', n), iif(n % 2, 'note', 'page')";
        connection
            .execute_batch(&format!(
                "PRAGMA synchronous = OFF; BEGIN;
                 {numbers} INSERT INTO {items} SELECT n, iif(n % 2, 'note', 'page'), printf('user:%06d', n), x'00', n, n,
                     iif(n % 100 = 0, n, NULL), n, 'raw', 0, '{{}}', 0, 0, x'' FROM n;
                 {numbers} INSERT INTO {tags} SELECT 'tier', 'gold', {keys} FROM n WHERE n % 1000 = 0;
                 {numbers} INSERT INTO {tags} SELECT 'half', 'yes', {keys} FROM n WHERE n % 2 = 0;
                 COMMIT;"
            ))
            .unwrap();
        Self { connection, tables, _directory: directory }
    }

    fn statement(&self, query: &StorageQuery) -> Sql {
        let query = query.compile().unwrap();
        search::statement(&self.connection, &self.tables, &query, &Plan::of(&query), NOW).unwrap()
    }

    /// What SQLite says it will do, and what it did for a page: steps of its machine, and sorts.
    fn explain(&self, query: &StorageQuery) -> (String, i32, i32) {
        let Sql { text, values } = self.statement(query);
        let mut explain = self.connection.prepare(&format!("EXPLAIN QUERY PLAN {text}")).unwrap();
        let lines = explain.query_map(params_from_iter(&values), |row| row.get::<_, String>(3)).unwrap();
        let plan = lines.map(Result::unwrap).collect::<Vec<_>>().join("; ");
        let mut statement = self.connection.prepare(&text).unwrap();
        let mut rows = statement.query(params_from_iter(&values)).unwrap();
        while rows.next().unwrap().is_some() {}
        drop(rows);
        (plan, statement.get_status(StatementStatus::VmStep), statement.get_status(StatementStatus::Sort))
    }
}

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros).unwrap()
}

fn every_order() -> Vec<Order> {
    let orders = [Order::KEY, Order::CREATED, Order::UPDATED];
    orders.into_iter().flat_map(|order| [order, order.descending()]).collect()
}

#[test]
fn every_order_comes_straight_from_an_index_also_behind_a_cursor() {
    let full = Full::new();
    let middle = storage_core::StorageMetadata {
        id: storage_core::Uuid::nil(),
        key: "user:050000".into(),
        content_type: "page".into(),
        created_at: at(50_000),
        updated_at: at(50_000),
        expires_at: None,
        version: 1,
        encoding: storage_core::Encoding::RAW,
        tags: storage_core::Tags::new(),
        size: 0,
    };
    for content_type in [None, Some("page")] {
        for order in every_order() {
            let mut query = StorageQuery::new().order(order).metadata_only();
            if let Some(content_type) = content_type {
                query = query.content_type(content_type);
            }
            let item = storage_core::StorageItem {
                data: storage_core::Bytes::new(),
                metadata: std::sync::Arc::new(middle.clone()),
            };
            let cursor =
                query.compile().unwrap().page(vec![storage_core::StorageResult::hit(item)], true).next;
            for query in [query.clone(), query.cursor(cursor)] {
                let (plan, steps, sorts) = full.explain(&query);
                let context = format!("{order} of {content_type:?}: {plan}, {steps} steps");
                assert!(plan.contains("USING INDEX"), "{context}");
                assert_eq!(sorts, 0, "{context}");
                assert!(steps < 10_000, "{context}");
            }
        }
    }
}

#[test]
fn every_filter_is_served_by_its_index() {
    let full = Full::new();
    let base = || StorageQuery::new().metadata_only();
    let few = [
        base().tag("tier", "gold"),
        base().tag("tier", "gold").content_type("page"),
        base().tag("half", "yes").tag("tier", "gold"),
        base().tag("half", "yes"),
        base().pattern("user:0500*"),
        base().pattern("user:050000"),
        base().pattern("user:0500*").content_type("page"),
        base().created_after(at(50_000)).created_before(at(50_100)),
        base().updated_after(at(50_000)).updated_before(at(50_100)),
        base().expires_after(at(50_000)).expires_before(at(60_000)),
        base().created_after(at(1_000)),
        base().tag("tier", "gold").created_after(at(1_000)),
        base().tag("tier", "none"),
        base().pattern("nothing*"),
        base().expires_after(at(1_000_000)),
        base().tag("half", "yes").created_after(at(99_900)),
        base().pattern("user:*").created_after(at(99_900)),
    ];
    for query in few {
        for order in every_order() {
            let (plan, steps, _) = full.explain(&query.clone().order(order));
            let context = format!("{order} of {query:?}: {plan}, {steps} steps");
            assert!(!plan.contains("SCAN i ") || plan.contains("USING INDEX"), "{context}");
            assert!(steps < 60_000, "{context}");
        }
    }
}

#[test]
fn a_search_costs_as_much_as_it_has_hits_and_not_as_there_are_items() {
    let full = Full::new();
    let query = StorageQuery::new().tag("tier", "gold").metadata_only().page_size(100);
    let (_, among_many, _) = full.explain(&query);
    let Statements { items, tags, .. } = &full.tables;
    // The same hundred hits among a tenth of the items.
    full.connection
        .execute_batch(&format!(
            "PRAGMA synchronous = OFF; BEGIN; DELETE FROM {items} WHERE no % 1000 <> 0 AND no > 10000;
             DELETE FROM {tags} WHERE name = 'half'; COMMIT;"
        ))
        .unwrap();
    let (_, among_few, _) = full.explain(&query);
    assert!(among_many <= 2 * among_few, "{among_many} steps among many items, {among_few} among few");
}
