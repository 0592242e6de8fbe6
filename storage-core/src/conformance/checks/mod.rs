//! The checks, by chapter of the contract. Each is one promise, and its name says which.

pub mod batches;
pub mod cancellation;
pub mod capabilities;
pub mod cleanup;
pub mod concurrency;
pub mod conditions;
pub mod damage;
pub mod delete;
pub mod differential;
pub mod errors;
pub mod expiry;
pub mod keys;
pub mod lifecycle;
pub mod limits;
pub mod load;
pub mod machine;
pub mod order;
pub mod pages;
pub mod save;
pub mod scale;
pub mod search;
pub mod touch;
