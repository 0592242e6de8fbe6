//! One connection to the server, with its settings and its prepared statements.

use std::{
    collections::HashMap,
    fmt,
    pin::pin,
    str::FromStr as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use storage_core::{ErrorKind, Result, Secret, StorageError};
use tokio::{sync::oneshot, time::timeout};
use tokio_postgres::{
    Client, Config, NoTls, Row, Statement,
    config::SslMode,
    types::{ToSql, Type},
};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_util::task::TaskTracker;

use super::{
    error::{During, is_lost, is_of_old_statements, meaning},
    tls,
};
use crate::{
    config::{SqlConfig, TlsConfig},
    error::failure,
};

/// How long taking leave of a server may take.
pub(super) const LEAVE: Duration = Duration::from_secs(1);

/// How to make a connection.
pub(crate) struct Connector {
    config: Config,
    tls: Option<MakeRustlsConnect>,
    settings: String,
    patience: Duration,
    /// One task for each connection.
    tasks: TaskTracker,
}

/// The driver shows all but the password; here nothing of it is of use.
impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("tls", &self.tls.is_some()).finish_non_exhaustive()
    }
}

impl Connector {
    /// # Errors
    /// [`ErrorKind::Config`] if the driver does not understand the URL, or a certificate cannot be read.
    pub(crate) fn new(config: &SqlConfig, url: &Secret) -> Result<Self> {
        // The driver's own text might repeat a part of the URL, with the password in it.
        let mut driver = Config::from_str(url.expose()).map_err(|_| {
            failure(ErrorKind::Config, "url cannot be read, or has a setting that the driver does not know")
        })?;
        if driver.get_application_name().is_none() {
            driver.application_name("storage-sql");
        }
        if driver.get_tcp_user_timeout().is_none() {
            driver.tcp_user_timeout(config.operation_timeout);
        }
        driver.connect_timeout(config.connect_timeout);
        let tls = match (&config.tls, driver.get_ssl_mode()) {
            (Some(_), SslMode::Disable) => {
                return Err(failure(
                    ErrorKind::Config,
                    "tls is configured, and sslmode=disable in url forbids it",
                ));
            }
            (Some(tls), _) => Some(tls::connector(tls)?),
            (None, SslMode::Require) => Some(tls::connector(&TlsConfig::default())?),
            (None, _) => None,
        };
        driver.ssl_mode(if tls.is_some() { SslMode::Require } else { SslMode::Disable });
        Ok(Self {
            config: driver,
            tls,
            settings: settings(config),
            patience: config.connect_timeout,
            tasks: TaskTracker::new(),
        })
    }

    /// Connects, signs in and makes the settings.
    ///
    /// # Errors
    /// Those of [`meaning`].
    pub(crate) async fn connect(&self) -> Result<Session> {
        let connecting = timeout(self.patience, self.sign_in()).await;
        connecting.unwrap_or_else(|_| {
            Err(failure(ErrorKind::Unavailable, "no connection was made within connect_timeout"))
        })
    }

    async fn sign_in(&self) -> Result<Session> {
        let (given_up, owner) = oneshot::channel();
        let client = match &self.tls {
            Some(tls) => {
                let (client, connection) =
                    self.config.connect(tls.clone()).await.map_err(while_connecting)?;
                self.tasks.spawn(run(connection, owner));
                client
            }
            None => {
                let (client, connection) = self.config.connect(NoTls).await.map_err(while_connecting)?;
                self.tasks.spawn(run(connection, owner));
                client
            }
        };
        let session = Session {
            client,
            statements: Mutex::default(),
            lost: AtomicBool::new(false),
            busy: AtomicBool::new(false),
            _given_up: given_up,
        };
        session.client.batch_execute(&self.settings).await.map_err(while_connecting)?;
        Ok(session)
    }

    /// Waits until all connections have ended, whose sessions were dropped.
    pub(super) async fn ended(&self) {
        self.tasks.close();
        // What does not end by then hangs, and is dropped by its task.
        let _ = timeout(LEAVE * 2, self.tasks.wait()).await;
    }

    /// Asks the server to end what a session still does for a caller that is gone.
    pub(super) async fn cancel(&self, session: &Session) -> Result<(), tokio_postgres::Error> {
        let token = session.client.cancel_token();
        match &self.tls {
            Some(tls) => token.cancel_query(tls.clone()).await,
            None => token.cancel_query(NoTls).await,
        }
    }
}

fn while_connecting(error: tokio_postgres::Error) -> StorageError {
    meaning(error, During::Connect)
}

/// Serves a connection until its session is given up; then it takes leave of the server, if that listens.
async fn run(
    connection: impl Future<Output = Result<(), tokio_postgres::Error>>,
    owner: oneshot::Receiver<()>,
) {
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        _ = owner => timeout(LEAVE, connection).await.unwrap_or(Ok(())),
    };
    // Whoever waits for an answer on this connection is told as well.
    if let Err(error) = ended {
        tracing::debug!(error = %meaning(error, During::Read), "a connection to PostgreSQL ended");
    }
}

/// What every connection is told.
///
/// Every statement of this crate has one plan that is right for tables of every size, along an index. The planner would find
/// it too, but only where its statistics are young; these settings leave it no other, also in a table that was just filled.
/// Costs of what is disabled are astronomical, for which the just-in-time compiler would fall.
fn settings(config: &SqlConfig) -> String {
    let operation = config.operation_timeout.as_millis().max(1);
    let lock = config.lock_timeout.min(config.operation_timeout).as_millis().max(1);
    format!(
        "SET statement_timeout = {operation};
         SET lock_timeout = {lock};
         SET idle_in_transaction_session_timeout = {operation};
         SET default_transaction_isolation = 'read committed';
         SET TIME ZONE 'UTC';
         SET enable_seqscan = off;
         SET enable_sort = off;
         SET enable_hashjoin = off;
         SET enable_mergejoin = off;
         SET max_parallel_workers_per_gather = 0;
         SET jit = off;
         SELECT set_config('synchronous_commit', 'on', false)
             WHERE current_setting('synchronous_commit') = 'off';"
    )
}

/// One connection.
pub(crate) struct Session {
    pub(super) client: Client,
    statements: Mutex<HashMap<Arc<str>, Statement>>,
    /// Whether the server said that it ends the connection, or it was seen to be gone.
    lost: AtomicBool,
    /// Whether somebody waits for an answer, or waited and is gone.
    busy: AtomicBool,
    /// Tells the task of the connection when the session is dropped.
    _given_up: oneshot::Sender<()>,
}

impl Session {
    /// Whether the connection is open, as far as is known.
    pub(super) fn is_open(&self) -> bool {
        !self.client.is_closed() && !self.lost.load(Ordering::Acquire)
    }

    /// The rows that a statement answers. It is prepared at its first use.
    ///
    /// # Errors
    /// Those of the server and of the connection.
    pub(super) async fn query(
        &self,
        statement: &Arc<str>,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, tokio_postgres::Error> {
        let answer = match self.prepared(statement).await {
            Ok(statement) => self.client.query(&statement, parameters).await,
            Err(error) => Err(error),
        };
        self.noticed(answer)
    }

    /// The rows that a statement answers which is not worth preparing: its text is seldom the same.
    ///
    /// # Errors
    /// Those of the server and of the connection.
    pub(super) async fn query_once(
        &self,
        statement: &str,
        parameters: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Vec<Row>, tokio_postgres::Error> {
        self.noticed(self.client.query_typed(statement, parameters).await)
    }

    fn noticed<T>(&self, answer: Result<T, tokio_postgres::Error>) -> Result<T, tokio_postgres::Error> {
        if answer.as_ref().is_err_and(|error| is_lost(error) || is_of_old_statements(error)) {
            self.lost.store(true, Ordering::Release);
        }
        answer
    }

    /// The prepared form of a statement.
    ///
    /// # Errors
    /// Those of the server.
    async fn prepared(&self, text: &Arc<str>) -> Result<Statement, tokio_postgres::Error> {
        let known = self.statements.lock().get(text).cloned();
        if let Some(statement) = known {
            return Ok(statement);
        }
        let statement = self.client.prepare(text).await?;
        self.statements.lock().insert(Arc::clone(text), statement.clone());
        Ok(statement)
    }

    pub(super) fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Acquire)
    }

    pub(super) fn set_busy(&self, busy: bool) {
        self.busy.store(busy, Ordering::Release);
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("open", &self.is_open()).finish_non_exhaustive()
    }
}
