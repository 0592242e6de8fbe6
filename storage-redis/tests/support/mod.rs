//! The servers of these tests: one for all checks of a program, which ends with it.

#![allow(dead_code, reason = "each test program uses its own part of this")]
#![allow(clippy::expect_used, reason = "tests state what they expect by panicking")]

use std::sync::LazyLock;

use storage_redis::RedisConfig;
use test_servers::redis::Server;

static NODE: LazyLock<Server> = LazyLock::new(|| Server::start().expect("redis-server is installed"));

/// The configuration of a store of this name on the node that all tests of a program share.
pub(crate) fn config(name: &str) -> RedisConfig {
    RedisConfig { prefix: name.to_owned(), ..at(&NODE) }
}

/// The configuration of a store on this server.
pub(crate) fn at(server: &Server) -> RedisConfig {
    RedisConfig::from_url(&server.url()).expect("the URL of a server is one")
}
