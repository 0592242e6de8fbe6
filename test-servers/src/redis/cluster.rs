//! A cluster of several masters, with replicas if asked for.

use super::{Server, ServerBuilder, eventually};
use crate::{Unavailable, ports::Port};

/// A cluster of child processes: the masters first, then their replicas.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Server>,
    masters: usize,
    bus_ports: Vec<Port>,
}

/// How many nodes a cluster has, and how they are configured.
#[derive(Debug, Clone)]
pub struct ClusterBuilder {
    masters: usize,
    replicas: usize,
    server: ServerBuilder,
}

const SLOTS: usize = 16_384;

impl Cluster {
    /// Starts three masters that share the slots.
    ///
    /// # Errors
    /// If `redis-server` is not installed.
    pub fn start() -> Result<Self, Unavailable> {
        Self::builder().start()
    }

    /// Says how to start a cluster: three masters without replicas, unless told otherwise.
    pub fn builder() -> ClusterBuilder {
        ClusterBuilder { masters: 3, replicas: 0, server: Server::builder() }
    }

    /// `redis+cluster://HOST:PORT,HOST:PORT,…/` of every node.
    pub fn url(&self) -> String {
        format!("redis+cluster://{}/", self.addresses().join(","))
    }

    /// `HOST:PORT` of every node.
    pub fn addresses(&self) -> Vec<String> {
        self.nodes.iter().map(Server::address).collect()
    }

    /// The nodes: those that began as masters first.
    pub fn nodes(&self) -> &[Server] {
        &self.nodes
    }

    /// The nodes, to be killed and restarted.
    pub fn nodes_mut(&mut self) -> &mut [Server] {
        &mut self.nodes
    }

    /// The name that the cluster has for a node.
    pub fn id_of(node: &Server) -> String {
        node.command(&["CLUSTER", "MYID"])
    }

    /// The slot of a key, as the cluster sees it.
    pub fn slot_of(&self, key: &str) -> u16 {
        self.nodes[0].command(&["CLUSTER", "KEYSLOT", key])
    }

    /// Moves a slot with its keys from one node to another, in steps of a few keys, as `redis-cli --cluster reshard` does.
    ///
    /// # Panics
    /// If a node refuses.
    pub fn migrate(&self, slot: u16, from: usize, to: usize) {
        let (source, target, slot) = (&self.nodes[from], &self.nodes[to], slot.to_string());
        let (source_id, target_id) = (Self::id_of(source), Self::id_of(target));
        let _ok: String = target.command(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &source_id]);
        let _ok: String = source.command(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &target_id]);
        while Self::migrate_some_keys(source, target, &slot) {}
        // The new owner hears of it first, so that the slot is never nobody's.
        for node in [target, source].into_iter().chain(self.nodes.iter().take(self.masters)) {
            let _ok: String = node.command(&["CLUSTER", "SETSLOT", &slot, "NODE", &target_id]);
        }
    }

    /// Moves two keys of a slot at a time, so that a slot is found half moved, and says whether there were any.
    fn migrate_some_keys(source: &Server, target: &Server, slot: &str) -> bool {
        let keys: Vec<String> = source.command(&["CLUSTER", "GETKEYSINSLOT", slot, "2"]);
        let port = target.port().to_string();
        let mut words = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "REPLACE", "KEYS"];
        words.extend(keys.iter().map(String::as_str));
        if !keys.is_empty() {
            let _ok: String = source.command(&words);
        }
        !keys.is_empty()
    }

    /// Waits until a node that began as a replica is a master, and returns its place.
    ///
    /// # Panics
    /// If that takes longer than a minute.
    pub fn wait_for_promotion(&self) -> usize {
        let promoted = || {
            let is_master = |node: &Server| node.replication().contains("role:master");
            (self.masters..self.nodes.len()).find(|place| is_master(&self.nodes[*place]))
        };
        eventually("a replica becomes a master", || promoted().is_some());
        promoted().unwrap_or_default()
    }

    /// Waits until every running node of `nodes` says that all slots are served.
    ///
    /// # Panics
    /// If that takes longer than a minute.
    pub fn wait_until_ok<'a>(nodes: impl IntoIterator<Item = &'a Server>) {
        for node in nodes {
            eventually(&format!("{} says that the cluster is ok", node.address()), || {
                info(node).is_some_and(|info| info.contains("cluster_state:ok"))
            });
        }
    }

    /// Makes one node of every group a master for its share of the slots.
    fn share_slots(&self) {
        for (index, node) in self.nodes.iter().take(self.masters).enumerate() {
            let first = SLOTS * index / self.masters;
            let last = SLOTS * (index + 1) / self.masters - 1;
            let range = [first.to_string(), last.to_string()];
            let _ok: String = node.command(&["CLUSTER", "ADDSLOTSRANGE", &range[0], &range[1]]);
            let epoch = (index + 1).to_string();
            let _ok: String = node.command(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch]);
        }
    }

    fn introduce(&self) {
        let Some((first, others)) = self.nodes.split_first() else { return };
        let port = first.port().to_string();
        let bus = self.bus_ports.first().map(|bus| bus.number().to_string()).unwrap_or_default();
        for node in others {
            let _ok: String = node.command(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]);
        }
        let all = format!("cluster_known_nodes:{}\r", self.nodes.len());
        for node in &self.nodes {
            eventually("every node knows all others", || info(node).is_some_and(|info| info.contains(&all)));
        }
    }

    fn appoint_replicas(&self) {
        let (masters, replicas) = self.nodes.split_at(self.masters);
        for (replica, master) in replicas.iter().zip(masters.iter().cycle()) {
            let id = Self::id_of(master);
            eventually("a replica knows its master", || {
                replica.try_command(&["CLUSTER", "REPLICATE", &id]).is_ok()
            });
        }
        for (place, master) in masters.iter().enumerate() {
            master.wait_for_replicas(replicas.iter().skip(place).step_by(self.masters).count());
        }
    }
}

impl ClusterBuilder {
    /// How many masters share the slots.
    #[must_use]
    pub const fn masters(mut self, masters: usize) -> Self {
        self.masters = masters;
        self
    }

    /// How many replicas there are for each master.
    #[must_use]
    pub const fn replicas(mut self, replicas: usize) -> Self {
        self.replicas = replicas;
        self
    }

    /// Adds a line to the configuration of every node.
    #[must_use]
    pub fn line(mut self, line: &str) -> Self {
        self.server = self.server.line(line);
        self
    }

    /// Runs another program than `redis-server`.
    #[must_use]
    pub fn program(mut self, program: &str) -> Self {
        self.server = self.server.program(program);
        self
    }

    /// Starts the nodes and waits until all slots are served.
    ///
    /// # Errors
    /// If the program is not installed.
    pub fn start(self) -> Result<Cluster, Unavailable> {
        let mut cluster = Cluster { nodes: Vec::new(), masters: self.masters, bus_ports: Vec::new() };
        for _ in 0..self.masters * (1 + self.replicas) {
            let bus = Port::reserve();
            let server = self
                .server
                .clone()
                .line("cluster-enabled yes")
                .line("cluster-node-timeout 2000")
                .line("repl-diskless-sync-delay 0");
            cluster.nodes.push(server.line(format!("cluster-port {}", bus.number())).start()?);
            cluster.bus_ports.push(bus);
        }
        cluster.share_slots();
        cluster.introduce();
        cluster.appoint_replicas();
        Cluster::wait_until_ok(&cluster.nodes);
        Ok(cluster)
    }
}

fn info(node: &Server) -> Option<String> {
    redis::from_redis_value(node.try_command(&["CLUSTER", "INFO"]).ok()?).ok()
}
