//! Where a server listens.

use std::fmt;

use storage_core::{ErrorKind, Result};

use crate::error::failure;

/// Host and port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
}

impl Address {
    /// Reads `host`, `host:port`, `[v6]` or `[v6]:port`.
    pub(super) fn parse(text: &str, default_port: u16) -> Result<Self> {
        Self::split(text, default_port)
            .filter(|address| !address.host.is_empty())
            .ok_or_else(|| failure(ErrorKind::Config, "nodes has an entry that is not host:port"))
    }

    fn split(text: &str, default_port: u16) -> Option<Self> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => rest.split_once(']')?,
            None => text.split_at(text.find(':').unwrap_or(text.len())),
        };
        let port = match port {
            "" => default_port,
            port => port.strip_prefix(':')?.parse().ok()?,
        };
        Some(Self { host: host.to_owned(), port })
    }

    /// Reads what a redirection names. Its last colon is before the port; an empty host means the node that was asked.
    pub(super) fn announced(text: &str, asked: &Self) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let host = if host.is_empty() { &asked.host } else { host };
        Some(Self { host: host.to_owned(), port: port.parse().ok()? })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_shown() {
        for (text, shown) in [("h", "h:1"), ("h:2", "h:2"), ("[::1]", "[::1]:1"), ("[::1]:2", "[::1]:2")] {
            assert_eq!(Address::parse(text, 1).unwrap().to_string(), shown);
        }
        for bad in ["", ":1", "h:", "h:x", "h:70000", "[::1", "::1", "[]:1"] {
            assert_eq!(Address::parse(bad, 1).unwrap_err().kind(), ErrorKind::Config, "{bad}");
        }
    }

    #[test]
    fn a_redirection_without_a_host_means_the_node_that_was_asked() {
        let asked = Address::parse("h:1", 1).unwrap();
        let to = |text| Address::announced(text, &asked).map(|address| address.to_string());
        assert_eq!(to("a:2").as_deref(), Some("a:2"));
        assert_eq!(to(":2").as_deref(), Some("h:2"));
        assert_eq!(to("::1:2").as_deref(), Some("[::1]:2"));
        assert_eq!(to("a"), None);
    }
}
