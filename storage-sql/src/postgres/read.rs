//! Loads, and what looks at the store as a whole.

use std::{collections::HashMap, sync::Arc, time::Duration};

use storage_core::{
    Amount, CleanupReport, Damaged, Health, ItemKey, Result, StorageItem, Usage, VerifyReport,
};
use tokio::time::Instant;
use tokio_postgres::{Row, types::ToSql};

use super::{
    Postgres,
    error::{During, is_lost, meaning},
    lanes::{Lanes, Own},
    rows::{self, column, identity},
    statements::{METADATA, PAYLOAD},
};
use crate::{
    engine::{Moment, Swept},
    error::copy,
    row::micros,
};

/// Rows that a verification reads at once.
pub(super) const VERIFIED_AT_ONCE: i64 = 64;
/// How long a verification waits for a connection.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

pub(super) type Parameter<'p> = &'p (dyn ToSql + Sync);

/// The live item under `key`.
pub(super) async fn load(engine: &Postgres, key: ItemKey<'_>, at: Moment) -> Result<Option<StorageItem>> {
    let now = micros(at.now);
    let parameters: [Parameter<'_>; 3] = [&now, &key.content_type(), &key.key()];
    let row = load_row(&engine.lanes, &engine.statements.load, &parameters, at.deadline).await?;
    row.as_ref().map(rows::item).transpose()
}

/// The first row that a short statement answers, over a connection that others use at the same time.
pub(super) async fn load_row(
    lanes: &Lanes,
    statement: &Arc<str>,
    parameters: &[Parameter<'_>],
    deadline: Instant,
) -> Result<Option<Row>> {
    let mut left = lanes.shared_by_loads();
    loop {
        let lane = lanes.shared(deadline).await?;
        match lane.session().query(statement, parameters).await {
            Ok(rows) => return Ok(rows.into_iter().next()),
            // A connection that went away while nobody looked is no reason for a load to fail.
            Err(error) if is_lost(&error) && left > 0 => left -= 1,
            Err(error) => return Err(meaning(error, During::Read)),
        }
    }
}

/// The rows that a statement answers, over a connection of its own.
pub(super) async fn ask(
    lanes: &Lanes,
    deadline: Instant,
    statement: &Arc<str>,
    parameters: &[Parameter<'_>],
) -> Result<Vec<Row>> {
    let asking = |own: Arc<Own>| async move {
        let answer = own.run(own.session().query(statement, parameters)).await;
        answer.map_err(|error| meaning(error, During::Read))
    };
    lanes.read(deadline, asking).await
}

/// The live items under `keys`, in their order.
pub(super) async fn load_many(
    engine: &Postgres,
    keys: &[ItemKey<'_>],
    at: Moment,
) -> Vec<Result<Option<StorageItem>>> {
    let now = micros(at.now);
    let content_types: Vec<_> = keys.iter().map(|key| key.content_type()).collect();
    let names: Vec<_> = keys.iter().map(|key| key.key()).collect();
    let parameters: [Parameter<'_>; 3] = [&now, &content_types, &names];
    let answer = ask(&engine.lanes, at.deadline, &engine.statements.load_many, &parameters).await;
    let rows = match answer {
        Ok(rows) => rows,
        Err(error) => return keys.iter().map(|_| Err(copy(&error))).collect(),
    };
    let found: HashMap<_, _> = rows.iter().filter_map(|row| Some((identity(row).ok()?, row))).collect();
    let item = |key: &ItemKey<'_>| found.get(&(key.content_type(), key.key())).map(|row| rows::item(row));
    keys.iter().map(|key| item(key).transpose()).collect()
}

/// What the store holds.
pub(super) async fn usage(engine: &Postgres, at: Moment) -> Result<Usage> {
    let mut usage = Usage::default();
    for row in ask(&engine.lanes, at.deadline, &engine.statements.usage, &[&micros(at.now)]).await? {
        let (items, bytes) = (column::<i64>(&row, 1)?, column::<i64>(&row, 2)?);
        let amount = Amount { items: items.cast_unsigned(), bytes: bytes.cast_unsigned() };
        usage.content_types.insert(column(&row, 0)?, amount);
    }
    Ok(usage)
}

/// Removes some expired items.
pub(super) async fn cleanup_step(engine: &Postgres, at: Moment, limit: usize) -> Result<Swept> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows =
        ask(&engine.lanes, at.deadline, &engine.statements.cleanup, &[&micros(at.now), &limit]).await?;
    swept(&rows, limit)
}

/// What the row of a cleanup says: how many were found, how many removed, and their bytes.
pub(super) fn swept(rows: &[Row], limit: i64) -> Result<Swept> {
    let Some(row) = rows.first() else { return Ok(Swept { report: CleanupReport::default(), more: false }) };
    let (found, removed) = (column::<i64>(row, 0)?, column::<i64>(row, 1)?);
    let report = CleanupReport::new(removed.cast_unsigned(), column::<i64>(row, 2)?.cast_unsigned());
    // Where others hold all that was found, they remove it too.
    Ok(Swept { report, more: found == limit && removed > 0 })
}

/// Reads every row back, in the order of the identities.
pub(super) async fn verify(engine: &Postgres) -> Result<VerifyReport> {
    let items = &engine.items;
    let statement: Arc<str> = format!(
        "SELECT {METADATA}, {PAYLOAD} FROM {items} AS stored
         WHERE (stored.content_type, stored.key) > ($1, $2)
         ORDER BY stored.content_type, stored.key LIMIT {VERIFIED_AT_ONCE}"
    )
    .into();
    let mut report = VerifyReport::default();
    let mut place = (String::new(), String::new());
    loop {
        let rows = ask(&engine.lanes, Instant::now() + PATIENCE, &statement, &[&place.0, &place.1]).await?;
        for row in &rows {
            match rows::item(row) {
                Ok(_) => report.intact += 1,
                Err(error) => report.damaged.push(damage(row, error.message())),
            }
        }
        let Some(last) = rows.last() else { return Ok(report) };
        let (content_type, key) = identity(last)?;
        place = (content_type.to_owned(), key.to_owned());
    }
}

fn damage(row: &Row, what: &str) -> Damaged {
    let key = identity(row).and_then(|(content_type, key)| ItemKey::new(content_type, key)).ok();
    Damaged::of_item(key, what)
}

/// Whether the server answers, and whether it takes writes.
pub(super) async fn health(lanes: &Lanes, at: Moment) -> Health {
    let question: Arc<str> = "SELECT current_setting('transaction_read_only') = 'on'".into();
    let asked = ask(lanes, at.deadline, &question, &[]).await;
    match asked.and_then(|rows| rows.first().map_or(Ok(false), |row| column::<bool>(row, 0))) {
        Ok(false) => Health::Healthy,
        Ok(true) => Health::Degraded("the server takes no writes: is it a standby?".to_owned()),
        Err(error) => Health::Unhealthy(error.to_string()),
    }
}
