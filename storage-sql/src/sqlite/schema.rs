//! The tables of the full schema: made, and checked to be those that this version made.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};
use storage_core::{ErrorKind, Result, StorageError};
use xxhash_rust::xxh3::xxh3_64;

use super::{error::sqlite_error, statements::Statements};
use crate::{error::failure, identifier::TableName, row::damaged};

/// The format that this version writes.
const FORMAT: i64 = 1;
const WHAT: &str = "the tables of the store cannot be read";

/// Makes the tables if there are none and `create` says so, and checks them otherwise.
///
/// Two processes that make one store at once wait for each other: what the first made is there for the second.
///
/// # Errors
/// [`ErrorKind::NotFound`] if there is no store; [`ErrorKind::Config`] if the tables are of another version, or are not ours.
pub(super) fn prepare(
    connection: &mut Connection,
    table: &TableName,
    statements: &Statements,
    create: bool,
) -> Result<()> {
    let expected = ddl(table, statements);
    let found = found(connection, table, &expected)?;
    if found.is_empty() {
        if !create {
            let message = format!("the file holds no store under the table name {table}");
            return Err(failure(ErrorKind::NotFound, message));
        }
        make(connection, table, &expected, statements)?;
    } else {
        compare(&expected, &found)?;
    }
    check_format(connection, statements)
}

/// Name and text of each table and index.
fn ddl(table: &TableName, statements: &Statements) -> BTreeMap<String, String> {
    let name = |suffix: &str| table.with_suffix(suffix).table.as_str().to_owned();
    let short = |suffix: &str| table.with_suffix(suffix).table.quoted('"').to_string();
    let items = short("");
    let index = |index: &str, columns: &str| format!("CREATE INDEX {index} ON {items} ({columns})");
    let Statements {
        by_type,
        by_key,
        by_created,
        by_type_created,
        by_updated,
        by_type_updated,
        by_expiry,
        ..
    } = statements;
    BTreeMap::from([
        (
            name(""),
            format!(
                "CREATE TABLE {items} (no INTEGER PRIMARY KEY, content_type TEXT NOT NULL, key TEXT NOT NULL, \
                 id BLOB NOT NULL, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL, expires_at INTEGER, \
                 version INTEGER NOT NULL, encoding TEXT NOT NULL, size INTEGER NOT NULL, tags TEXT NOT NULL, \
                 checksum INTEGER NOT NULL, seal INTEGER NOT NULL, data BLOB NOT NULL) STRICT"
            ),
        ),
        (
            name("_tags"),
            format!(
                "CREATE TABLE {} (name TEXT NOT NULL, value TEXT NOT NULL, key TEXT NOT NULL, \
                 content_type TEXT NOT NULL, PRIMARY KEY (name, value, key, content_type)) STRICT, WITHOUT ROWID",
                short("_tags")
            ),
        ),
        (
            name("_store"),
            format!(
                "CREATE TABLE {} (id INTEGER PRIMARY KEY CHECK (id = 1), format INTEGER NOT NULL, \
                 mark INTEGER NOT NULL, seal INTEGER NOT NULL) STRICT",
                short("_store")
            ),
        ),
        (name("_by_type"), format!("CREATE UNIQUE INDEX {by_type} ON {items} (content_type, key)")),
        (name("_by_key"), index(by_key, "key, content_type")),
        (name("_by_created"), index(by_created, "created_at, key, content_type")),
        (name("_by_type_created"), index(by_type_created, "content_type, created_at, key")),
        (name("_by_updated"), index(by_updated, "updated_at, key, content_type")),
        (name("_by_type_updated"), index(by_type_updated, "content_type, updated_at, key")),
        (name("_by_expiry"), format!("{} WHERE expires_at IS NOT NULL", index(by_expiry, "expires_at"))),
    ])
}

/// What the file holds under the names of the store's tables and indexes.
fn found(
    connection: &Connection,
    table: &TableName,
    expected: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>> {
    let failed = |cause| sqlite_error(WHAT, cause);
    let schema = table.schema.as_ref().map_or_else(String::new, |schema| format!("{}.", schema.quoted('"')));
    let sql = format!("SELECT sql FROM {schema}sqlite_schema WHERE name = ?1 COLLATE NOCASE");
    let mut query = connection.prepare(&sql).map_err(failed)?;
    let mut found = BTreeMap::new();
    for name in expected.keys() {
        let text: Option<Option<String>> =
            query.query_row([name], |row| row.get(0)).optional().map_err(failed)?;
        if let Some(text) = text {
            found.insert(name.clone(), text.unwrap_or_default());
        }
    }
    Ok(found)
}

fn compare(expected: &BTreeMap<String, String>, found: &BTreeMap<String, String>) -> Result<()> {
    match expected.iter().find(|(name, text)| found.get(*name) != Some(text)) {
        None => Ok(()),
        Some((name, _)) => {
            let what = if found.contains_key(name) { "is another one" } else { "is missing" };
            let message = format!(
                "{name} {what}, but other tables of the store are there: choose another table_name, or put back a backup"
            );
            Err(failure(ErrorKind::Config, message))
        }
    }
}

fn make(
    connection: &mut Connection,
    table: &TableName,
    expected: &BTreeMap<String, String>,
    statements: &Statements,
) -> Result<()> {
    let failed = |cause| sqlite_error("the tables of the store cannot be made", cause);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    // Another process may have been first while this one waited for the lock.
    let found = found(&transaction, table, expected)?;
    if !found.is_empty() {
        return compare(expected, &found);
    }
    // Tables before their indexes.
    let mut texts: Vec<&str> = expected.values().map(String::as_str).collect();
    texts.sort_by_key(|text| !text.starts_with("CREATE TABLE"));
    for text in texts {
        transaction.execute_batch(text).map_err(failed)?;
    }
    let Statements { store, .. } = statements;
    let insert = format!("INSERT INTO {store} (id, format, mark, seal) VALUES (1, ?1, 0, ?2)");
    transaction.execute(&insert, (FORMAT, seal(0))).map_err(failed)?;
    transaction.commit().map_err(failed)
}

fn check_format(connection: &Connection, statements: &Statements) -> Result<()> {
    let (format, mark, seal) = mark_row(connection, statements)?;
    if format > FORMAT {
        let message = format!(
            "the store has format {format}, and this version knows formats up to {FORMAT}: use the version that made it"
        );
        return Err(failure(ErrorKind::Config, message));
    }
    if format < FORMAT {
        return Err(damaged("the format of the store"));
    }
    check_mark(mark, seal).map(drop)
}

/// The highest version that was given so far.
///
/// # Errors
/// [`ErrorKind::Corrupted`] if the mark is damaged.
pub(super) fn mark(connection: &Connection, statements: &Statements) -> Result<u64> {
    let (_, mark, seal) = mark_row(connection, statements)?;
    check_mark(mark, seal)
}

fn mark_row(connection: &Connection, statements: &Statements) -> Result<(i64, i64, i64)> {
    let row = connection
        .prepare_cached(&statements.mark)
        .and_then(|mut query| query.query_row((), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))));
    row.map_err(|cause| sqlite_error(WHAT, cause))
}

fn check_mark(mark: i64, found: i64) -> Result<u64> {
    let damaged = || -> StorageError { damaged("the highest version of the store") };
    if seal(mark) != found {
        return Err(damaged());
    }
    u64::try_from(mark).map_err(|_| damaged())
}

/// What tells that a mark is the one that was stored.
pub(super) fn seal(mark: i64) -> i64 {
    xxh3_64(&mark.to_le_bytes()).cast_signed()
}
