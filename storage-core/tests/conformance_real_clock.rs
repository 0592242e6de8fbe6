//! The suite on the real clock, as a provider runs it that leaves expiry to its server.

#[path = "../examples/map_provider/provider.rs"]
mod provider;

storage_core::conformance_suite!(
    real_clock,
    |setup| async move { provider::MapProvider::new(setup.clock()) }
);
