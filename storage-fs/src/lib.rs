#![doc = include_str!("../README.md")]

mod batches;
mod blobs;
mod cleaning;
mod config;
mod cut;
mod directory;
mod engine;
mod error;
mod fault;
mod item;
mod journal;
mod journal_batch;
mod keys;
mod manifests;
mod mark;
mod opening;
mod provider;
mod queue;
mod reads;
mod record;
mod remover;
mod room;
mod salvage;
mod search;
mod shared;
mod sources;
mod state;
mod tables;
mod transaction;
mod verify;
mod warmth;
mod writer;

pub use config::{Durability, FsConfig};
#[doc(hidden)]
pub use fault::Fault;
pub use provider::{FsBuilder, FsProvider};
pub use salvage::SalvageReport;
pub use storage_core::{Damaged, VerifyReport};
