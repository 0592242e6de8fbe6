//! Where tests look for a server: in the environment first, then for a program to start.

use std::env;

use super::Server;
use crate::Unavailable;

/// A server that tests may use as any other program would. In its database, the tables that the tests name are theirs.
#[derive(Debug)]
pub enum Place {
    /// Somebody runs it, and its address is in the environment.
    Environment(String),
    /// It was started for the tests.
    Server(Box<Server>),
}

impl Place {
    /// One MariaDB or MySQL server: that of `MYSQL_URL`, or a child process.
    ///
    /// # Errors
    /// If `mariadbd` is not installed.
    pub fn mysql() -> Result<Self, Unavailable> {
        let url = env::var("MYSQL_URL").ok().filter(|url| !url.is_empty());
        url.map(Self::Environment)
            .map_or_else(|| Server::start().map(|server| Self::Server(Box::new(server))), Ok)
    }

    /// Its address, as a provider is configured with it.
    pub fn url(&self) -> String {
        match self {
            Self::Environment(url) => url.clone(),
            Self::Server(server) => server.url(),
        }
    }
}
