//! Where tests look for a server: in the environment first, then for a program to start.

use std::env;

use super::{Cluster, Server};
use crate::Unavailable;

/// A server that tests may use as any other program would. Its data belong to the tests as far as their prefix goes.
#[derive(Debug)]
pub enum Place {
    /// Somebody runs it, and its address is in the environment.
    Environment(String),
    /// It was started for the tests.
    Server(Server),
    /// They were started for the tests.
    Cluster(Cluster),
}

impl Place {
    /// One Redis server: that of `REDIS_URL`, or a child process.
    ///
    /// # Errors
    /// If `redis-server` is not installed.
    pub fn redis() -> Result<Self, Unavailable> {
        from_environment("REDIS_URL").map_or_else(|| Server::start().map(Self::Server), Ok)
    }

    /// A Redis cluster: that of `REDIS_CLUSTER_URL`, or child processes.
    ///
    /// # Errors
    /// If `redis-server` is not installed.
    pub fn cluster() -> Result<Self, Unavailable> {
        from_environment("REDIS_CLUSTER_URL").map_or_else(|| Cluster::start().map(Self::Cluster), Ok)
    }

    /// One Valkey server: that of `VALKEY_URL`, or a child process.
    ///
    /// # Errors
    /// If `valkey-server` is not installed.
    pub fn valkey() -> Result<Self, Unavailable> {
        let start = || Server::builder().program("valkey-server").start();
        from_environment("VALKEY_URL").map_or_else(|| start().map(Self::Server), Ok)
    }

    /// Its address, as a provider is configured with it.
    pub fn url(&self) -> String {
        match self {
            Self::Environment(url) => url.clone(),
            Self::Server(server) => server.url(),
            Self::Cluster(cluster) => cluster.url(),
        }
    }
}

fn from_environment(variable: &str) -> Option<Place> {
    env::var(variable).ok().filter(|url| !url.is_empty()).map(Place::Environment)
}
