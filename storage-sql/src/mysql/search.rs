//! Search and count: one statement per page, its order straight from an index.

use std::collections::VecDeque;

use mysql_async::Value;
use storage_core::{
    Bytes, CompiledQuery, ErrorKind, OrderBy, Position, Result, SearchPage, StorageItem, StorageMetadata,
    StorageResult, TimeRange, Timestamp,
};

use super::{
    Mysql,
    error::Fault,
    pool::Lent,
    row::{Columns, Stored, item},
    statements::{COLUMNS, Statements, text},
};
use crate::{
    engine::Moment,
    error::failure,
    plan::{Keys, Plan},
    row::micros,
};

/// Tags that the server looks for; further ones are looked at here. Servers join no more than 61 tables.
const MOST_TAGS: usize = 8;
/// Rows that are read at once where the core has to look at each.
const STRIDE: (usize, usize) = (256, 4_096);

/// A page of a search.
pub(super) async fn page(engine: &Mysql, query: &CompiledQuery, at: Moment) -> Result<SearchPage> {
    if query.page_len() == 0 {
        return Ok(query.page(Vec::new(), false));
    }
    let plan = &Plan::of(query);
    let read = |mut connection: Lent| async move {
        if looks_itself(plan) {
            matching_page(engine, &mut connection, query, plan, at).await
        } else {
            exact_page(engine, &mut connection, query, plan, at).await
        }
    };
    engine.pool.reading(at.deadline, read).await
}

/// How many items match.
pub(super) async fn count(engine: &Mysql, query: &CompiledQuery, at: Moment) -> Result<u64> {
    let plan = &Plan::of(query);
    let read = |mut connection: Lent| async move {
        if looks_itself(plan) {
            matching_count(engine, &mut connection, query, plan, at).await
        } else {
            exact_count(engine, &mut connection, plan, at).await
        }
    };
    engine.pool.reading(at.deadline, read).await
}

async fn exact_count(
    engine: &Mysql,
    connection: &mut Lent,
    plan: &Plan<'_>,
    at: Moment,
) -> Result<u64, Fault> {
    let (statement, values) = Select::of(&engine.statements, plan, at.now).count();
    let rows = connection.rows(&statement, values).await?;
    let count = rows.into_iter().next().map(|row| Columns::new(row).integer()).transpose()?;
    count.map(i64::cast_unsigned).ok_or_else(|| unexpected().into())
}

async fn matching_count(
    engine: &Mysql,
    connection: &mut Lent,
    query: &CompiledQuery,
    plan: &Plan<'_>,
    at: Moment,
) -> Result<u64, Fault> {
    let (mut count, mut walk) = (0, Walk::new(plan));
    while let Some(rows) = walk.next(engine, connection, plan, at.now, STRIDE.1).await? {
        count += rows.iter().filter(|metadata| query.matches(metadata, at.now)).count() as u64;
    }
    Ok(count)
}

/// Whether the server finds more than the query asks for.
fn looks_itself(plan: &Plan<'_>) -> bool {
    plan.must_match || plan.tags.len() > MOST_TAGS
}

fn unexpected() -> storage_core::StorageError {
    failure(ErrorKind::Internal, "the server did not answer what it was asked for")
}

/// A page of a query that the server can answer by itself.
async fn exact_page(
    engine: &Mysql,
    connection: &mut Lent,
    query: &CompiledQuery,
    plan: &Plan<'_>,
    at: Moment,
) -> Result<SearchPage, Fault> {
    let wanted = query.page_len();
    let select = Select::of(&engine.statements, plan, at.now).behind(plan.position);
    let (statement, values) = select.page(!query.is_metadata_only(), wanted + 1);
    let rows = connection.rows(&statement, values).await?;
    let more = rows.len() > wanted;
    let mut hits = Vec::with_capacity(wanted.min(rows.len()));
    for row in rows.into_iter().take(wanted) {
        let item = if query.is_metadata_only() { bare(metadata(row)?) } else { item(row)? };
        hits.push(StorageResult::hit(item));
    }
    Ok(query.page(hits, more))
}

/// A page of a query that the core has a say in: metadata is read in strides, and the payloads of the hits after that.
async fn matching_page(
    engine: &Mysql,
    connection: &mut Lent,
    query: &CompiledQuery,
    plan: &Plan<'_>,
    at: Moment,
) -> Result<SearchPage, Fault> {
    let wanted = query.page_len();
    let mut walk = Walk::new(plan);
    let mut hits: VecDeque<StorageMetadata> = VecDeque::new();
    let mut results = Vec::with_capacity(wanted.min(STRIDE.1));
    loop {
        while hits.len() + results.len() <= wanted {
            let stride = (4 * wanted).clamp(STRIDE.0, STRIDE.1);
            let Some(rows) = walk.next(engine, connection, plan, at.now, stride).await? else { break };
            hits.extend(rows.into_iter().filter(|metadata| query.matches(metadata, at.now)));
        }
        let candidates: Vec<_> = hits.drain(..hits.len().min(wanted - results.len())).collect();
        if candidates.is_empty() {
            let more = !hits.is_empty();
            return Ok(query.page(results, more));
        }
        results.extend(with_payloads(engine, connection, query, candidates, at).await?);
        // What was changed meanwhile may leave room for more.
        if results.len() == wanted {
            let more = !hits.is_empty();
            return Ok(query.page(results, more));
        }
    }
}

/// The hits with their payloads. What was changed meanwhile is a hit only if it still is one, and in the same place.
async fn with_payloads(
    engine: &Mysql,
    connection: &mut Lent,
    query: &CompiledQuery,
    candidates: Vec<StorageMetadata>,
    at: Moment,
) -> Result<Vec<StorageResult>, Fault> {
    if query.is_metadata_only() {
        return Ok(candidates.into_iter().map(|metadata| StorageResult::hit(bare(metadata))).collect());
    }
    let keys = candidates.iter().map(StorageMetadata::item_key).collect::<Result<Vec<_>>>()?;
    let mut found = engine.found(connection, &keys).await?;
    let mut hits = Vec::with_capacity(candidates.len());
    for candidate in &candidates {
        let identity = (candidate.content_type.clone(), candidate.key.clone());
        let Some(item) = found.remove(&identity).transpose()? else { continue };
        let stays = Position::of(&item.metadata, query.order()) == Position::of(candidate, query.order());
        if stays && query.matches(&item.metadata, at.now) {
            hits.push(StorageResult::hit(item));
        }
    }
    Ok(hits)
}

fn metadata(row: mysql_async::Row) -> Result<StorageMetadata> {
    Ok(Stored::take(&mut Columns::new(row))?.known()?.metadata)
}

fn bare(metadata: StorageMetadata) -> StorageItem {
    StorageItem { data: Bytes::new(), metadata: metadata.into() }
}

/// A walk over the metadata of all rows that the server finds, in the order of the query.
struct Walk {
    position: Option<Position>,
    done: bool,
}

impl Walk {
    fn new(plan: &Plan<'_>) -> Self {
        Self { position: plan.position.cloned(), done: false }
    }

    async fn next(
        &mut self,
        engine: &Mysql,
        connection: &mut Lent,
        plan: &Plan<'_>,
        now: Timestamp,
        stride: usize,
    ) -> Result<Option<Vec<StorageMetadata>>, Fault> {
        if self.done {
            return Ok(None);
        }
        let select = Select::of(&engine.statements, plan, now).behind(self.position.as_ref());
        let (statement, values) = select.page(false, stride);
        let rows = connection.rows(&statement, values).await?;
        self.done = rows.len() < stride;
        let rows = rows.into_iter().map(metadata).collect::<Result<Vec<_>>>()?;
        if let Some(last) = rows.last() {
            self.position = Some(Position::of(last, plan.order));
        }
        Ok(Some(rows))
    }
}

/// A statement being written: its conditions and their values.
pub(super) struct Select<'q> {
    plan: &'q Plan<'q>,
    from: String,
    conditions: Vec<String>,
    values: Vec<Value>,
    /// The columns that hold key and content type: of the first tag, whose index has the order of the keys, or of the item.
    key: &'static str,
    content_type: &'static str,
}

impl<'q> Select<'q> {
    pub(super) fn of(statements: &Statements, plan: &'q Plan<'q>, now: Timestamp) -> Self {
        let by_tag = !plan.tags.is_empty();
        let (key, content_type) =
            if by_tag { ("t0.`key`", "t0.content_type") } else { ("i.`key`", "i.content_type") };
        let mut select =
            Self { plan, from: String::new(), conditions: Vec::new(), values: Vec::new(), key, content_type };
        select.from(statements);
        select.filter(now);
        select
    }

    /// The tags come first, so that the few items which have them are looked up, and not the other way round.
    fn from(&mut self, statements: &Statements) {
        let Statements { items, tags, .. } = statements;
        let mut joined = Vec::new();
        for (number, (name, value)) in self.plan.tags.iter().take(MOST_TAGS).enumerate() {
            let alias = format!("t{number}");
            joined.push(if number == 0 {
                format!("{tags} {alias}")
            } else {
                format!(
                    "{tags} {alias} ON {alias}.`key` = t0.`key` AND {alias}.content_type = t0.content_type"
                )
            });
            self.condition(format!("{alias}.name = ? AND {alias}.value = ?"), [text(name), text(value)]);
        }
        self.from = if joined.is_empty() {
            format!("{items} i FORCE INDEX ({})", self.indexes().join(", "))
        } else {
            format!(
                "({}) STRAIGHT_JOIN {items} i ON i.`key` = t0.`key` AND i.content_type = t0.content_type",
                joined.join(" JOIN ")
            )
        };
    }

    /// The indexes among which the server may choose: that of the order, and those of what else is asked for.
    fn indexes(&self) -> Vec<&'static str> {
        let plan = self.plan;
        let typed = plan.content_type.is_some();
        let by_key = if typed { "by_type" } else { "PRIMARY" };
        let by_created = if typed { "by_type_created" } else { "by_created" };
        let by_updated = if typed { "by_type_updated" } else { "by_updated" };
        let by_expiry = if typed { "by_usage" } else { "by_expiry" };
        let mut indexes = vec![match plan.order.by {
            _ if matches!(plan.keys, Keys::One(_)) => return vec!["PRIMARY"],
            OrderBy::Key => by_key,
            OrderBy::Created => by_created,
            OrderBy::Updated => by_updated,
        }];
        for (index, wanted) in [
            (by_key, plan.keys != Keys::All),
            (by_created, !plan.created.is_unbounded()),
            (by_updated, !plan.updated.is_unbounded()),
            (by_expiry, !plan.expires.is_unbounded()),
        ] {
            if wanted && !indexes.contains(&index) {
                indexes.push(index);
            }
        }
        indexes
    }

    fn filter(&mut self, now: Timestamp) {
        let (key, content_type) = (self.key, self.content_type);
        if let Some(wanted) = self.plan.content_type {
            self.condition(format!("{content_type} = ?"), [text(wanted)]);
        }
        match &self.plan.keys {
            Keys::All => {}
            Keys::One(one) => self.condition(format!("{key} = ?"), [text(one)]),
            Keys::Range(first, end) => {
                self.condition(format!("{key} >= ?"), [text(first)]);
                if let Some(end) = end {
                    self.condition(format!("{key} < ?"), [text(end)]);
                }
            }
        }
        self.range("i.created_at", self.plan.created);
        self.range("i.updated_at", self.plan.updated);
        self.range("i.expires_at", self.plan.expires);
        self.condition("(i.expires_at IS NULL OR i.expires_at > ?)".to_owned(), [Value::Int(micros(now))]);
    }

    fn range(&mut self, column: &str, range: TimeRange) {
        if let Some(after) = range.after {
            self.condition(format!("{column} >= ?"), [Value::Int(micros(after))]);
        }
        if let Some(before) = range.before {
            self.condition(format!("{column} < ?"), [Value::Int(micros(before))]);
        }
    }

    fn condition(&mut self, condition: String, values: impl IntoIterator<Item = Value>) {
        self.conditions.push(condition);
        self.values.extend(values);
    }

    /// Goes on behind a place. The comparison is written out, because servers find single ranges by an index and rows not.
    pub(super) fn behind(mut self, position: Option<&Position>) -> Self {
        let Some(Position { time, key, content_type }) = position else { return self };
        let columns = self.order_columns();
        let bound: Vec<_> = columns
            .iter()
            .map(|column| match *column {
                column if column == self.key => text(key),
                column if column == self.content_type => text(content_type),
                _ => Value::Int(micros(*time)),
            })
            .collect();
        let sign = if self.plan.order.is_descending() { '<' } else { '>' };
        let mut ranges = Vec::new();
        for (at, column) in columns.iter().enumerate() {
            let mut parts: Vec<_> = columns.iter().take(at).map(|equal| format!("{equal} = ?")).collect();
            parts.push(format!("{column} {sign} ?"));
            ranges.push(format!("({})", parts.join(" AND ")));
            self.values.extend(bound.iter().take(at + 1).cloned());
        }
        self.conditions.push(format!("({})", ranges.join(" OR ")));
        self
    }

    /// What the rows are ordered by: what is the same for all is left out.
    fn order_columns(&self) -> Vec<&'static str> {
        let time = match self.plan.order.by {
            OrderBy::Key => None,
            OrderBy::Created => Some("i.created_at"),
            OrderBy::Updated => Some("i.updated_at"),
        };
        let content_type = self.plan.content_type.is_none().then_some(self.content_type);
        time.into_iter().chain([self.key]).chain(content_type).collect()
    }

    /// The statement that reads rows in order.
    pub(super) fn page(self, with_data: bool, limit: usize) -> (String, Vec<Value>) {
        let data = if with_data { ", i.data" } else { "" };
        let direction = if self.plan.order.is_descending() { " DESC" } else { "" };
        let order: Vec<_> =
            self.order_columns().into_iter().map(|column| format!("{column}{direction}")).collect();
        let statement = format!(
            "SELECT {COLUMNS}{data} FROM {} WHERE {} ORDER BY {} LIMIT ?",
            self.from,
            self.conditions.join(" AND "),
            order.join(", ")
        );
        let mut values = self.values;
        values.push(Value::UInt(limit as u64));
        (statement, values)
    }

    /// The statement that counts the rows.
    pub(super) fn count(self) -> (String, Vec<Value>) {
        (format!("SELECT COUNT(*) FROM {} WHERE {}", self.from, self.conditions.join(" AND ")), self.values)
    }
}
