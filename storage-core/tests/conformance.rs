//! Everything the contract promises, checked against `MapProvider`.

#[path = "../examples/map_provider/provider.rs"]
mod provider;

storage_core::conformance_suite!(|setup| async move { provider::MapProvider::new(setup.clock()) });
