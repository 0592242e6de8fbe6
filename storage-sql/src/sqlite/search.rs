//! Searching: one statement for each page, and the counts.

use rusqlite::{Connection, params_from_iter};
use storage_core::{
    Bytes, CompiledQuery, Glob, Result, SearchPage, StorageItem, StorageResult, Timestamp, Usage,
};

use super::{
    access::Access,
    error::sqlite_error,
    read::Head,
    sql::Sql,
    statements::{HEAD, Statements},
};
use crate::{
    plan::{Keys, Plan},
    row::micros,
};

const WHAT: &str = "the search failed";

/// One page of a search.
pub(super) fn page(
    connection: &Connection,
    tables: &Statements,
    query: &CompiledQuery,
    now: Timestamp,
) -> Result<SearchPage> {
    let wanted = query.page_len();
    if wanted == 0 {
        return Ok(query.page(Vec::new(), false));
    }
    let plan = Plan::of(query);
    let sql = statement(connection, tables, query, &plan, now)?;
    let glob = query.glob().filter(|_| plan.must_match);
    let failed = |cause| sqlite_error(WHAT, cause);
    let mut statement = connection.prepare_cached(&sql.text).map_err(failed)?;
    let mut rows = statement.query(params_from_iter(sql.values)).map_err(failed)?;
    let mut hits = Vec::new();
    while let Some(row) = rows.next().map_err(failed)? {
        if !fits(glob, row).map_err(failed)? {
            continue;
        }
        if hits.len() == wanted {
            return Ok(query.page(hits, true));
        }
        let head = Head::read(row)?;
        let item = if query.is_metadata_only() {
            StorageItem { data: Bytes::new(), metadata: std::sync::Arc::new(head.metadata) }
        } else {
            head.with_data(row)?
        };
        hits.push(StorageResult::hit(item));
    }
    Ok(query.page(hits, false))
}

/// The statement of a page.
pub(super) fn statement(
    connection: &Connection,
    tables: &Statements,
    query: &CompiledQuery,
    plan: &Plan<'_>,
    now: Timestamp,
) -> Result<Sql> {
    let access = Access::choose(connection, tables, plan)?;
    let data = if query.is_metadata_only() { "" } else { ", i.data" };
    let mut sql = Sql::new(format!("SELECT {HEAD}{data} FROM "));
    sql.append(access.rows(tables, plan, plan.position));
    sql.append(access.rest(tables, plan, now));
    sql.push(&access.order(plan));
    if !plan.must_match {
        // One row more says whether hits follow.
        let rows = i64::try_from(query.page_len()).unwrap_or(i64::MAX).saturating_add(1);
        sql.bind(" LIMIT ?", [rows]);
    }
    Ok(sql)
}

fn fits(glob: Option<&Glob>, row: &rusqlite::Row<'_>) -> rusqlite::Result<bool> {
    const KEY: usize = 1;
    match glob {
        Some(glob) => Ok(glob.matches(row.get_ref(KEY)?.as_str()?)),
        None => Ok(true),
    }
}

/// How many live items the filters leave.
pub(super) fn count(
    connection: &Connection,
    tables: &Statements,
    query: &CompiledQuery,
    now: Timestamp,
) -> Result<u64> {
    let plan = Plan::of(query);
    if plan.must_match {
        return count_matches(connection, tables, query, &plan, now);
    }
    let sql = if filters_keys_alone(&plan) {
        count_keys(tables, &plan, now)
    } else {
        let access = Access::to_count(connection, tables, &plan)?;
        let mut sql = Sql::new("SELECT count(*) FROM ");
        sql.append(access.rows(tables, &plan, None));
        sql.append(access.rest(tables, &plan, now));
        sql
    };
    let counted = connection.prepare_cached(&sql.text).and_then(|mut statement| {
        statement.query_row(params_from_iter(sql.values), |row| row.get::<_, i64>(0))
    });
    let counted = counted.map_err(|cause| sqlite_error(WHAT, cause))?;
    Ok(u64::try_from(counted).unwrap_or(0))
}

fn filters_keys_alone(plan: &Plan<'_>) -> bool {
    plan.tags.is_empty()
        && plan.created.is_unbounded()
        && plan.updated.is_unbounded()
        && plan.expires.is_unbounded()
        && !matches!(plan.keys, Keys::One(_))
}

/// All rows, counted in an index alone, less those that are expired and not swept yet, of which there are few.
fn count_keys(tables: &Statements, plan: &Plan<'_>, now: Timestamp) -> Sql {
    let mut sql = Sql::new("SELECT (SELECT count(*) FROM ");
    sql.append(Access::Keys.rows(tables, plan, None));
    sql.push(") - (SELECT count(*) FROM ");
    sql.append(Access::Expires.rows(tables, plan, None));
    sql.bind(" AND i.expires_at <= ?", [micros(now)]);
    if let Keys::Range(from, before) = &plan.keys {
        sql.bind(" AND i.key >= ?", [(*from).to_owned()]);
        if let Some(before) = before {
            sql.bind(" AND i.key < ?", [before.clone()]);
        }
    }
    sql.push(")");
    sql
}

/// Counts what the database cannot: keys that match a pattern.
fn count_matches(
    connection: &Connection,
    tables: &Statements,
    query: &CompiledQuery,
    plan: &Plan<'_>,
    now: Timestamp,
) -> Result<u64> {
    let failed = |cause| sqlite_error(WHAT, cause);
    let access = Access::to_count(connection, tables, plan)?;
    let mut sql = Sql::new("SELECT i.no, i.key FROM ");
    sql.append(access.rows(tables, plan, None));
    sql.append(access.rest(tables, plan, now));
    let mut statement = connection.prepare_cached(&sql.text).map_err(failed)?;
    let mut rows = statement.query(params_from_iter(sql.values)).map_err(failed)?;
    let mut count = 0;
    while let Some(row) = rows.next().map_err(failed)? {
        count += u64::from(fits(query.glob(), row).map_err(failed)?);
    }
    Ok(count)
}

/// Items and bytes of each content type.
pub(super) fn usage(connection: &Connection, tables: &Statements, now: Timestamp) -> Result<Usage> {
    let failed = |cause| sqlite_error("the usage cannot be read", cause);
    let mut statement = connection.prepare_cached(&tables.usage).map_err(failed)?;
    let mut rows = statement.query((micros(now),)).map_err(failed)?;
    let mut usage = Usage::default();
    while let Some(row) = rows.next().map_err(failed)? {
        let content_type: String = row.get(0).map_err(failed)?;
        let number = |column| row.get::<_, i64>(column).map_err(failed);
        let amount = storage_core::Amount {
            items: u64::try_from(number(1)?).unwrap_or(0),
            bytes: u64::try_from(number(2)?).unwrap_or(0),
        };
        usage.content_types.insert(content_type, amount);
    }
    Ok(usage)
}
