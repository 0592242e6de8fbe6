//! Everything the contract promises, over the layers of this crate.

use storage_manager::{MemoryConfig, MemoryProvider};

fn memory(setup: &storage_core::conformance::Setup) -> MemoryProvider {
    let config = MemoryConfig {
        cleanup_interval: std::time::Duration::ZERO,
        max_entries: 0,
        max_payload: setup.max_payload(),
        ..MemoryConfig::default()
    };
    MemoryProvider::with_clock(config, setup.clock())
}

mod monitored {
    use storage_manager::{Monitored, StorageMonitor};

    storage_core::conformance_suite!(|setup| async move {
        Monitored::new(super::memory(&setup), StorageMonitor::new())
    });
}

mod manager_over_one {
    use storage_manager::UnifiedStorageManager;

    storage_core::conformance_suite!(|setup| async move {
        let builder = UnifiedStorageManager::builder().fallback(super::memory(&setup));
        builder.build().map(|manager| manager.as_provider())
    });
}

mod manager_over_several {
    use storage_manager::UnifiedStorageManager;

    storage_core::conformance_suite!(|setup| async move {
        let builder = UnifiedStorageManager::builder()
            .register("test", super::memory(&setup))
            .register("a*", super::memory(&setup))
            .register("o*", super::memory(&setup))
            .fallback(super::memory(&setup));
        builder.build().map(|manager| manager.as_provider())
    });
}

mod layers {
    use std::time::Duration;

    use storage_manager::layers::{
        CacheConfig, Cached, Chaos, ChaosConfig, CircuitBreaker, CircuitBreakerConfig, ConcurrencyLimit,
        ReadOnly, Retry, RetryConfig, SizeLimit, Timeout, TtlPolicy,
    };

    const LONG: Duration = Duration::from_secs(60);

    mod timeout {
        use super::*;
        storage_core::conformance_suite!(|setup| async move { Timeout::new(crate::memory(&setup), LONG) });
    }

    mod concurrency_limit {
        use super::*;
        storage_core::conformance_suite!(|setup| async move {
            ConcurrencyLimit::new(crate::memory(&setup), 2, LONG)
        });
    }

    mod cached {
        use super::*;
        storage_core::conformance_suite!(|setup| async move {
            Cached::with_clock(crate::memory(&setup), CacheConfig::default(), setup.clock())
        });
    }

    mod circuit_breaker {
        use super::*;
        storage_core::conformance_suite!(|setup| async move {
            CircuitBreaker::new(crate::memory(&setup), CircuitBreakerConfig::default())
        });
    }

    mod retry {
        use super::*;
        storage_core::conformance_suite!(|setup| async move {
            Retry::new(crate::memory(&setup), RetryConfig::default())
        });
    }

    mod read_only_that_allows_writes {
        use super::*;
        storage_core::conformance_suite!(|setup| async move {
            let store = ReadOnly::new(crate::memory(&setup));
            store.allow_writes(true);
            store
        });
    }

    mod size_limit {
        use super::*;
        storage_core::conformance_suite!(
            |setup| async move { SizeLimit::new(crate::memory(&setup), 100_000) }
        );
    }

    mod ttl_policy {
        use super::*;
        storage_core::conformance_suite!(|setup| async move {
            TtlPolicy::new(crate::memory(&setup)).clock(setup.clock())
        });
    }

    /// A provider below that fails often is made whole by the layers above it.
    mod retry_over_chaos {
        use super::*;
        storage_core::conformance_suite!(|setup| async move {
            let failing = ChaosConfig { failures: 0.2, ..ChaosConfig::default() };
            let patient = RetryConfig {
                attempts: 40,
                min_delay: Duration::from_micros(1),
                max_delay: Duration::from_micros(10),
                budget: 10.0,
                spare: 1_000,
                ..RetryConfig::default()
            };
            Retry::new(Chaos::new(crate::memory(&setup), failing), patient)
        });
    }
}
