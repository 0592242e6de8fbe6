//! How the rows of a query are reached: which index is walked, and what is left to look at in each row.
//!
//! The index is named in the statement, so that no guess of SQLite's planner decides whether a search takes a millisecond or
//! reads the whole table.

use rusqlite::{Connection, types::Value};
use storage_core::{Order, OrderBy, Position, Result, TimeRange, Timestamp};

use super::{
    error::sqlite_error,
    sql::{Sql, text},
    statements::Statements,
};
use crate::{
    plan::{Keys, Plan},
    row::micros,
};

/// Rows that may be sorted for one page. Where every filter leaves more, the rows are walked in the order asked for, and
/// hits come along often enough.
const FEW: i64 = 1_000;

/// One way to reach the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access<'q> {
    /// The index of a tag, in the order of the keys.
    Tag(&'q str, &'q str),
    /// The index of keys, in their order.
    Keys,
    /// The index of the times of creation.
    Created,
    /// The index of the times of the last update.
    Updated,
    /// The index of deadlines.
    Expires,
}

impl<'q> Access<'q> {
    /// The cheapest way for a page of `plan`.
    ///
    /// # Errors
    /// Those of asking how many rows a way has.
    pub(super) fn choose(connection: &Connection, tables: &Statements, plan: &Plan<'q>) -> Result<Self> {
        let straight = Self::in_order(plan);
        let mut ways: Vec<Self> = Self::filters(plan).collect();
        if ways.iter().all(|way| *way == straight) {
            return Ok(straight);
        }
        if matches!(straight, Self::Keys) && ways.is_empty() {
            return Ok(straight);
        }
        let mut best = None;
        ways.dedup();
        for way in ways {
            let rows = way.few(connection, tables, plan)?;
            if best.is_none_or(|(_, fewest)| rows < fewest) {
                best = Some((way, rows));
            }
        }
        Ok(match best {
            Some((way, rows)) if rows < FEW => way,
            _ => straight,
        })
    }

    /// The cheapest way to count what `plan` finds, in no order.
    ///
    /// # Errors
    /// As [`choose`](Self::choose).
    pub(super) fn to_count(connection: &Connection, tables: &Statements, plan: &Plan<'q>) -> Result<Self> {
        let unordered = Plan { order: Order::KEY, keys: plan.keys.clone(), ..*plan };
        let straight = Self::choose(connection, tables, &unordered)?;
        Ok(match (straight, Self::filters(plan).next()) {
            // Every filter leaves many rows: any of them is better than all rows.
            (Self::Keys, Some(filter)) => filter,
            (straight, _) => straight,
        })
    }

    /// The way whose rows come in the order of the query.
    fn in_order(plan: &Plan<'q>) -> Self {
        match plan.order.by {
            OrderBy::Key => {
                plan.tags.iter().next().map_or(Self::Keys, |(name, value)| Self::Tag(name, value))
            }
            OrderBy::Created => Self::Created,
            OrderBy::Updated => Self::Updated,
        }
    }

    /// The ways that leave rows out, because the query has a filter there.
    fn filters(plan: &Plan<'q>) -> impl Iterator<Item = Self> {
        let ranges = [
            (Self::Expires, !plan.expires.is_unbounded()),
            (Self::Created, !plan.created.is_unbounded()),
            (Self::Updated, !plan.updated.is_unbounded()),
            (Self::Keys, plan.keys != Keys::All),
        ];
        let tags: Vec<_> = plan.tags.iter().map(|(name, value)| Self::Tag(name, value)).collect();
        tags.into_iter().chain(ranges.into_iter().filter(|(_, filters)| *filters).map(|(way, _)| way))
    }

    /// The number of its rows, as far as it is below [`FEW`].
    fn few(self, connection: &Connection, tables: &Statements, plan: &Plan<'_>) -> Result<i64> {
        let mut sql = Sql::new("SELECT count(*) FROM (SELECT 1 FROM ");
        sql.append(self.rows(tables, plan, None));
        sql.push(&format!(" LIMIT {FEW})"));
        let counted = connection
            .prepare_cached(&sql.text)
            .and_then(|mut query| query.query_row(rusqlite::params_from_iter(sql.values), |row| row.get(0)));
        counted.map_err(|cause| sqlite_error("the search cannot be planned", cause))
    }

    /// What follows `FROM`, with the conditions that the index itself serves.
    pub(super) fn rows(self, tables: &Statements, plan: &Plan<'_>, behind: Option<&Position>) -> Sql {
        let mut sql = match self {
            Self::Tag(name, value) => tag_rows(tables, plan, name, value),
            way => way.item_rows(tables, plan),
        };
        if let Some(position) = behind {
            push_behind(&mut sql, self, plan, position);
        }
        sql
    }

    fn item_rows(self, tables: &Statements, plan: &Plan<'_>) -> Sql {
        let index = match (self, plan.content_type.is_some()) {
            (Self::Keys | Self::Tag(..), true) => &tables.by_type,
            (Self::Keys | Self::Tag(..), false) => &tables.by_key,
            (Self::Created, true) => &tables.by_type_created,
            (Self::Created, false) => &tables.by_created,
            (Self::Updated, true) => &tables.by_type_updated,
            (Self::Updated, false) => &tables.by_updated,
            (Self::Expires, _) => &tables.by_expiry,
        };
        let mut sql = Sql::new(format!("{} AS i INDEXED BY {index} WHERE TRUE", tables.items));
        if let Some(content_type) = plan.content_type {
            sql.bind(" AND i.content_type = ?", [text(content_type)]);
        }
        match self {
            Self::Keys | Self::Tag(..) => push_keys(&mut sql, "i.key", &plan.keys),
            Self::Created => push_range(&mut sql, "i.created_at", plan.created),
            Self::Updated => push_range(&mut sql, "i.updated_at", plan.updated),
            Self::Expires => {
                sql.push(" AND i.expires_at IS NOT NULL");
                push_range(&mut sql, "i.expires_at", plan.expires);
            }
        }
        sql
    }

    /// The conditions that are left to look at in each row.
    pub(super) fn rest(self, tables: &Statements, plan: &Plan<'q>, now: Timestamp) -> Sql {
        let mut sql = Sql::default();
        sql.bind(" AND (i.expires_at IS NULL OR i.expires_at > ?)", [micros(now)]);
        for (name, value) in plan.tags.iter().filter(|(name, value)| self != Self::Tag(name, value)) {
            let tagged = format!(
                " AND EXISTS (SELECT 1 FROM {} AS o WHERE o.name = ? AND o.value = ? AND o.key = i.key \
                 AND o.content_type = i.content_type)",
                tables.tags
            );
            sql.bind(&tagged, [text(name), text(value)]);
        }
        if !matches!(self, Self::Keys | Self::Tag(..)) {
            push_keys(&mut sql, "i.key", &plan.keys);
        }
        if self != Self::Created {
            push_range(&mut sql, "i.created_at", plan.created);
        }
        if self != Self::Updated {
            push_range(&mut sql, "i.updated_at", plan.updated);
        }
        if self != Self::Expires {
            push_range(&mut sql, "i.expires_at", plan.expires);
        }
        sql
    }

    /// The order of the query, in the columns of this way.
    pub(super) fn order(self, plan: &Plan<'_>) -> String {
        let way = if plan.order.is_descending() { " DESC" } else { "" };
        let columns: Vec<_> = self.columns(plan).iter().map(|column| format!("{column}{way}")).collect();
        format!(" ORDER BY {}", columns.join(", "))
    }

    /// The columns of the order. A content type that is given is the same in all rows and orders nothing.
    fn columns(self, plan: &Plan<'_>) -> Vec<&'static str> {
        let (key, content_type) = match self {
            Self::Tag(..) => ("t.key", "t.content_type"),
            _ => ("i.key", "i.content_type"),
        };
        let mut columns = match plan.order.by {
            OrderBy::Key => vec![],
            OrderBy::Created => vec!["i.created_at"],
            OrderBy::Updated => vec!["i.updated_at"],
        };
        columns.push(key);
        if plan.content_type.is_none() || matches!(self, Self::Tag(..)) {
            columns.push(content_type);
        }
        columns
    }
}

fn tag_rows(tables: &Statements, plan: &Plan<'_>, name: &str, value: &str) -> Sql {
    // The order of the tables is fixed by `CROSS JOIN`.
    let mut sql = Sql::new(format!(
        "{} AS t CROSS JOIN {} AS i INDEXED BY {} ON i.content_type = t.content_type AND i.key = t.key WHERE ",
        tables.tags, tables.items, tables.by_type
    ));
    sql.bind("t.name = ? AND t.value = ?", [text(name), text(value)]);
    if let Some(content_type) = plan.content_type {
        sql.bind(" AND t.content_type = ?", [text(content_type)]);
    }
    push_keys(&mut sql, "t.key", &plan.keys);
    sql
}

/// Only rows behind a place in the order.
fn push_behind(sql: &mut Sql, way: Access<'_>, plan: &Plan<'_>, position: &Position) {
    let columns = way.columns(plan);
    let values = columns.iter().map(|column| match *column {
        "i.created_at" | "i.updated_at" => Value::Integer(micros(position.time)),
        "i.key" | "t.key" => text(&position.key),
        _ => text(&position.content_type),
    });
    let behind = if plan.order.is_descending() { "<" } else { ">" };
    let places = vec!["?"; columns.len()].join(", ");
    sql.bind(&format!(" AND ({}) {behind} ({places})", columns.join(", ")), values);
}

fn push_keys(sql: &mut Sql, column: &str, keys: &Keys<'_>) {
    match keys {
        Keys::All => {}
        Keys::One(key) => sql.bind(&format!(" AND {column} = ?"), [text(key)]),
        Keys::Range(from, before) => {
            sql.bind(&format!(" AND {column} >= ?"), [text(from)]);
            if let Some(before) = before {
                sql.bind(&format!(" AND {column} < ?"), [text(before)]);
            }
        }
    }
}

fn push_range(sql: &mut Sql, column: &str, range: TimeRange) {
    if let Some(after) = range.after {
        sql.bind(&format!(" AND {column} >= ?"), [micros(after)]);
    }
    if let Some(before) = range.before {
        sql.bind(&format!(" AND {column} < ?"), [micros(before)]);
    }
}
