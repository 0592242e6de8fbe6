//! Conditions of writes.

use crate::{ErrorKind, Result, StorageError, StorageMetadata};

/// What must be true of the stored item for a write to be applied. Checked and applied in one atomic step.
///
/// An expired item counts as absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Condition {
    /// Nothing: the write always applies.
    #[default]
    None,
    /// No live item is stored under the key.
    Absent,
    /// A live item is stored and has this version.
    Version(u64),
}

impl Condition {
    /// Decides whether a save may replace `live`, the live item under its key.
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyExists`] for [`Absent`](Self::Absent) on a live item; [`ErrorKind::VersionConflict`] for
    /// [`Version`](Self::Version) on an absent item or on one of another version.
    pub fn check_save(self, live: Option<&StorageMetadata>) -> Result<()> {
        match (self, live) {
            (Self::Absent, Some(live)) => Err(StorageError::new(
                ErrorKind::AlreadyExists,
                format!("an item with version {} is stored already", live.version),
            )),
            (Self::Version(expected), None) => Err(StorageError::new(
                ErrorKind::VersionConflict,
                format!("expected version {expected}, but no item is stored"),
            )),
            (Self::Version(expected), Some(live)) if live.version != expected => {
                Err(conflict(expected, live.version))
            }
            _ => Ok(()),
        }
    }

    /// Decides whether a delete applies to `live`: `true` if it removes the item, `false` if there is none.
    ///
    /// # Errors
    /// [`ErrorKind::VersionConflict`] for [`Version`](Self::Version) on a live item of another version;
    /// [`ErrorKind::Invalid`] for [`Absent`](Self::Absent), which no delete can mean.
    pub fn check_delete(self, live: Option<&StorageMetadata>) -> Result<bool> {
        match (self, live) {
            (Self::Absent, _) => {
                Err(StorageError::new(ErrorKind::Invalid, "a delete cannot be conditional on absence"))
            }
            (Self::Version(expected), Some(live)) if live.version != expected => {
                Err(conflict(expected, live.version))
            }
            (_, live) => Ok(live.is_some()),
        }
    }
}

fn conflict(expected: u64, actual: u64) -> StorageError {
    StorageError::new(
        ErrorKind::VersionConflict,
        format!("expected version {expected}, but the stored item has version {actual}"),
    )
}
