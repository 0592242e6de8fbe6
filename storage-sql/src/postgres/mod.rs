//! PostgreSQL, on `tokio-postgres`.

mod apply;
mod error;
mod lanes;
mod plain;
mod plain_table;
mod read;
mod rows;
mod schema;
mod search;
mod session;
mod statements;
mod tls;
mod writes;

use std::sync::Arc;

use async_trait::async_trait;
use storage_core::{
    Capabilities, CompiledQuery, Health, ItemKey, Result, SearchPage, Secret, StorageItem, Timestamp, Usage,
    VerifyReport,
};

use self::{
    lanes::{Lanes, Own},
    plain::PlainPostgres,
    plain_table::Table,
    search::Search,
    session::Connector,
    statements::{Names, Statements},
};
use crate::{
    config::{Schema, SqlConfig},
    engine::{Engine, Moment, Swept, Write, Written},
    plain::Plain,
};

const NAME: &str = "postgres";
/// Most writes in one statement. More are hardly any faster, and every one holds a lock of the server.
const MOST_WRITES: usize = 128;
/// Most batches under way at once.
const MOST_WRITERS: usize = 4;

/// Connects, and opens the store or creates it.
///
/// # Errors
/// Those of [`SqlBuilder::connect`](crate::SqlBuilder::connect).
pub(crate) async fn open(
    config: &SqlConfig,
    url: &Secret,
    create: bool,
    now: Timestamp,
) -> Result<Arc<dyn Engine>> {
    connect(config, url, create, now).await.map_err(|error| error.with_provider(NAME))
}

async fn connect(config: &SqlConfig, url: &Secret, create: bool, now: Timestamp) -> Result<Arc<dyn Engine>> {
    let connector = Connector::new(config, url)?;
    let session = connector.connect().await?;
    let size = usize::from(config.pool_size);
    if config.schema == Schema::Plain {
        let (table, plain) = (Table::find(&session, config).await?, Plain::new(config)?);
        return Ok(Arc::new(PlainPostgres { lanes: Lanes::new(connector, size)?, table, plain }));
    }
    let table = config.table()?;
    schema::prepare(&session, &table, create, now).await?;
    let names = Names::new(&table);
    Ok(Arc::new(Postgres {
        lanes: Lanes::new(connector, size)?,
        statements: Statements::new(&names),
        items: names.items,
        max_payload: config.max_payload,
    }))
}

/// How many batches are under way at once, so that connections are left for other calls.
fn writers(lanes: &Lanes) -> usize {
    lanes.exclusive().div_ceil(2).clamp(1, MOST_WRITERS)
}

/// A store of the full schema.
#[derive(Debug)]
pub(crate) struct Postgres {
    lanes: Lanes,
    items: String,
    statements: Statements,
    max_payload: u64,
}

impl Postgres {
    fn search_over<'e>(&'e self, own: &'e Own, query: &'e CompiledQuery, at: Moment) -> Search<'e> {
        Search { items: &self.items, own, query, at }
    }
}

#[async_trait]
impl Engine for Postgres {
    fn name(&self) -> &'static str {
        NAME
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::default().durable(true).shared(true).max_payload(self.max_payload)
    }

    fn writers(&self) -> usize {
        writers(&self.lanes)
    }

    fn takes_repeats(&self) -> bool {
        false
    }

    fn most_writes(&self) -> usize {
        MOST_WRITES
    }

    async fn apply(&self, writes: Vec<Arc<Write>>, at: Moment) -> Vec<Result<Written>> {
        apply::apply(&self.lanes, &self.statements, &writes, at).await
    }

    async fn load(&self, key: ItemKey<'_>, at: Moment) -> Result<Option<StorageItem>> {
        read::load(self, key, at).await
    }

    async fn load_many(&self, keys: &[ItemKey<'_>], at: Moment) -> Vec<Result<Option<StorageItem>>> {
        read::load_many(self, keys, at).await
    }

    async fn search(&self, query: &CompiledQuery, at: Moment) -> Result<SearchPage> {
        self.lanes
            .read(at.deadline, |own| async move { self.search_over(&own, query, at).page().await })
            .await
    }

    async fn count(&self, query: &CompiledQuery, at: Moment) -> Result<u64> {
        self.lanes
            .read(at.deadline, |own| async move { self.search_over(&own, query, at).count().await })
            .await
    }

    async fn usage(&self, at: Moment) -> Result<Usage> {
        read::usage(self, at).await
    }

    async fn cleanup_step(&self, at: Moment, limit: usize) -> Result<Swept> {
        read::cleanup_step(self, at, limit).await
    }

    async fn verify(&self) -> Result<VerifyReport> {
        read::verify(self).await
    }

    async fn health(&self, at: Moment) -> Health {
        read::health(&self.lanes, at).await
    }

    async fn close(&self) -> Result<()> {
        self.lanes.close().await;
        Ok(())
    }
}
