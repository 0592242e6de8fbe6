//! Queries among 100,000 items: how many rows the server reads for a page of each, and whether it sorts.

use std::sync::Arc;

use storage_core::{
    Bytes, CompiledQuery, Encoding, Order, StorageItem, StorageMetadata, StorageQuery, StorageResult, Tags,
    Timestamp, Uuid,
};
use test_servers::mariadb::Server;
use tokio::time::Instant;

use super::{Mysql, pool::Lent, row::Columns, schema::CREATING, search::Select};
use crate::{config::SqlConfig, plan::Plan};

const ITEMS: i64 = 100_000;

/// A store of 100,000 items: two content types, a tag that one in a thousand has, one that half of them have, and a deadline
/// for one in a hundred. The rows are made by the server itself and are no whole items; no plan minds.
async fn filled(server: &Server) -> Mysql {
    let config = SqlConfig::from_url(&server.url()).unwrap();
    let engine = Mysql::open(&config, &config.url, true).await.unwrap();
    let names = "CONCAT('user:', LPAD(seq, 6, '0')), IF(seq % 2, 'note', 'page')";
    server.execute(&format!(
        "INSERT INTO storage_items SELECT {names}, REPEAT('x', 16), seq, seq, IF(seq % 100 = 0, seq, NULL), seq, 'raw', \
             '{{}}', 10, 0, 0, REPEAT('x', 10) FROM seq_1_to_{ITEMS};
         INSERT INTO storage_items_tags SELECT 'tier', 'gold', {names} FROM seq_1_to_{ITEMS} WHERE seq % 1000 = 0;
         INSERT INTO storage_items_tags SELECT 'half', 'yes', {names} FROM seq_1_to_{ITEMS} WHERE seq % 2 = 0;
         ANALYZE TABLE storage_items, storage_items_tags"
    ));
    engine
}

/// What the server has counted on this connection: rows read, rows sorted.
async fn counted(connection: &mut Lent) -> (i64, i64) {
    let (mut read, mut sorted) = (0, 0);
    for row in connection.rows("SHOW SESSION STATUS", Vec::new()).await.unwrap() {
        let mut columns = Columns::new(row);
        let (name, value) = (columns.text().unwrap(), columns.text().unwrap_or_default());
        let count = value.parse::<i64>().unwrap_or(0);
        match name.as_str() {
            "Sort_rows" => sorted += count,
            // Those of temporary tables are what the look at the status itself needs.
            "Handler_read_first" | "Handler_read_key" | "Handler_read_last" | "Handler_read_next"
            | "Handler_read_prev" | "Handler_read_rnd" => read += count,
            _ => {}
        }
    }
    (read, sorted)
}

/// A query that goes on in the middle.
fn halfway(query: &StorageQuery) -> StorageQuery {
    let at = Timestamp::from_micros(ITEMS / 2).unwrap();
    let metadata = StorageMetadata {
        id: Uuid::nil(),
        key: format!("user:{:06}", ITEMS / 2),
        content_type: "page".into(),
        created_at: at,
        updated_at: at,
        expires_at: None,
        version: 1,
        encoding: Encoding::RAW,
        tags: Tags::new(),
        size: 0,
    };
    let item = StorageItem { data: Bytes::new(), metadata: Arc::new(metadata) };
    let page = query.compile().unwrap().page(vec![StorageResult::hit(item)], true);
    query.clone().cursor(page.next)
}

async fn cost(engine: &Mysql, connection: &mut Lent, query: &CompiledQuery) -> (usize, i64, i64, String) {
    let plan = Plan::of(query);
    let select = Select::of(&engine.statements, &plan, Timestamp::UNIX_EPOCH).behind(plan.position);
    let (statement, values) = select.page(true, query.page_len() + 1);
    let before = counted(connection).await;
    let rows = connection.rows(&statement, values).await.unwrap().len();
    let after = counted(connection).await;
    (rows, after.0 - before.0, after.1 - before.1, statement)
}

#[tokio::test]
async fn each_page_reads_little_more_than_it_shows() {
    let server = Server::start().unwrap();
    let engine = filled(&server).await;
    let mut connection = engine.pool.lend(Instant::now() + CREATING).await.unwrap();
    let time = |micros| Timestamp::from_micros(micros).unwrap();
    let mut cases = Vec::new();
    for order in [Order::KEY, Order::CREATED, Order::UPDATED] {
        for order in [order, order.descending()] {
            for query in [StorageQuery::new(), StorageQuery::new().content_type("page")] {
                let query = query.order(order);
                cases.push((halfway(&query), 101, false));
                cases.push((query.clone().tag("tier", "gold"), 100, order.by != Order::KEY.by));
                cases.push((query.pattern("user:0500*"), 100, order.by != Order::KEY.by));
            }
        }
    }
    for (query, sorts) in [
        (StorageQuery::new().pattern("user:050000"), true),
        (StorageQuery::new().tag("half", "yes").tag("tier", "gold"), true),
        (StorageQuery::new().created_after(time(500)).created_before(time(600)), true),
        (StorageQuery::new().updated_after(time(500)).updated_before(time(600)).content_type("page"), true),
        (StorageQuery::new().expires_after(time(500)).expires_before(time(3_000)), true),
        (StorageQuery::new().tag("half", "yes"), false),
    ] {
        cases.push((query, 101, sorts));
    }
    for (query, most, may_sort) in cases {
        let compiled = query.compile().unwrap();
        let (rows, read, sorted, statement) = cost(&engine, &mut connection, &compiled).await;
        assert!(rows > 0 && rows <= most, "{rows} rows of {query:?}");
        assert!(read <= 4 * 101 + 20, "{read} rows are read of {query:?}: {statement}");
        assert!(may_sort || sorted == 0, "{sorted} rows are sorted of {query:?}: {statement}");
    }
    drop(connection);
    engine.pool.close().await;
}
