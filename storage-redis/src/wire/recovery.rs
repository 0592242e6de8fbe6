//! What becomes of a call that was not answered with a value.

use std::{sync::Arc, time::Duration};

use redis::Value;
use storage_core::{ErrorKind, Result, StorageError};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, sleep_until, timeout_at},
};

use super::{
    Wire,
    address::Address,
    entry::{Answer, Reason, Setback, Trip},
    late,
    routes::Node,
    slots::Slot,
};
use crate::error::{failure, server_error};

/// Most connections that may break under one call.
const MOST_BREAKS: u32 = 3;
/// Most times that one call is sent on to another node.
const MOST_REDIRECTIONS: u32 = 16;
/// Most times that a replica is taken for a master.
const MOST_REPLICAS: u32 = 3;
const SHORTEST_WAIT: Duration = Duration::from_millis(10);
const LONGEST_WAIT: Duration = Duration::from_millis(200);
/// A write that is sent this shortly before its deadline may miss its answer, which would make an outcome that is known, as
/// nothing was applied, an unknown one.
const TIME_FOR_AN_ANSWER: Duration = Duration::from_millis(50);

/// A call that met with a setback, and what it went through.
pub(super) struct Recovery<'a> {
    wire: &'a Wire,
    setback: Box<Setback>,
    node: Option<Arc<Node>>,
    breaks: u32,
    redirections: u32,
    replicas: u32,
    /// Held while it brings the source of a script to a node.
    lesson: Option<OwnedSemaphorePermit>,
    /// Whether it waited for another to do so.
    has_waited: bool,
    wait: Duration,
}

/// Where to send the call next.
enum Next {
    /// Where its slot is now.
    Slot,
    /// To this node, which is told that it is asked.
    Ask(Arc<Node>),
}

impl<'a> Recovery<'a> {
    pub(super) fn new(wire: &'a Wire, setback: Box<Setback>, node: Option<Arc<Node>>) -> Self {
        Self {
            wire,
            setback,
            node,
            breaks: 0,
            redirections: 0,
            replicas: 0,
            lesson: None,
            has_waited: false,
            wait: SHORTEST_WAIT,
        }
    }

    /// Sends the call again as long as that is right and its deadline allows.
    pub(super) async fn run(mut self) -> Result<Value> {
        loop {
            let next = self.next().await?;
            let Setback { mut trip, .. } = *self.setback;
            let (slot, access) = (trip.call.slot(), trip.call.access());
            trip.asking = matches!(next, Next::Ask(_));
            self.node = match next {
                Next::Ask(node) => Some(node),
                Next::Slot => self.wire.shared.servers.routes().node(slot).cloned(),
            };
            let answer = match self.node.as_ref().and_then(|node| node.link(slot)) {
                Some(link) => link.send(trip).await,
                None => Some(no_node(trip)),
            };
            match answer.ok_or_else(|| self.wire.cut_off(access))? {
                Ok(value) => return Ok(value),
                Err(setback) => self.setback = setback,
            }
        }
    }

    async fn next(&mut self) -> Result<Next> {
        if self.setback.is_outcome_unknown() {
            return Err(self.outcome_unknown());
        }
        match std::mem::replace(&mut self.setback.reason, Reason::Late { sent: false }) {
            Reason::Late { .. } => Err(late("the server did not answer before the deadline")),
            Reason::Broken { sent, cause } => self.after_break(sent, cause).await,
            Reason::Refused(text) => self.after_refusal(&text).await,
        }
    }

    fn outcome_unknown(&mut self) -> StorageError {
        let error = failure(ErrorKind::OutcomeUnknown, "the write was sent, and its answer is lost");
        match std::mem::replace(&mut self.setback.reason, Reason::Late { sent: true }) {
            Reason::Broken { cause, .. } => error.with_source(cause),
            _ => error,
        }
    }

    /// A connection that broke is replaced; one that cannot be made is given up, unless the servers have changed.
    async fn after_break(&mut self, sent: bool, cause: StorageError) -> Result<Next> {
        self.breaks += 1;
        if cause.kind() != ErrorKind::Unavailable || self.breaks >= MOST_BREAKS {
            return Err(cause);
        }
        self.wire.shared.servers.look_again(self.deadline()).await;
        if sent || self.has_moved() { Ok(Next::Slot) } else { Err(cause) }
    }

    fn has_moved(&self) -> bool {
        let routes = self.wire.shared.servers.routes();
        let now = routes.node(self.slot()).map(|node| &node.address);
        now != self.node.as_ref().map(|node| &node.address)
    }

    async fn after_refusal(&mut self, text: &str) -> Result<Next> {
        match text.split(' ').next().unwrap_or_default() {
            "NOSCRIPT" => self.after_unknown_script(text).await,
            "MOVED" => self.redirection(text).map(|(slot, address)| {
                self.wire.shared.servers.move_slot(slot, &address);
                Next::Slot
            }),
            "ASK" => self
                .redirection(text)
                .map(|(_, address)| Next::Ask(self.wire.shared.servers.node_at(&address))),
            "TRYAGAIN" | "CLUSTERDOWN" => self.after_a_while(text).await,
            "READONLY" => self.after_replica(text).await,
            _ => Err(server_error(text)),
        }
    }

    /// One of the calls that need a script brings its source; the others wait until it did, and are sent as they were.
    async fn after_unknown_script(&mut self, text: &str) -> Result<Next> {
        if let Some(node) = self.node.as_ref().filter(|_| !self.has_waited) {
            match Arc::clone(&node.teaching).try_acquire_owned() {
                Ok(lesson) => self.lesson = Some(lesson),
                Err(_) => {
                    self.has_waited = true;
                    // A deadline that passes meanwhile is noticed when the call is sent.
                    drop(timeout_at(self.deadline(), node.teaching.acquire()).await);
                    return Ok(self.same_node());
                }
            }
        }
        if self.setback.trip.call.carry_source() { Ok(self.same_node()) } else { Err(server_error(text)) }
    }

    /// A node that was asked for a slot it does not have yet is asked again in the same way.
    fn same_node(&self) -> Next {
        match &self.node {
            Some(node) if self.setback.trip.asking => Next::Ask(Arc::clone(node)),
            _ => Next::Slot,
        }
    }

    /// Reads `MOVED slot host:port` or `ASK slot host:port`.
    fn redirection(&mut self, text: &str) -> Result<(Slot, Address)> {
        self.redirections += 1;
        if self.redirections > MOST_REDIRECTIONS {
            return Err(server_error(text));
        }
        let mut words = text.split(' ').skip(1);
        let slot = words.next().and_then(|slot| Slot::from_number(slot.parse().ok()?));
        let asked = self.node.as_ref().map(|node| &node.address);
        let address = words.next().zip(asked).and_then(|(text, asked)| Address::announced(text, asked));
        slot.zip(address).ok_or_else(|| server_error(text))
    }

    async fn after_replica(&mut self, text: &str) -> Result<Next> {
        self.replicas += 1;
        if self.replicas >= MOST_REPLICAS {
            return Err(server_error(text));
        }
        self.wire.shared.servers.look_again(self.deadline()).await;
        Ok(Next::Slot)
    }

    /// The cluster is busy with itself: once more after a short wait, until the deadline.
    async fn after_a_while(&mut self, text: &str) -> Result<Next> {
        let until = Instant::now() + self.wait;
        if until + TIME_FOR_AN_ANSWER >= self.deadline() {
            return Err(server_error(text));
        }
        self.wait = (self.wait * 2).min(LONGEST_WAIT);
        self.wire.shared.servers.want_look();
        sleep_until(until).await;
        Ok(Next::Slot)
    }

    fn deadline(&self) -> Instant {
        self.setback.trip.deadline
    }

    fn slot(&self) -> Slot {
        self.setback.trip.call.slot()
    }
}

/// No node is known for the slot: the same as when a node of the cluster says so.
pub(super) fn no_node(trip: Trip) -> Answer {
    let reason = Reason::Refused("CLUSTERDOWN no node is known for the slot".to_owned());
    Err(Box::new(Setback { trip, reason }))
}
