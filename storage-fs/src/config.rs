//! What a store can be told, with its defaults.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use storage_core::{ErrorKind, MAX_PAYLOAD_BYTES, Result};

use crate::error::failure;

const KIB: u64 = 1_024;
const MIB: u64 = 1_024 * KIB;

/// When a write is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// Once it is on the disk: an acknowledged write survives a killed process and a power cut.
    #[default]
    Immediate,
    /// Once the operating system has it: an acknowledged write survives a killed process, but a power cut may take the
    /// last seconds of writes, newest first. `close` brings everything to the disk.
    Buffered,
}

/// What a store can be told. Every field has a default.
///
/// In a configuration file durations are numbers of milliseconds with the suffix `_ms`, sizes are numbers of bytes, and
/// unknown fields are refused.
///
/// ```
/// use storage_fs::{Durability, FsConfig};
///
/// let config = FsConfig { durability: Durability::Buffered, ..FsConfig::default() };
/// assert!(config.validate().is_ok());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FsConfig {
    /// When a write is acknowledged. Default: [`Durability::Immediate`].
    pub durability: Durability,
    /// Largest payload in bytes. Default: 64 MiB; at most 1 GiB.
    pub max_payload: u64,
    /// Payloads above this many bytes are kept in files of their own. Default: 128 KiB; 4 KiB to 1 MiB.
    pub large_payload: u64,
    /// Memory for blocks of tables that were read, in bytes. Default: 64 MiB.
    pub cache_size: u64,
    /// Bytes of journals after which the engine moves their content into tables, which bounds the time of opening after
    /// a crash. Default: 64 MiB; at least 64 MiB.
    pub journal_size: u64,
    /// Bytes that waiting writes may hold; further ones wait outside, in order. Each counts its payload and 1 KiB.
    /// Default: 32 MiB; at least 1 MiB.
    pub queue_bytes: u64,
    /// Longest time that one call may take. Default: 30 seconds.
    #[serde(rename = "operation_timeout_ms", with = "millis")]
    pub operation_timeout: Duration,
    /// Free space on the disk below which saves are [`Full`](storage_core::ErrorKind::Full), while loads and deletes go
    /// on. On a small disk a quarter of it is enough. Default: 256 MiB.
    pub min_free_space: u64,
    /// How often expired items are removed in the background. They are invisible at once in any case. Default: never.
    #[serde(rename = "cleanup_interval_ms", with = "optional_millis")]
    pub cleanup_interval: Option<Duration>,
}

impl Default for FsConfig {
    fn default() -> Self {
        Self {
            durability: Durability::Immediate,
            max_payload: MAX_PAYLOAD_BYTES,
            large_payload: 128 * KIB,
            cache_size: 64 * MIB,
            journal_size: 64 * MIB,
            queue_bytes: 32 * MIB,
            operation_timeout: Duration::from_secs(30),
            min_free_space: 256 * MIB,
            cleanup_interval: None,
        }
    }
}

impl FsConfig {
    /// Checks that every field is within its limits.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] naming the field and its limits.
    pub fn validate(&self) -> Result<()> {
        within("max_payload", self.max_payload, 0, 1_024 * MIB)?;
        within("large_payload", self.large_payload, 4 * KIB, MIB)?;
        within("cache_size", self.cache_size, 0, u64::MAX)?;
        within("journal_size", self.journal_size, 64 * MIB, 16 * 1_024 * MIB)?;
        within("queue_bytes", self.queue_bytes, MIB, 2 * 1_024 * MIB)?;
        positive("operation_timeout", Some(self.operation_timeout))?;
        positive("cleanup_interval", self.cleanup_interval)
    }
}

fn within(field: &str, value: u64, min: u64, max: u64) -> Result<()> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(failure(ErrorKind::Config, format!("{field} is {value} bytes, it must be {min} to {max}")))
}

fn positive(field: &str, value: Option<Duration>) -> Result<()> {
    if value.is_some_and(|value| value.is_zero()) {
        return Err(failure(ErrorKind::Config, format!("{field} is zero")));
    }
    Ok(())
}

mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(value.as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}

mod optional_millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(
        value: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.map(|value| u64::try_from(value.as_millis()).unwrap_or(u64::MAX)).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(deserializer)?.map(Duration::from_millis))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        assert!(FsConfig::default().validate().is_ok());
    }

    #[test]
    fn values_outside_their_limits_are_named() {
        let bad = [
            ("large_payload", FsConfig { large_payload: 1, ..FsConfig::default() }),
            ("journal_size", FsConfig { journal_size: 1, ..FsConfig::default() }),
            ("queue_bytes", FsConfig { queue_bytes: 0, ..FsConfig::default() }),
            ("max_payload", FsConfig { max_payload: u64::MAX, ..FsConfig::default() }),
            ("operation_timeout", FsConfig { operation_timeout: Duration::ZERO, ..FsConfig::default() }),
            ("cleanup_interval", FsConfig { cleanup_interval: Some(Duration::ZERO), ..FsConfig::default() }),
        ];
        for (field, config) in bad {
            let error = config.validate().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(error.message().contains(field), "{error}");
        }
    }
}
