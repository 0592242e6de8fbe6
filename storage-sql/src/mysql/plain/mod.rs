//! A plain table: keys, values and deadlines, in a table that somebody made for them.

mod deadlines;
mod declared;
mod search;
mod table;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use mysql_async::Value;
use storage_core::{
    Amount, Capabilities, CleanupReport, CompiledQuery, Damaged, ErrorKind, Health, ItemKey, Result,
    SearchPage, Secret, StorageItem, Timestamp, Usage, VerifyReport,
};
use tokio::time::Instant;

use self::table::Table;
use super::{
    LARGEST, NAME, Server, connect,
    error::Fault,
    health,
    pool::{Lent, Pool},
    row::Columns,
    statements::text,
    tables::{self, Tables},
    writers,
};
use crate::{
    config::SqlConfig,
    engine::{Engine, Moment, Save, Swept, Write, Written},
    error::copy,
    plain::{Plain, is_key},
};

/// A store in a plain table.
#[derive(Debug)]
pub(super) struct PlainMysql {
    pool: Pool,
    plain: Plain,
    table: Table,
    max_payload: u64,
    packet: usize,
    writers: usize,
    operation_timeout: Duration,
}

impl PlainMysql {
    pub(super) async fn open(config: &SqlConfig, url: &Secret) -> Result<Self> {
        let pool = connect(config, url)?;
        let plain = Plain::new(config)?;
        let server = Server::ask(&pool, config).await?;
        let mut connection = pool.lend(Instant::now() + config.operation_timeout).await?;
        let table = Table::find(&mut connection, config, server.skips_locked).await?;
        drop(connection);
        let max_payload = plain.capabilities().max_payload.min(server.room()).min(table.most_bytes);
        Ok(Self {
            pool,
            plain,
            table,
            max_payload,
            packet: server.packet(),
            writers: writers(config),
            operation_timeout: config.operation_timeout,
        })
    }

    /// The item in a row of key, value and deadline.
    fn item(&self, key: &str, columns: &mut Columns) -> Result<StorageItem> {
        let data = columns.bytes()?;
        let expires_at = self.table.deadlines.read(columns.optional_integer()?);
        let metadata = self.plain.metadata(key, data.len() as u64, expires_at);
        Ok(StorageItem { data: data.into(), metadata: Arc::new(metadata) })
    }

    async fn load_one(&self, key: ItemKey<'_>, at: Moment) -> Result<Option<StorageItem>> {
        if !self.plain.holds(key.content_type()) {
            return Ok(None);
        }
        let values = || vec![text(key.key()), self.table.deadlines.now(at.now)];
        let rows = self.pool.rows(at.deadline, &self.table.load, values).await?;
        let found = rows.into_iter().next().map(|row| {
            let mut columns = Columns::new(row);
            columns
                .bytes()
                .and_then(|_| self.item(key.key(), &mut columns))
                .map_err(|error| error.with_key(key))
        });
        found.transpose()
    }

    async fn load_all(&self, keys: &[ItemKey<'_>], at: Moment) -> Result<Vec<Result<Option<StorageItem>>>> {
        let held: Vec<_> =
            keys.iter().filter(|key| self.plain.holds(key.content_type())).map(|key| key.key()).collect();
        let held = &held;
        let read =
            |mut connection: Lent| async move { search::found(self, &mut connection, held, at.now).await };
        let found = self.pool.reading(at.deadline, read).await?;
        let answer = |key: &ItemKey<'_>| match found.get(key.key()) {
            Some(item) if self.plain.holds(key.content_type()) => {
                item.as_ref().map(|item| Some(item.clone())).map_err(copy)
            }
            _ => Ok(None),
        };
        Ok(keys.iter().map(answer).collect())
    }

    async fn usage_now(&self, at: Moment) -> Result<Usage> {
        let values = || vec![self.table.deadlines.now(at.now)];
        let mut usage = Usage::default();
        for row in self.pool.rows(at.deadline, &self.table.usage, values).await? {
            let mut columns = Columns::new(row);
            let (items, bytes) = (columns.integer()?.cast_unsigned(), columns.integer()?.cast_unsigned());
            if items > 0 {
                usage.content_types.insert(self.plain.content_type().to_owned(), Amount { items, bytes });
            }
        }
        Ok(usage)
    }

    async fn verify_all(&self) -> Result<VerifyReport> {
        let mut report = VerifyReport::default();
        let mut behind: Option<Vec<u8>> = None;
        loop {
            let (statement, values) = self.table.next_rows(behind.as_ref());
            let deadline = Instant::now() + self.operation_timeout;
            let rows = self.pool.rows(deadline, &statement, || values.clone()).await?;
            if rows.is_empty() {
                return Ok(report);
            }
            for row in rows {
                let mut columns = Columns::new(row);
                let key = columns.bytes()?;
                behind = Some(key.clone());
                // What is no key belongs to somebody else.
                let Some(key) = String::from_utf8(key).ok().filter(|key| is_key(key)) else { continue };
                match self.item(&key, &mut columns) {
                    Ok(_) => report.intact += 1,
                    Err(error) => {
                        let key = ItemKey::new(self.plain.content_type(), &key).ok();
                        report.damaged.push(Damaged::of_item(key, error.message().to_owned()));
                    }
                }
            }
        }
    }
}

#[async_trait]
impl Tables for PlainMysql {
    fn pool(&self) -> &Pool {
        &self.pool
    }

    async fn change(
        &self,
        connection: &mut Lent,
        writes: &[Arc<Write>],
        now: Timestamp,
    ) -> Result<(Vec<Result<Written>>, bool), Fault> {
        table::change(self, connection, writes, now).await
    }

    async fn sweep(
        &self,
        connection: &mut Lent,
        now: Timestamp,
        limit: usize,
    ) -> Result<CleanupReport, Fault> {
        let values = vec![self.table.deadlines.now(now), Value::UInt(limit as u64)];
        let mut report = CleanupReport::default();
        let mut keys = Vec::new();
        for row in connection.rows(&self.table.expired, values).await? {
            let mut columns = Columns::new(row);
            keys.push(Value::Bytes(columns.bytes()?));
            let size = columns.optional_integer()?.unwrap_or(0);
            report += CleanupReport::new(1, u64::try_from(size).unwrap_or(0));
        }
        self.table.delete(connection, keys).await?;
        Ok(report)
    }
}

#[async_trait]
impl Engine for PlainMysql {
    fn name(&self) -> &'static str {
        NAME
    }

    fn capabilities(&self) -> Capabilities {
        self.plain.capabilities().max_payload(self.max_payload)
    }

    fn check_save(&self, save: &Save) -> Result<()> {
        self.plain.check_save(save)
    }

    fn check_query(&self, query: &CompiledQuery) -> Result<()> {
        self.plain.check_query(query)
    }

    fn kept_deadline(&self, expires_at: Timestamp) -> Timestamp {
        self.table.deadlines.kept(expires_at)
    }

    fn writers(&self) -> usize {
        self.writers
    }

    fn takes_repeats(&self) -> bool {
        false
    }

    fn most_writes(&self) -> usize {
        LARGEST
    }

    async fn apply(&self, writes: Vec<Arc<Write>>, at: Moment) -> Vec<Result<Written>> {
        tables::apply(self, &writes, at).await
    }

    async fn load(&self, key: ItemKey<'_>, at: Moment) -> Result<Option<StorageItem>> {
        self.load_one(key, at).await
    }

    async fn load_many(&self, keys: &[ItemKey<'_>], at: Moment) -> Vec<Result<Option<StorageItem>>> {
        let loaded = self.load_all(keys, at).await;
        loaded.unwrap_or_else(|error| keys.iter().map(|_| Err(copy(&error))).collect())
    }

    async fn search(&self, query: &CompiledQuery, at: Moment) -> Result<SearchPage> {
        search::page(self, query, at).await
    }

    async fn count(&self, query: &CompiledQuery, at: Moment) -> Result<u64> {
        search::count(self, query, at).await
    }

    async fn usage(&self, at: Moment) -> Result<Usage> {
        self.usage_now(at).await
    }

    async fn cleanup_step(&self, at: Moment, limit: usize) -> Result<Swept> {
        tables::cleanup_step(self, at, limit).await
    }

    async fn verify(&self) -> Result<VerifyReport> {
        self.verify_all().await
    }

    async fn health(&self, at: Moment) -> Health {
        health(&self.pool, at).await
    }

    async fn close(&self) -> Result<()> {
        self.pool.close().await;
        Ok(())
    }
}

fn config_error(message: String) -> storage_core::StorageError {
    crate::error::failure(ErrorKind::Config, message)
}
