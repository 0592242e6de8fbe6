//! The connections: a few that all loads share, and a pool of which every other call has one to itself.
//!
//! Loads are short and travel one behind the other on a connection without waiting for each other's answers, which serves
//! them several times as fast as handing connections round. Whatever may take long, or waits for locks, goes apart, so that
//! no load stands behind it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use deadpool::managed::{Manager, Metrics, Object, Pool, PoolError, RecycleError, RecycleResult, Timeouts};
use parking_lot::RwLock;
use storage_core::{ErrorKind, Result, StorageError};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout, timeout_at},
};

use super::session::{Connector, Session};
use crate::error::{closed, failure, too_late};

/// Of the connections of a provider, every so many-th is shared by loads.
const SHARE: usize = 4;
/// How long a connection may take to finish what its last caller did not wait for.
const SETTLING: Duration = Duration::from_millis(25);
/// How long it may take to tell the server that nobody waits any more.
const CANCELLING: Duration = Duration::from_millis(500);

/// All connections of a provider.
#[derive(Debug)]
pub(crate) struct Lanes {
    shared: Vec<Slot>,
    next: AtomicUsize,
    pool: Pool<Sessions>,
    connector: Arc<Connector>,
}

impl Lanes {
    /// At most `size` connections, made when they are needed.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] if the pool cannot be made.
    pub(crate) fn new(connector: Connector, size: usize) -> Result<Self> {
        let connector = Arc::new(connector);
        let shared = if size > 1 { size.div_ceil(SHARE) } else { 0 };
        let pool = Pool::builder(Sessions { connector: Arc::clone(&connector) })
            .max_size(size - shared)
            .runtime(deadpool::Runtime::Tokio1)
            .build()
            .map_err(|error| failure(ErrorKind::Internal, "the pool cannot be made").with_source(error))?;
        let shared = (0..shared).map(|_| Slot::default()).collect();
        Ok(Self { shared, next: AtomicUsize::new(0), pool, connector })
    }

    /// How many calls can have a connection of their own at once.
    pub(crate) fn exclusive(&self) -> usize {
        self.pool.status().max_size
    }

    /// A connection that others use at the same time, or one of its own where none is shared.
    ///
    /// # Errors
    /// Those of connecting, and [`ErrorKind::Timeout`].
    pub(crate) async fn shared(&self, deadline: Instant) -> Result<Lane> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        match self.shared.get(turn % self.shared.len().max(1)) {
            Some(slot) => slot.session(&self.connector, deadline).await.map(Lane::Shared),
            None => self.own(deadline).await.map(|own| Lane::Own(Box::new(own))),
        }
    }

    /// A connection that nobody else uses until it is given back.
    ///
    /// # Errors
    /// Those of connecting, and [`ErrorKind::Unavailable`] if none is free until the deadline.
    pub(crate) async fn own(&self, deadline: Instant) -> Result<Own> {
        let timeouts = Timeouts {
            wait: Some(deadline.saturating_duration_since(Instant::now())),
            ..Timeouts::default()
        };
        let session = timeout_at(deadline, self.pool.timeout_get(&timeouts)).await;
        session.map_err(|_| exhausted())?.map(Own).map_err(|error| match error {
            PoolError::Timeout(_) => exhausted(),
            PoolError::Backend(error) => error,
            PoolError::Closed => closed(),
            other => failure(ErrorKind::Internal, "the pool failed").with_source(other),
        })
    }

    /// Runs a call that changes nothing on a connection of its own, and again if that had ended while nobody looked.
    ///
    /// # Errors
    /// Those of [`own`](Self::own) and of the call.
    pub(crate) async fn read<T, F: Future<Output = Result<T>>>(
        &self,
        deadline: Instant,
        call: impl Fn(Arc<Own>) -> F,
    ) -> Result<T> {
        let mut left = self.exclusive();
        loop {
            let own = Arc::new(self.own(deadline).await?);
            match call(Arc::clone(&own)).await {
                Err(error) if left > 0 && is_worth_another(&error, &own) => left -= 1,
                answer => return answer,
            }
        }
    }

    /// How many connections loads share.
    pub(crate) fn shared_by_loads(&self) -> usize {
        self.shared.len()
    }

    /// Ends all connections, and waits until they have ended.
    pub(crate) async fn close(&self) {
        self.pool.close();
        for slot in &self.shared {
            *slot.current.write() = None;
        }
        self.connector.ended().await;
    }
}

fn is_worth_another(error: &StorageError, own: &Own) -> bool {
    error.kind() == ErrorKind::Unavailable && !own.session().is_open()
}

fn exhausted() -> StorageError {
    failure(ErrorKind::Unavailable, "all connections were in use until the deadline")
}

/// A connection to send statements on.
#[derive(Debug)]
pub(crate) enum Lane {
    Shared(Shared),
    Own(Box<Own>),
}

impl Lane {
    pub(crate) fn session(&self) -> &Session {
        match self {
            Self::Shared(shared) => &shared.session,
            Self::Own(own) => own.session(),
        }
    }
}

/// A connection that others use at the same time.
#[derive(Debug)]
pub(crate) struct Shared {
    session: Arc<Session>,
    current: Arc<RwLock<Option<Arc<Session>>>>,
    deadline: Instant,
}

impl Drop for Shared {
    /// Who waited here until the deadline keeps the next ones from waiting here too: they connect anew.
    fn drop(&mut self) {
        if Instant::now() >= self.deadline || !self.session.is_open() {
            let mut current = self.current.write();
            if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, &self.session)) {
                *current = None;
            }
        }
    }
}

/// The place of a shared connection.
#[derive(Debug, Default)]
struct Slot {
    current: Arc<RwLock<Option<Arc<Session>>>>,
    connecting: Mutex<()>,
}

impl Slot {
    async fn session(&self, connector: &Connector, deadline: Instant) -> Result<Shared> {
        if let Some(session) = self.open() {
            return Ok(self.lend(session, deadline));
        }
        let session = timeout_at(deadline, self.connect(connector)).await;
        let session = session.map_err(|_| too_late("no connection was made before the deadline"))??;
        Ok(self.lend(session, deadline))
    }

    /// One of those who wait connects, and the others use what it made.
    async fn connect(&self, connector: &Connector) -> Result<Arc<Session>> {
        let _turn = self.connecting.lock().await;
        if let Some(session) = self.open() {
            return Ok(session);
        }
        let session = Arc::new(connector.connect().await?);
        *self.current.write() = Some(Arc::clone(&session));
        Ok(session)
    }

    fn open(&self) -> Option<Arc<Session>> {
        self.current.read().clone().filter(|session| session.is_open())
    }

    fn lend(&self, session: Arc<Session>, deadline: Instant) -> Shared {
        Shared { session, current: Arc::clone(&self.current), deadline }
    }
}

/// A connection that nobody else uses.
#[derive(Debug)]
pub(crate) struct Own(Object<Sessions>);

impl Own {
    pub(crate) fn session(&self) -> &Session {
        &self.0
    }

    /// Runs a call on the connection. Whoever gets it after a caller that did not wait for the end knows of that.
    pub(crate) async fn run<T>(&self, call: impl Future<Output = T>) -> T {
        self.0.set_busy(true);
        let answer = call.await;
        self.0.set_busy(false);
        answer
    }
}

/// Makes the connections of the pool.
#[derive(Debug)]
struct Sessions {
    connector: Arc<Connector>,
}

impl Manager for Sessions {
    type Type = Session;
    type Error = StorageError;

    async fn create(&self) -> Result<Session> {
        self.connector.connect().await
    }

    /// A connection whose last caller went away in the middle is used again if it soon comes to the end of that, and else
    /// given up: the server is asked to stop, and nobody can tell which statement that meets.
    async fn recycle(&self, session: &mut Session, _: &Metrics) -> RecycleResult<StorageError> {
        if !session.is_open() {
            return Err(RecycleError::message("the connection was closed"));
        }
        if !session.is_busy() {
            return Ok(());
        }
        if timeout(SETTLING, session.client.simple_query("")).await.is_ok_and(|settled| settled.is_ok()) {
            session.set_busy(false);
            return Ok(());
        }
        // What the server does not hear of, it ends at its own deadline.
        let _ = timeout(CANCELLING, self.connector.cancel(session)).await;
        Err(RecycleError::message("the connection is still busy"))
    }
}
