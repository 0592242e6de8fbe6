//! The whole contract with the clock of the machine, on which the server drops what expired by itself.

use std::time::Duration;

use storage_redis::RedisProvider;

mod support;

storage_core::conformance_suite!(real_clock, |setup| async move {
    let mut config = support::config(setup.name());
    config.max_payload = setup.max_payload();
    // No grace: the server drops items at their deadline, so that every check meets items that vanished by themselves.
    config.expiry_grace = Duration::ZERO;
    RedisProvider::connect(config).await
});
