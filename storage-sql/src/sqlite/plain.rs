//! A plain table: keys, values and deadlines in seconds, in a table that somebody made for them.

use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, types::ValueRef};
use storage_core::{
    Amount, Bytes, Capabilities, CompiledQuery, Damaged, ErrorKind, Health, ItemKey, Result, SearchPage,
    StorageItem, StorageResult, Timestamp, Usage, VerifyReport,
};

use super::{
    MOST_WRITES, NAME, OwnedKey, apply_on, connection,
    error::{POISONED, sqlite_error},
    pool::Pool,
    sql::{Sql, text},
    sweep_on,
    tables::{self, Refused, Tables, run},
    thread::WriterThread,
};
use crate::{
    config::SqlConfig,
    engine::{Engine, Moment, Save, Stamp, Swept, Write, Written},
    error::failure,
    identifier::{Identifier, TableName},
    plain::{Plain, elapsed_seconds, is_key, of_seconds, round_up, seconds},
    plan::{Keys, Plan},
    row::damaged,
};

const WHAT: &str = "the plain table cannot be used";

/// A plain table in a file.
#[derive(Debug)]
pub(super) struct PlainSqlite {
    table: Arc<Table>,
    writer: Arc<WriterThread>,
    readers: Arc<Pool>,
}

impl PlainSqlite {
    pub(super) fn open(config: &SqlConfig, path: &Path) -> Result<Self> {
        let connection = connection::open(path, false, config.lock_timeout)?;
        let table = Arc::new(Table::find(&connection, config)?);
        let tables: Arc<dyn Tables> = Arc::<Table>::clone(&table);
        let writer = WriterThread::start(connection, path.to_owned(), tables, config.lock_timeout)?;
        let readers = Pool::new(path.to_owned(), config.pool_size, config.lock_timeout);
        Ok(Self { table, writer: Arc::new(writer), readers })
    }

    async fn read<T: Send + 'static>(
        &self,
        at: Moment,
        read: impl FnOnce(&Connection, &Table) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let reader = self.readers.take(at.deadline).await?;
        let table = Arc::clone(&self.table);
        reader.read_long(Some(at.deadline), move |connection| read(connection, &table)).await
    }
}

/// The table, with its statements.
#[derive(Debug)]
struct Table {
    plain: Plain,
    /// Whether values are texts, for those who declared the column so.
    texts: bool,
    table: String,
    key: String,
    columns: String,
    live: String,
    load: String,
    upsert: String,
    delete: String,
    touch: String,
    sweep: String,
    usage: String,
}

impl Table {
    /// Finds the table and checks that it can hold what it is for.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] naming what is missing, with the statement that makes the table if it is the table itself.
    fn find(connection: &Connection, config: &SqlConfig) -> Result<Self> {
        let name = config.table()?;
        let [key, value, expires] = config.columns()?;
        let declared = Declared::read(connection, &name)?;
        if declared.columns.is_empty() {
            return Err(missing(&name, &key, &value, &expires));
        }
        let type_of = |column: &Identifier| declared.type_of(column);
        let (key_type, value_type, expires_type) = (type_of(&key)?, type_of(&value)?, type_of(&expires)?);
        if !is_text(&key_type) && !is_blob(&key_type) {
            return Err(config_error(format!("the column {} of {name} must hold texts", key.as_str())));
        }
        if !expires_type.contains("INT") {
            let message = format!(
                "the column {} of {name} must be an INTEGER of seconds since 1970: SQLite has no type for times",
                expires.as_str()
            );
            return Err(config_error(message));
        }
        if !declared.is_unique(connection, &name, &key)? {
            let message = format!(
                "the column {} of {name} must be the primary key, or have a unique index of its own, that compares bytes",
                key.as_str()
            );
            return Err(config_error(message));
        }
        let texts = is_text(&value_type);
        Ok(Self::new(Plain::new(config)?, texts, &name, [&key, &value, &expires]))
    }

    fn new(plain: Plain, texts: bool, name: &TableName, columns: [&Identifier; 3]) -> Self {
        let table = name.quoted('"');
        let [key, value, expires] = columns.map(|column| column.quoted('"').to_string());
        // A deadline of 0 is none.
        let live = format!("({expires} IS NULL OR {expires} = 0 OR {expires} > ?)");
        let numbered = live.replace('?', "?2");
        let columns = format!("{key}, {value}, {expires}");
        Self {
            plain,
            texts,
            load: format!("SELECT {columns} FROM {table} WHERE {key} = ?1 AND {numbered}"),
            upsert: format!(
                "INSERT INTO {table} ({columns}) VALUES (?1, ?2, ?3) \
                 ON CONFLICT ({key}) DO UPDATE SET {value} = excluded.{value}, {expires} = excluded.{expires}"
            ),
            delete: format!("DELETE FROM {table} WHERE {key} = ?1 AND {numbered}"),
            touch: format!(
                "UPDATE {table} SET {expires} = ?3 WHERE {key} = ?1 AND {numbered} RETURNING octet_length({value})"
            ),
            sweep: format!(
                "DELETE FROM {table} WHERE {key} IN (SELECT {key} FROM {table} WHERE {expires} IS NOT NULL \
                 AND {expires} <> 0 AND {expires} <= ?1 LIMIT ?2) RETURNING octet_length({value})"
            ),
            usage: format!(
                "SELECT count(*), coalesce(sum(octet_length({value})), 0) FROM {table} WHERE {live}"
            ),
            table,
            key,
            columns,
            live,
        }
    }

    fn load(&self, connection: &Connection, key: ItemKey<'_>, now: Timestamp) -> Result<Option<StorageItem>> {
        if !self.plain.holds(key.content_type()) {
            return Ok(None);
        }
        let failed = |cause| sqlite_error("the item cannot be read", cause);
        let mut query = connection.prepare_cached(&self.load).map_err(failed)?;
        let mut rows = query.query((key.key(), elapsed_seconds(now))).map_err(failed)?;
        let row = rows.next().map_err(failed)?;
        row.map(|row| self.item(key.key(), row)).transpose()
    }

    /// The item in a row of [`columns`](Self::columns).
    fn item(&self, key: &str, row: &rusqlite::Row<'_>) -> Result<StorageItem> {
        let damaged = |what: &str| match ItemKey::new("plain", key) {
            Ok(_) => damaged(what),
            Err(error) => error,
        };
        let data = match row.get_ref(1) {
            Ok(ValueRef::Blob(bytes) | ValueRef::Text(bytes)) => Bytes::copy_from_slice(bytes),
            _ => return Err(damaged("its value, which is neither a blob nor a text,")),
        };
        let expires: Option<i64> = row.get(2).map_err(|_| damaged("its deadline"))?;
        let metadata = self.plain.metadata(key, data.len() as u64, of_seconds(expires));
        Ok(StorageItem { data, metadata: Arc::new(metadata) })
    }

    fn page(&self, connection: &Connection, query: &CompiledQuery, now: Timestamp) -> Result<SearchPage> {
        let wanted = query.page_len();
        let mut hits = Vec::new();
        if wanted == 0 || !self.plain.may_hold(query) {
            return Ok(query.page(hits, false));
        }
        let mut more = false;
        self.each(connection, query, now, |key, row| {
            more = hits.len() == wanted;
            if more {
                return Ok(false);
            }
            let mut item = self.item(key, row)?;
            if query.is_metadata_only() {
                item.data = Bytes::new();
            }
            hits.push(StorageResult::hit(item));
            Ok(true)
        })?;
        Ok(query.page(hits, more))
    }

    fn count(&self, connection: &Connection, query: &CompiledQuery, now: Timestamp) -> Result<u64> {
        let mut count = 0;
        if self.plain.may_hold(query) {
            self.each(connection, query, now, |_, _| {
                count += 1;
                Ok(true)
            })?;
        }
        Ok(count)
    }

    /// Shows the rows that match in the order of the query, for as long as `visit` answers true.
    fn each(
        &self,
        connection: &Connection,
        query: &CompiledQuery,
        now: Timestamp,
        mut visit: impl FnMut(&str, &rusqlite::Row<'_>) -> Result<bool>,
    ) -> Result<()> {
        let failed = |cause| sqlite_error("the search failed", cause);
        let plan = Plan::of(query);
        let sql = self.search(&plan, now);
        let mut statement = connection.prepare_cached(&sql.text).map_err(failed)?;
        let mut rows = statement.query(rusqlite::params_from_iter(sql.values)).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            let key = match row.get_ref(0).map_err(failed)? {
                ValueRef::Text(bytes) => std::str::from_utf8(bytes).ok().filter(|key| is_key(key)),
                _ => None,
            };
            let Some(key) = key else { continue };
            let matches = query.glob().is_none_or(|glob| !plan.must_match || glob.matches(key));
            if matches && !visit(key, row)? {
                return Ok(());
            }
        }
        Ok(())
    }

    fn search(&self, plan: &Plan<'_>, now: Timestamp) -> Sql {
        let Self { table, key, columns, live, .. } = self;
        let mut sql = Sql::new(format!("SELECT {columns} FROM {table} WHERE "));
        sql.bind(live, [elapsed_seconds(now)]);
        match &plan.keys {
            Keys::All => {}
            Keys::One(one) => sql.bind(&format!(" AND {key} = ?"), [text(one)]),
            Keys::Range(from, before) => {
                sql.bind(&format!(" AND {key} >= ?"), [text(from)]);
                if let Some(before) = before {
                    sql.bind(&format!(" AND {key} < ?"), [text(before)]);
                }
            }
        }
        let (behind, way) = if plan.order.is_descending() { ("<", " DESC") } else { (">", "") };
        if let Some(position) = plan.position {
            sql.bind(&format!(" AND {key} {behind} ?"), [text(&position.key)]);
        }
        sql.push(&format!(" ORDER BY {key}{way}"));
        sql
    }

    fn usage(&self, connection: &Connection, now: Timestamp) -> Result<Usage> {
        let failed = |cause| sqlite_error("the usage cannot be read", cause);
        let counted = connection.prepare_cached(&self.usage).and_then(|mut query| {
            query.query_row((elapsed_seconds(now),), |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))
        });
        let (items, bytes) = counted.map_err(failed)?;
        let amount =
            Amount { items: u64::try_from(items).unwrap_or(0), bytes: u64::try_from(bytes).unwrap_or(0) };
        let mut usage = Usage::default();
        if amount.items > 0 {
            usage.content_types.insert(self.plain.content_type().to_owned(), amount);
        }
        Ok(usage)
    }

    fn verify(&self, connection: &Connection) -> Result<VerifyReport> {
        let failed = |cause| sqlite_error("the store cannot be checked", cause);
        let mut report = VerifyReport::default();
        for fault in super::verify::faults(connection, 100)? {
            report.damaged.push(Damaged::of_store(fault));
        }
        let mut statement =
            connection.prepare(&format!("SELECT {} FROM {}", self.columns, self.table)).map_err(failed)?;
        let mut rows = statement.query(()).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            let key = match row.get::<_, String>(0) {
                Ok(key) if is_key(&key) => key,
                _ => continue,
            };
            match self.item(&key, row) {
                Ok(_) => report.intact += 1,
                Err(error) => {
                    let key = ItemKey::new(self.plain.content_type(), &key).ok();
                    report.damaged.push(Damaged::of_item(key, error.message().to_owned()));
                }
            }
        }
        Ok(report)
    }
}

impl Tables for Table {
    fn batch<'t>(
        &'t self,
        connection: &'t Connection,
        now: Timestamp,
    ) -> Result<Box<dyn tables::Batch + 't>> {
        Ok(Box::new(Batch { table: self, connection, now }))
    }

    fn sweep(&self, connection: &Connection, now: Timestamp, limit: usize) -> Result<Swept> {
        let failed = |cause| sqlite_error("expired items cannot be removed", cause);
        let mut statement = connection.prepare_cached(&self.sweep).map_err(failed)?;
        let most = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut rows = statement.query((elapsed_seconds(now), most)).map_err(failed)?;
        let mut swept = Swept { report: Default::default(), more: false };
        while let Some(row) = rows.next().map_err(failed)? {
            let bytes: Option<i64> = row.get(0).map_err(failed)?;
            swept.report.expired += 1;
            swept.report.bytes += bytes.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0);
        }
        swept.more = swept.report.expired == limit as u64;
        Ok(swept)
    }
}

/// Writes within a transaction; each is one statement.
struct Batch<'t> {
    table: &'t Table,
    connection: &'t Connection,
    now: Timestamp,
}

impl tables::Batch for Batch<'_> {
    fn write(&mut self, write: &Write) -> Result<Written, Refused> {
        self.apply(write).map_err(Refused::Unchanged)
    }

    fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}

impl Batch<'_> {
    fn apply(&self, write: &Write) -> Result<Written> {
        let now = elapsed_seconds(self.now);
        match write {
            Write::Save(save) => self.save(save),
            Write::Delete(delete) if self.table.plain.holds(&delete.content_type) => {
                let deleted = run(self.connection, &self.table.delete, (&delete.key, now))?;
                Ok(Written::Deleted(deleted > 0))
            }
            Write::Touch(touch) if self.table.plain.holds(&touch.content_type) => {
                let failed = |cause| sqlite_error("the write failed", cause);
                let expires = touch.expires_at.map(seconds);
                let size = self
                    .connection
                    .prepare_cached(&self.table.touch)
                    .and_then(|mut touched| {
                        touched.query_row((&touch.key, now, expires), |row| row.get::<_, i64>(0)).optional()
                    })
                    .map_err(failed)?;
                let size = size.and_then(|size| u64::try_from(size).ok());
                let metadata = size.map(|size| self.table.plain.metadata(&touch.key, size, touch.expires_at));
                Ok(Written::Touched(metadata))
            }
            Write::Delete(_) => Ok(Written::Deleted(false)),
            Write::Touch(_) => Ok(Written::Touched(None)),
        }
    }

    fn save(&self, save: &Save) -> Result<Written> {
        let expires = save.expires_at.map(seconds);
        let sql = &self.table.upsert;
        if self.table.texts {
            let text = std::str::from_utf8(&save.data).map_err(|cause| {
                let message = "the column of the values holds texts, and the payload is no UTF-8";
                failure(ErrorKind::Invalid, message).with_source(cause)
            })?;
            run(self.connection, sql, (&save.key, text, expires))?;
        } else {
            run(self.connection, sql, (&save.key, &save.data[..], expires))?;
        }
        let metadata = self.table.plain.metadata(&save.key, 0, None);
        let (id, created_at, updated_at) = (metadata.id, metadata.created_at, metadata.updated_at);
        Ok(Written::Saved(Stamp { id, created_at, updated_at, version: metadata.version }))
    }
}

/// What the file says of the table.
struct Declared {
    /// Names of columns with their types in capitals.
    columns: Vec<(String, String)>,
}

impl Declared {
    fn read(connection: &Connection, table: &TableName) -> Result<Self> {
        let failed = |cause| sqlite_error(WHAT, cause);
        let schema = table.schema.as_ref().map_or("main", Identifier::as_str);
        let mut query =
            connection.prepare("SELECT name, type FROM pragma_table_xinfo(?1, ?2)").map_err(failed)?;
        let rows = query.query_map((table.table.as_str(), schema), |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?.to_ascii_uppercase()))
        });
        let columns = rows.and_then(Iterator::collect).map_err(failed)?;
        Ok(Self { columns })
    }

    fn type_of(&self, column: &Identifier) -> Result<String> {
        let found = self.columns.iter().find(|(name, _)| name.eq_ignore_ascii_case(column.as_str()));
        found
            .map(|(_, found)| found.clone())
            .ok_or_else(|| config_error(format!("the table has no column {}", column.as_str())))
    }

    /// Whether the column alone identifies a row, byte for byte.
    fn is_unique(&self, connection: &Connection, table: &TableName, column: &Identifier) -> Result<bool> {
        let schema = table.schema.as_ref().map_or("main", Identifier::as_str);
        let sql = "SELECT 1 FROM pragma_index_list(?1, ?2) AS l WHERE l.\"unique\" = 1 AND l.partial = 0 \
                   AND (SELECT count(*) FROM pragma_index_xinfo(l.name, ?2) AS x WHERE x.key = 1) = 1 \
                   AND EXISTS (SELECT 1 FROM pragma_index_xinfo(l.name, ?2) AS x WHERE x.key = 1 \
                   AND x.name = ?3 COLLATE NOCASE AND x.coll = 'BINARY')";
        connection
            .prepare(sql)
            .and_then(|mut query| query.exists((table.table.as_str(), schema, column.as_str())))
            .map_err(|cause| sqlite_error(WHAT, cause))
    }
}

/// Whether a type is one of texts to SQLite.
fn is_text(declared: &str) -> bool {
    !declared.contains("INT") && ["CHAR", "CLOB", "TEXT"].iter().any(|name| declared.contains(name))
}

/// Whether a type leaves values as they are.
fn is_blob(declared: &str) -> bool {
    declared.is_empty() || (declared.contains("BLOB") && !declared.contains("INT"))
}

fn missing(
    table: &TableName,
    key: &Identifier,
    value: &Identifier,
    expires: &Identifier,
) -> storage_core::StorageError {
    let [key, value, expires] = [key, value, expires].map(|column| column.quoted('"'));
    let index = table.with_suffix("_expiry").quoted('"');
    let name = table.quoted('"');
    config_error(format!(
        "there is no table {table}, and a plain table is never made by itself; this makes one: \
         CREATE TABLE {name} ({key} TEXT PRIMARY KEY, {value} BLOB NOT NULL, {expires} INTEGER) WITHOUT ROWID; \
         CREATE INDEX {index} ON {} ({expires}) WHERE {expires} IS NOT NULL;",
        table.table.quoted('"')
    ))
}

fn config_error(message: String) -> storage_core::StorageError {
    failure(ErrorKind::Config, message)
}

#[async_trait]
impl Engine for PlainSqlite {
    fn name(&self) -> &'static str {
        NAME
    }

    fn capabilities(&self) -> Capabilities {
        self.table.plain.capabilities()
    }

    fn check_save(&self, save: &Save) -> Result<()> {
        self.table.plain.check_save(save)
    }

    fn check_query(&self, query: &CompiledQuery) -> Result<()> {
        self.table.plain.check_query(query)
    }

    fn kept_deadline(&self, expires_at: Timestamp) -> Timestamp {
        round_up(expires_at)
    }

    fn writers(&self) -> usize {
        1
    }

    fn takes_repeats(&self) -> bool {
        true
    }

    fn most_writes(&self) -> usize {
        MOST_WRITES
    }

    async fn apply(&self, writes: Vec<Arc<Write>>, at: Moment) -> Vec<Result<Written>> {
        apply_on(&self.writer, writes, at).await
    }

    async fn load(&self, key: ItemKey<'_>, at: Moment) -> Result<Option<StorageItem>> {
        let reader = self.readers.take(at.deadline).await?;
        reader.read(|connection| self.table.load(connection, key, at.now))
    }

    async fn load_many(&self, keys: &[ItemKey<'_>], at: Moment) -> Vec<Result<Option<StorageItem>>> {
        let owned: Vec<_> = keys.iter().copied().map(OwnedKey::new).collect();
        let loaded = self.read(at, move |connection, table| {
            Ok(owned.iter().map(|key| table.load(connection, key.get()?, at.now)).collect())
        });
        loaded.await.unwrap_or_else(|error| keys.iter().map(|_| Err(crate::error::copy(&error))).collect())
    }

    async fn search(&self, query: &CompiledQuery, at: Moment) -> Result<SearchPage> {
        let query = query.clone();
        self.read(at, move |connection, table| table.page(connection, &query, at.now)).await
    }

    async fn count(&self, query: &CompiledQuery, at: Moment) -> Result<u64> {
        let query = query.clone();
        self.read(at, move |connection, table| table.count(connection, &query, at.now)).await
    }

    async fn usage(&self, at: Moment) -> Result<Usage> {
        self.read(at, move |connection, table| table.usage(connection, at.now)).await
    }

    async fn cleanup_step(&self, at: Moment, limit: usize) -> Result<Swept> {
        sweep_on(&self.writer, limit, at).await
    }

    async fn verify(&self) -> Result<VerifyReport> {
        let reader = super::patient_reader(&self.readers).await?;
        let table = Arc::clone(&self.table);
        reader.read_long(None, move |connection| table.verify(connection)).await
    }

    async fn health(&self, at: Moment) -> Health {
        let probe = self.read(at, move |connection, table| {
            table.load(connection, ItemKey::new(table.plain.content_type(), "probe")?, at.now)
        });
        match probe.await {
            Ok(_) if self.writer.is_poisoned() => Health::Degraded(POISONED.to_owned()),
            Ok(_) => Health::Healthy,
            Err(error) => Health::Unhealthy(error.to_string()),
        }
    }

    async fn close(&self) -> Result<()> {
        super::close(&self.readers, &self.writer).await
    }
}
