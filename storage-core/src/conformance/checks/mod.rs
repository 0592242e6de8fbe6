//! The checks, by chapter of the contract. Each is one promise, and its name says which.

pub mod capabilities;
pub mod conditions;
pub mod delete;
pub mod expiry;
pub mod keys;
pub mod lifecycle;
pub mod limits;
pub mod load;
pub mod save;
pub mod touch;
