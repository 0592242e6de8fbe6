//! Pages of a search.
//!
//! There are two ways to a page. Where only the content type, the keys or the time that orders the page are given, the index
//! of that order is walked from where the page begins. Where something else narrows the search, such as a tag, the index of
//! that is asked for all its rows, which are then put into order; if these are too many to be sorted for every page, they are
//! common enough to be met soon on a walk along the order.

use storage_core::{
    CompiledQuery, Order, OrderBy, Position, Result, SearchPage, StorageItem, StorageMetadata, StorageResult,
    Tags, TimeRange, Timestamp,
};
use tokio_postgres::types::{Json, ToSql, Type};

use super::{
    error::{During, meaning},
    lanes::Own,
    rows::{self, column},
    statements::{METADATA, PAYLOAD},
};
use crate::{
    engine::Moment,
    plan::{Keys, Plan},
    row::micros,
};

/// Most rows that are gathered and sorted for one page.
const MOST_GATHERED: usize = 10_000;
/// Most rows asked for at once where each must still be looked at.
const MOST_LOOKED_AT: usize = 4_096;

type Parameters<'q> = Vec<(Box<dyn ToSql + Sync + Send + 'q>, Type)>;

/// What is searched, and over which connection.
pub(super) struct Search<'e> {
    pub(super) items: &'e str,
    pub(super) own: &'e Own,
    pub(super) query: &'e CompiledQuery,
    pub(super) at: Moment,
}

/// How rows are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Gather,
    Walk,
}

impl Search<'_> {
    /// One page.
    ///
    /// # Errors
    /// Those of the server, and [`ErrorKind::Corrupted`](storage_core::ErrorKind::Corrupted) naming an item that cannot be
    /// read back.
    pub(super) async fn page(&self) -> Result<SearchPage> {
        let wanted = self.query.page_len();
        if wanted == 0 {
            return Ok(self.query.page(Vec::new(), false));
        }
        let mut hits = self.hits(wanted + 1).await?;
        let more = hits.len() > wanted;
        hits.truncate(wanted);
        Ok(self.query.page(hits.into_iter().map(StorageResult::hit).collect(), more))
    }

    /// How many rows match.
    ///
    /// # Errors
    /// As [`page`](Self::page).
    pub(super) async fn count(&self) -> Result<u64> {
        let plan = Plan::of(self.query);
        if plan.must_match {
            return self.count_one_by_one().await;
        }
        let mut parameters = Parameters::new();
        let filters = filters(&plan, None, self.at.now, &mut parameters);
        let text = format!("SELECT count(*) FROM {} AS stored WHERE {filters}", self.items);
        let rows = self.ask(&text, &parameters).await?;
        let count: i64 = rows.first().map_or(Ok(0), |row| column(row, 0))?;
        Ok(count.cast_unsigned())
    }

    /// Counts what only the core can tell, without reading payloads or keeping rows.
    async fn count_one_by_one(&self) -> Result<u64> {
        let mut position = None;
        let mut count = 0;
        loop {
            let rows =
                self.rows(Way::Walk, position.as_ref(), MOST_LOOKED_AT, false).await?.unwrap_or_default();
            let full = rows.len() == MOST_LOOKED_AT;
            for item in rows {
                count += u64::from(self.query.matches(&item.metadata, self.at.now));
                position = Some(Position::of(&item.metadata, self.query.order()));
            }
            if !full {
                return Ok(count);
            }
        }
    }

    /// The first hits behind the cursor, as many as are wanted or there are.
    async fn hits(&self, wanted: usize) -> Result<Vec<StorageItem>> {
        let plan = Plan::of(self.query);
        let payload = !self.query.is_metadata_only();
        let mut way = if is_narrowed(&plan) { Way::Gather } else { Way::Walk };
        let mut position = plan.position.cloned();
        let mut hits = Vec::new();
        let mut limit = wanted;
        loop {
            let Some(rows) = self.rows(way, position.as_ref(), limit, payload).await? else {
                way = Way::Walk;
                continue;
            };
            let full = rows.len() == limit;
            position = rows.last().map(|item| Position::of(&item.metadata, self.query.order())).or(position);
            hits.extend(
                rows.into_iter()
                    .filter(|item| !plan.must_match || self.query.matches(&item.metadata, self.at.now)),
            );
            if !full || hits.len() >= wanted {
                return Ok(hits);
            }
            limit = (limit * 2).min(MOST_LOOKED_AT.max(wanted));
        }
    }

    /// The first rows behind `position`; `None` if there are too many to gather.
    async fn rows(
        &self,
        way: Way,
        position: Option<&Position>,
        limit: usize,
        payload: bool,
    ) -> Result<Option<Vec<StorageItem>>> {
        let plan = Plan::of(self.query);
        let mut parameters = Parameters::new();
        let text = statement(self.items, way, &plan, position, limit, payload, self.at.now, &mut parameters);
        let rows = self.ask(&text, &parameters).await?;
        if way == Way::Gather {
            let at = if payload { 12 } else { 10 };
            let gathered = rows.first().map_or(Ok(0), |row| column::<i64>(row, at))?;
            if gathered > MOST_GATHERED as i64 {
                return Ok(None);
            }
        }
        let read = |row| if payload { rows::item(row) } else { rows::metadata(row).map(without_payload) };
        rows.iter().map(read).collect::<Result<_>>().map(Some)
    }

    async fn ask(&self, text: &str, parameters: &Parameters<'_>) -> Result<Vec<tokio_postgres::Row>> {
        let parameters: Vec<(&(dyn ToSql + Sync), Type)> =
            parameters.iter().map(|(value, kind)| (&**value as &(dyn ToSql + Sync), kind.clone())).collect();
        let asking = self.own.session().client.query_typed(text, &parameters);
        self.own.run(asking).await.map_err(|error| meaning(error, During::Read))
    }
}

fn without_payload(metadata: StorageMetadata) -> StorageItem {
    StorageItem { data: storage_core::Bytes::new(), metadata: std::sync::Arc::new(metadata) }
}

/// Whether something is given that the index of the order does not begin with.
fn is_narrowed(plan: &Plan<'_>) -> bool {
    let by = plan.order.by;
    !plan.tags.is_empty()
        || (by != OrderBy::Key && plan.keys != Keys::All)
        || (by != OrderBy::Created && !plan.created.is_unbounded())
        || (by != OrderBy::Updated && !plan.updated.is_unbounded())
        || !plan.expires.is_unbounded()
}

/// The statement for the rows of a page.
#[expect(clippy::too_many_arguments, reason = "they are what the text is made of")]
fn statement<'q>(
    items: &str,
    way: Way,
    plan: &Plan<'q>,
    position: Option<&'q Position>,
    limit: usize,
    payload: bool,
    now: Timestamp,
    parameters: &mut Parameters<'q>,
) -> String {
    let columns = if payload { format!("{METADATA}, {PAYLOAD}") } else { METADATA.to_owned() };
    let filters = filters(plan, position, now, parameters);
    let order = order(plan.order);
    match way {
        Way::Walk => {
            format!("SELECT {columns} FROM {items} AS stored WHERE {filters} ORDER BY {order} LIMIT {limit}")
        }
        Way::Gather => format!(
            "WITH stored AS MATERIALIZED (
                SELECT {columns} FROM {items} AS stored WHERE {filters} LIMIT {most})
             SELECT {columns}, (SELECT count(*) FROM stored) FROM stored ORDER BY {order} LIMIT {limit}",
            most = MOST_GATHERED + 1
        ),
    }
}

fn order(order: Order) -> String {
    let direction = if order.is_descending() { "DESC" } else { "ASC" };
    let columns = match order.by {
        OrderBy::Key => &["key", "content_type"][..],
        OrderBy::Created => &["created_at", "key", "content_type"],
        OrderBy::Updated => &["updated_at", "key", "content_type"],
    };
    columns.iter().map(|column| format!("stored.{column} {direction}")).collect::<Vec<_>>().join(", ")
}

/// What a row must be, as far as the server can tell; the values are added to `parameters`.
fn filters<'q>(
    plan: &Plan<'q>,
    position: Option<&'q Position>,
    now: Timestamp,
    parameters: &mut Parameters<'q>,
) -> String {
    let mut filters = Filters { texts: Vec::new(), parameters };
    let now = filters.bind(micros(now), Type::INT8);
    filters.texts.push(format!("(stored.expires_at IS NULL OR stored.expires_at > {now})"));
    if let Some(content_type) = plan.content_type {
        filters.compare("content_type", "=", content_type, Type::TEXT);
    }
    match &plan.keys {
        Keys::All => {}
        Keys::One(key) => filters.compare("key", "=", *key, Type::TEXT),
        Keys::Range(first, behind) => {
            filters.compare("key", ">=", *first, Type::TEXT);
            if let Some(behind) = behind {
                filters.compare("key", "<", behind.clone(), Type::TEXT);
            }
        }
    }
    if !plan.tags.is_empty() {
        filters.compare::<Json<Tags>>("tags", "@>", Json(plan.tags.clone()), Type::JSONB);
    }
    filters.range("created_at", plan.created);
    filters.range("updated_at", plan.updated);
    filters.range("expires_at", plan.expires);
    if let Some(position) = position {
        filters.behind(position, plan);
    }
    filters.texts.join(" AND ")
}

struct Filters<'f, 'q> {
    texts: Vec<String>,
    parameters: &'f mut Parameters<'q>,
}

impl<'q> Filters<'_, 'q> {
    fn bind(&mut self, value: impl ToSql + Sync + Send + 'q, kind: Type) -> String {
        self.parameters.push((Box::new(value), kind));
        format!("${}", self.parameters.len())
    }

    fn compare<T: ToSql + Sync + Send + 'q>(&mut self, column: &str, operator: &str, value: T, kind: Type) {
        let value = self.bind(value, kind);
        self.texts.push(format!("stored.{column} {operator} {value}"));
    }

    fn range(&mut self, column: &str, range: TimeRange) {
        if let Some(after) = range.after {
            self.compare(column, ">=", micros(after), Type::INT8);
        }
        if let Some(before) = range.before {
            self.compare(column, "<", micros(before), Type::INT8);
        }
    }

    /// Only rows behind the place where the page before ended. With a content type given, comparing it as well would keep the
    /// server from using the index that begins with it.
    fn behind(&mut self, position: &'q Position, plan: &Plan<'_>) {
        let time = match plan.order.by {
            OrderBy::Key => None,
            OrderBy::Created => Some("created_at"),
            OrderBy::Updated => Some("updated_at"),
        };
        let mut columns = Vec::new();
        let mut values = Vec::new();
        if let Some(time) = time {
            columns.push(format!("stored.{time}"));
            values.push(self.bind(micros(position.time), Type::INT8));
        }
        columns.push("stored.key".to_owned());
        values.push(self.bind(position.key.as_str(), Type::TEXT));
        if plan.content_type.is_none() {
            columns.push("stored.content_type".to_owned());
            values.push(self.bind(position.content_type.as_str(), Type::TEXT));
        }
        let operator = if plan.order.is_descending() { "<" } else { ">" };
        self.texts.push(format!("({}) {operator} ({})", columns.join(", "), values.join(", ")));
    }
}
