#![doc = include_str!("../README.md")]

mod budget;
mod candidates;
mod config;
mod entries;
mod error;
mod index;
mod interval;
mod provider;
mod runs;
mod search;
mod shard;
mod slots;
mod store;
mod sweeper;
mod walk;

pub use config::{MemoryConfig, WhenFull};
pub use provider::MemoryProvider;
