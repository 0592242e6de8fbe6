//! What a store of either schema does within a transaction; when and how often it is tried is the same for both.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use mysql_async::{Row, Value};
use storage_core::{CleanupReport, ErrorKind, Result, StorageError, Timestamp};
use tokio::time::{Instant, sleep, timeout_at};

use super::{
    error::{Advice, Fault},
    pool::{Lent, Pool},
};
use crate::{
    engine::{Moment, Swept, Write, Written},
    error::{copy, failure},
};

/// How often something is tried that others are in the way of.
const MOST_COLLISIONS: u32 = 20;
/// How often something is tried whose connection is lost before anything was committed.
const MOST_LOSSES: u32 = 3;

/// The tables of a store.
#[async_trait]
pub(super) trait Tables: Sync {
    fn pool(&self) -> &Pool;

    /// Makes the changes of a batch within a transaction: the answers, and whether there is anything to commit.
    async fn change(
        &self,
        connection: &mut Lent,
        writes: &[Arc<Write>],
        now: Timestamp,
    ) -> Result<(Vec<Result<Written>>, bool), Fault>;

    /// Removes at most `limit` expired items within a transaction.
    async fn sweep(
        &self,
        connection: &mut Lent,
        now: Timestamp,
        limit: usize,
    ) -> Result<CleanupReport, Fault>;
}

/// Applies a batch. What one item alone is refused for is found by applying the writes one by one.
pub(super) async fn apply<T: Tables>(tables: &T, writes: &[Arc<Write>], at: Moment) -> Vec<Result<Written>> {
    match attempts(tables, writes, at).await {
        Ok(answers) => answers,
        Err(fault) if fault.advice == Advice::GiveUp && writes.len() > 1 && is_about_one(&fault.error) => {
            let mut answers = Vec::with_capacity(writes.len());
            for write in writes {
                let alone = attempts(tables, std::slice::from_ref(write), at).await;
                answers.push(match alone {
                    Ok(answer) => answer.into_iter().next().unwrap_or_else(|| Err(copy(&fault.error))),
                    Err(fault) => Err(fault.error),
                });
            }
            answers
        }
        Err(fault) => writes.iter().map(|_| Err(copy(&fault.error))).collect(),
    }
}

/// Whether a failure can be that of one write, so that the others may succeed without it.
fn is_about_one(error: &StorageError) -> bool {
    matches!(error.kind(), ErrorKind::Invalid | ErrorKind::Corrupted | ErrorKind::Internal)
}

/// Removes at most `limit` expired items.
pub(super) async fn cleanup_step<T: Tables>(tables: &T, at: Moment, limit: usize) -> Result<Swept> {
    let mut tries = Tries::default();
    loop {
        match sweep(tables, at, limit).await {
            Ok(report) => return Ok(Swept { report, more: report.expired == limit as u64 }),
            Err(fault) => tries.again(fault, tables.pool()).await?,
        }
    }
}

async fn sweep<T: Tables>(tables: &T, at: Moment, limit: usize) -> Result<CleanupReport, Fault> {
    let mut connection = tables.pool().lend(at.deadline).await?;
    connection.begin().await?;
    let report = tables.sweep(&mut connection, at.now, limit).await?;
    connection.commit().await?;
    Ok(report)
}

/// How often something was tried.
#[derive(Debug, Default)]
struct Tries {
    collisions: u32,
    losses: u32,
}

impl Tries {
    /// Waits until it is time to try again.
    ///
    /// # Errors
    /// The fault, if trying again is of no use or was done often enough.
    async fn again(&mut self, fault: Fault, pool: &Pool) -> Result<(), Fault> {
        match fault.advice {
            Advice::Again if self.collisions < MOST_COLLISIONS => {
                self.collisions += 1;
                sleep(Duration::from_millis(fastrand::u64(0..=1 << self.collisions.min(6)))).await;
                Ok(())
            }
            Advice::Reconnect if self.losses < MOST_LOSSES => {
                self.losses += 1;
                pool.forget_idle();
                Ok(())
            }
            _ => Err(fault),
        }
    }
}

/// Tries a batch until it is applied, refused, or too late. Nothing is committed twice: only what was not committed is tried
/// again.
async fn attempts<T: Tables>(
    tables: &T,
    writes: &[Arc<Write>],
    at: Moment,
) -> Result<Vec<Result<Written>>, Fault> {
    let committing = AtomicBool::new(false);
    let attempts = async {
        let mut tries = Tries::default();
        loop {
            match attempt(tables, writes, at, &committing).await {
                Ok(answers) => return Ok(answers),
                Err(fault) => tries.again(fault, tables.pool()).await?,
            }
        }
    };
    match timeout_at(at.deadline, attempts).await {
        Ok(answers) => answers,
        Err(_) if committing.load(Ordering::Relaxed) => Err(unknown().into()),
        Err(_) => {
            let message = "the deadline passed before the commit; nothing was changed";
            Err(failure(ErrorKind::Timeout, message).into())
        }
    }
}

async fn attempt<T: Tables>(
    tables: &T,
    writes: &[Arc<Write>],
    at: Moment,
    committing: &AtomicBool,
) -> Result<Vec<Result<Written>>, Fault> {
    let mut connection = tables.pool().lend(at.deadline).await?;
    connection.begin().await?;
    match tables.change(&mut connection, writes, at.now).await {
        Ok((answers, false)) => {
            connection.roll_back().await?;
            Ok(answers)
        }
        Ok((answers, true)) => {
            committing.store(true, Ordering::Relaxed);
            let committed = commit(&mut connection).await;
            committing.store(false, Ordering::Relaxed);
            committed.map(|()| answers)
        }
        Err(fault) => {
            if fault.advice != Advice::Reconnect {
                connection.roll_back().await?;
            }
            Err(fault)
        }
    }
}

/// Only an answer says what became of a commit; a deadlock among the nodes of a cluster is one, and nothing is left of it.
async fn commit(connection: &mut Lent) -> Result<(), Fault> {
    match connection.commit().await {
        Err(fault) if fault.advice != Advice::Again => {
            Err(Fault::new(unknown().with_source(fault.error), Advice::GiveUp))
        }
        answer => answer,
    }
}

fn unknown() -> StorageError {
    failure(
        ErrorKind::OutcomeUnknown,
        "the connection was lost, or the deadline passed, while the server committed",
    )
}

impl Pool {
    /// Reads on a connection, and once more on another one where that is lost: reading changes nothing.
    pub(super) async fn reading<T, F: Future<Output = Result<T, Fault>>>(
        &self,
        deadline: Instant,
        read: impl Fn(Lent) -> F,
    ) -> Result<T> {
        let mut tries = Tries::default();
        loop {
            let connection = self.lend(deadline).await?;
            match read(connection).await {
                Ok(answer) => return Ok(answer),
                Err(fault) => tries.again(fault, self).await?,
            }
        }
    }

    /// The rows that one statement answers.
    pub(super) async fn rows(
        &self,
        deadline: Instant,
        statement: &str,
        values: impl Fn() -> Vec<Value>,
    ) -> Result<Vec<Row>> {
        self.reading(deadline, |mut connection: Lent| {
            let values = values();
            async move { connection.rows(statement, values).await }
        })
        .await
    }
}
