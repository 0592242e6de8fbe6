//! What can be set.

use std::{num::NonZeroU16, time::Duration};

use serde::{Deserialize, Serialize};
use storage_core::MAX_PAYLOAD_BYTES;

use crate::interval;

/// The settings of a [`MemoryProvider`](crate::MemoryProvider).
///
/// ```
/// use storage_memory::{MemoryConfig, WhenFull};
///
/// let config = MemoryConfig { max_entries: 0, max_bytes: 256 << 20, ..MemoryConfig::default() };
/// assert_eq!(config.when_full, WhenFull::Reject);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MemoryConfig {
    /// Largest number of live items, 0 for no limit. Default: 10,000.
    pub max_entries: u64,
    /// Largest number of bytes, 0 for no limit. Default: 0.
    ///
    /// An item counts with its payload, its tags, twice its key and content type, 400 bytes, and 72 bytes per tag: about
    /// what it takes of the process's memory.
    pub max_bytes: u64,
    /// What a save does that finds no room. Default: [`WhenFull::Reject`].
    pub when_full: WhenFull,
    /// Time between two removals of expired items, 0 for none. Default: 5 minutes. Expired items are invisible at once
    /// in any case; until they are removed, they take memory.
    ///
    /// In a configuration file a number of seconds or text such as `"90s"`, `"5m"` or `"1h"`.
    #[serde(with = "interval")]
    pub cleanup_interval: Duration,
    /// Largest payload, in bytes. Default: 64 MiB.
    pub max_payload: u64,
    /// Number of parts with a lock of their own. Default: 64, enough for some dozens of cores. More make sense for tens
    /// of millions of items, because a part is tidied as a whole.
    pub shards: NonZeroU16,
}

impl Default for MemoryConfig {
    fn default() -> Self {
        const SHARDS: NonZeroU16 = NonZeroU16::new(64).unwrap();
        Self {
            max_entries: 10_000,
            max_bytes: 0,
            when_full: WhenFull::Reject,
            cleanup_interval: Duration::from_secs(5 * 60),
            max_payload: MAX_PAYLOAD_BYTES,
            shards: SHARDS,
        }
    }
}

/// What a save does that finds no room. Expired items never stand in the way: they are removed first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum WhenFull {
    /// It fails with [`ErrorKind::Full`](storage_core::ErrorKind::Full). Overwriting, deleting and loading go on.
    #[default]
    Reject,
    /// It removes items that were not loaded lately, and goes on. For caches: acknowledged items disappear.
    Evict,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<MemoryConfig, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_not_set_has_its_default() {
        assert_eq!(parse("{}").unwrap(), MemoryConfig::default());
        let config = parse(r#"{"max_entries": 7, "when_full": "evict", "cleanup_interval": "90s"}"#).unwrap();
        assert_eq!((config.max_entries, config.when_full), (7, WhenFull::Evict));
        assert_eq!(config.cleanup_interval, Duration::from_secs(90));
    }

    #[test]
    fn bad_settings_are_refused_by_name() {
        assert!(parse(r#"{"max_entrys": 7}"#).unwrap_err().contains("max_entrys"));
        assert!(parse(r#"{"shards": 0}"#).is_err());
        assert!(parse(r#"{"max_entries": -1}"#).is_err());
        assert!(parse(r#"{"when_full": "panic"}"#).unwrap_err().contains("panic"));
        assert!(parse(r#"{"cleanup_interval": "soon"}"#).unwrap_err().contains("soon"));
    }

    #[test]
    fn settings_survive_being_written() {
        let config =
            MemoryConfig { cleanup_interval: Duration::from_millis(1_500), ..MemoryConfig::default() };
        assert_eq!(parse(&serde_json::to_string(&config).unwrap()).unwrap(), config);
    }
}
