//! Where failures get their meaning: what all engines have in common. Each engine maps the errors of its driver itself.

use std::borrow::Cow;

use storage_core::{ErrorKind, StorageError};

/// An error of this provider, which names itself where the error leaves it.
pub(crate) fn failure(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> StorageError {
    StorageError::new(kind, message)
}

/// The same failure for one more of the callers that shared a statement.
///
/// The cause stays with the original: causes cannot be copied.
pub(crate) fn copy(error: &StorageError) -> StorageError {
    failure(error.kind(), error.message().to_owned())
}

/// What a call after `close` is answered.
pub(crate) fn closed() -> StorageError {
    failure(ErrorKind::Closed, "the provider is closed")
}

/// What a call is answered that did nothing until its deadline.
pub(crate) fn too_late(message: &'static str) -> StorageError {
    failure(ErrorKind::Timeout, message)
}
