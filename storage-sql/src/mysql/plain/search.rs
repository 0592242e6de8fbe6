//! Search by key: names are read in strides, and the values of the hits after that.

use std::collections::{HashMap, VecDeque};

use mysql_async::Value;
use storage_core::{
    Bytes, CompiledQuery, Result, SearchPage, StorageItem, StorageMetadata, StorageResult, Timestamp,
};

use super::PlainMysql;
use crate::{
    engine::Moment,
    mysql::{
        error::Fault,
        pool::Lent,
        row::Columns,
        statements::{sizes, text},
    },
    plain::is_key,
    plan::{Keys, Plan},
};

/// Fewest and most rows that are read at once.
const STRIDE: (usize, usize) = (128, 4_096);

/// A page of a search.
pub(super) async fn page(store: &PlainMysql, query: &CompiledQuery, at: Moment) -> Result<SearchPage> {
    if query.page_len() == 0 || !store.plain.may_hold(query) {
        return Ok(query.page(Vec::new(), false));
    }
    let read = |mut connection: Lent| async move { fill(store, &mut connection, query, at.now).await };
    store.pool.reading(at.deadline, read).await
}

/// How many items match.
pub(super) async fn count(store: &PlainMysql, query: &CompiledQuery, at: Moment) -> Result<u64> {
    if !store.plain.may_hold(query) {
        return Ok(0);
    }
    let read = |mut connection: Lent| async move {
        let mut walk = Walk::new(query, STRIDE.1);
        let mut count = 0;
        while let Some(names) = walk.next(store, &mut connection, at.now).await? {
            count += names.len() as u64;
        }
        Ok(count)
    };
    store.pool.reading(at.deadline, read).await
}

async fn fill(
    store: &PlainMysql,
    connection: &mut Lent,
    query: &CompiledQuery,
    now: Timestamp,
) -> Result<SearchPage, Fault> {
    let wanted = query.page_len();
    let mut walk = Walk::new(query, (wanted + 1).clamp(STRIDE.0, STRIDE.1));
    let mut names = VecDeque::new();
    let mut results = Vec::new();
    loop {
        while names.len() + results.len() <= wanted {
            let Some(more) = walk.next(store, connection, now).await? else { break };
            names.extend(more);
        }
        let some: Vec<StorageMetadata> = names.drain(..names.len().min(wanted - results.len())).collect();
        if some.is_empty() {
            return Ok(query.page(results, !names.is_empty()));
        }
        results.extend(hits(store, connection, query, some, now).await?);
    }
}

/// The hits of these names. What was deleted meanwhile is none any more.
async fn hits(
    store: &PlainMysql,
    connection: &mut Lent,
    query: &CompiledQuery,
    names: Vec<StorageMetadata>,
    now: Timestamp,
) -> Result<Vec<StorageResult>, Fault> {
    if query.is_metadata_only() {
        let bare = |metadata: StorageMetadata| StorageItem { data: Bytes::new(), metadata: metadata.into() };
        return Ok(names.into_iter().map(|name| StorageResult::hit(bare(name))).collect());
    }
    let keys: Vec<_> = names.iter().map(|name| name.key.as_str()).collect();
    let mut found = found(store, connection, &keys, now).await?;
    let mut hits = Vec::with_capacity(keys.len());
    for key in keys {
        hits.extend(found.remove(key).transpose()?.map(StorageResult::hit));
    }
    Ok(hits)
}

/// The live items under keys.
pub(super) async fn found(
    store: &PlainMysql,
    connection: &mut Lent,
    keys: &[&str],
    now: Timestamp,
) -> Result<HashMap<String, Result<StorageItem>>, Fault> {
    let mut found = HashMap::new();
    let mut rest = keys;
    for size in sizes(keys.len()) {
        let (some, others) = rest.split_at_checked(size).unwrap_or((rest, &[]));
        rest = others;
        let mut values: Vec<_> = some.iter().map(|key| text(key)).collect();
        values.push(store.table.deadlines.now(now));
        for row in connection.rows(&store.table.load_many(size), values).await? {
            let mut columns = Columns::new(row);
            let key = columns.text()?;
            let item = store.item(&key, &mut columns);
            found.insert(key, item);
        }
    }
    Ok(found)
}

/// A walk over the names that match, in the order of the query.
struct Walk<'q> {
    query: &'q CompiledQuery,
    plan: Plan<'q>,
    stride: usize,
    /// The last key that was read, whatever it is.
    behind: Option<Vec<u8>>,
    done: bool,
}

impl<'q> Walk<'q> {
    fn new(query: &'q CompiledQuery, stride: usize) -> Self {
        let plan = Plan::of(query);
        let behind = plan.position.map(|position| position.key.clone().into_bytes());
        Self { query, plan, stride, behind, done: false }
    }

    async fn next(
        &mut self,
        store: &PlainMysql,
        connection: &mut Lent,
        now: Timestamp,
    ) -> Result<Option<Vec<StorageMetadata>>, Fault> {
        if self.done {
            return Ok(None);
        }
        let (statement, values) = self.statement(store, now);
        let rows = connection.rows(&statement, values).await?;
        self.done = rows.len() < self.stride;
        let mut names = Vec::with_capacity(rows.len());
        for row in rows {
            let mut columns = Columns::new(row);
            let key = columns.bytes()?;
            self.behind = Some(key.clone());
            let size = u64::try_from(columns.optional_integer()?.unwrap_or(0)).unwrap_or(0);
            let expires_at = store.table.deadlines.read(columns.optional_integer()?);
            // What is no key belongs to somebody else.
            let Some(key) = String::from_utf8(key).ok().filter(|key| is_key(key)) else { continue };
            if self.query.glob().is_none_or(|glob| glob.matches(&key)) {
                names.push(store.plain.metadata(&key, size, expires_at));
            }
        }
        Ok(Some(names))
    }

    fn statement(&self, store: &PlainMysql, now: Timestamp) -> (String, Vec<Value>) {
        let table = &store.table;
        let key = &table.key;
        let mut conditions = vec![table.live.clone()];
        let mut values = vec![table.deadlines.now(now)];
        let mut bind = |condition: String, value| {
            conditions.push(condition);
            values.push(value);
        };
        match &self.plan.keys {
            Keys::All => {}
            Keys::One(one) => bind(format!("{key} = ?"), text(one)),
            Keys::Range(first, end) => {
                bind(format!("{key} >= ?"), text(first));
                if let Some(end) = end {
                    bind(format!("{key} < ?"), text(end));
                }
            }
        }
        let (sign, way) = if self.plan.order.is_descending() { ('<', " DESC") } else { ('>', "") };
        if let Some(behind) = &self.behind {
            bind(format!("{key} {sign} ?"), Value::Bytes(behind.clone()));
        }
        values.push(Value::UInt(self.stride as u64));
        let statement =
            format!("{} WHERE {} ORDER BY {key}{way} LIMIT ?", table.names, conditions.join(" AND "));
        (statement, values)
    }
}
