//! MySQL and MariaDB: short transactions at READ COMMITTED over tables whose names and keys are bytes.

mod apply;
mod changes;
mod cleaning;
mod error;
mod plain;
#[cfg(test)]
mod plans;
mod pool;
mod read;
mod row;
mod schema;
mod search;
mod statements;
mod tables;
mod tls;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use mysql_async::Value;
use storage_core::{
    Capabilities, CleanupReport, CompiledQuery, ErrorKind, Health, ItemKey, Result, SearchPage, Secret,
    StorageItem, Timestamp, Usage, VerifyReport,
};
use tokio::time::Instant;

use self::{
    error::Fault,
    plain::PlainMysql,
    pool::{Connector, Lent, Pool, Session},
    row::Columns,
    statements::{LARGEST, Statements},
    tables::Tables,
};
use crate::{
    config::{Schema, SqlConfig},
    engine::{Engine, Moment, Swept, Write, Written},
    error::failure,
};

/// What a row takes in a packet beside its payload: key, content type, tags and what the protocol adds. Bytes.
const OVERHEAD: u64 = 192 * 1_024;
/// Most batches under way at once; the rest of the pool is for reading.
const MOST_WRITERS: usize = 4;

/// Connects to the database at `url` and opens the store in it.
pub(crate) async fn open(config: &SqlConfig, url: &Secret, create: bool) -> Result<Arc<dyn Engine>> {
    let opened = match config.schema {
        Schema::Full => {
            Mysql::open(config, url, create).await.map(|engine| Arc::new(engine) as Arc<dyn Engine>)
        }
        Schema::Plain => {
            PlainMysql::open(config, url).await.map(|engine| Arc::new(engine) as Arc<dyn Engine>)
        }
    };
    opened.map_err(|error| error.with_provider(NAME))
}

const NAME: &str = "mysql";

/// A store in the full schema.
#[derive(Debug)]
struct Mysql {
    pool: Pool,
    statements: Statements,
    capabilities: Capabilities,
    writers: usize,
    /// Most bytes of rows in one statement.
    packet: usize,
    operation_timeout: Duration,
}

impl Mysql {
    async fn open(config: &SqlConfig, url: &Secret, create: bool) -> Result<Self> {
        let pool = connect(config, url)?;
        let table = config.table()?;
        let server = Server::ask(&pool, config).await?;
        schema::prepare(&pool, &table, create).await?;
        Ok(Self {
            pool,
            statements: Statements::new(&table, server.skips_locked),
            capabilities: Capabilities::default()
                .durable(true)
                .shared(true)
                .max_payload(config.max_payload.min(server.room())),
            writers: writers(config),
            packet: server.packet(),
            operation_timeout: config.operation_timeout,
        })
    }
}

/// How many batches are under way at once.
fn writers(config: &SqlConfig) -> usize {
    usize::from(config.pool_size / 2).clamp(1, MOST_WRITERS)
}

fn connect(config: &SqlConfig, url: &Secret) -> Result<Pool> {
    let session =
        Session { lock_timeout: config.lock_timeout, statement_timeout: config.operation_timeout * 9 / 10 };
    let opts = tls::options(config, url.expose())?;
    Pool::new(Connector::new(opts, config.connect_timeout, session), config.pool_size)
}

/// What has to be known of the server.
#[derive(Debug)]
struct Server {
    max_packet: u64,
    skips_locked: bool,
}

impl Server {
    async fn ask(pool: &Pool, config: &SqlConfig) -> Result<Self> {
        let mut connection = pool.lend(Instant::now() + config.connect_timeout).await?;
        let rows = connection.rows("SELECT CAST(@@max_allowed_packet AS SIGNED)", Vec::new()).await?;
        let max_packet = rows.into_iter().next().map(|row| Columns::new(row).integer()).transpose()?;
        let max_packet = u64::try_from(max_packet.unwrap_or(0)).unwrap_or(0);
        if max_packet <= 2 * OVERHEAD {
            let message = format!(
                "the server's max_allowed_packet is {max_packet} bytes, which leaves no room for payloads: at least 1M is \
                 needed"
            );
            return Err(failure(ErrorKind::Config, message));
        }
        let oldest = if connection.is_mariadb() { (10, 6, 0) } else { (8, 0, 1) };
        Ok(Self { max_packet, skips_locked: connection.version() >= oldest })
    }

    /// Largest payload that fits into a packet beside the rest of its row.
    const fn room(&self) -> u64 {
        self.max_packet.saturating_sub(OVERHEAD)
    }

    /// Most bytes of rows in one statement.
    fn packet(&self) -> usize {
        usize::try_from(self.room()).unwrap_or(usize::MAX)
    }
}

#[async_trait]
impl Tables for Mysql {
    fn pool(&self) -> &Pool {
        &self.pool
    }

    async fn change(
        &self,
        connection: &mut Lent,
        writes: &[Arc<Write>],
        now: Timestamp,
    ) -> Result<(Vec<Result<Written>>, bool), Fault> {
        apply::change(self, connection, writes, now).await
    }

    async fn sweep(
        &self,
        connection: &mut Lent,
        now: Timestamp,
        limit: usize,
    ) -> Result<CleanupReport, Fault> {
        cleaning::sweep(self, connection, now, limit).await
    }
}

#[async_trait]
impl Engine for Mysql {
    fn name(&self) -> &'static str {
        NAME
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities
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
        self.load_item(key, at).await
    }

    async fn load_many(&self, keys: &[ItemKey<'_>], at: Moment) -> Vec<Result<Option<StorageItem>>> {
        self.load_items(keys, at).await
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

async fn health(pool: &Pool, at: Moment) -> Health {
    let ask = async {
        let mut connection: Lent = pool.lend(at.deadline).await?;
        let rows = connection.rows("SELECT CAST(@@global.read_only AS SIGNED)", Vec::<Value>::new()).await?;
        let read_only = rows.into_iter().next().map(|row| Columns::new(row).integer()).transpose()?;
        Ok::<_, storage_core::StorageError>(read_only == Some(1))
    };
    match ask.await {
        Ok(false) => Health::Healthy,
        Ok(true) => Health::Degraded("the server takes no writes".to_owned()),
        Err(error) => Health::Unhealthy(error.message().to_owned()),
    }
}
