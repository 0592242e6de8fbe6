//! Where failures of SQLite get their meaning.

use rusqlite::{Error, ErrorCode, ffi};
use storage_core::{ErrorKind, StorageError};

use crate::error::failure;

/// What a store that refuses writes says.
pub(super) const POISONED: &str = "an earlier write to disk failed, so the store takes no more writes until it is opened again; reading goes on";

/// What a store on a full disk says.
pub(super) const FULL: &str =
    "the disk is full: saves are refused until there is room; loads and deletes go on";

/// The meaning of a failure of SQLite; `what` says what could not be done.
pub(super) fn sqlite_error(what: &str, cause: Error) -> StorageError {
    let (kind, why) = meaning(&cause);
    failure(kind, format!("{what}: {why}")).with_source(cause)
}

/// Whether a failure says that the disk did not keep what it was given. What is on it is not known then, and asking again
/// answers nothing: the system may have forgotten that it failed.
pub(super) fn is_failed_sync(cause: &Error) -> bool {
    const SYNCS: [i32; 3] =
        [ffi::SQLITE_IOERR_FSYNC, ffi::SQLITE_IOERR_DIR_FSYNC, ffi::SQLITE_IOERR_TRUNCATE];
    cause.sqlite_error().is_some_and(|error| SYNCS.contains(&error.extended_code))
}

fn meaning(cause: &Error) -> (ErrorKind, &'static str) {
    match cause {
        Error::SqliteFailure(error, _) | Error::SqlInputError { error, .. } => of_code(*error),
        Error::FromSqlConversionFailure(..)
        | Error::InvalidColumnType(..)
        | Error::IntegralValueOutOfRange(..)
        | Error::Utf8Error(..)
        | Error::QueryReturnedNoRows => (ErrorKind::Corrupted, "a column holds what was never stored there"),
        _ => (ErrorKind::Internal, "the engine was used wrongly"),
    }
}

fn of_code(error: ffi::Error) -> (ErrorKind, &'static str) {
    match error.code {
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed => {
            (ErrorKind::Unavailable, "another process or connection held its lock on the file for too long")
        }
        ErrorCode::DiskFull => (ErrorKind::Full, FULL),
        ErrorCode::ReadOnly => (ErrorKind::ReadOnly, "the file or its directory can only be read"),
        ErrorCode::PermissionDenied | ErrorCode::AuthorizationForStatementDenied => {
            (ErrorKind::PermissionDenied, "the process may not do this")
        }
        ErrorCode::CannotOpen => (ErrorKind::Config, "the file cannot be opened"),
        ErrorCode::DatabaseCorrupt => (ErrorKind::Corrupted, "the file is damaged"),
        ErrorCode::NotADatabase => (ErrorKind::Corrupted, "the file is no SQLite database"),
        ErrorCode::SystemIoFailure => of_io(error.extended_code),
        ErrorCode::OperationInterrupted | ErrorCode::OperationAborted => {
            (ErrorKind::Timeout, "the deadline passed")
        }
        ErrorCode::OutOfMemory => (ErrorKind::Unavailable, "there is no memory left"),
        ErrorCode::SchemaChanged => (ErrorKind::Unavailable, "the tables are being changed"),
        ErrorCode::TooBig => (ErrorKind::Invalid, "the row is larger than SQLite takes"),
        ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch => {
            (ErrorKind::Corrupted, "the table and its indexes contradict each other")
        }
        ErrorCode::NoLargeFileSupport => (ErrorKind::Config, "the system has no files of this size"),
        // A table or column that is not there has no code of its own.
        ErrorCode::Unknown if error.extended_code == ffi::SQLITE_ERROR => {
            (ErrorKind::Config, "a table, index or column of the store is missing, or is another one")
        }
        _ => (ErrorKind::Internal, "the engine failed"),
    }
}

fn of_io(extended_code: i32) -> (ErrorKind, &'static str) {
    match extended_code {
        ffi::SQLITE_IOERR_SHORT_READ | ffi::SQLITE_IOERR_DATA | ffi::SQLITE_IOERR_CORRUPTFS => {
            (ErrorKind::Corrupted, "the file is damaged")
        }
        // Everything else may pass: a disk that failed once, too many open files.
        _ => (ErrorKind::Unavailable, "the file system reported an error"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(code: i32) -> ErrorKind {
        sqlite_error("test", Error::SqliteFailure(ffi::Error::new(code), None)).kind()
    }

    #[test]
    fn every_failure_of_the_engine_has_its_kind() {
        let known = [
            (ffi::SQLITE_BUSY, ErrorKind::Unavailable),
            (ffi::SQLITE_BUSY_RECOVERY, ErrorKind::Unavailable),
            (ffi::SQLITE_LOCKED, ErrorKind::Unavailable),
            (ffi::SQLITE_PROTOCOL, ErrorKind::Unavailable),
            (ffi::SQLITE_FULL, ErrorKind::Full),
            (ffi::SQLITE_READONLY, ErrorKind::ReadOnly),
            (ffi::SQLITE_READONLY_DIRECTORY, ErrorKind::ReadOnly),
            (ffi::SQLITE_PERM, ErrorKind::PermissionDenied),
            (ffi::SQLITE_CANTOPEN, ErrorKind::Config),
            (ffi::SQLITE_CORRUPT, ErrorKind::Corrupted),
            (ffi::SQLITE_CORRUPT_INDEX, ErrorKind::Corrupted),
            (ffi::SQLITE_NOTADB, ErrorKind::Corrupted),
            (ffi::SQLITE_IOERR_READ, ErrorKind::Unavailable),
            (ffi::SQLITE_IOERR_SHORT_READ, ErrorKind::Corrupted),
            (ffi::SQLITE_INTERRUPT, ErrorKind::Timeout),
            (ffi::SQLITE_NOMEM, ErrorKind::Unavailable),
            (ffi::SQLITE_TOOBIG, ErrorKind::Invalid),
            (ffi::SQLITE_ERROR, ErrorKind::Config),
            (ffi::SQLITE_MISUSE, ErrorKind::Internal),
        ];
        for (code, expected) in known {
            assert_eq!(kind(code), expected, "{code}");
        }
    }

    #[test]
    fn a_failed_sync_is_told_from_other_failures() {
        let failed = |code| is_failed_sync(&Error::SqliteFailure(ffi::Error::new(code), None));
        assert!(failed(ffi::SQLITE_IOERR_FSYNC));
        assert!(!failed(ffi::SQLITE_IOERR_READ) && !failed(ffi::SQLITE_FULL));
    }
}
