#![doc = include_str!("../README.md")]

mod batches;
mod cleaning;
mod config;
mod cut;
mod error;
mod gate;
mod index;
mod items;
mod keys;
mod provider;
mod rebuild;
mod record;
mod reply;
mod scripts;
mod search;
mod store;
mod tls;
mod url;
mod verify;
mod wire;

pub use storage_core::{Damaged, Secret, VerifyReport};

pub use crate::{
    config::{Mode, ReconnectConfig, RedisConfig, SentinelConfig, TlsConfig},
    provider::{RedisBuilder, RedisProvider},
};
