//! What an entry of an index says before its record was read.

use std::{cmp::Ordering, sync::Arc};

use storage_core::ItemKey;

use crate::index;

/// An entry of an index, and the item it names.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub(super) bucket: usize,
    pub(super) entry: Vec<u8>,
    names: Names,
}

/// How an entry names its item.
#[derive(Debug, Clone)]
pub(super) enum Names {
    /// It has this content type, and its key begins at `key`; what orders it within its section begins at `order`.
    Within { content_type: Arc<str>, order: usize, key: usize },
    /// It is the entry of a deadline.
    Deadline,
}

impl Candidate {
    pub(super) const fn new(bucket: usize, entry: Vec<u8>, names: Names) -> Self {
        Self { bucket, entry, names }
    }

    /// The item; `None` if the entry is damaged.
    pub(super) fn name(&self) -> Option<ItemKey<'_>> {
        match &self.names {
            Names::Within { content_type, key, .. } => {
                let key = std::str::from_utf8(self.entry.get(*key..)?).ok()?;
                ItemKey::new(content_type, key).ok()
            }
            Names::Deadline => index::read_deadline(&self.entry).map(|entry| entry.name),
        }
    }

    /// The time in the entry, as bytes; empty if it has none.
    pub(super) fn time(&self) -> &[u8] {
        match &self.names {
            Names::Within { order, key, .. } => self.entry.get(*order..*key).unwrap_or_default(),
            Names::Deadline => &[],
        }
    }

    /// Which of two candidates from sections of the same kind comes first in ascending order.
    pub(super) fn compare(&self, other: &Self) -> Ordering {
        self.rank().cmp(&other.rank())
    }

    /// What decides the order: time and key as they stand in the entry, then the content type.
    fn rank(&self) -> (&[u8], &str) {
        match &self.names {
            Names::Within { content_type, order, .. } => {
                (self.entry.get(*order..).unwrap_or_default(), content_type)
            }
            Names::Deadline => (&self.entry, ""),
        }
    }
}
