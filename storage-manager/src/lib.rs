#![doc = include_str!("../README.md")]

#[cfg(all(feature = "lua", not(any(feature = "lua54", feature = "luau"))))]
compile_error!(
    "the feature `lua` needs a dialect: enable `lua54` (PUC Lua 5.4) or `luau` (Luau), and only one of them"
);
#[cfg(all(feature = "lua54", feature = "luau"))]
compile_error!("a program holds one Lua interpreter: enable `lua54` or `luau`, and only one of them");

mod batch;
mod builder;
#[cfg(feature = "config")]
pub mod config;
mod dispatch;
mod expiry;
mod explain;
pub mod layers;
mod lifecycle;
#[cfg(any(feature = "lua54", feature = "luau"))]
pub mod lua;
mod manager;
mod merge;
mod monitor;
mod monitored;
pub mod names;
mod operation;
mod outcome;
mod patterns;
#[cfg(feature = "prometheus")]
pub mod prometheus;
mod routes;
mod save;
#[cfg(feature = "script")]
pub mod script;
mod search;
mod series;
mod source;
mod sweeper;
mod tally;
mod view;

#[cfg(feature = "fs")]
pub use storage_fs as fs;
#[cfg(feature = "memory")]
pub use storage_memory as memory;
#[cfg(feature = "redis")]
pub use storage_redis as redis;
#[cfg(feature = "sql")]
pub use storage_sql as sql;

#[cfg(feature = "fs")]
pub use storage_fs::{Durability, FsConfig, FsProvider};
#[cfg(feature = "memory")]
pub use storage_memory::{MemoryConfig, MemoryProvider, WhenFull};
#[cfg(feature = "redis")]
pub use storage_redis::{RedisConfig, RedisProvider};
#[cfg(feature = "sql")]
pub use storage_sql::{SqlConfig, SqlProvider};

pub use storage_core::*;

pub use builder::Builder;
pub use expiry::Expiry;
pub use manager::UnifiedStorageManager;
pub use monitor::StorageMonitor;
pub use monitored::Monitored;
pub use operation::Operation;
pub use outcome::{Outcomes, ProviderOutcome};
pub use save::{Payload, Raw, Save, Typed};
pub use search::SearchResults;
pub use view::ManagerProvider;
