//! PostgreSQL.

use std::sync::LazyLock;

use storage_sql::SqlConfig;
use test_servers::postgres::{Place, Server};

static PLACE: LazyLock<Place> = LazyLock::new(|| Place::postgres().expect("PostgreSQL is installed"));

/// The configuration of a store of this name on the server that all tests of a program share.
pub(crate) fn config(name: &str) -> SqlConfig {
    at(&PLACE.url(), name)
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
