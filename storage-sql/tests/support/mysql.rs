//! One MariaDB server for all tests of a program.

#![allow(clippy::expect_used, reason = "tests state what they expect by panicking")]

use std::sync::LazyLock;

use mysql_async::prelude::Queryable as _;
use storage_sql::SqlConfig;
use test_servers::mariadb::{Place, Server};

static PLACE: LazyLock<Place> = LazyLock::new(|| Place::mysql().expect("mariadbd is installed"));

/// The configuration of a store of this name on the server that all tests of a program share.
pub(crate) fn config(name: &str) -> SqlConfig {
    at(&PLACE.url(), name)
}

/// The configuration of a store of this name on a server of its own.
pub(crate) fn on(server: &Server, name: &str) -> SqlConfig {
    at(&server.url(), name)
}

/// The configuration of a store of this name at an address.
pub(crate) fn at(url: &str, name: &str) -> SqlConfig {
    let mut config = SqlConfig::from_url(url).expect("the URL of a server is one");
    name.clone_into(&mut config.table_name);
    config
}

/// Runs a statement on the server that all tests of a program share.
pub(crate) async fn execute(statement: &str) {
    let mut connection = mysql_async::Conn::from_url(PLACE.url()).await.expect("the server is there");
    connection.query_drop(statement).await.expect("the statement is one");
    connection.disconnect().await.expect("the server is still there");
}
