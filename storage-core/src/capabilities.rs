//! What a provider is and offers.

use std::borrow::Cow;

use serde::Serialize;

use crate::limits::MAX_PAYLOAD_BYTES;

/// Who a provider is: shown in errors, logs and tables, without secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProviderInfo {
    /// A short name such as `memory` or `fs`. It holds no secret and no path of a user's choice.
    pub name: Cow<'static, str>,
    /// What it offers.
    pub capabilities: Capabilities,
}

impl ProviderInfo {
    /// The provider `name` with `capabilities`.
    pub fn new(name: impl Into<Cow<'static, str>>, capabilities: Capabilities) -> Self {
        Self { name: name.into(), capabilities }
    }
}

/// What a provider offers. The conformance suite holds it to its word both ways: what is declared works, and what is not
/// answers [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Capabilities {
    /// Acknowledged writes survive a restart of the process.
    pub durable: bool,
    /// Several processes may use the same store at once.
    pub shared: bool,
    /// Saves and deletes under a condition.
    pub conditions: bool,
    /// Tags are kept and can be searched.
    pub tags: bool,
    /// Search, count and usage.
    pub search: bool,
    /// Everything else that [`StorageMetadata`](crate::StorageMetadata) tells is kept with the item: any content type and
    /// encoding, its id, times and version, and its deadline to the microsecond; searches may order and filter by times.
    ///
    /// Without it a store has one content type and one encoding and refuses others, ids and times are made up the same at
    /// every look, versions mean nothing, an item may live up to a second beyond its deadline, and damage of stored data
    /// need not be noticed.
    pub metadata: bool,
    /// Largest payload in bytes.
    pub max_payload: u64,
}

impl Default for Capabilities {
    /// The whole contract on a store that is neither durable nor shared, with payloads up to 64 MiB.
    fn default() -> Self {
        Self {
            durable: false,
            shared: false,
            conditions: true,
            tags: true,
            search: true,
            metadata: true,
            max_payload: MAX_PAYLOAD_BYTES,
        }
    }
}

impl Capabilities {
    /// Sets whether acknowledged writes survive a restart.
    #[must_use]
    pub const fn durable(mut self, durable: bool) -> Self {
        self.durable = durable;
        self
    }

    /// Sets whether several processes may use the store.
    #[must_use]
    pub const fn shared(mut self, shared: bool) -> Self {
        self.shared = shared;
        self
    }

    /// Sets whether writes may be conditional.
    #[must_use]
    pub const fn conditions(mut self, conditions: bool) -> Self {
        self.conditions = conditions;
        self
    }

    /// Sets whether tags are kept.
    #[must_use]
    pub const fn tags(mut self, tags: bool) -> Self {
        self.tags = tags;
        self
    }

    /// Sets whether there is a search.
    #[must_use]
    pub const fn search(mut self, search: bool) -> Self {
        self.search = search;
        self
    }

    /// Sets whether all metadata is kept.
    #[must_use]
    pub const fn metadata(mut self, metadata: bool) -> Self {
        self.metadata = metadata;
        self
    }

    /// Sets the largest payload in bytes.
    #[must_use]
    pub const fn max_payload(mut self, bytes: u64) -> Self {
        self.max_payload = bytes;
        self
    }
}
