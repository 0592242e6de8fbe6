#![doc = include_str!("../README.md")]
#![cfg_attr(
    not(any(feature = "postgres", feature = "sqlite", feature = "mysql")),
    allow(dead_code, reason = "without an engine there is nothing that the shared parts serve")
)]

mod cleaning;
mod config;
mod engine;
mod error;
mod identifier;
#[cfg(feature = "mysql")]
mod mysql;
mod plain;
mod plan;
#[cfg(feature = "postgres")]
mod postgres;
mod provider;
mod queue;
mod row;
#[cfg(feature = "sqlite")]
mod sqlite;
mod url;
mod writer;

pub use storage_core::{Damaged, Secret, VerifyReport};

pub use crate::{
    config::{Schema, SqlConfig, TlsConfig},
    provider::{SqlBuilder, SqlProvider},
};
