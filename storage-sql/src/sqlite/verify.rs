//! Reading everything back.

use rusqlite::{Connection, Transaction, TransactionBehavior};
use storage_core::{Damaged, ItemKey, Result, StorageError, VerifyReport};

use super::{error::sqlite_error, read::Head, schema, statements::Statements};

const WHAT: &str = "the store cannot be checked";
/// Most faults of the file itself that are named.
const MOST_FAULTS: u32 = 100;

/// Checks the file, every row with its payload and its tags, and that no tag is left without its item: all in one snapshot.
pub(super) fn verify(connection: &Connection, tables: &Statements) -> Result<VerifyReport> {
    let failed = |cause| sqlite_error(WHAT, cause);
    let snapshot = Transaction::new_unchecked(connection, TransactionBehavior::Deferred).map_err(failed)?;
    let mut report = VerifyReport::default();
    for fault in faults(&snapshot, MOST_FAULTS)? {
        report.damaged.push(Damaged::of_store(fault));
    }
    if let Err(error) = schema::mark(&snapshot, tables) {
        report.damaged.push(Damaged::of_store(error.message().to_owned()));
    }
    // What the file's own damage hides from here on is named above.
    if let Err(error) =
        items(&snapshot, tables, &mut report).and_then(|()| tags(&snapshot, tables, &mut report))
    {
        if error.kind() != storage_core::ErrorKind::Corrupted {
            return Err(error);
        }
        report.damaged.push(Damaged::of_store(error.message().to_owned()));
    }
    Ok(report)
}

/// What SQLite finds wrong with its file; `most` bounds how much it says.
pub(super) fn faults(connection: &Connection, most: u32) -> Result<Vec<String>> {
    let failed = |cause| sqlite_error(WHAT, cause);
    let mut query = connection.prepare(&format!("PRAGMA integrity_check({most})")).map_err(failed)?;
    let rows = query.query_map((), |row| row.get::<_, String>(0)).map_err(failed)?;
    let mut faults = Vec::new();
    for row in rows {
        match row {
            Ok(fine) if fine == "ok" => {}
            Ok(fault) => faults.push(fault),
            Err(cause) => {
                let error = sqlite_error(WHAT, cause);
                if error.kind() != storage_core::ErrorKind::Corrupted {
                    return Err(error);
                }
                faults.push(error.message().to_owned());
                break;
            }
        }
    }
    Ok(faults)
}

fn items(snapshot: &Connection, tables: &Statements, report: &mut VerifyReport) -> Result<()> {
    let failed = |cause| sqlite_error(WHAT, cause);
    let mut tagged = snapshot.prepare(&tables.has_tag).map_err(failed)?;
    let mut query = snapshot.prepare(&tables.every_item).map_err(failed)?;
    let mut rows = query.query(()).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        let item = Head::read(row).and_then(|head| head.with_data(row));
        let item = match item {
            Ok(item) => item,
            Err(error) => {
                report.damaged.push(damage(&error));
                continue;
            }
        };
        let key = item.metadata.item_key()?;
        let mut whole = true;
        for (name, value) in item.metadata.tags.iter() {
            whole &= tagged.exists((name, value, key.key(), key.content_type())).map_err(failed)?;
        }
        if whole {
            report.intact += 1;
        } else {
            report.damaged.push(Damaged::of_item(key, "a tag is missing in the index"));
        }
    }
    Ok(())
}

fn tags(snapshot: &Connection, tables: &Statements, report: &mut VerifyReport) -> Result<()> {
    let failed = |cause| sqlite_error(WHAT, cause);
    let mut query = snapshot.prepare(&tables.every_tag).map_err(failed)?;
    let mut rows = query.query(()).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        let text = |column| row.get::<_, String>(column).map_err(failed);
        let (key, content_type) = (text(1)?, text(2)?);
        let key = ItemKey::new(&content_type, &key).ok();
        report.damaged.push(Damaged::of_item(key, "a tag in the index has no item"));
    }
    Ok(())
}

fn damage(error: &StorageError) -> Damaged {
    let named = error.content_type().zip(error.key());
    let key = named.and_then(|(content_type, key)| ItemKey::new(content_type, key).ok());
    Damaged::of_item(key, error.message().to_owned())
}
