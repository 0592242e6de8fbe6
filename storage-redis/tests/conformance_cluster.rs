//! The whole contract on a cluster of three masters with replicas.

#![allow(clippy::expect_used, reason = "tests state what they expect by panicking")]

use std::sync::LazyLock;

use storage_redis::{RedisConfig, RedisProvider};
use test_servers::redis::Cluster;

static CLUSTER: LazyLock<Option<Cluster>> = LazyLock::new(|| test_servers::found(Cluster::start()));

storage_core::conformance_suite!(|setup| async move {
    let cluster = CLUSTER.as_ref().expect("a Redis cluster");
    let mut config = RedisConfig::from_url(&cluster.url())?;
    config.prefix = setup.name().to_owned();
    config.max_payload = setup.max_payload();
    RedisProvider::builder(config).clock(setup.clock()).connect().await
});
