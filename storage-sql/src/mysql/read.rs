//! Reading items by their keys, what a store holds, and reading everything back.

use std::collections::HashMap;

use mysql_async::{Row, Value};
use storage_core::{
    Amount, Damaged, ErrorKind, ItemKey, Result, StorageItem, Timestamp, Usage, VerifyReport,
};
use tokio::time::Instant;

use super::{
    Mysql,
    error::Fault,
    pool::Lent,
    row::{Columns, item},
    statements::{sizes, text},
};
use crate::{
    engine::Moment,
    error::{copy, failure},
    row::micros,
};

impl Mysql {
    pub(super) async fn load_item(&self, key: ItemKey<'_>, at: Moment) -> Result<Option<StorageItem>> {
        let values = || vec![text(key.key()), text(key.content_type())];
        let rows = self.pool.rows(at.deadline, &self.statements.load, values).await?;
        let found = rows.into_iter().next().map(item).transpose()?;
        Ok(found.filter(|item| item.metadata.is_live(at.now)))
    }

    pub(super) async fn load_items(
        &self,
        keys: &[ItemKey<'_>],
        at: Moment,
    ) -> Vec<Result<Option<StorageItem>>> {
        let read = |mut connection: Lent| async move { self.found(&mut connection, keys).await };
        match self.pool.reading(at.deadline, read).await {
            Ok(found) => keys.iter().map(|key| answer(&found, *key, at.now)).collect(),
            Err(error) => keys.iter().map(|_| Err(copy(&error))).collect(),
        }
    }

    /// What is stored under the keys; an item that cannot be read back is a failure of its own.
    pub(super) async fn found(&self, connection: &mut Lent, keys: &[ItemKey<'_>]) -> Result<Found, Fault> {
        let mut found = Found::new();
        let mut rest = keys;
        for size in sizes(keys.len()) {
            let (some, others) = rest.split_at_checked(size).unwrap_or((rest, &[]));
            rest = others;
            let values = some.iter().flat_map(|key| [text(key.key()), text(key.content_type())]).collect();
            for row in connection.rows(&self.statements.load_many(size), values).await? {
                let (content_type, key) = identity(&row)?;
                found.insert((content_type, key), item(row));
            }
        }
        Ok(found)
    }

    pub(super) async fn usage_now(&self, at: Moment) -> Result<Usage> {
        let values = || vec![Value::Int(micros(at.now))];
        let mut usage = Usage::default();
        for row in self.pool.rows(at.deadline, &self.statements.usage, values).await? {
            let mut columns = Columns::new(row);
            let content_type = columns.text()?;
            let (items, bytes) = (columns.integer()?.cast_unsigned(), columns.integer()?.cast_unsigned());
            usage.content_types.insert(content_type, Amount { items, bytes });
        }
        Ok(usage)
    }

    /// Reads every row, live or not, in the order of the keys.
    pub(super) async fn verify_all(&self) -> Result<VerifyReport> {
        let mut report = VerifyReport::default();
        let mut behind: Option<(Vec<u8>, Vec<u8>)> = None;
        loop {
            let (statement, values) = self.statements.next_rows(behind.as_ref());
            let deadline = Instant::now() + self.operation_timeout;
            let rows = self.pool.rows(deadline, &statement, || values.clone()).await?;
            let Some(last) = rows.last() else { break };
            behind = Some(raw_identity(last)?);
            for row in rows {
                let names = identity(&row);
                match item(row) {
                    Ok(_) => report.intact += 1,
                    Err(error) => report.damaged.push(damage(names, error.message())),
                }
            }
        }
        for orphan in self.orphans().await? {
            report.damaged.push(orphan);
        }
        Ok(report)
    }

    /// Tags whose items do not exist.
    async fn orphans(&self) -> Result<Vec<Damaged>> {
        let statement = self.statements.orphans();
        let deadline = Instant::now() + self.operation_timeout;
        let rows = self.pool.rows(deadline, &statement, Vec::new).await?;
        rows.into_iter()
            .map(|row| {
                let mut columns = Columns::new(row);
                let names = columns.text().and_then(|content_type| Ok((content_type, columns.text()?)));
                Ok(damage(names, "tags without an item"))
            })
            .collect()
    }
}

fn damage(names: Result<(String, String)>, what: &str) -> Damaged {
    let Ok((content_type, key)) = names else { return Damaged::of_store(what.to_owned()) };
    Damaged::of_item(ItemKey::new(&content_type, &key).ok(), what.to_owned())
}

/// What is stored, by content type and key.
pub(super) type Found = HashMap<(String, String), Result<StorageItem>>;

fn answer(found: &Found, key: ItemKey<'_>, now: Timestamp) -> Result<Option<StorageItem>> {
    match found.get(&(key.content_type().to_owned(), key.key().to_owned())) {
        Some(Ok(item)) => Ok(Some(item.clone()).filter(|item| item.metadata.is_live(now))),
        Some(Err(error)) => Err(copy(error)),
        None => Ok(None),
    }
}

/// Content type and key, which are the first columns of an item.
fn identity(row: &Row) -> Result<(String, String)> {
    let (key, content_type) = raw_identity(row)?;
    let text = |bytes| String::from_utf8(bytes).map_err(|_| crate::row::damaged("its content type or key"));
    Ok((text(content_type)?, text(key)?))
}

fn raw_identity(row: &Row) -> Result<(Vec<u8>, Vec<u8>)> {
    match (row.as_ref(0), row.as_ref(1)) {
        (Some(Value::Bytes(content_type)), Some(Value::Bytes(key))) => {
            Ok((key.clone(), content_type.clone()))
        }
        _ => Err(failure(ErrorKind::Internal, "the server answered other columns than it was asked for")),
    }
}
