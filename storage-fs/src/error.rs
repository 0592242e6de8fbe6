//! Where failures of the engine and of the file system get their meaning.

use std::io;

use storage_core::{ErrorKind, StorageError};

/// The name of the provider in errors.
pub(crate) const PROVIDER: &str = "fs";

/// An error of this provider.
pub(crate) fn failure(kind: ErrorKind, message: impl Into<std::borrow::Cow<'static, str>>) -> StorageError {
    StorageError::new(kind, message).with_provider(PROVIDER)
}

/// The meaning of a failure of the file system; `what` says what could not be done.
pub(crate) fn io_error(what: &str, cause: io::Error) -> StorageError {
    let (kind, why) = match cause.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => (ErrorKind::Full, "the disk is full"),
        io::ErrorKind::PermissionDenied => (ErrorKind::PermissionDenied, "the process may not do this"),
        io::ErrorKind::ReadOnlyFilesystem => (ErrorKind::PermissionDenied, "the file system is read-only"),
        io::ErrorKind::NotADirectory => (ErrorKind::Config, "a part of the path is a file"),
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
            (ErrorKind::Corrupted, "a file is damaged")
        }
        _ if cause.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            (ErrorKind::Corrupted, "a link stands in place of a file of the store")
        }
        // Everything else may pass: an I/O error, too many open files, no memory.
        _ => (ErrorKind::Unavailable, "the file system reported an error"),
    };
    failure(kind, format!("{what}: {why}")).with_source(cause)
}

/// The meaning of a failure of the engine; `what` says what could not be done.
pub(crate) fn engine_error(what: &str, cause: fjall::Error) -> StorageError {
    let (kind, why) = match cause {
        fjall::Error::Io(cause) | fjall::Error::Storage(fjall::LsmError::Io(cause)) => {
            return match cause.kind() {
                // The engine names its files itself: one that is not there, or is there already, was lost or misnamed.
                io::ErrorKind::NotFound | io::ErrorKind::AlreadyExists => {
                    failure(ErrorKind::Corrupted, format!("{what}: a file of the engine is missing"))
                        .with_source(cause)
                }
                // It looked for something before the beginning of a file that was cut short.
                io::ErrorKind::InvalidInput => {
                    failure(ErrorKind::Corrupted, format!("{what}: a file of the engine is cut short"))
                        .with_source(cause)
                }
                _ => io_error(what, cause),
            };
        }
        fjall::Error::InvalidVersion(_) => (ErrorKind::Config, "the engine's files have another version"),
        fjall::Error::Storage(fjall::LsmError::InvalidVersion(_)) => {
            (ErrorKind::Config, "the engine's tables have another version")
        }
        fjall::Error::Poisoned => (ErrorKind::ReadOnly, POISONED),
        fjall::Error::Locked => (ErrorKind::Locked, "another process or handle holds the directory"),
        fjall::Error::KeyspaceDeleted => (ErrorKind::Internal, "a keyspace is gone"),
        _ => (ErrorKind::Corrupted, "the engine's files are damaged"),
    };
    failure(kind, format!("{what}: {why}")).with_source(cause)
}

/// What a store that refuses writes says.
pub(crate) const POISONED: &str = "an earlier write to disk failed, so the store takes no more writes until it is opened again; reading goes on";

/// What a store on a full disk says.
pub(crate) const FULL: &str =
    "the disk is full: saves are refused until there is room; loads and deletes go on";

/// Whether a failure says that the disk has no room, wherever in the engine it happened.
pub(crate) fn is_disk_full(cause: &fjall::Error) -> bool {
    match cause {
        fjall::Error::Io(cause) | fjall::Error::Storage(fjall::LsmError::Io(cause)) => {
            matches!(cause.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_full_wherever_it_shows() {
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        assert_eq!(io_error("x", full()).kind(), ErrorKind::Full);
        assert_eq!(engine_error("x", fjall::Error::Io(full())).kind(), ErrorKind::Full);
        let inner = fjall::Error::Storage(fjall::LsmError::Io(full()));
        assert!(is_disk_full(&inner));
        assert_eq!(engine_error("x", inner).kind(), ErrorKind::Full);
    }

    /// A flipped bit in the engine's note of its newest manifest once passed for a disk that is away for a while.
    #[test]
    fn a_missing_file_of_the_engine_is_damage() {
        let damage = [io::ErrorKind::NotFound, io::ErrorKind::AlreadyExists, io::ErrorKind::InvalidInput];
        for kind in damage {
            assert_eq!(engine_error("x", fjall::Error::Io(kind.into())).kind(), ErrorKind::Corrupted);
        }
        let busy = fjall::Error::Io(io::ErrorKind::ResourceBusy.into());
        assert_eq!(engine_error("x", busy).kind(), ErrorKind::Unavailable);
    }

    #[test]
    fn failures_keep_their_cause_and_name_the_provider() {
        let error = io_error("item file", io::Error::other("bus"));
        assert_eq!(error.provider(), Some("fs"));
        assert!(format!("{error:?}").contains("bus"), "{error:?}");
    }
}
