//! The whole contract on one node.

use storage_redis::RedisProvider;

mod support;

storage_core::conformance_suite!(|setup| async move {
    let mut config = support::config(setup.name());
    config.max_payload = setup.max_payload();
    RedisProvider::builder(config).clock(setup.clock()).connect().await
});
