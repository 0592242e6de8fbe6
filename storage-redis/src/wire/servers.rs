//! Finds the servers, and finds them again when they change.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use futures_util::future::select_ok;
use redis::Value;
use storage_core::{ErrorKind, Result, StorageError};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep, timeout, timeout_at},
};

use super::{
    address::Address,
    connection::Login,
    link::Manner,
    routes::{Node, Routes},
    slots::Slot,
};
use crate::{
    config::{Mode, RedisConfig},
    error::failure,
};

/// Shortest time between two looks at the servers: many calls fail at the same moment.
const PAUSE: Duration = Duration::from_millis(50);
/// How often sentinels are asked without a reason. They replace a master that they cannot reach, or are told to replace, and
/// demote it only seconds later: until then it takes writes that will be lost, and nothing tells its clients.
const REGULARLY: Duration = Duration::from_secs(1);
/// Servers that are asked at the same time, so that one that hangs does not hold up the others.
const ASKED_AT_ONCE: usize = 3;

/// Where calls go, kept up to date.
pub(super) struct Servers {
    mode: Mode,
    service: String,
    /// The nodes of the configuration: the way back when all others are gone.
    seeds: Vec<Address>,
    /// How sentinels or members of a cluster are asked about the others.
    inquiry: Login,
    manner: Arc<Manner>,
    routes: ArcSwap<Routes>,
    wanted: Notify,
    /// Counts the looks that are finished.
    looks: watch::Sender<u64>,
}

impl Servers {
    pub(super) fn new(config: &RedisConfig, inquiry: Login, manner: Arc<Manner>) -> Result<Self> {
        let port = if config.mode == Mode::Sentinel { 26_379 } else { 6_379 };
        let seeds = config.nodes.iter().map(|node| Address::parse(node, port)).collect::<Result<Vec<_>>>()?;
        Ok(Self {
            mode: config.mode,
            service: config.sentinel.service.clone(),
            seeds,
            inquiry,
            manner,
            routes: ArcSwap::default(),
            wanted: Notify::new(),
            looks: watch::Sender::new(0),
        })
    }

    /// Where calls go now.
    pub(super) fn routes(&self) -> arc_swap::Guard<Arc<Routes>> {
        self.routes.load()
    }

    /// Looks for the servers and takes the routes to what it finds.
    pub(super) async fn look(&self) -> Result<()> {
        let found = match self.mode {
            Mode::Single => Ok(self.single()),
            Mode::Sentinel => self.master_of_service().await,
            Mode::Cluster => self.slots_of_cluster().await,
        };
        if let Ok(Some(routes)) = &found {
            self.routes.store(Arc::new(routes.clone()));
        }
        self.looks.send_modify(|looks| *looks += 1);
        found.map(drop)
    }

    /// Looks whenever there is a reason to, until it is dropped.
    pub(super) async fn keep_looking(self: Arc<Self>) {
        loop {
            self.reason_to_look().await;
            // A look that fails leaves the routes as they were; the calls that need better ones report it.
            if let Err(error) = self.look().await {
                tracing::debug!(%error, "the servers could not be looked up");
            }
            sleep(PAUSE).await;
        }
    }

    async fn reason_to_look(&self) {
        let wanted = self.wanted.notified();
        match self.mode {
            Mode::Sentinel => drop(timeout(REGULARLY, wanted).await),
            Mode::Single | Mode::Cluster => wanted.await,
        }
    }

    /// Asks for a look soon, without waiting.
    pub(super) fn want_look(&self) {
        self.wanted.notify_one();
    }

    /// Waits for the end of a look, at most until `deadline`.
    pub(super) async fn look_again(&self, deadline: Instant) {
        if self.mode == Mode::Single {
            return;
        }
        let mut looks = self.looks.subscribe();
        self.want_look();
        drop(timeout_at(deadline, looks.changed()).await);
    }

    /// Sends the calls for `slot` to `address` from now on. What else moved is found by a look.
    pub(super) fn move_slot(&self, slot: Slot, address: &Address) {
        self.routes.rcu(|routes| routes.with_moved(slot, address, &self.manner));
        self.want_look();
    }

    /// The node at `address`, even one that serves no slot yet.
    pub(super) fn node_at(&self, address: &Address) -> Arc<Node> {
        if let Some(node) = self.routes().node_at(address) {
            return Arc::clone(node);
        }
        let node = Node::new(address.clone(), &self.manner);
        self.routes.rcu(|routes| routes.with_node(&node));
        node
    }

    /// Ends all connections.
    pub(super) fn forget(&self) {
        self.routes.store(Arc::default());
    }

    fn single(&self) -> Option<Routes> {
        if !self.routes().nodes().is_empty() {
            return None;
        }
        self.seeds.first().map(|address| Routes::to_one(Node::new(address.clone(), &self.manner)))
    }

    async fn master_of_service(&self) -> Result<Option<Routes>> {
        let words: [&[u8]; 3] = [b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", self.service.as_bytes()];
        let read = |value: &Value, asked: &Address| self.master(value, asked);
        let master = self.first_answer(&self.seeds, &words, &read).await?;
        Ok(Some(Routes::to_one(self.node_at(&master))))
    }

    fn master(&self, value: &Value, asked: &Address) -> Result<Address> {
        let Value::Array(parts) = value else {
            let message = format!("the sentinels know no service {:?}", self.service);
            return Err(failure(ErrorKind::Config, message));
        };
        let [Value::BulkString(host), Value::BulkString(port)] = parts.as_slice() else { return Err(odd()) };
        let text = format!("{}:{}", String::from_utf8_lossy(host), String::from_utf8_lossy(port));
        Address::announced(&text, asked).ok_or_else(odd)
    }

    async fn slots_of_cluster(&self) -> Result<Option<Routes>> {
        let known = self.routes.load_full();
        let mut candidates: Vec<_> = known.nodes().iter().map(|node| node.address.clone()).collect();
        candidates.extend(self.seeds.iter().filter(|seed| known.node_at(seed).is_none()).cloned());
        let ranges = self.first_answer(&candidates, &[b"CLUSTER", b"SLOTS"], &ranges).await?;
        Ok(Some(Routes::of_cluster(&ranges, &known, &self.manner)))
    }

    /// The answer of the first of `candidates` that gives one which can be read; else why the last gave none.
    async fn first_answer<T>(
        &self,
        candidates: &[Address],
        words: &[&[u8]],
        read: &impl Fn(&Value, &Address) -> Result<T>,
    ) -> Result<T> {
        let mut failed = failure(ErrorKind::Config, "nodes is empty");
        for some in candidates.chunks(ASKED_AT_ONCE) {
            let asked = some
                .iter()
                .map(|address| Box::pin(async move { read(&self.ask(address, words).await?, address) }));
            match select_ok(asked).await {
                Ok((answer, _)) => return Ok(answer),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    async fn ask(&self, address: &Address, words: &[&[u8]]) -> Result<Value> {
        let mut connection = self.inquiry.connect(address).await?;
        match timeout(self.inquiry.timeout, connection.ask(words)).await {
            Ok(value) => value,
            Err(_) => Err(failure(ErrorKind::Unavailable, format!("{address} did not answer in time"))),
        }
    }
}

/// What `CLUSTER SLOTS` answers: first slot, last slot and master of each range.
fn ranges(value: &Value, asked: &Address) -> Result<Vec<(u16, u16, Address)>> {
    let Value::Array(parts) = value else { return Err(odd()) };
    let ranges: Vec<_> =
        parts.iter().map(|part| range(part, asked)).collect::<Option<_>>().ok_or_else(odd)?;
    if ranges.is_empty() {
        return Err(failure(ErrorKind::Unavailable, format!("{asked} knows no node that serves a slot")));
    }
    Ok(ranges)
}

fn range(value: &Value, asked: &Address) -> Option<(u16, u16, Address)> {
    let Value::Array(parts) = value else { return None };
    let [Value::Int(first), Value::Int(last), Value::Array(master), ..] = parts.as_slice() else {
        return None;
    };
    let [host, Value::Int(port), ..] = master.as_slice() else { return None };
    let slot = |number: i64| Slot::from_number(u16::try_from(number).ok()?).map(Slot::number);
    // A node that does not know its own address, or keeps it to itself, means itself.
    let host = match host {
        Value::BulkString(host) if host == b"?" => asked.host.clone(),
        Value::BulkString(host) if !host.is_empty() => String::from_utf8(host.clone()).ok()?,
        Value::BulkString(_) | Value::Nil => asked.host.clone(),
        _ => return None,
    };
    Some((slot(*first)?, slot(*last)?, Address { host, port: u16::try_from(*port).ok()? }))
}

fn odd() -> StorageError {
    failure(ErrorKind::Unavailable, "the servers describe themselves in a way that is not understood")
}
