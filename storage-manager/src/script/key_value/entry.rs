//! What is known of stores and entries.

use storage_core::{Clock, Condition, StorageMetadata, Timestamp};

use crate::script::{ScriptError, ScriptResult, ScriptValue, Ttl};

/// An entry with what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The value.
    pub value: ScriptValue,
    /// The version, for [`Put::if_version`].
    pub version: u64,
    /// When the entry was made.
    pub created_at: Timestamp,
    /// When the entry was last written.
    pub updated_at: Timestamp,
    /// How long the entry still lives.
    pub ttl: Ttl,
    /// Bytes of the stored value.
    pub size: u64,
}

impl Entry {
    pub(super) fn new(value: ScriptValue, metadata: &StorageMetadata, clock: &dyn Clock) -> Self {
        Self {
            value,
            version: metadata.version,
            created_at: metadata.created_at,
            updated_at: metadata.updated_at,
            ttl: Ttl::left(metadata.expires_at, clock),
            size: metadata.size,
        }
    }
}

/// What a store is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreInfo {
    /// The id.
    pub id: String,
    /// The kind of storage behind it, such as `memory` or `fs`.
    pub backend: String,
    /// Whether entries survive a restart of the process.
    pub durable: bool,
    /// Whether other processes use the same entries.
    pub shared: bool,
    /// Longest key in bytes.
    pub max_key_bytes: u64,
    /// Largest stored value in bytes.
    pub max_value_bytes: u64,
}

/// How [`put`](super::KeyValueStore::put) writes. At most one of the two conditions can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Put {
    /// How long the entry lives. Default: without end.
    pub ttl: Ttl,
    /// Write only if there is no entry.
    pub only_if_absent: bool,
    /// Write only if the entry has this version.
    pub if_version: Option<u64>,
}

impl Put {
    pub(super) fn condition(self) -> ScriptResult<Condition> {
        match (self.only_if_absent, self.if_version) {
            (true, Some(_)) => {
                Err(ScriptError::invalid("only_if_absent and if_version cannot both be asked for"))
            }
            (false, Some(0)) => Err(ScriptError::invalid("if_version is 0, which no entry ever has")),
            (false, Some(version)) => Ok(Condition::Version(version)),
            (true, None) => Ok(Condition::Absent),
            (false, None) => Ok(Condition::None),
        }
    }
}
