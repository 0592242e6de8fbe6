//! What a plain table looks like: its columns, found in the catalogue, and the statements made of their names.

use std::{sync::Arc, time::SystemTime};

use storage_core::{ErrorKind, Result, StorageError, Timestamp};
use tokio_postgres::{
    Row,
    types::{ToSql, Type},
};

use super::{
    error::{During, meaning},
    read::VERIFIED_AT_ONCE,
    rows::column,
    session::Session,
};
use crate::{
    config::SqlConfig,
    error::failure,
    identifier::{Identifier, TableName},
    plain::{elapsed_seconds, of_seconds, round_up, seconds},
};

/// How the column of the deadlines says them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deadlines {
    /// Whole seconds since 1970; 0 stands for none.
    Seconds,
    /// Times; without a time zone they are UTC.
    Times,
}

/// A value to be bound.
type Bound = Box<dyn ToSql + Sync + Send>;

impl Deadlines {
    /// What a deadline is compared with to tell whether it has passed.
    pub(super) fn moment(self, now: Timestamp) -> Bound {
        match self {
            Self::Seconds => Box::new(elapsed_seconds(now)),
            Self::Times => Box::new(SystemTime::from(now)),
        }
    }

    pub(super) const fn moment_type(self) -> Type {
        match self {
            Self::Seconds => Type::INT8,
            Self::Times => Type::TIMESTAMPTZ,
        }
    }

    /// Deadlines to be written.
    pub(super) fn list(self, deadlines: impl Iterator<Item = Option<Timestamp>>) -> Bound {
        match self {
            Self::Seconds => Box::new(deadlines.map(|time| time.map(seconds)).collect::<Vec<_>>()),
            Self::Times => Box::new(deadlines.map(|time| time.map(SystemTime::from)).collect::<Vec<_>>()),
        }
    }

    /// The deadline that the column keeps of this one.
    pub(super) fn kept(self, expires_at: Timestamp) -> Timestamp {
        match self {
            Self::Seconds => round_up(expires_at),
            Self::Times => expires_at,
        }
    }

    /// The deadline in a row.
    pub(super) fn read(self, row: &Row, at: usize) -> Result<Option<Timestamp>> {
        match self {
            Self::Seconds => column(row, at).map(of_seconds),
            Self::Times => Ok(column::<Option<SystemTime>>(row, at)?.map(Timestamp::from)),
        }
    }

    const fn type_name(self) -> &'static str {
        match self {
            Self::Seconds => "bigint",
            Self::Times => "timestamptz",
        }
    }
}

/// The statements of a plain table.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) deadlines: Deadlines,
    key: String,
    pub(super) save: Arc<str>,
    pub(super) load: Arc<str>,
    pub(super) load_many: Arc<str>,
    pub(super) delete: Arc<str>,
    pub(super) touch: Arc<str>,
    pub(super) cleanup: Arc<str>,
    pub(super) usage: Arc<str>,
    pub(super) verify: Arc<str>,
    /// What a search for rows begins with, and one for keys alone.
    pub(super) search: String,
    pub(super) search_keys: String,
}

impl Table {
    /// Finds the table and checks that it can hold what it is for.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] naming what is missing, with the statement that makes the table if it is the table itself; those of
    /// the server.
    pub(super) async fn find(session: &Session, config: &SqlConfig) -> Result<Self> {
        let (table, columns) = (config.table()?, config.columns()?);
        let found = Column::of_table(session, &table).await?;
        if found.is_empty() {
            return Err(missing(&table, &columns));
        }
        let column = |name: &Identifier| {
            let found = found.iter().find(|column| column.name == name.as_str());
            found.ok_or_else(|| refused(format!("table {table} has no column {}", name.as_str())))
        };
        let [key, value, expires] = &columns;
        let (keys, values, deadlines) = (column(key)?, column(value)?, column(expires)?);
        if !keys.is_text() || !keys.compares_bytes {
            return Err(refused(format!(
                "column {} of table {table} must hold texts (text or varchar) that are compared byte for byte, not {}",
                key.as_str(),
                keys.kind
            )));
        }
        if !keys.is_unique {
            return Err(refused(format!(
                "column {} of table {table} must be the primary key, or have a unique index of its own",
                key.as_str()
            )));
        }
        if !values.is_text() && values.kind != "bytea" {
            return Err(refused(format!(
                "column {} of table {table} must hold bytes (bytea) or texts, not {}",
                value.as_str(),
                values.kind
            )));
        }
        let deadlines = match deadlines.kind.as_str() {
            "int2" | "int4" | "int8" => Deadlines::Seconds,
            "timestamp" | "timestamptz" => Deadlines::Times,
            other => {
                return Err(refused(format!(
                    "column {} of table {table} must hold seconds (bigint) or times (timestamptz), not {other}",
                    expires.as_str()
                )));
            }
        };
        Ok(Self::new(&table, &columns, values.is_text(), deadlines))
    }

    fn new(table: &TableName, columns: &[Identifier; 3], texts: bool, deadlines: Deadlines) -> Self {
        let table = table.quoted('"');
        let [key, value, expires] = columns.each_ref().map(|column| column.quoted('"').to_string());
        let kind = deadlines.type_name();
        let some = match deadlines {
            Deadlines::Seconds => format!("stored.{expires} <> 0"),
            Deadlines::Times => "true".to_owned(),
        };
        let now = match deadlines {
            Deadlines::Seconds => "$1::bigint",
            Deadlines::Times => "$1::timestamptz",
        };
        let live = format!("(stored.{expires} IS NULL OR NOT ({some}) OR stored.{expires} > {now})");
        let expired = format!("{some} AND stored.{expires} <= {now}");
        let (read, written) = match texts {
            true => (format!("convert_to(stored.{value}, 'UTF8')"), "convert_from(given.value, 'UTF8')"),
            false => (format!("stored.{value}"), "given.value"),
        };
        let row = format!("stored.{key}, {read}, stored.{expires}::{kind}");
        Self {
            deadlines,
            save: format!(
                "INSERT INTO {table} ({key}, {value}, {expires})
                 SELECT given.key, {written}, given.expires
                 FROM unnest($1::text[], $2::bytea[], $3::{kind}[]) AS given(key, value, expires)
                 ON CONFLICT ({key}) DO UPDATE SET {value} = excluded.{value}, {expires} = excluded.{expires}"
            )
            .into(),
            load: format!("SELECT {row} FROM {table} AS stored WHERE stored.{key} = $2 AND {live}").into(),
            load_many: format!(
                "SELECT {row} FROM {table} AS stored WHERE stored.{key} = ANY($2::text[]) AND {live}"
            )
            .into(),
            delete: format!(
                "DELETE FROM {table} AS stored USING unnest($2::text[]) AS given(key)
                 WHERE stored.{key} = given.key AND {live} RETURNING stored.{key}"
            )
            .into(),
            touch: format!(
                "UPDATE {table} AS stored SET {expires} = given.expires
                 FROM unnest($2::text[], $3::{kind}[]) AS given(key, expires)
                 WHERE stored.{key} = given.key AND {live} RETURNING stored.{key}, octet_length(stored.{value})"
            )
            .into(),
            cleanup: format!(
                "WITH given AS MATERIALIZED (
                    SELECT stored.{key} AS key FROM {table} AS stored WHERE {expired}
                    LIMIT $2 FOR UPDATE SKIP LOCKED),
                 removed AS (
                    DELETE FROM {table} AS stored USING given WHERE stored.{key} = given.key AND {expired}
                    RETURNING octet_length(stored.{value})::bigint AS size)
                 SELECT (SELECT count(*) FROM given), count(*), coalesce(sum(removed.size), 0)::bigint FROM removed"
            )
            .into(),
            usage: format!(
                "SELECT count(*), coalesce(sum(octet_length(stored.{value})), 0)::bigint
                 FROM {table} AS stored WHERE {live}"
            )
            .into(),
            verify: format!(
                "SELECT {row} FROM {table} AS stored WHERE stored.{key} COLLATE \"C\" > $1
                 ORDER BY stored.{key} COLLATE \"C\" LIMIT {VERIFIED_AT_ONCE}"
            )
            .into(),
            search: format!("SELECT {row} FROM {table} AS stored WHERE {live}"),
            search_keys: format!("SELECT stored.{key} FROM {table} AS stored WHERE {live}"),
            key,
        }
    }

    /// One more comparison of the key with a parameter. Equality is the same in every collation, and finds the index of the key
    /// whichever it has.
    pub(super) fn compared(&self, operator: &str, parameter: usize) -> String {
        let key = &self.key;
        let collation = if operator == "=" { "" } else { " COLLATE \"C\"" };
        format!(" AND stored.{key}{collation} {operator} ${parameter}")
    }

    /// The end of a search.
    pub(super) fn ordered(&self, way: &str, limit: usize) -> String {
        format!(" ORDER BY stored.{} COLLATE \"C\" {way} LIMIT {limit}", self.key)
    }
}

/// What the catalogue says of a column.
struct Column {
    name: String,
    kind: String,
    compares_bytes: bool,
    is_unique: bool,
}

impl Column {
    async fn of_table(session: &Session, table: &TableName) -> Result<Vec<Self>> {
        let query = "SELECT a.attname::text, t.typname::text, coalesce(l.collisdeterministic, true), EXISTS (
                SELECT FROM pg_catalog.pg_index AS i WHERE i.indrelid = a.attrelid AND i.indisunique
                AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL
                AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum)
            FROM pg_catalog.pg_attribute AS a
            JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
            LEFT JOIN pg_catalog.pg_collation AS l ON l.oid = a.attcollation
            WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped";
        let name = table.quoted('"');
        let rows = session.query_once(query, &[(&name, Type::TEXT)]).await;
        let rows = rows.map_err(|error| meaning(error, During::Connect))?;
        let read = |row: &Row| {
            Ok(Self {
                name: column(row, 0)?,
                kind: column(row, 1)?,
                compares_bytes: column(row, 2)?,
                is_unique: column(row, 3)?,
            })
        };
        rows.iter().map(read).collect()
    }

    fn is_text(&self) -> bool {
        self.kind == "text" || self.kind == "varchar"
    }
}

fn missing(table: &TableName, columns: &[Identifier; 3]) -> StorageError {
    let [key, value, expires] = columns.each_ref().map(|column| column.quoted('"').to_string());
    let name = table.quoted('"');
    refused(format!(
        "there is no table {table}, and a plain table is never made by itself; this makes one: \
         CREATE TABLE {name} ({key} text COLLATE \"C\" PRIMARY KEY, {value} bytea NOT NULL, {expires} bigint); \
         CREATE INDEX ON {name} ({expires}) WHERE {expires} IS NOT NULL;"
    ))
}

fn refused(message: String) -> StorageError {
    failure(ErrorKind::Config, message)
}
