//! Pages of a search.
//!
//! There are two ways to a page. Where only the content type, the keys or the time that orders the page are given, the index
//! of that order is walked from where the page begins. Where something else narrows the search, such as a tag, the index of
//! that is asked for all its rows, which are then put into order; if these are too many to be sorted for every page, they are
//! common enough to be met soon on a walk along the order.

use storage_core::{
    CompiledQuery, Order, OrderBy, Position, Result, SearchPage, StorageItem, StorageMetadata, StorageResult,
    TimeRange, Timestamp,
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
const MOST_GATHERED: i64 = 10_000;
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
        let mut filters = Filters::default();
        filters.tags(&plan);
        filters.all_but_tags(&plan, self.at.now);
        let text = format!("SELECT count(*) FROM {} AS stored WHERE {}", self.items, filters.text());
        let rows = self.ask(&text, &filters.parameters).await?;
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
        let page = Page { items: self.items, plan: &plan, position, limit, payload, now: self.at.now };
        let (text, parameters) = match way {
            Way::Walk => page.walk(),
            Way::Gather => page.gather(),
        };
        let rows = self.ask(&text, &parameters).await?;
        let gathered = match (way, rows.first()) {
            (Way::Gather, Some(row)) => column::<i64>(row, if payload { 12 } else { 10 })?,
            _ => 0,
        };
        if gathered > MOST_GATHERED {
            return Ok(None);
        }
        let mut items = Vec::with_capacity(rows.len());
        for row in &rows {
            // Where nothing was gathered, there is one row that says so, and holds nothing else.
            if column::<Option<&str>>(row, 0)?.is_some() {
                items.push(if payload { rows::item(row)? } else { without_payload(rows::metadata(row)?) });
            }
        }
        Ok(Some(items))
    }

    async fn ask(&self, text: &str, parameters: &Parameters<'_>) -> Result<Vec<tokio_postgres::Row>> {
        let parameters: Vec<(&(dyn ToSql + Sync), Type)> =
            parameters.iter().map(|(value, kind)| (&**value as &(dyn ToSql + Sync), kind.clone())).collect();
        let asking = self.own.session().query_once(text, &parameters);
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

/// What the statements for a page are made of.
struct Page<'p, 'q> {
    items: &'p str,
    plan: &'p Plan<'q>,
    position: Option<&'p Position>,
    limit: usize,
    payload: bool,
    now: Timestamp,
}

impl<'p> Page<'p, '_> {
    /// Along the index of the order.
    fn walk(&self) -> (String, Parameters<'p>) {
        let Self { items, plan, limit, .. } = *self;
        let mut filters = Filters::default();
        filters.tags(plan);
        filters.all_but_tags(plan, self.now);
        filters.behind(self.position, plan);
        let (columns, order) = (self.columns(), order(plan.order));
        let wanted = filters.text();
        let text =
            format!("SELECT {columns} FROM {items} AS stored WHERE {wanted} ORDER BY {order} LIMIT {limit}");
        (text, filters.parameters)
    }

    /// Along the index of what narrows the search. The place where the page begins is compared afterwards, and beside tags
    /// everything else is: the server might take it for narrower than it is, and walk along its index instead.
    fn gather(&self) -> (String, Parameters<'p>) {
        let Self { items, plan, limit, .. } = *self;
        let mut filters = Filters::default();
        filters.tags(plan);
        if plan.tags.is_empty() {
            filters.all_but_tags(plan, self.now);
        }
        let narrow = filters.text();
        if !plan.tags.is_empty() {
            filters.all_but_tags(plan, self.now);
        }
        filters.behind(self.position, plan);
        let (columns, order) = (self.columns(), order(plan.order));
        let wanted = filters.text();
        let text = format!(
            "WITH gathered AS MATERIALIZED (
                SELECT {columns} FROM {items} AS stored WHERE {narrow} LIMIT {most})
             SELECT stored.*, gathered.number FROM (SELECT count(*) AS number FROM gathered) AS gathered
             LEFT JOIN LATERAL (
                SELECT {columns} FROM gathered AS stored WHERE {wanted} ORDER BY {order} LIMIT {limit}
             ) AS stored ON true ORDER BY {order}",
            most = MOST_GATHERED + 1
        );
        (text, filters.parameters)
    }

    fn columns(&self) -> String {
        if self.payload { format!("{METADATA}, {PAYLOAD}") } else { METADATA.to_owned() }
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

/// What rows must be, and the values that this is said with.
#[derive(Default)]
struct Filters<'q> {
    texts: Vec<String>,
    parameters: Parameters<'q>,
}

impl<'q> Filters<'q> {
    fn text(&self) -> String {
        self.texts.join(" AND ")
    }

    fn tags(&mut self, plan: &Plan<'_>) {
        if !plan.tags.is_empty() {
            self.compare("tags", "@>", Json(plan.tags.clone()), Type::JSONB);
        }
    }

    fn all_but_tags(&mut self, plan: &'q Plan<'_>, now: Timestamp) {
        let now = self.bind(micros(now), Type::INT8);
        self.texts.push(format!("(stored.expires_at IS NULL OR stored.expires_at > {now})"));
        if let Some(content_type) = plan.content_type {
            self.compare("content_type", "=", content_type, Type::TEXT);
        }
        match &plan.keys {
            Keys::All => {}
            Keys::One(key) => self.compare("key", "=", *key, Type::TEXT),
            Keys::Range(first, behind) => {
                self.compare("key", ">=", *first, Type::TEXT);
                if let Some(behind) = behind {
                    self.compare("key", "<", behind.as_str(), Type::TEXT);
                }
            }
        }
        self.range("created_at", plan.created);
        self.range("updated_at", plan.updated);
        self.range("expires_at", plan.expires);
    }

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
    fn behind(&mut self, position: Option<&'q Position>, plan: &Plan<'_>) {
        let Some(position) = position else { return };
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
