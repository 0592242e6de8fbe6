//! Names failures and tells the log.

use storage_core::{ErrorKind, StorageError};

use crate::{Operation, routes::SharedProvider};

/// Names the operation and the provider that failed, unless they are named closer to the failure, and tells the log.
pub(crate) fn explain(error: StorageError, operation: Operation, provider: &SharedProvider) -> StorageError {
    let error = error.with_operation(operation.as_str()).with_provider(provider.info().name);
    log(&error);
    error
}

/// Tells the log: loudly if the backend is in trouble, quietly if the caller asked for what cannot be.
///
/// The text of an error shows keys escaped and cut, and holds no payload and no secret.
pub(crate) fn log(error: &StorageError) {
    match error.kind() {
        ErrorKind::NotFound
        | ErrorKind::AlreadyExists
        | ErrorKind::VersionConflict
        | ErrorKind::InvalidKey
        | ErrorKind::Invalid
        | ErrorKind::InvalidQuery
        | ErrorKind::TooLarge { .. }
        | ErrorKind::Unsupported
        | ErrorKind::Closed => {
            tracing::debug!(kind = error.kind().as_str(), %error, "a storage call was refused");
        }
        _ => tracing::warn!(kind = error.kind().as_str(), error = ?error, "a storage call failed"),
    }
}
