//! What can be asked of a store, as metrics and errors name it.

use std::fmt;

/// What was asked of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// One item saved.
    Save,
    /// One item loaded.
    Load,
    /// One item deleted.
    Delete,
    /// One page of a search.
    Search,
    /// One item's deadline changed.
    Touch,
    /// A batch saved.
    SaveMany,
    /// A batch loaded.
    LoadMany,
    /// A batch deleted.
    DeleteMany,
    /// Items counted.
    Count,
    /// What the store holds.
    Usage,
    /// Whether the store answers.
    Health,
    /// Expired items removed.
    Cleanup,
    /// The store closed.
    Close,
}

impl Operation {
    pub(crate) const ALL: [Self; 13] = [
        Self::Save,
        Self::Load,
        Self::Delete,
        Self::Search,
        Self::Touch,
        Self::SaveMany,
        Self::LoadMany,
        Self::DeleteMany,
        Self::Count,
        Self::Usage,
        Self::Health,
        Self::Cleanup,
        Self::Close,
    ];

    /// The name in metrics and errors, such as `save_many`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Save => "save",
            Self::Load => "load",
            Self::Delete => "delete",
            Self::Search => "search",
            Self::Touch => "touch",
            Self::SaveMany => "save_many",
            Self::LoadMany => "load_many",
            Self::DeleteMany => "delete_many",
            Self::Count => "count",
            Self::Usage => "usage",
            Self::Health => "health",
            Self::Cleanup => "cleanup",
            Self::Close => "close",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_all_follows_the_order_of_the_enum() {
        for (at, operation) in Operation::ALL.into_iter().enumerate() {
            assert_eq!(operation as usize, at, "{operation}");
        }
    }
}
