//! Providers that wrap a provider: each does one thing, and they can be stacked.
//!
//! # Which order
//! The layer that is named last when a stack is built is asked first. From the outside to the provider:
//!
//! | layer | why there |
//! |---|---|
//! | [`ReadOnly`], [`SizeLimit`], [`TtlPolicy`] | what is refused or changed here costs nothing below |
//! | [`Cached`] | what it knows needs no time, no attempt and no place |
//! | [`Timeout`] | bounds everything below it, waits and repetitions too |
//! | [`Retry`] | repeats what fails below it |
//! | [`CircuitBreaker`] | counts every attempt, and its refusals are retried after a while |
//! | [`ConcurrencyLimit`] | waiting in line is no sign of an ailing backend, and a caller that sleeps between attempts holds no place |
//! | [`Chaos`] | plays the backend, so that everything above it is tested |
//!
//! ```
//! use std::time::Duration;
//! use storage_manager::{
//!     MemoryConfig, MemoryProvider, UnifiedStorageManager,
//!     layers::{CircuitBreaker, CircuitBreakerConfig, ConcurrencyLimit, Retry, RetryConfig, Timeout},
//! };
//!
//! let provider = MemoryProvider::new(MemoryConfig::default());
//! let provider = ConcurrencyLimit::new(provider, 256, Duration::from_millis(500));
//! let provider = CircuitBreaker::new(provider, CircuitBreakerConfig::default());
//! let provider = Retry::new(provider, RetryConfig::default());
//! let provider = Timeout::new(provider, Duration::from_secs(5));
//! let manager = UnifiedStorageManager::builder().fallback(provider).build()?;
//! # Ok::<(), storage_manager::StorageError>(())
//! ```

mod around;
mod cached;
mod chaos;
mod circuit_breaker;
mod concurrency_limit;
mod near_cache;
mod read_only;
mod retry;
mod size_limit;
mod telemetry;
mod timeout;
mod ttl_policy;

pub use around::Around;
pub use cached::{CacheConfig, Cached};
pub use chaos::{Chaos, ChaosConfig, Mischief};
pub use circuit_breaker::{Circuit, CircuitBreaker, CircuitBreakerConfig, CircuitState};
pub use concurrency_limit::{Bulkhead, ConcurrencyLimit};
pub use read_only::ReadOnly;
pub use retry::{Retries, Retry, RetryConfig};
pub use size_limit::SizeLimit;
pub use timeout::{Deadline, Timeout};
pub use ttl_policy::TtlPolicy;

use storage_core::{ErrorKind, StorageError};

/// What a part of a batch is answered that the provider below left out.
fn too_few_answers() -> StorageError {
    StorageError::new(ErrorKind::Internal, "the provider answered fewer parts than it was given")
}
