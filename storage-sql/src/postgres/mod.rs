//! PostgreSQL, on `tokio-postgres`.

mod apply;
mod error;
mod lanes;
mod read;
mod rows;
mod schema;
mod search;
mod session;
mod statements;
mod tls;

use std::sync::Arc;

use async_trait::async_trait;
use storage_core::{
    Capabilities, CompiledQuery, ErrorKind, Health, ItemKey, Result, SearchPage, Secret, StorageItem,
    Timestamp, Usage, VerifyReport,
};

use self::{
    lanes::{Lanes, Own},
    search::Search,
    session::Connector,
    statements::{Names, Statements},
};
use crate::{
    config::{Schema, SqlConfig},
    engine::{Engine, Moment, Swept, Write, Written},
    error::failure,
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
    if config.schema == Schema::Plain {
        return Err(failure(ErrorKind::Unsupported, "plain tables are not supported yet"));
    }
    let connector = Connector::new(config, url)?;
    let table = config.table()?;
    schema::prepare(&connector.connect().await?, &table, create, now).await?;
    let names = Names::new(&table);
    let lanes = Lanes::new(connector, usize::from(config.pool_size))?;
    Ok(Arc::new(Postgres {
        statements: Statements::new(&names),
        items: names.items,
        lanes,
        max_payload: config.max_payload,
    }))
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
        self.lanes.exclusive().div_ceil(2).clamp(1, MOST_WRITERS)
    }

    fn takes_repeats(&self) -> bool {
        false
    }

    fn most_writes(&self) -> usize {
        MOST_WRITES
    }

    async fn apply(&self, writes: Vec<Arc<Write>>, at: Moment) -> Vec<Result<Written>> {
        apply::apply(self, &writes, at).await
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
        read::health(self, at).await
    }

    async fn close(&self) -> Result<()> {
        self.lanes.close().await;
        Ok(())
    }
}
