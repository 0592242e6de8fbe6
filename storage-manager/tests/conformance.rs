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
