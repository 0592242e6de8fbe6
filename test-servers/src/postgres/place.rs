//! Where tests look for a server: in the environment first, then for programs to start.

use std::env;

use super::Server;
use crate::Unavailable;

/// A server that tests may use as any other program would. They use tables of their own in it.
#[derive(Debug)]
pub enum Place {
    /// Somebody runs it, and its address is in the environment.
    Environment(String),
    /// It was started for the tests.
    Server(Server),
}

impl Place {
    /// One PostgreSQL server: that of `POSTGRES_URL`, or a child process.
    ///
    /// # Errors
    /// If PostgreSQL is not installed.
    pub fn postgres() -> Result<Self, Unavailable> {
        match env::var("POSTGRES_URL") {
            Ok(url) if !url.is_empty() => Ok(Self::Environment(url)),
            _ => Server::start().map(Self::Server),
        }
    }

    /// Its address, as a provider is configured with it.
    pub fn url(&self) -> String {
        match self {
            Self::Environment(url) => url.clone(),
            Self::Server(server) => server.url(),
        }
    }
}
