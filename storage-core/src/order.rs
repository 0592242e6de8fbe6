//! The one ordering of search results.

use std::{cmp::Ordering, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{ErrorKind, StorageError, StorageMetadata};

/// What search results are ordered by. Ties are broken by key and content type, so that the order is total.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderBy {
    /// The key, byte for byte.
    #[default]
    Key,
    /// The time of the first save.
    Created,
    /// The time of the last save or touch.
    Updated,
}

/// Which way search results run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Smallest or oldest first.
    #[default]
    Ascending,
    /// The exact reverse of ascending, ties included.
    Descending,
}

/// The order of search results. Its text form is `key`, `created` or `updated`, with a leading `-` for descending.
///
/// ```
/// use storage_core::Order;
///
/// assert_eq!("-created".parse::<Order>()?, Order::CREATED.descending());
/// # Ok::<(), storage_core::StorageError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Order {
    /// What is compared first.
    pub by: OrderBy,
    /// Which way.
    pub direction: Direction,
}

impl Order {
    /// By key.
    pub const KEY: Self = Self { by: OrderBy::Key, direction: Direction::Ascending };
    /// Oldest item first.
    pub const CREATED: Self = Self { by: OrderBy::Created, direction: Direction::Ascending };
    /// Longest unchanged item first.
    pub const UPDATED: Self = Self { by: OrderBy::Updated, direction: Direction::Ascending };

    /// The same order run backwards.
    #[must_use]
    pub const fn descending(self) -> Self {
        Self { by: self.by, direction: Direction::Descending }
    }

    /// Whether the order runs backwards.
    pub const fn is_descending(self) -> bool {
        matches!(self.direction, Direction::Descending)
    }

    /// Which of two items comes first.
    pub fn compare(self, a: &StorageMetadata, b: &StorageMetadata) -> Ordering {
        let first = match self.by {
            OrderBy::Key => Ordering::Equal,
            OrderBy::Created => a.created_at.cmp(&b.created_at),
            OrderBy::Updated => a.updated_at.cmp(&b.updated_at),
        };
        let ascending =
            first.then_with(|| a.key.cmp(&b.key)).then_with(|| a.content_type.cmp(&b.content_type));
        if self.is_descending() { ascending.reverse() } else { ascending }
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_descending() { "-" } else { "" })?;
        f.write_str(match self.by {
            OrderBy::Key => "key",
            OrderBy::Created => "created",
            OrderBy::Updated => "updated",
        })
    }
}

impl FromStr for Order {
    type Err = StorageError;

    fn from_str(text: &str) -> Result<Self, StorageError> {
        let (name, descending) = text.strip_prefix('-').map_or((text, false), |name| (name, true));
        let order = match name {
            "key" => Self::KEY,
            "created" => Self::CREATED,
            "updated" => Self::UPDATED,
            _ => {
                let message = format!(
                    "{text:?} is no order; write key, created or updated, with a leading - for descending"
                );
                return Err(StorageError::new(ErrorKind::InvalidQuery, message));
            }
        };
        Ok(if descending { order.descending() } else { order })
    }
}
