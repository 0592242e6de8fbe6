//! Stores described in a file: YAML or TOML, each with a name and a kind.
//!
//! ```
//! # #[cfg(feature = "memory")] {
//! use storage_manager::config::Config;
//!
//! let config = Config::from_yaml(r#"
//! - name: sessions
//!   kind: store.memory
//!   max_size: 10000
//!   cleanup_interval: "5m"
//!   lifecycle:
//!     auto_start: true
//! "#)?;
//! assert_eq!(config.stores[0].id, "sessions");
//! # }
//! # Ok::<(), storage_manager::StorageError>(())
//! ```
//!
//! The file is a list of entries, or a mapping with the list under `entries`:
//!
//! | field | type | default | |
//! |---|---|---|---|
//! | `namespace` | text | none | goes before the names: `app` and `cache` are the id `app:cache` |
//! | `entries` | list | none | the stores |
//! | `databases` | mapping | none | the URL of each database by its name, for `store.sql` (features `postgres`, `sqlite`, `mysql`) |
//! | `policy` | list of rules | none | a [`RulePolicy`](crate::script::RulePolicy) (feature `script`) |
//!
//! Every entry has
//!
//! | field | type | default | |
//! |---|---|---|---|
//! | `name` | text | required | ASCII letters, digits and `. _ + - / :` |
//! | `kind` | text | required | as below |
//! | `lifecycle.auto_start` | boolean | true | whether the store is opened with the others, or by the host when it wants it |
//!
//! `store.memory`, lost at restart; when it is full, new entries are refused:
//!
//! | field | type | default | |
//! |---|---|---|---|
//! | `max_size` | integer | 10000 | most entries; 0 for no limit |
//! | `cleanup_interval` | duration | `5m` | time between two removals of expired entries; 0 for none |
//! | `max_bytes` | integer | 0 | most bytes of memory; 0 for no limit |
//!
//! `store.fs`, which survives:
//!
//! | field | type | default | |
//! |---|---|---|---|
//! | `path` | text | required | the directory; relative to the working directory of the process |
//! | `cleanup_interval` | duration | 0 | time between two removals of expired entries; 0 for none |
//! | `durability` | `immediate` or `buffered` | `immediate` | whether an acknowledged write survives a power cut |
//! | `max_payload` | integer | 64 MiB | largest stored value in bytes |
//!
//! `store.redis` (feature `redis`), which survives and which several programs may share; stores with the same URL and prefix
//! lie side by side, told apart by their ids:
//!
//! | field | type | default | |
//! |---|---|---|---|
//! | `url` | text | required | as [`RedisConfig::from_url`](crate::RedisConfig::from_url) reads it: one server, a cluster or sentinels; `${NAME}` is the environment variable `NAME` |
//! | `prefix` | text | `storage` | what all keys on the server begin with |
//! | `cleanup_interval` | duration | 0 | time between two removals of expired entries; 0 for none |
//! | `operation_timeout` | duration | `10s` | longest time that one call may take |
//! | `max_payload` | integer | 64 MiB | largest stored value in bytes, at most 256 MiB |
//!
//! `store.sql` (features `postgres`, `sqlite`, `mysql`), which survives and which several programs may share. By default the
//! table is plain: it is there already, with a column each for keys, values and deadlines in seconds. It then holds the
//! entries of one store and has no tags, no versions and so no conditions:
//!
//! | field | type | default | |
//! |---|---|---|---|
//! | `database` | text | required | the name of one of the `databases`; `${NAME}` as its URL is the environment variable `NAME` |
//! | `table_name` | text | required | the table, perhaps with its schema before it |
//! | `id_column_name` | text | `key` | the column of the keys |
//! | `payload_column_name` | text | `value` | the column of the values |
//! | `expire_column_name` | text | `expires_at` | the column of the deadlines |
//! | `cleanup_interval` | duration | 0 | time between two removals of expired entries; 0 for none |
//! | `operation_timeout` | duration | `10s` | longest time that one call may take |
//! | `max_payload` | integer | 64 MiB | largest stored value in bytes, at most 256 MiB |
//! | `schema` | `plain` or `full` | `plain` | `full` makes tables of its own with everything that stores have |
//! | `content_type` | text | that of the store's entries | which items a plain table holds |
//! | `encoding` | text | that of scripts | what the values of a plain table are |
//!
//! What these fields say beats what the URL says. The URL is never printed, as it may hold a password.
//!
//! Expired entries are invisible at once, whatever the interval. A duration is a number of seconds or text such as `"90s"`,
//! `"5m"` or `"1h30m"`. A field that is absent has its default; one that is 0 means 0; one that is empty is refused, as are
//! fields that do not exist, and every refusal names the path of its field.

mod document;
mod duration;
mod kinds;
mod open;
#[cfg(feature = "redis")]
mod redis;
#[cfg(any(feature = "redis", feature = "sql"))]
mod reference;
#[cfg(feature = "sql")]
mod sql;

pub use document::{Config, StoreEntry};
pub use kinds::{FsStore, MemoryStore, StoreKind};
