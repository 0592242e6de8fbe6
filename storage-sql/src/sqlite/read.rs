//! Reading items: from a row to an item, and the loads.

use rusqlite::{Connection, Row as SqliteRow, Transaction, TransactionBehavior};
use storage_core::{Bytes, ItemKey, Result, StorageItem, StorageMetadata, Tags, Timestamp};

use super::{error::sqlite_error, statements::Statements};
use crate::row::{self, Row, damaged};

const WHAT: &str = "the item cannot be read";

/// A row without its payload, checked.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) no: i64,
    pub(super) metadata: StorageMetadata,
    pub(super) checksum: i64,
}

impl Head {
    /// Reads the columns of [`HEAD`](super::statements::HEAD).
    ///
    /// # Errors
    /// [`Corrupted`](storage_core::ErrorKind::Corrupted) if they are not what was saved.
    pub(super) fn read(row: &SqliteRow<'_>) -> Result<Self> {
        let failed = |cause| sqlite_error(WHAT, cause);
        let text = |column| row.get_ref(column).and_then(|value| Ok(value.as_str()?)).map_err(failed);
        let integer = |column| row.get::<_, i64>(column).map_err(failed);
        let id = row.get_ref(2).and_then(|value| Ok(value.as_blob()?)).map_err(failed)?;
        let tags: Tags = serde_json::from_str(text(9)?).map_err(|_| damaged("its tags"))?;
        let stored = Row {
            content_type: text(0)?,
            key: text(1)?,
            id,
            created_at: integer(3)?,
            updated_at: integer(4)?,
            expires_at: row.get(5).map_err(failed)?,
            version: integer(6)?,
            encoding: text(7)?,
            size: integer(8)?,
            tags,
        };
        let (checksum, seal, no) = (integer(10)?, integer(11)?, integer(12)?);
        let metadata = stored.metadata()?;
        if row::row_checksum(checksum, &metadata) != seal {
            let error = damaged("its seal");
            return Err(match metadata.item_key() {
                Ok(key) => error.with_key(key),
                Err(_) => error,
            });
        }
        Ok(Self { no, metadata, checksum })
    }

    /// The item with the payload that stands in the column behind the head.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(super) fn with_data(self, row: &SqliteRow<'_>) -> Result<StorageItem> {
        let data = row.get_ref(13).and_then(|value| Ok(value.as_blob()?));
        let data = data.map_err(|cause| sqlite_error(WHAT, cause))?;
        row::item(self.metadata, Bytes::copy_from_slice(data), self.checksum)
    }
}

/// What a load finds.
#[derive(Debug)]
pub(super) enum Found {
    Nothing,
    Item(StorageItem),
    /// An item whose payload is larger than the caller wants to read here.
    Large,
}

/// Loads the live item under `key` if its payload has at most `most` bytes.
pub(super) fn load(
    connection: &Connection,
    statements: &Statements,
    key: ItemKey<'_>,
    now: Timestamp,
    most: u64,
) -> Result<Found> {
    loop {
        if let Some(found) = look(connection, statements, key, now, most)? {
            return Ok(found);
        }
        if is_missing(connection, statements, key)? {
            return Ok(Found::Nothing);
        }
        // Perhaps the item was saved between the two looks, and is found now.
        check_indexes(connection, statements, key)?;
    }
}

/// `None` if the index of the loads has no such item.
fn look(
    connection: &Connection,
    statements: &Statements,
    key: ItemKey<'_>,
    now: Timestamp,
    most: u64,
) -> Result<Option<Found>> {
    let failed = |cause| sqlite_error(WHAT, cause);
    let mut query = connection.prepare_cached(&statements.load).map_err(failed)?;
    let mut rows = query.query((key.content_type(), key.key())).map_err(failed)?;
    let Some(row) = rows.next().map_err(failed)? else { return Ok(None) };
    let head = Head::read(row)?;
    if head.metadata.item_key()? != key {
        return Err(damaged("its place in the index").with_key(key));
    }
    if !head.metadata.is_live(now) {
        return Ok(Some(Found::Nothing));
    }
    if head.metadata.size > most {
        return Ok(Some(Found::Large));
    }
    head.with_data(row).map(|item| Some(Found::Item(item)))
}

/// Whether another index has no such item either. A damaged page of one index would otherwise turn an item into a miss.
fn is_missing(connection: &Connection, statements: &Statements, key: ItemKey<'_>) -> Result<bool> {
    let found = connection
        .prepare_cached(&statements.look_again)
        .and_then(|mut query| query.exists((key.content_type(), key.key())));
    found.map(|found| !found).map_err(|cause| sqlite_error(WHAT, cause))
}

/// Compares the two indexes in one snapshot, in which they must agree.
fn check_indexes(connection: &Connection, statements: &Statements, key: ItemKey<'_>) -> Result<()> {
    let failed = |cause| sqlite_error(WHAT, cause);
    let snapshot = Transaction::new_unchecked(connection, TransactionBehavior::Deferred).map_err(failed)?;
    let found = snapshot
        .prepare_cached(&statements.head)
        .and_then(|mut query| query.exists((key.content_type(), key.key())))
        .map_err(failed)?;
    if !found && !is_missing(&snapshot, statements, key)? {
        return Err(damaged("an index").with_key(key));
    }
    Ok(())
}
