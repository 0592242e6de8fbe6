//! PostgreSQL: one server for all tests of a program, which ends with it.

#![allow(clippy::expect_used, reason = "tests state what they expect by panicking")]

use std::sync::LazyLock;

use storage_sql::SqlConfig;
use test_servers::postgres::{Place, Server};

static PLACE: LazyLock<Option<Place>> = LazyLock::new(|| test_servers::found(Place::postgres()));

/// The configuration of a store of this name on the server that all tests of a program share.
///
/// # Panics
/// If there is none: whoever has no server cannot say that the contract is kept.
pub(crate) fn config(name: &str) -> SqlConfig {
    at(&url(), name)
}

/// The address of that server.
pub(crate) fn url() -> String {
    PLACE.as_ref().expect("PostgreSQL is installed, or POSTGRES_URL names a server").url()
}

/// The configuration of a store on this server.
pub(crate) fn on(server: &Server, name: &str) -> SqlConfig {
    at(&server.url(), name)
}

fn at(url: &str, name: &str) -> SqlConfig {
    let mut config = SqlConfig::from_url(url).expect("the URL of a server is one");
    config.table_name = name.to_owned();
    // Many checks run at once, each with connections of its own.
    config.pool_size = 4;
    config
}
