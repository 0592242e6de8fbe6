//! What each layer does beside keeping the contract.
#![expect(clippy::unwrap_used, reason = "tests state what they expect")]

mod cached;
mod chaos;
mod circuit_breaker;
mod concurrency_limit;
mod read_only;
mod retry;
mod size_limit;
mod support;
mod timeout;
mod ttl_policy;
