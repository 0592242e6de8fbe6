//! The conformance suite: every promise of the contract as checks that any provider can be held to.
//!
//! A provider's whole proof is one small file, `tests/conformance.rs`:
//!
//! ```
//! # use std::{path::Path, sync::Arc};
//! # use storage_core::{Result, SharedClock, StorageProvider};
//! # struct MyProvider;
//! # impl MyProvider {
//! #     async fn open(_: &Path, _: SharedClock) -> Result<Arc<dyn StorageProvider>> { unimplemented!() }
//! # }
//! storage_core::conformance_suite!(|setup| async move {
//!     MyProvider::open(setup.directory(), setup.clock()).await
//! });
//! # fn main() {}
//! ```
//!
//! The macro writes one `#[test]` for each check, so that a failure carries the name of the broken promise. Each check
//! runs on a store of its own, in a runtime of its own, under a deadline: a provider that hangs fails by name.
//!
//! # The factory
//! It turns a [`Setup`] into a provider or into a `Result` of one. It must take [`Setup::clock`] unless the suite runs on
//! the real clock, keep its data in [`Setup::directory`] (or below [`Setup::name`] on a server), and find it there again
//! when it is called a second time with the same setup. Background sweepers must be off, because the suite compares the
//! exact reports of cleanup. [`Setup::max_payload`] is a limit that keeps the checks of large payloads quick; taking it is
//! optional.
//!
//! # Clocks
//! By default the provider reads a [`ManualClock`](crate::ManualClock) that the suite moves. A provider that leaves expiry
//! to its server uses `conformance_suite!(real_clock, factory)`: the same checks with deadlines of a few dozen
//! milliseconds. A check that the machine was too slow for is repeated with longer ones, so that load cannot fail it.
//!
//! # Capabilities
//! No check is skipped. Where a provider says that it lacks something, the check demands
//! [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) instead (and of a store that is not durable, that a new
//! instance is empty).
//!
//! # What it cannot show
//! That acknowledged writes survive `kill -9` and a power cut (P15), and that every call ends within the provider's deadline
//! when its server does not answer (P17), needs a killed process and a broken network; damage (P18) is tried on the files
//! below [`Setup::directory`] alone. Providers prove these by tests of their own.
//!
//! # Random checks
//! They print their seed when they fail; `CONFORMANCE_SEED=<seed>` in the environment replays it.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "checks state what they expect by panicking"
)]

pub mod checks;
mod fixture;
mod list;
mod model;
mod runner;
mod support;

pub use fixture::{Fixture, IntoStore, Setup, Store};
pub use list::CHECKS;
pub use runner::{Check, Need, Suite};
