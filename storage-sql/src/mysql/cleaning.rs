//! Removing expired items beside writers: rows that somebody works on are left for the next time.

use mysql_async::Value;
use storage_core::{CleanupReport, Timestamp};

use super::{
    Mysql,
    changes::Changes,
    error::Fault,
    pool::Lent,
    row::{Columns, Stored},
};
use crate::row::micros;

/// Removes at most `limit` expired items, with their tags, and remembers their versions.
pub(super) async fn sweep(
    engine: &Mysql,
    connection: &mut Lent,
    now: Timestamp,
    limit: usize,
) -> Result<CleanupReport, Fault> {
    let values = vec![Value::Int(micros(now)), Value::UInt(limit as u64)];
    let mut changes = Changes::default();
    let mut report = CleanupReport::default();
    for row in connection.rows(&engine.statements.expired, values).await? {
        let stored = Stored::take(&mut Columns::new(row))?;
        let (content_type, key) = stored.identity();
        changes.delete(content_type, key, Some(&stored), stored.tags().ok());
        report += CleanupReport::new(1, u64::try_from(stored.size).unwrap_or(0));
    }
    changes.make(engine, connection).await?;
    Ok(report)
}
