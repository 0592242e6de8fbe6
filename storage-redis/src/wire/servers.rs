//! Finds the servers, and finds them again when they change.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use futures_util::{StreamExt, future::select_ok, stream::FuturesUnordered};
use redis::Value;
use storage_core::{ErrorKind, Result, StorageError};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep, timeout, timeout_at},
};

use super::{
    address::Address,
    connection::{Connection, Login},
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

/// How long the others that were asked may take once one has answered: the newest of several views is right.
const GRACE: Duration = Duration::from_millis(50);

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
    /// The epoch of the newest view of the cluster so far.
    epoch: AtomicU64,
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
            epoch: AtomicU64::new(0),
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
        let master = self.named_master().await?;
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
        let view = self.newest_view(&candidates).await?;
        self.epoch.store(view.epoch, Ordering::Release);
        Ok(Some(Routes::of_cluster(&view.ranges, &known, &self.manner)))
    }

    /// A view of the cluster that is not older than the one before.
    ///
    /// A master that was replaced while it was down knows nothing of that when it is back, and serves its slots from what it
    /// has, which may be nothing, until another member tells it. An older view than before counts only if every member has
    /// one: then the cluster was made anew.
    async fn newest_view(&self, candidates: &[Address]) -> Result<View> {
        let known = self.epoch.load(Ordering::Acquire);
        let mut newest: Option<View> = None;
        let mut failed = None;
        for some in candidates.chunks(ASKED_AT_ONCE) {
            let mut asked: FuturesUnordered<_> = some.iter().map(|address| self.view_of(address)).collect();
            let mut until = Instant::now() + self.inquiry.timeout * 3;
            while let Ok(Some(answer)) = timeout_at(until, asked.next()).await {
                match answer {
                    Ok(view) => {
                        if view.epoch >= known {
                            until = until.min(Instant::now() + GRACE);
                        }
                        if newest.as_ref().is_none_or(|newest| newest.epoch < view.epoch) {
                            newest = Some(view);
                        }
                    }
                    Err(error) => failed = Some(error),
                }
            }
            if !asked.is_empty() && failed.is_none() {
                failed = Some(failure(ErrorKind::Unavailable, "a member of the cluster does not answer"));
            }
            if let Some(view) = newest.take_if(|view| view.epoch >= known) {
                return Ok(view);
            }
        }
        match (newest, failed) {
            (Some(view), None) => Ok(view),
            (None, None) => Err(failure(ErrorKind::Config, "nodes is empty")),
            (_, Some(error)) => Err(error),
        }
    }

    async fn view_of(&self, address: &Address) -> Result<View> {
        let mut connection = self.inquiry.connect(address).await?;
        let info = self.ask(&mut connection, address, &[b"CLUSTER", b"INFO"]).await;
        let epoch = match info {
            Ok(info) => epoch(&info),
            // Not every user may ask this; then every view counts as new.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => u64::MAX,
            Err(error) => return Err(error),
        };
        let slots = self.ask(&mut connection, address, &[b"CLUSTER", b"SLOTS"]).await?;
        Ok(View { epoch, ranges: ranges(&slots, address)? })
    }

    /// The master that the first sentinel names which can be asked; else why the last cannot.
    async fn named_master(&self) -> Result<Address> {
        let mut failed = failure(ErrorKind::Config, "nodes is empty");
        for some in self.seeds.chunks(ASKED_AT_ONCE) {
            match select_ok(some.iter().map(|sentinel| Box::pin(self.master_of(sentinel)))).await {
                Ok((master, _)) => return Ok(master),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    async fn master_of(&self, sentinel: &Address) -> Result<Address> {
        let words: [&[u8]; 3] = [b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", self.service.as_bytes()];
        let mut connection = self.inquiry.connect(sentinel).await?;
        self.master(&self.ask(&mut connection, sentinel, &words).await?, sentinel)
    }

    async fn ask(&self, connection: &mut Connection, address: &Address, words: &[&[u8]]) -> Result<Value> {
        match timeout(self.inquiry.timeout, connection.ask(words)).await {
            Ok(value) => value,
            Err(_) => Err(failure(ErrorKind::Unavailable, format!("{address} did not answer in time"))),
        }
    }
}

/// What a member says of its cluster.
struct View {
    /// Grows with every change of masters that the member has heard of.
    epoch: u64,
    ranges: Vec<(u16, u16, Address)>,
}

/// The epoch in what `CLUSTER INFO` answers.
fn epoch(info: &Value) -> u64 {
    let Value::BulkString(info) = info else { return 0 };
    let text = String::from_utf8_lossy(info);
    let epoch = text.lines().find_map(|line| line.strip_prefix("cluster_current_epoch:"));
    epoch.and_then(|epoch| epoch.trim().parse().ok()).unwrap_or(0)
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
