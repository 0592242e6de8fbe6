//! What scripts are told when something fails, and the one place where storage failures get that meaning.

use std::{error::Error, fmt};

use storage_core::{ErrorKind, StorageError};

/// The result of a call that a script makes.
pub type ScriptResult<T> = Result<T, ScriptError>;

/// What went wrong, as scripts branch on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ScriptErrorKind {
    /// An argument, a value or a handle that cannot be used.
    Invalid,
    /// There is no such store, or nothing that could be counted up.
    NotFound,
    /// The policy does not allow the call.
    PermissionDenied,
    /// There is an entry already.
    AlreadyExists,
    /// The entry has another version, or keeps changing.
    Conflict,
    /// The store does not answer, is full or takes no writes.
    Unavailable,
    /// The store did not answer in time; nothing was changed.
    Timeout,
    /// The store asks for a slower pace.
    RateLimited,
    /// The stored entry is damaged, or something else that no script can mend.
    Internal,
}

impl ScriptErrorKind {
    /// The name of the kind as scripts see it, for example `PERMISSION_DENIED`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "INVALID",
            Self::NotFound => "NOT_FOUND",
            Self::PermissionDenied => "PERMISSION_DENIED",
            Self::AlreadyExists => "ALREADY_EXISTS",
            Self::Conflict => "CONFLICT",
            Self::Unavailable => "UNAVAILABLE",
            Self::Timeout => "TIMEOUT",
            Self::RateLimited => "RATE_LIMITED",
            Self::Internal => "INTERNAL",
        }
    }
}

impl fmt::Display for ScriptErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A failed call of a script: a kind to branch on, a message for people, and whether the same call may be made again.
///
/// It holds neither values nor secrets. The failure of the storage below, if there was one, is its
/// [source](Error::source).
#[derive(Debug)]
pub struct ScriptError {
    kind: ScriptErrorKind,
    message: String,
    retryable: bool,
    source: Option<StorageError>,
}

impl ScriptError {
    /// An error that will happen again if the same call is made again.
    pub fn new(kind: ScriptErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), retryable: false, source: None }
    }

    /// An argument, a value or a handle that cannot be used.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ScriptErrorKind::Invalid, message)
    }

    /// Says that nothing was changed and the same call may succeed later.
    #[must_use]
    pub const fn and_retryable(mut self) -> Self {
        self.retryable = true;
        self
    }

    /// What went wrong.
    pub const fn kind(&self) -> ScriptErrorKind {
        self.kind
    }

    /// What is wrong, in words for people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Whether nothing was changed and the same call may succeed later.
    pub const fn is_retryable(&self) -> bool {
        self.retryable
    }
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for ScriptError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}

impl From<StorageError> for ScriptError {
    fn from(error: StorageError) -> Self {
        let (kind, retryable) = meaning(error.kind());
        Self { kind, message: error.to_string(), retryable, source: Some(error) }
    }
}

/// What a failure of the storage means to a script, and whether the same call may be made again.
const fn meaning(kind: ErrorKind) -> (ScriptErrorKind, bool) {
    match kind {
        ErrorKind::InvalidKey
        | ErrorKind::Invalid
        | ErrorKind::InvalidQuery
        | ErrorKind::TooLarge { .. }
        | ErrorKind::Unsupported => (ScriptErrorKind::Invalid, false),
        ErrorKind::NotFound | ErrorKind::NoProvider => (ScriptErrorKind::NotFound, false),
        ErrorKind::PermissionDenied => (ScriptErrorKind::PermissionDenied, false),
        ErrorKind::AlreadyExists => (ScriptErrorKind::AlreadyExists, false),
        ErrorKind::VersionConflict => (ScriptErrorKind::Conflict, false),
        // Room comes back when entries expire or are deleted.
        ErrorKind::Full | ErrorKind::Unavailable => (ScriptErrorKind::Unavailable, true),
        // The write may have been applied: whoever makes it again must know that it does no harm.
        ErrorKind::OutcomeUnknown
        | ErrorKind::ReadOnly
        | ErrorKind::Locked
        | ErrorKind::Closed
        | ErrorKind::Unauthenticated => (ScriptErrorKind::Unavailable, false),
        ErrorKind::Timeout => (ScriptErrorKind::Timeout, true),
        ErrorKind::RateLimited => (ScriptErrorKind::RateLimited, true),
        _ => (ScriptErrorKind::Internal, false),
    }
}

/// A script's text inside a message: quoted, escaped, and cut at 256 bytes.
pub(crate) fn shown(text: &str) -> String {
    const MOST: usize = 256;
    match text.get(..text.floor_char_boundary(MOST)) {
        Some(start) if start.len() < text.len() => format!("{start:?}…"),
        _ => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn storage_failures_keep_their_meaning() {
        use ScriptErrorKind as Kind;
        for (storage, kind, retryable) in [
            (ErrorKind::NotFound, Kind::NotFound, false),
            (ErrorKind::AlreadyExists, Kind::AlreadyExists, false),
            (ErrorKind::VersionConflict, Kind::Conflict, false),
            (ErrorKind::InvalidKey, Kind::Invalid, false),
            (ErrorKind::Invalid, Kind::Invalid, false),
            (ErrorKind::InvalidQuery, Kind::Invalid, false),
            (ErrorKind::TooLarge { size: 2, max: 1 }, Kind::Invalid, false),
            (ErrorKind::Full, Kind::Unavailable, true),
            (ErrorKind::NoProvider, Kind::NotFound, false),
            (ErrorKind::PermissionDenied, Kind::PermissionDenied, false),
            (ErrorKind::Unauthenticated, Kind::Unavailable, false),
            (ErrorKind::ReadOnly, Kind::Unavailable, false),
            (ErrorKind::Locked, Kind::Unavailable, false),
            (ErrorKind::Serialization, Kind::Internal, false),
            (ErrorKind::Corrupted, Kind::Internal, false),
            (ErrorKind::Timeout, Kind::Timeout, true),
            (ErrorKind::RateLimited, Kind::RateLimited, true),
            (ErrorKind::Unavailable, Kind::Unavailable, true),
            (ErrorKind::OutcomeUnknown, Kind::Unavailable, false),
            (ErrorKind::Closed, Kind::Unavailable, false),
            (ErrorKind::Config, Kind::Internal, false),
            (ErrorKind::Unsupported, Kind::Invalid, false),
            (ErrorKind::Partial, Kind::Internal, false),
            (ErrorKind::Internal, Kind::Internal, false),
        ] {
            let error = ScriptError::from(StorageError::new(storage, "as arranged"));
            assert_eq!((error.kind(), error.is_retryable()), (kind, retryable), "{storage}");
            assert_eq!(error.message(), "as arranged");
            let source = error.source().unwrap();
            assert!(source.is::<StorageError>());
        }
    }
}
