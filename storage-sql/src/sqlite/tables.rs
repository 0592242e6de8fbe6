//! What the writer's thread does with the tables of a store, whichever they are.

use std::{fmt::Debug, sync::Arc};

use rusqlite::{CachedStatement, Connection, Params, Transaction, TransactionBehavior};
use storage_core::{ErrorKind, Result, StorageError, Timestamp};

use super::error::{POISONED, is_failed_sync, sqlite_error};
use crate::{
    engine::{Swept, Write, Written},
    error::{copy, failure},
};

const WHAT: &str = "the write failed";

/// The tables of a store.
pub(super) trait Tables: Debug + Send + Sync + 'static {
    /// Begins a batch within a transaction.
    fn batch<'t>(&'t self, transaction: &'t Connection, now: Timestamp) -> Result<Box<dyn Batch + 't>>;

    /// Removes at most `limit` expired items.
    fn sweep(&self, transaction: &Connection, now: Timestamp, limit: usize) -> Result<Swept>;
}

/// A batch of writes within a transaction.
pub(super) trait Batch {
    fn write(&mut self, write: &Write) -> Result<Written, Refused>;

    /// What is left to be written once for the whole batch.
    fn finish(&mut self) -> Result<()>;
}

/// Why a write was not applied.
#[derive(Debug)]
pub(super) enum Refused {
    Unchanged(StorageError),
    /// Some of its rows may be changed: the transaction must go.
    Halfway(StorageError),
}

/// Why a transaction was not committed.
#[derive(Debug)]
pub(super) enum Failed {
    /// Nothing was changed.
    Nothing(StorageError),
    /// The disk did not say whether it has the change.
    Unknown(StorageError),
}

/// Applies the writes in one transaction. If one of them fails for a reason of its own, each is tried alone, so that the
/// others do not suffer for it. The last part says whether the disk failed.
pub(super) fn apply(
    connection: &mut Connection,
    tables: &dyn Tables,
    writes: &[Arc<Write>],
    now: Timestamp,
) -> (Vec<Result<Written>>, bool) {
    match in_one_transaction(connection, tables, writes, now) {
        Ok(answers) => (answers, false),
        Err(Failed::Nothing(error)) if writes.len() == 1 || concerns_all(&error) => {
            (all(writes, &error), false)
        }
        Err(Failed::Nothing(_)) => one_by_one(connection, tables, writes, now),
        Err(Failed::Unknown(error)) => (all(writes, &error), true),
    }
}

fn one_by_one(
    connection: &mut Connection,
    tables: &dyn Tables,
    writes: &[Arc<Write>],
    now: Timestamp,
) -> (Vec<Result<Written>>, bool) {
    let mut answers = Vec::with_capacity(writes.len());
    for write in writes {
        let (answer, disk_failed) = apply(connection, tables, std::slice::from_ref(write), now);
        answers.extend(answer);
        if disk_failed {
            let left = writes.get(answers.len()..).unwrap_or_default();
            answers.extend(all(left, &failure(ErrorKind::ReadOnly, POISONED)));
            return (answers, true);
        }
    }
    (answers, false)
}

/// Whether a failure is not that of one write: trying each alone would only take as many times as long.
fn concerns_all(error: &StorageError) -> bool {
    use ErrorKind::{Config, ReadOnly, Timeout, Unavailable};
    matches!(error.kind(), Unavailable | ReadOnly | Config | Timeout)
}

fn all(writes: &[Arc<Write>], error: &StorageError) -> Vec<Result<Written>> {
    writes.iter().map(|_| Err(copy(error))).collect()
}

fn in_one_transaction(
    connection: &mut Connection,
    tables: &dyn Tables,
    writes: &[Arc<Write>],
    now: Timestamp,
) -> Result<Vec<Result<Written>>, Failed> {
    let transaction = begin(connection)?;
    let mut batch = tables.batch(&transaction, now).map_err(Failed::Nothing)?;
    let mut answers = Vec::with_capacity(writes.len());
    for write in writes {
        match batch.write(write) {
            Ok(written) => answers.push(Ok(written)),
            // Refused before anything was changed: the answer of this write alone.
            Err(Refused::Unchanged(error)) => answers.push(Err(error)),
            Err(Refused::Halfway(error)) => return Err(Failed::Nothing(error)),
        }
    }
    batch.finish().map_err(Failed::Nothing)?;
    drop(batch);
    commit(transaction)?;
    Ok(answers)
}

/// Removes at most `limit` expired items.
pub(super) fn sweep(
    connection: &mut Connection,
    tables: &dyn Tables,
    now: Timestamp,
    limit: usize,
) -> Result<Swept, Failed> {
    let transaction = begin(connection)?;
    let swept = tables.sweep(&transaction, now, limit).map_err(Failed::Nothing)?;
    commit(transaction)?;
    Ok(swept)
}

/// Begins a transaction that writes, waiting for others that do.
fn begin(connection: &mut Connection) -> Result<Transaction<'_>, Failed> {
    let begun = connection.transaction_with_behavior(TransactionBehavior::Immediate);
    begun.map_err(|cause| Failed::Nothing(sqlite_error(WHAT, cause)))
}

fn commit(transaction: Transaction<'_>) -> Result<(), Failed> {
    transaction.commit().map_err(|cause| {
        if is_failed_sync(&cause) {
            let message = "the disk failed while the write was made durable";
            Failed::Unknown(failure(ErrorKind::OutcomeUnknown, message).with_source(cause))
        } else {
            Failed::Nothing(sqlite_error(WHAT, cause))
        }
    })
}

/// Runs a statement that answers no rows, and says how many it changed.
pub(super) fn run(connection: &Connection, sql: &str, parameters: impl Params) -> Result<usize> {
    let prepared = connection.prepare_cached(sql);
    let done = prepared.and_then(|mut statement: CachedStatement<'_>| statement.execute(parameters));
    done.map_err(|cause| sqlite_error(WHAT, cause))
}
