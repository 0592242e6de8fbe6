//! Connections: how they are made, lent and given up.

use std::{fmt, time::Duration};

use deadpool::managed::{self, Metrics, Object, RecycleError, RecycleResult};
use mysql_async::{Conn, Opts, Params, Row, Value, prelude::Queryable as _};
use storage_core::{ErrorKind, Result, StorageError};
use tokio::time::{Instant, timeout, timeout_at};

use super::error::{Advice, Fault};
use crate::error::failure;

/// Makes connections and looks whether they can be used again.
pub(super) struct Connector {
    opts: Opts,
    patience: Duration,
    session: Session,
}

/// What every connection is told first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Session {
    /// Longest wait for a lock.
    pub(super) lock_timeout: Duration,
    /// Longest time of one statement.
    pub(super) statement_timeout: Duration,
}

impl Session {
    /// Statements are strict, so that nothing is cut or changed silently, and see what others have committed.
    async fn prepare(self, connection: &mut Conn) -> mysql_async::Result<()> {
        let locks = self.lock_timeout.as_secs().max(1);
        let limit = if is_mariadb(connection) {
            format!("max_statement_time = {}", self.statement_timeout.as_secs_f64())
        } else {
            format!("max_execution_time = {}", self.statement_timeout.as_millis())
        };
        connection
            .query_drop(format!(
                "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,ERROR_FOR_DIVISION_BY_ZERO', \
                 SESSION autocommit = 1, SESSION time_zone = '+00:00', \
                 SESSION innodb_lock_wait_timeout = {locks}, SESSION lock_wait_timeout = {locks}, SESSION {limit}"
            ))
            .await?;
        connection.query_drop("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED").await
    }
}

/// MariaDB counts on from 10, where MySQL has not come to yet.
fn is_mariadb(connection: &Conn) -> bool {
    connection.server_version().0 >= 10
}

impl Connector {
    pub(super) const fn new(opts: Opts, patience: Duration, session: Session) -> Self {
        Self { opts, patience, session }
    }

    async fn connect(&self) -> Result<Conn> {
        let connect = async {
            let mut connection = Conn::new(self.opts.clone()).await?;
            self.session.prepare(&mut connection).await?;
            Ok::<_, mysql_async::Error>(connection)
        };
        match timeout(self.patience, connect).await {
            Ok(connection) => connection.map_err(|cause| Fault::from(cause).error),
            Err(_) => {
                Err(failure(ErrorKind::Unavailable, "the server cannot be reached: it does not answer"))
            }
        }
    }
}

/// The options hold the password.
impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("session", &self.session).finish_non_exhaustive()
    }
}

impl managed::Manager for Connector {
    type Type = Conn;
    type Error = StorageError;

    async fn create(&self) -> Result<Conn> {
        self.connect().await
    }

    async fn recycle(&self, connection: &mut Conn, _: &Metrics) -> RecycleResult<StorageError> {
        if connection.is_disconnected() {
            return Err(RecycleError::message("disconnected"));
        }
        Ok(())
    }
}

/// The connections of a store.
#[derive(Debug, Clone)]
pub(super) struct Pool {
    pool: managed::Pool<Connector>,
}

impl Pool {
    pub(super) fn new(connector: Connector, size: u16) -> Result<Self> {
        let pool = managed::Pool::builder(connector).max_size(usize::from(size)).build();
        let pool = pool.map_err(|error| failure(ErrorKind::Internal, error.to_string()))?;
        Ok(Self { pool })
    }

    /// Lends a connection.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] if none is free until the deadline, and why none could be made.
    pub(super) async fn lend(&self, deadline: Instant) -> Result<Lent, Fault> {
        match timeout_at(deadline, self.pool.get()).await {
            Ok(Ok(connection)) => Ok(Lent { connection: Some(connection), whole: true }),
            Ok(Err(managed::PoolError::Backend(error))) => Err(error.into()),
            Ok(Err(managed::PoolError::Closed)) => Err(crate::error::closed().into()),
            Ok(Err(error)) => Err(failure(ErrorKind::Internal, error.to_string()).into()),
            Err(_) => {
                let message =
                    "all connections of the pool are in use, and none became free before the deadline";
                Err(failure(ErrorKind::Unavailable, message).into())
            }
        }
    }

    /// Gives up all connections that nobody uses: where one was lost, the others most likely are too.
    pub(super) fn forget_idle(&self) {
        let _dropped = self.pool.retain(|_, _| false);
    }

    /// Ends all connections in order.
    pub(super) async fn close(&self) {
        for connection in self.pool.retain(|_, _| false).removed {
            // Whoever is gone already need not be told.
            let _gone = timeout(Duration::from_secs(1), connection.disconnect()).await;
        }
        self.pool.close();
    }
}

/// A connection on loan. Unless it is whole when it is given back, it is closed, and the server undoes what was begun on it.
#[derive(Debug)]
pub(super) struct Lent {
    connection: Option<Object<Connector>>,
    /// Neither a statement nor a transaction is under way.
    whole: bool,
}

impl Lent {
    /// Runs a prepared statement and answers its rows. Each connection prepares a text once.
    pub(super) async fn rows(&mut self, statement: &str, values: Vec<Value>) -> Result<Vec<Row>, Fault> {
        let connection = self.connection.as_mut().ok_or_else(gone)?;
        let was_whole = std::mem::replace(&mut self.whole, false);
        let parameters = if values.is_empty() { Params::Empty } else { Params::Positional(values) };
        let answer = connection.exec(statement, parameters).await;
        self.settle(answer, was_whole)
    }

    /// Runs a prepared statement that has no rows to answer; how many rows it changed.
    pub(super) async fn run(&mut self, statement: &str, values: Vec<Value>) -> Result<u64, Fault> {
        self.rows(statement, values).await?;
        Ok(self.connection.as_ref().map_or(0, |connection| connection.affected_rows()))
    }

    /// Runs statements that need no values and need not be prepared.
    pub(super) async fn command(&mut self, statement: &str) -> Result<(), Fault> {
        let connection = self.connection.as_mut().ok_or_else(gone)?;
        let was_whole = std::mem::replace(&mut self.whole, false);
        let answer = connection.query_drop(statement).await;
        self.settle(answer, was_whole)
    }

    /// A statement that the server has refused leaves the connection as it was.
    fn settle<T>(&mut self, answer: mysql_async::Result<T>, was_whole: bool) -> Result<T, Fault> {
        let answer = answer.map_err(Fault::from);
        self.whole = was_whole && answer.as_ref().err().is_none_or(|fault| fault.advice != Advice::Reconnect);
        answer
    }

    pub(super) async fn begin(&mut self) -> Result<(), Fault> {
        self.command("START TRANSACTION").await?;
        self.whole = false;
        Ok(())
    }

    /// Ends the transaction, with all that was done in it.
    pub(super) async fn commit(&mut self) -> Result<(), Fault> {
        self.command("COMMIT").await?;
        self.whole = true;
        Ok(())
    }

    /// Ends the transaction, and undoes what was done in it.
    pub(super) async fn roll_back(&mut self) -> Result<(), Fault> {
        self.command("ROLLBACK").await?;
        self.whole = true;
        Ok(())
    }

    pub(super) fn is_mariadb(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| is_mariadb(connection))
    }

    pub(super) fn version(&self) -> (u16, u16, u16) {
        self.connection.as_ref().map_or((0, 0, 0), |connection| connection.server_version())
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if !self.whole
            && let Some(connection) = self.connection.take()
        {
            drop(Object::take(connection));
        }
    }
}

fn gone() -> Fault {
    Fault::new(failure(ErrorKind::Internal, "the connection was given back already"), Advice::GiveUp)
}
