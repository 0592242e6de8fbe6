//! The way to the servers: calls go in, values or errors with their meaning come out.
//!
//! Every call knows whether its bytes were handed to the network. What was not sent, or changes nothing, is sent again
//! as long as its deadline allows; a change whose answer is lost is `OutcomeUnknown` and never sent twice.

mod address;
mod call;
mod connection;
mod entry;
mod link;
mod recovery;
mod resp;
mod routes;
mod servers;
mod session;
mod slots;
#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc};

use futures_util::future::join_all;
use redis::Value;
use storage_core::{ErrorKind, Result, StorageError};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinHandle,
    time::{Instant, timeout, timeout_at},
};

pub(crate) use self::{
    call::{Access, Call, Script},
    slots::{SLOTS, Slot},
};
use self::{
    connection::{Login, Role},
    entry::Trip,
    link::Manner,
    recovery::Recovery,
    servers::Servers,
};
use crate::{
    config::{Mode, RedisConfig},
    error::failure,
    tls,
};

/// The servers, in whatever mode. Cheap to clone; the connections end with the last clone.
#[derive(Clone)]
pub(crate) struct Wire {
    shared: Arc<Shared>,
}

struct Shared {
    servers: Arc<Servers>,
    /// One for each call under way. Closed with the wire.
    permits: Arc<Semaphore>,
    most: u32,
    patience: std::time::Duration,
    looking: JoinHandle<()>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.looking.abort();
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").finish_non_exhaustive()
    }
}

impl Wire {
    /// Connects to the servers that `config` names, and asks one whether it answers.
    ///
    /// # Errors
    /// `Config` if the settings and the servers do not fit, `Unauthenticated` or `PermissionDenied` if the servers do not
    /// let us in, `Unavailable` if none answers within the deadline of an operation.
    pub(crate) async fn connect(config: &RedisConfig) -> Result<Self> {
        let config = &config.resolved()?;
        let (manner, inquiry) = manners(config)?;
        let servers = Arc::new(Servers::new(config, inquiry, Arc::new(manner))?);
        let looking = tokio::spawn(Arc::clone(&servers).keep_looking());
        let shared = Shared {
            servers,
            permits: Arc::new(Semaphore::new(config.max_in_flight as usize)),
            most: config.max_in_flight,
            patience: config.operation_timeout,
            looking,
        };
        let wire = Self { shared: Arc::new(shared) };
        let deadline = Instant::now() + config.operation_timeout;
        wire.first_look(config, deadline).await?;
        examine(&wire, config.mode, deadline).await?;
        Ok(wire)
    }

    async fn first_look(&self, config: &RedisConfig, deadline: Instant) -> Result<()> {
        match timeout_at(deadline, self.shared.servers.look()).await {
            Ok(result) => result,
            Err(_) => Err(late(format!("none of {} nodes answered in time", config.nodes.len()))),
        }
    }

    /// The value that the server answers.
    ///
    /// # Errors
    /// `Timeout` if the deadline passed and nothing was applied, `Unavailable` if the server cannot be reached or cannot
    /// answer now, `OutcomeUnknown` if a write was sent and its answer is lost, `Closed` after [`close`](Self::close), and
    /// the meaning of the error that the server answered.
    pub(crate) async fn call(&self, call: Call, deadline: Instant) -> Result<Value> {
        let permit = self.permit(deadline).await?;
        let access = call.access();
        let slot = call.slot();
        let trip = Trip { call, deadline, asking: false, permit };
        let node = self.shared.servers.routes().node(slot).cloned();
        let answer = match node.as_ref().and_then(|node| node.link(slot)) {
            Some(link) => link.send(trip).await,
            None => Some(recovery::no_node(trip)),
        };
        match answer {
            Some(Ok(value)) => Ok(value),
            Some(Err(setback)) => Box::pin(Recovery::new(self, setback, node).run()).await,
            None => Err(self.cut_off(access)),
        }
    }

    /// The answers of all calls, in their order. Calls for one node travel together, and nodes work at the same time.
    /// Calls for one slot are carried out in their order, unless the slot is moving to another node.
    pub(crate) async fn call_all(&self, calls: Vec<Call>, deadline: Instant) -> Vec<Result<Value>> {
        join_all(calls.into_iter().map(|call| self.call(call, deadline))).await
    }

    /// The address of the node that calls for `slot` go to; empty if none is known.
    pub(crate) fn node_of(&self, slot: Slot) -> String {
        let routes = self.shared.servers.routes();
        routes.node(slot).map(|node| node.address.to_string()).unwrap_or_default()
    }

    /// Refuses further calls, waits for those under way, and ends the connections. Closing again does nothing.
    pub(crate) async fn close(&self) {
        // Those under way end by themselves: no call outlives its deadline.
        drop(timeout(self.shared.patience, self.shared.permits.acquire_many(self.shared.most)).await);
        self.shared.permits.close();
        self.shared.looking.abort();
        self.shared.servers.forget();
    }

    async fn permit(&self, deadline: Instant) -> Result<OwnedSemaphorePermit> {
        if let Ok(permit) = Arc::clone(&self.shared.permits).try_acquire_owned() {
            return Ok(permit);
        }
        match timeout_at(deadline, Arc::clone(&self.shared.permits).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) => Err(closed()),
            Err(_) => Err(failure(ErrorKind::Unavailable, "too many calls are under way")),
        }
    }

    /// What a call says whose link was closed before it was answered.
    fn cut_off(&self, access: Access) -> StorageError {
        match access {
            Access::Read => closed(),
            Access::Write => {
                failure(ErrorKind::OutcomeUnknown, "the connection was closed before the answer came")
            }
        }
    }
}

fn manners(config: &RedisConfig) -> Result<(Manner, Login)> {
    let login = Login {
        username: config.username.clone(),
        password: config.password.clone(),
        database: config.database,
        tls: config.tls.as_ref().map(tls::connector).transpose()?,
        role: if config.mode == Mode::Sentinel { Role::Master } else { Role::Any },
        timeout: config.connect_timeout,
    };
    let inquiry = match config.mode {
        Mode::Sentinel => Login {
            username: config.sentinel.username.clone(),
            password: config.sentinel.password.clone(),
            database: 0,
            role: Role::Any,
            ..login.clone()
        },
        _ => login.clone(),
    };
    let manner = Manner {
        login,
        reconnect: config.reconnect,
        response_timeout: config.response_timeout,
        connections: config.connections,
    };
    Ok((manner, inquiry))
}

/// Asks a server for its state, which shows that it answers and is of the right kind.
async fn examine(wire: &Wire, mode: Mode, deadline: Instant) -> Result<()> {
    let text = match wire.call(Call::read(Slot::of(b""), "INFO"), deadline).await {
        Ok(Value::BulkString(text)) => text,
        Ok(_) => return Ok(()),
        // Not every user may ask this; that the server answered is enough.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => return Ok(()),
        Err(error) => return Err(error),
    };
    let text = String::from_utf8_lossy(&text);
    let fact = |name| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    check_kind(mode, fact("redis_mode"))?;
    if let Some(policy) = fact("maxmemory_policy").filter(|policy| *policy != "noeviction") {
        tracing::warn!(policy, "the server may evict items and parts of indexes when its memory is full");
    }
    Ok(())
}

fn check_kind(mode: Mode, kind: Option<&str>) -> Result<()> {
    let message = match (mode, kind) {
        (Mode::Single | Mode::Sentinel, Some("cluster")) => {
            "the server is part of a cluster: use mode cluster"
        }
        (Mode::Single, Some("sentinel")) => "the server is a sentinel: use mode sentinel",
        _ => return Ok(()),
    };
    Err(failure(ErrorKind::Config, message))
}

fn closed() -> StorageError {
    failure(ErrorKind::Closed, "the provider is closed")
}

fn late(message: impl Into<std::borrow::Cow<'static, str>>) -> StorageError {
    failure(ErrorKind::Timeout, message)
}
