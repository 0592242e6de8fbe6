//! A master, its replicas, and the sentinels that watch them.

use super::{Server, ServerBuilder, eventually};
use crate::Unavailable;

/// A master with replicas, watched by three sentinels that replace it about a second after it is gone.
#[derive(Debug)]
pub struct Sentinels {
    servers: Vec<Server>,
    sentinels: Vec<Server>,
}

/// How many replicas there are, and how the servers are configured.
#[derive(Debug, Clone)]
pub struct SentinelsBuilder {
    replicas: usize,
    server: ServerBuilder,
    sentinel: ServerBuilder,
    secrets: Vec<String>,
}

const SENTINELS: usize = 3;

impl Sentinels {
    /// The name that the sentinels have for the master.
    pub const SERVICE: &str = "main";

    /// Starts a master with two replicas.
    ///
    /// # Errors
    /// If `redis-server` is not installed.
    pub fn start() -> Result<Self, Unavailable> {
        Self::builder().start()
    }

    /// Says how to start them: two replicas, unless told otherwise.
    pub fn builder() -> SentinelsBuilder {
        // A replica that has not heard of its master for long still is better than none.
        let server = Server::builder().line("repl-diskless-sync-delay 0").line("replica-priority 100");
        let sentinel = Server::builder().sentinel();
        SentinelsBuilder { replicas: 2, server, sentinel, secrets: Vec::new() }
    }

    /// `redis+sentinel://HOST:PORT,…/SERVICE/0`
    pub fn url(&self) -> String {
        format!("redis+sentinel://{}/{}/0", self.addresses().join(","), Self::SERVICE)
    }

    /// `HOST:PORT` of each sentinel.
    pub fn addresses(&self) -> Vec<String> {
        self.sentinels.iter().map(Server::address).collect()
    }

    /// The servers of the data; the first one began as the master.
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// The servers of the data, to be killed and restarted.
    pub fn servers_mut(&mut self) -> &mut [Server] {
        &mut self.servers
    }

    /// The sentinels, to be killed and restarted.
    pub fn sentinels_mut(&mut self) -> &mut [Server] {
        &mut self.sentinels
    }

    /// The place among the servers of what the sentinels take for the master.
    pub fn master(&self) -> usize {
        let [_, port]: [String; 2] =
            self.sentinels[0].command(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", Self::SERVICE]);
        let place = self.servers.iter().position(|server| server.port().to_string() == port);
        place.unwrap_or_else(|| panic!("port {port} is none of ours"))
    }

    /// Waits until the sentinels have made another server than `old` the master, and returns its place.
    ///
    /// # Panics
    /// If that takes longer than a minute.
    pub fn wait_for_another_master(&self, old: usize) -> usize {
        eventually("another server is the master", || {
            let new = self.master();
            new != old && self.servers[new].replication().contains("role:master")
        });
        self.master()
    }

    /// Tells the sentinels to make another server the master, though nothing is wrong with this one.
    ///
    /// # Panics
    /// If they refuse for a minute.
    pub fn fail_over(&self) {
        eventually("the sentinels agree to a failover", || {
            self.sentinels[0].try_command(&["SENTINEL", "FAILOVER", Self::SERVICE]).is_ok()
        });
    }

    /// Waits until every other server follows the master and gets its writes.
    ///
    /// # Panics
    /// If that takes longer than a minute.
    pub fn wait_until_all_follow(&self) {
        let followers = || self.servers[self.master()].online_replicas();
        eventually("all others follow the master", || followers() == self.servers.len() - 1);
    }

    fn wait_until_watched(&self) {
        for sentinel in &self.sentinels {
            eventually("every sentinel knows the others and the replicas", || {
                let info: String = sentinel.command(&["INFO", "sentinel"]);
                let replicas = self.servers.len() - 1;
                info.contains(&format!(
                    "status=ok,address=127.0.0.1:{},slaves={replicas},sentinels={SENTINELS}",
                    self.servers[0].port()
                ))
            });
        }
    }
}

impl SentinelsBuilder {
    /// How many replicas the master has.
    #[must_use]
    pub const fn replicas(mut self, replicas: usize) -> Self {
        self.replicas = replicas;
        self
    }

    /// The default user of master and replicas needs this password.
    #[must_use]
    pub fn password(mut self, password: &str) -> Self {
        self.server = self.server.password(password).line(format!("masterauth {password}"));
        self.secrets.push(format!("sentinel auth-pass {} {password}", Sentinels::SERVICE));
        self
    }

    /// The default user of the sentinels needs this password.
    #[must_use]
    pub fn sentinel_password(mut self, password: &str) -> Self {
        self.sentinel = self.sentinel.password(password).line(format!("sentinel sentinel-pass {password}"));
        self
    }

    /// Starts the servers and waits until all of them are watched.
    ///
    /// # Errors
    /// If `redis-server` is not installed.
    pub fn start(self) -> Result<Sentinels, Unavailable> {
        let mut servers = vec![self.server.clone().start()?];
        let port = servers[0].port();
        for _ in 0..self.replicas {
            servers.push(self.server.clone().line(format!("replicaof 127.0.0.1 {port}")).start()?);
        }
        servers[0].wait_for_replicas(self.replicas);
        let mut sentinels = Vec::new();
        for _ in 0..SENTINELS {
            sentinels.push(self.sentinel_of(port).start()?);
        }
        let set = Sentinels { servers, sentinels };
        set.wait_until_watched();
        Ok(set)
    }

    fn sentinel_of(&self, port: u16) -> ServerBuilder {
        let service = Sentinels::SERVICE;
        let sentinel = self
            .sentinel
            .clone()
            .line(format!("sentinel monitor {service} 127.0.0.1 {port} 2"))
            .line(format!("sentinel down-after-milliseconds {service} 700"))
            .line(format!("sentinel failover-timeout {service} 3000"));
        self.secrets.iter().fold(sentinel, ServerBuilder::line)
    }
}
