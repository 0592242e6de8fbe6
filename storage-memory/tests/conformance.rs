//! Everything that storage-core promises, checked against this provider.

use std::time::Duration;

use storage_core::conformance::Setup;
use storage_memory::{MemoryConfig, MemoryProvider};

async fn provider(setup: Setup) -> MemoryProvider {
    let config = MemoryConfig {
        max_entries: 0,
        cleanup_interval: Duration::ZERO,
        max_payload: setup.max_payload(),
        ..MemoryConfig::default()
    };
    MemoryProvider::with_clock(config, setup.clock())
}

mod with_a_manual_clock {
    storage_core::conformance_suite!(super::provider);
}

mod with_the_real_clock {
    storage_core::conformance_suite!(real_clock, super::provider);
}
