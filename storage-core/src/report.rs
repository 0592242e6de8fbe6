//! What cleanup did, what a store holds, and how it fares.

use std::{collections::BTreeMap, ops::AddAssign};

use serde::{Deserialize, Serialize};

use crate::ItemKey;

/// What a cleanup removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CleanupReport {
    /// Expired items removed, with everything that belonged to them.
    pub expired: u64,
    /// Payload bytes of those items.
    pub bytes: u64,
    /// Leftovers of interrupted work removed: files or index entries that belonged to no item.
    pub orphans: u64,
}

impl CleanupReport {
    /// A report of `expired` items with `bytes` of payload.
    pub const fn new(expired: u64, bytes: u64) -> Self {
        Self { expired, bytes, orphans: 0 }
    }

    /// The same report with `orphans`.
    #[must_use]
    pub const fn with_orphans(mut self, orphans: u64) -> Self {
        self.orphans = orphans;
        self
    }
}

impl AddAssign for CleanupReport {
    fn add_assign(&mut self, other: Self) {
        self.expired += other.expired;
        self.bytes += other.bytes;
        self.orphans += other.orphans;
    }
}

/// Live items and their payload bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Amount {
    /// Number of items.
    pub items: u64,
    /// Sum of their payloads in bytes.
    pub bytes: u64,
}

impl Amount {
    /// Counts one more item with `size` bytes of payload.
    pub const fn add_item(&mut self, size: u64) {
        self.items += 1;
        self.bytes += size;
    }
}

impl AddAssign for Amount {
    fn add_assign(&mut self, other: Self) {
        self.items += other.items;
        self.bytes += other.bytes;
    }
}

/// What a store holds, per content type. Only live items count.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// The amounts by content type; a content type without live items is left out.
    pub content_types: BTreeMap<String, Amount>,
}

impl Usage {
    /// Counts one more item.
    pub fn add_item(&mut self, content_type: &str, size: u64) {
        match self.content_types.get_mut(content_type) {
            Some(amount) => amount.add_item(size),
            None => {
                self.content_types.insert(content_type.to_owned(), Amount { items: 1, bytes: size });
            }
        }
    }

    /// The sum over all content types.
    pub fn total(&self) -> Amount {
        self.content_types.values().fold(Amount::default(), |mut total, amount| {
            total += *amount;
            total
        })
    }
}

/// What reading everything back found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct VerifyReport {
    /// Items that can be read back whole.
    pub intact: u64,
    /// What is damaged.
    pub damaged: Vec<Damaged>,
}

impl VerifyReport {
    /// Whether nothing is damaged.
    pub fn is_clean(&self) -> bool {
        self.damaged.is_empty()
    }
}

/// One thing that is damaged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Damaged {
    /// The content type of the item, if it is known.
    pub content_type: Option<String>,
    /// The key of the item, if it is known.
    pub key: Option<String>,
    /// What is wrong.
    pub what: String,
}

impl Damaged {
    /// Damage of an item, or of one that cannot be named any more.
    pub fn of_item<'k>(key: impl Into<Option<ItemKey<'k>>>, what: impl Into<String>) -> Self {
        let key = key.into();
        Self {
            content_type: key.map(|key| key.content_type().to_owned()),
            key: key.map(|key| key.key().to_owned()),
            what: what.into(),
        }
    }

    /// Damage that concerns no single item.
    pub fn of_store(what: impl Into<String>) -> Self {
        Self::of_item(None, what)
    }
}

/// How a provider fares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", content = "reason", rename_all = "snake_case")]
pub enum Health {
    /// It answers.
    Healthy,
    /// It answers, but something needs attention: what.
    Degraded(String),
    /// It does not answer: why.
    Unhealthy(String),
}

impl Health {
    /// Whether it answers without reserve.
    pub const fn is_healthy(&self) -> bool {
        matches!(self, Self::Healthy)
    }
}
