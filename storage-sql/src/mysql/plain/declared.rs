//! What the server says of a table.

use storage_core::{Result, StorageError};

use super::{config_error, deadlines::Deadlines};
use crate::{
    identifier::{Identifier, TableName},
    mysql::{
        error::Fault,
        pool::Lent,
        row::Columns,
        statements::{QUOTE, text},
    },
};

/// The columns that the table is used for.
#[derive(Debug)]
pub(super) struct Declared {
    pub(super) deadlines: Deadlines,
    /// Largest value that its column takes, in bytes.
    pub(super) most_bytes: u64,
    /// The index that finds a row by its key.
    pub(super) index: String,
}

/// A column: its type, the name of its collation, how many bytes it takes, and the digits of its seconds.
#[derive(Debug)]
struct Column {
    kind: String,
    collation: String,
    bytes: i64,
    digits: i64,
}

impl Declared {
    /// Looks whether the table can hold what it is for.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](storage_core::ErrorKind::Config) naming what is missing, with the statement that makes the table
    /// if it is the table itself.
    pub(super) async fn read(
        connection: &mut Lent,
        table: &TableName,
        names: [&Identifier; 3],
    ) -> Result<Self> {
        if !crate::mysql::schema::exists(connection, table).await? {
            return Err(missing(table, names));
        }
        let [key, value, expires] = names;
        let key_column = column(connection, table, key).await?;
        if !compares_bytes(&key_column) {
            return Err(folds(table, key));
        }
        let Some(index) = unique_index(connection, table, key).await? else {
            let key = key.as_str();
            let message = format!(
                "the column {key} of {table} must be the primary key, or have a unique index of its own"
            );
            return Err(config_error(message));
        };
        if let Some(other) = other_unique_index(connection, table, names, &index).await? {
            let message = format!(
                "the unique index {other} of {table} could take one item for another: beside that of the keys there may only be \
                 such over a column that counts by itself or is NULL by default"
            );
            return Err(config_error(message));
        }
        let value_column = column(connection, table, value).await?;
        if !keeps_bytes(&value_column) {
            let message = format!(
                "the column {} of {table} must be a blob or a text: {} changes what it is given",
                value.as_str(),
                value_column.kind
            );
            return Err(config_error(message));
        }
        let deadlines = deadlines(&column(connection, table, expires).await?).ok_or_else(|| {
            let expires = expires.as_str();
            config_error(format!(
                "the column {expires} of {table} must hold whole seconds since 1970, or times"
            ))
        })?;
        let most_bytes = u64::try_from(value_column.bytes).unwrap_or(u64::MAX);
        Ok(Self { deadlines, most_bytes, index })
    }
}

async fn column(connection: &mut Lent, table: &TableName, name: &Identifier) -> Result<Column> {
    let rows = connection
        .rows(
            "SELECT CAST(LOWER(data_type) AS CHAR), COALESCE(collation_name, ''), COALESCE(character_octet_length, 0), \
             COALESCE(datetime_precision, 0) FROM information_schema.columns \
             WHERE table_schema = COALESCE(?, DATABASE()) AND table_name = ? AND LOWER(column_name) = LOWER(?)",
            vec![schema(table), text(table.table.as_str()), text(name.as_str())],
        )
        .await?;
    let row = rows.into_iter().next();
    let row =
        row.ok_or_else(|| config_error(format!("the table {table} has no column {}", name.as_str())))?;
    let mut columns = Columns::new(row);
    Ok(Column {
        kind: columns.text()?,
        collation: columns.text()?,
        bytes: columns.integer()?,
        digits: columns.integer()?,
    })
}

/// The name of a unique index over the whole column and nothing else.
async fn unique_index(
    connection: &mut Lent,
    table: &TableName,
    name: &Identifier,
) -> Result<Option<String>, Fault> {
    let rows = connection
        .rows(
            "SELECT index_name FROM information_schema.statistics \
             WHERE table_schema = COALESCE(?, DATABASE()) AND table_name = ? \
             GROUP BY index_name HAVING MAX(non_unique) = 0 AND COUNT(*) = 1 AND MAX(sub_part) IS NULL \
             AND MAX(LOWER(column_name)) = LOWER(?) ORDER BY index_name <> 'PRIMARY'",
            vec![schema(table), text(table.table.as_str()), text(name.as_str())],
        )
        .await?;
    Ok(rows.into_iter().next().map(|row| Columns::new(row).text()).transpose()?)
}

/// The name of a unique index by which a save of one key could meet the row of another, which it would overwrite.
async fn other_unique_index(
    connection: &mut Lent,
    table: &TableName,
    [key, value, expires]: [&Identifier; 3],
    index: &str,
) -> Result<Option<String>, Fault> {
    let rows = connection
        .rows(
            "SELECT s.index_name FROM information_schema.statistics s JOIN information_schema.columns c \
             ON c.table_schema = s.table_schema AND c.table_name = s.table_name AND c.column_name = s.column_name \
             WHERE s.table_schema = COALESCE(?, DATABASE()) AND s.table_name = ? AND s.non_unique = 0 \
             AND s.index_name <> ? GROUP BY s.index_name HAVING MAX(CASE \
                 WHEN LOWER(c.column_name) = LOWER(?) THEN s.sub_part IS NULL \
                 WHEN LOWER(c.column_name) IN (LOWER(?), LOWER(?)) OR c.extra LIKE '%GENERATED%' THEN 0 \
                 WHEN c.extra LIKE '%auto_increment%' THEN 1 \
                 ELSE c.is_nullable = 'YES' AND COALESCE(c.column_default, 'NULL') = 'NULL' END) = 0",
            vec![
                schema(table),
                text(table.table.as_str()),
                text(index),
                text(key.as_str()),
                text(value.as_str()),
                text(expires.as_str()),
            ],
        )
        .await?;
    Ok(rows.into_iter().next().map(|row| Columns::new(row).text()).transpose()?)
}

fn schema(table: &TableName) -> mysql_async::Value {
    table.schema.as_ref().map_or(mysql_async::Value::NULL, |schema| text(schema.as_str()))
}

/// Whether keys that differ in any byte are different to the server. Most collations fold letters, and most of the others,
/// `utf8mb4_bin` among them, ignore blanks at the end.
fn compares_bytes(column: &Column) -> bool {
    match column.kind.as_str() {
        "varbinary" => true,
        "varchar" => matches!(column.collation.as_str(), "utf8mb4_nopad_bin" | "utf8mb4_0900_bin"),
        _ => false,
    }
}

/// Types of a fixed length add to what they are given, and JSON is written anew.
fn keeps_bytes(column: &Column) -> bool {
    let kinds = [
        "tinyblob",
        "blob",
        "mediumblob",
        "longblob",
        "varbinary",
        "tinytext",
        "text",
        "mediumtext",
        "longtext",
        "varchar",
    ];
    kinds.contains(&column.kind.as_str())
}

fn deadlines(column: &Column) -> Option<Deadlines> {
    match column.kind.as_str() {
        "int" | "bigint" => Some(Deadlines::Seconds),
        "datetime" | "timestamp" => {
            let digits = u32::try_from(column.digits).ok()?;
            let step = 10_i64.checked_pow(6_u32.checked_sub(digits)?)?;
            Some(Deadlines::Times { step })
        }
        _ => None,
    }
}

fn folds(table: &TableName, key: &Identifier) -> StorageError {
    let (name, column) = (table.quoted(QUOTE), key.quoted(QUOTE));
    config_error(format!(
        "the column {} of {table} takes different keys for the same one, be it letters of two cases or blanks at the end; \
         this makes it compare bytes: ALTER TABLE {name} MODIFY {column} VARBINARY(1024) NOT NULL;",
        key.as_str()
    ))
}

fn missing(table: &TableName, [key, value, expires]: [&Identifier; 3]) -> StorageError {
    let [key, value, expires] = [key, value, expires].map(|column| column.quoted(QUOTE));
    let name = table.quoted(QUOTE);
    config_error(format!(
        "there is no table {table}, and a plain table is never made by itself; this makes one: \
         CREATE TABLE {name} ({key} VARBINARY(1024) NOT NULL PRIMARY KEY, {value} LONGBLOB NOT NULL, {expires} BIGINT, \
         KEY ({expires})) ENGINE = InnoDB;"
    ))
}
