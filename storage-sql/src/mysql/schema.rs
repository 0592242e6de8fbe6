//! The tables of the full schema, and how they come to be.

use std::time::Duration;

use mysql_async::Value;
use storage_core::{ErrorKind, Result};
use tokio::time::Instant;
use xxhash_rust::xxh3::xxh3_64;

use super::{
    error::Fault,
    pool::{Lent, Pool},
    row::Columns,
    statements::{QUOTE, Statements, text},
};
use crate::{error::failure, identifier::TableName};

/// The format of the tables that this version reads and writes.
const FORMAT: i64 = 1;
/// The format while the tables are being created.
const UNFINISHED: i64 = 0;
/// How many marks remember the versions of what was deleted: so many that two batches seldom meet at one.
pub(super) const MARKS: u64 = 1_024;
/// Longest time that creating the tables may take, beside the wait for another program that creates them.
pub(super) const CREATING: Duration = Duration::from_secs(60);

/// Makes sure that the tables are there and have the format of this version.
pub(super) async fn prepare(pool: &Pool, table: &TableName, create: bool) -> Result<()> {
    let mut connection = pool.lend(Instant::now() + CREATING).await?;
    if is_ready(&mut connection, table).await? {
        return Ok(());
    }
    if !create {
        let message = format!("there is no store in the table {table}");
        return Err(failure(ErrorKind::NotFound, message));
    }
    lock(&mut connection, table).await?;
    let created = create_tables(&mut connection, table).await;
    let unlocked = connection.rows("SELECT RELEASE_LOCK(?)", vec![lock_name(table)]).await;
    created?;
    unlocked?;
    Ok(())
}

/// Whether there is a finished store.
///
/// # Errors
/// [`ErrorKind::Config`] if the table is somebody else's, or of another format.
async fn is_ready(connection: &mut Lent, table: &TableName) -> Result<bool> {
    let format = table.with_suffix("_format");
    if !exists(connection, &format).await? {
        if exists(connection, table).await? {
            let message = format!(
                "the table {table} is there, and is no store: name another one, or choose schema plain"
            );
            return Err(failure(ErrorKind::Config, message));
        }
        return Ok(false);
    }
    let statement = format!("SELECT format FROM {}", format.quoted(QUOTE));
    let rows = connection.rows(&statement, Vec::new()).await?;
    let number = rows.into_iter().next().map(|row| Columns::new(row).integer()).transpose()?;
    match number {
        None | Some(UNFINISHED) => Ok(false),
        Some(FORMAT) => Ok(true),
        Some(other) => {
            let message = format!(
                "the table {table} has format {other}, and this version reads format {FORMAT}: {}",
                if other > FORMAT {
                    "use a newer version of the program"
                } else {
                    "migrate it with an older one"
                }
            );
            Err(failure(ErrorKind::Config, message))
        }
    }
}

/// Whether there is a table of this name.
pub(super) async fn exists(connection: &mut Lent, table: &TableName) -> Result<bool, Fault> {
    let schema = table.schema.as_ref().map_or(Value::NULL, |schema| text(schema.as_str()));
    let rows = connection
        .rows(
            "SELECT 1 FROM information_schema.tables \
             WHERE table_schema = COALESCE(?, DATABASE()) AND table_name = ?",
            vec![schema, text(table.table.as_str())],
        )
        .await?;
    Ok(!rows.is_empty())
}

/// Keeps other programs from creating the same tables. The lock ends with the connection at the latest.
async fn lock(connection: &mut Lent, table: &TableName) -> Result<()> {
    let patience = Value::Int(CREATING.as_secs().cast_signed());
    let rows = connection.rows("SELECT GET_LOCK(?, ?)", vec![lock_name(table), patience]).await?;
    let taken = rows.into_iter().next().map(|row| Columns::new(row).optional_integer()).transpose()?;
    if taken.flatten() == Some(1) {
        return Ok(());
    }
    Err(failure(ErrorKind::Unavailable, "another program has been creating the tables for a minute"))
}

/// Such names have at most 64 characters, and are shared by all databases of a server.
fn lock_name(table: &TableName) -> Value {
    text(&format!("storage-sql {:016x}", xxh3_64(table.to_string().as_bytes())))
}

/// Every step may be done again, because changes of tables are no part of a transaction here.
async fn create_tables(connection: &mut Lent, table: &TableName) -> Result<()> {
    // Another program may have been first.
    if is_ready(connection, table).await? {
        return Ok(());
    }
    let statements = Statements::new(table, false);
    for ddl in ddl(&statements) {
        connection.command(&ddl).await?;
    }
    let Statements { format, marks, .. } = &statements;
    connection
        .command(&format!("INSERT IGNORE INTO {format} (one, format) VALUES (1, {UNFINISHED})"))
        .await?;
    for ddl in item_ddl(&statements) {
        connection.command(&ddl).await?;
    }
    let slots: Vec<_> = (0..MARKS).map(|slot| format!("({slot}, 0)")).collect();
    connection
        .command(&format!("INSERT IGNORE INTO {marks} (slot, mark) VALUES {}", slots.join(", ")))
        .await?;
    connection.command(&format!("UPDATE {format} SET format = {FORMAT}")).await?;
    Ok(())
}

/// What says that there is a store: created first, so that what an interrupted creation leaves is known for ours.
fn ddl(statements: &Statements) -> [String; 1] {
    let Statements { format, .. } = statements;
    [format!(
        "CREATE TABLE IF NOT EXISTS {format} (one TINYINT NOT NULL PRIMARY KEY, format BIGINT NOT NULL) {OPTIONS}"
    )]
}

const OPTIONS: &str = "ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET = utf8mb4";

/// Names and keys are bytes, so that no collation folds, trims or normalises them. Times are microseconds.
fn item_ddl(statements: &Statements) -> [String; 3] {
    let Statements { items, tags, marks, .. } = statements;
    [
        format!(
            "CREATE TABLE IF NOT EXISTS {items} (\
                `key` VARBINARY(1024) NOT NULL, \
                content_type VARBINARY(255) NOT NULL, \
                id BINARY(16) NOT NULL, \
                created_at BIGINT NOT NULL, \
                updated_at BIGINT NOT NULL, \
                expires_at BIGINT NULL, \
                version BIGINT NOT NULL, \
                encoding VARBINARY(255) NOT NULL, \
                tags MEDIUMBLOB NOT NULL, \
                size BIGINT NOT NULL, \
                content_sum BIGINT NOT NULL, \
                row_sum BIGINT NOT NULL, \
                data LONGBLOB NOT NULL, \
                PRIMARY KEY (`key`, content_type), \
                KEY by_type (content_type, `key`), \
                KEY by_created (created_at, `key`, content_type), \
                KEY by_updated (updated_at, `key`, content_type), \
                KEY by_type_created (content_type, created_at, `key`), \
                KEY by_type_updated (content_type, updated_at, `key`), \
                KEY by_expiry (expires_at), \
                KEY by_usage (content_type, expires_at, size)\
            ) {OPTIONS}"
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS {tags} (\
                name VARBINARY(128) NOT NULL, \
                value VARBINARY(1024) NOT NULL, \
                `key` VARBINARY(1024) NOT NULL, \
                content_type VARBINARY(255) NOT NULL, \
                PRIMARY KEY (name, value, `key`, content_type)\
            ) {OPTIONS}"
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS {marks} (slot SMALLINT NOT NULL PRIMARY KEY, mark BIGINT NOT NULL) {OPTIONS}"
        ),
    ]
}
