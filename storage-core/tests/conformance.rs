//! Everything the contract promises, checked against the provider that `docs/write-a-provider.md` builds.

#[path = "../examples/map_provider/provider.rs"]
mod provider;

mod on_a_manual_clock {
    use super::provider::MapProvider;

    storage_core::conformance_suite!(|setup| async move { MapProvider::new(setup.clock()) });
}

mod on_the_real_clock {
    use super::provider::MapProvider;

    storage_core::conformance_suite!(real_clock, |setup| async move { MapProvider::new(setup.clock()) });
}
