//! The whole contract of a store without an index: it says that it has no search, and keeps the rest.

use storage_redis::RedisProvider;

mod support;

storage_core::conformance_suite!(|setup| async move {
    let mut config = support::config(setup.name());
    config.max_payload = setup.max_payload();
    config.indexing = false;
    RedisProvider::builder(config).clock(setup.clock()).connect().await
});
