//! Removing expired items beside writers: rows that somebody works on are left for the next time.

use std::time::Duration;

use mysql_async::Value;
use storage_core::{CleanupReport, Result};
use tokio::time::sleep;

use super::{
    Mysql,
    changes::Changes,
    error::{Advice, Fault},
    row::{Columns, Stored},
};
use crate::{
    engine::{Moment, Swept},
    row::micros,
};

/// How often a step is tried that others are in the way of, or whose connection is lost.
const MOST_TRIES: u32 = 10;

/// Removes at most `limit` expired items.
pub(super) async fn step(engine: &Mysql, at: Moment, limit: usize) -> Result<Swept> {
    let mut tries = 0;
    loop {
        match attempt(engine, at, limit).await {
            Err(fault) if fault.advice != Advice::GiveUp && tries < MOST_TRIES => {
                tries += 1;
                if fault.advice == Advice::Reconnect {
                    engine.pool.forget_idle();
                }
                sleep(Duration::from_millis(fastrand::u64(0..=1 << tries.min(6)))).await;
            }
            answer => return answer.map_err(Into::into),
        }
    }
}

async fn attempt(engine: &Mysql, at: Moment, limit: usize) -> Result<Swept, Fault> {
    let mut connection = engine.pool.lend(at.deadline).await?;
    connection.begin().await?;
    let values = vec![Value::Int(micros(at.now)), Value::UInt(limit as u64)];
    let rows = connection.rows(&engine.statements.expired, values).await?;
    let found = rows.len();
    let mut changes = Changes::default();
    let mut report = CleanupReport::default();
    for row in rows {
        let stored = Stored::take(&mut Columns::new(row))?;
        let (content_type, key) = stored.identity();
        changes.delete(content_type, key, Some(&stored), stored.tags().ok());
        report += CleanupReport::new(1, u64::try_from(stored.size).unwrap_or(0));
    }
    changes.make(engine, &mut connection).await?;
    connection.commit().await?;
    Ok(Swept { report, more: found == limit })
}
