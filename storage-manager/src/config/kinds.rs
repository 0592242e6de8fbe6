//! The kinds of stores and their fields.

use std::{path::PathBuf, time::Duration};

use serde::Deserialize;
use serde_json::Value;
use storage_core::{MAX_PAYLOAD_BYTES, Result};

use super::{
    document::{refuse, typed},
    duration,
};

/// What a store is, with its settings.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreKind {
    /// `store.memory`: in this process, lost at restart.
    Memory(MemoryStore),
    /// `store.fs`: in a directory, survives.
    Fs(FsStore),
    /// `store.redis`: on servers that programs share.
    #[cfg(feature = "redis")]
    Redis(Box<storage_redis::RedisConfig>),
    /// `store.sql`: in a table of a database that programs share.
    #[cfg(feature = "sql")]
    Sql(Box<storage_sql::SqlConfig>),
}

/// The settings of a `store.memory`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct MemoryStore {
    /// Most entries, 0 for no limit. Default: 10,000.
    pub max_size: u64,
    /// Time between two removals of expired entries, 0 for none. Default: 5 minutes.
    #[serde(deserialize_with = "duration::deserialize")]
    pub cleanup_interval: Duration,
    /// Most bytes of memory, 0 for no limit. Default: 0.
    pub max_bytes: u64,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self { max_size: 10_000, cleanup_interval: Duration::from_secs(300), max_bytes: 0 }
    }
}

/// The settings of a `store.fs`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct FsStore {
    /// The directory.
    pub path: PathBuf,
    /// Time between two removals of expired entries, 0 for none. Default: 0.
    #[serde(default, deserialize_with = "duration::deserialize")]
    pub cleanup_interval: Duration,
    /// Whether writes are acknowledged before they would survive a power cut. Default: no.
    #[serde(default, rename = "durability", deserialize_with = "buffered")]
    pub buffered: bool,
    /// Largest stored value in bytes, at most 1 GiB. Default: 64 MiB.
    #[serde(default = "max_payload")]
    pub max_payload: u64,
}

const fn max_payload() -> u64 {
    MAX_PAYLOAD_BYTES
}

fn buffered<'de, D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<bool, D::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Durability {
        Immediate,
        Buffered,
    }
    Durability::deserialize(deserializer).map(|durability| matches!(durability, Durability::Buffered))
}

/// What a file says that its stores may need.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(not(feature = "sql"), expect(dead_code, reason = "only databases are referred to by name"))]
pub(super) struct Context<'a> {
    pub(super) id: &'a str,
    pub(super) namespace: Option<&'a str>,
    #[cfg(feature = "sql")]
    pub(super) databases: &'a super::sql::Databases,
}

impl StoreKind {
    #[cfg_attr(
        not(feature = "sql"),
        expect(unused_variables, reason = "only databases are referred to by name")
    )]
    /// The store of this `kind`; `fields` are those beside name, kind and lifecycle.
    pub(super) fn from_fields(path: &str, kind: &str, context: Context<'_>, fields: Value) -> Result<Self> {
        let at_kind = |why: &str| refuse(&format!("{path}.kind"), why);
        let needs =
            |feature: &str| at_kind(&format!("this build has no {kind}; it needs the feature `{feature}`"));
        match kind {
            "store.memory" if cfg!(feature = "memory") => typed(path, fields).map(Self::Memory),
            "store.memory" => Err(needs("memory")),
            "store.fs" if cfg!(feature = "fs") => {
                let store: FsStore = typed(path, fields)?;
                store.check(path)?;
                Ok(Self::Fs(store))
            }
            "store.fs" => Err(needs("fs")),
            #[cfg(feature = "redis")]
            "store.redis" => super::redis::settings(path, fields).map(Box::new).map(Self::Redis),
            #[cfg(not(feature = "redis"))]
            "store.redis" => Err(needs("redis")),
            #[cfg(feature = "sql")]
            "store.sql" => {
                let Context { id, namespace, databases } = context;
                super::sql::settings(path, id, namespace, databases, fields).map(Box::new).map(Self::Sql)
            }
            #[cfg(not(feature = "sql"))]
            "store.sql" => Err(at_kind(
                "this build has no store.sql; it needs one of the features `postgres`, `sqlite` and `mysql`",
            )),
            _ => Err(at_kind(&format!(
                "there is no kind {kind:?}; known are store.memory, store.fs, store.redis and store.sql"
            ))),
        }
    }
}

impl FsStore {
    fn check(&self, path: &str) -> Result<()> {
        const MOST: u64 = 1 << 30;
        if self.path.as_os_str().is_empty() {
            return Err(refuse(&format!("{path}.path"), "it is empty"));
        }
        if self.max_payload > MOST {
            let why = format!("it is {} bytes, it must be at most {MOST}", self.max_payload);
            return Err(refuse(&format!("{path}.max_payload"), &why));
        }
        Ok(())
    }
}
