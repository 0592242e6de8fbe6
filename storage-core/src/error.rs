//! One error type for every backend: a kind to branch on, advice on retrying, and the context of the call.

use std::{borrow::Cow, error::Error, fmt, result};

use crate::ItemKey;

/// The result of a storage call.
pub type Result<T, E = StorageError> = result::Result<T, E>;

/// What went wrong, for branching. Kinds mean the same on every backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// There is no such item. Providers answer `Ok(None)` instead; adapters that must fail use this.
    NotFound,
    /// The save asked for [`Condition::Absent`](crate::Condition::Absent) and a live item was there.
    AlreadyExists,
    /// The condition asked for a version that the stored item does not have.
    VersionConflict,
    /// The key is empty, too long or holds a control character.
    InvalidKey,
    /// Another argument is outside its limits: content type, tags, deadline, condition.
    Invalid,
    /// The query cannot be run: bad pattern, cursor or page size.
    InvalidQuery,
    /// The payload is larger than the provider takes. Nothing was sent or stored.
    TooLarge {
        /// Size of the payload in bytes.
        size: u64,
        /// Largest payload taken, in bytes.
        max: u64,
    },
    /// The store has no room for more. Reading and deleting go on.
    Full,
    /// No provider is registered for this content type.
    NoProvider,
    /// The credentials are known but lack the right.
    PermissionDenied,
    /// The credentials are missing or wrong.
    Unauthenticated,
    /// The store takes no writes at the moment: a replica, a read-only directory, a poisoned engine.
    ReadOnly,
    /// Another process holds the store.
    Locked,
    /// A value could not be encoded, or stored bytes do not fit the asked type or encoding.
    Serialization,
    /// A stored record is damaged. Never reported as a miss, never returned as a value.
    Corrupted,
    /// The deadline passed; a write was not applied.
    Timeout,
    /// The backend asked for a slower pace.
    RateLimited,
    /// The backend cannot be reached or cannot answer now; the call was not applied.
    Unavailable,
    /// A write was handed over and its answer was lost: it may or may not have been applied.
    OutcomeUnknown,
    /// The provider was closed.
    Closed,
    /// The configuration or the state of the backend does not fit this program.
    Config,
    /// The provider does not offer this.
    Unsupported,
    /// Some parts of the call succeeded and some failed.
    Partial,
    /// A defect of this library or its engine.
    Internal,
}

/// What a caller may do after a failure, as [`ErrorKind::retry`] answers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Retry {
    /// The same call will fail again.
    Never,
    /// Nothing was applied: the same call may be sent again.
    Safe,
    /// The call may have been applied: send it again only under a condition or if it is idempotent.
    OnlyIfIdempotent,
}

impl ErrorKind {
    /// The name of the kind as it appears in metrics, JSON and scripts, for example `VersionConflict`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "NotFound",
            Self::AlreadyExists => "AlreadyExists",
            Self::VersionConflict => "VersionConflict",
            Self::InvalidKey => "InvalidKey",
            Self::Invalid => "Invalid",
            Self::InvalidQuery => "InvalidQuery",
            Self::TooLarge { .. } => "TooLarge",
            Self::Full => "Full",
            Self::NoProvider => "NoProvider",
            Self::PermissionDenied => "PermissionDenied",
            Self::Unauthenticated => "Unauthenticated",
            Self::ReadOnly => "ReadOnly",
            Self::Locked => "Locked",
            Self::Serialization => "Serialization",
            Self::Corrupted => "Corrupted",
            Self::Timeout => "Timeout",
            Self::RateLimited => "RateLimited",
            Self::Unavailable => "Unavailable",
            Self::OutcomeUnknown => "OutcomeUnknown",
            Self::Closed => "Closed",
            Self::Config => "Config",
            Self::Unsupported => "Unsupported",
            Self::Partial => "Partial",
            Self::Internal => "Internal",
        }
    }

    /// Whether the same call may be sent again.
    pub const fn retry(self) -> Retry {
        match self {
            Self::Timeout | Self::RateLimited | Self::Unavailable => Retry::Safe,
            Self::OutcomeUnknown => Retry::OnlyIfIdempotent,
            _ => Retry::Never,
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A failed storage call: its kind, where it happened and why.
///
/// Messages and causes hold no payload and no secret. Keys are shown escaped and cut at 256 bytes, so that a hostile key
/// cannot forge log lines.
///
/// ```
/// use storage_core::{ErrorKind, ItemKey, Retry};
///
/// let error = ItemKey::new("profile", "").unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::InvalidKey);
/// assert_eq!(error.retry(), Retry::Never);
/// ```
pub struct StorageError {
    // One pointer, so that the happy path does not carry a large result around.
    inner: Box<Inner>,
}

struct Inner {
    kind: ErrorKind,
    message: Cow<'static, str>,
    provider: Option<Cow<'static, str>>,
    operation: Option<&'static str>,
    content_type: Option<String>,
    key: Option<String>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl StorageError {
    /// An error of `kind`; `message` says what is wrong in words for people, without secrets.
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        let message = message.into();
        let inner = Inner {
            kind,
            message,
            provider: None,
            operation: None,
            content_type: None,
            key: None,
            source: None,
        };
        Self { inner: Box::new(inner) }
    }

    /// Names the provider, unless one closer to the failure is named already.
    #[must_use]
    pub fn with_provider(mut self, provider: impl Into<Cow<'static, str>>) -> Self {
        self.inner.provider.get_or_insert_with(|| provider.into());
        self
    }

    /// Names the operation, such as `save`, unless one closer to the failure is named already.
    #[must_use]
    pub fn with_operation(mut self, operation: &'static str) -> Self {
        self.inner.operation.get_or_insert(operation);
        self
    }

    /// Names the item, unless one is named already.
    #[must_use]
    pub fn with_key(mut self, key: ItemKey<'_>) -> Self {
        self.inner.content_type.get_or_insert_with(|| key.content_type().to_owned());
        self.inner.key.get_or_insert_with(|| key.key().to_owned());
        self
    }

    /// Names the content type alone, unless one is named already.
    #[must_use]
    pub fn with_content_type(mut self, content_type: &str) -> Self {
        self.inner.content_type.get_or_insert_with(|| content_type.to_owned());
        self
    }

    /// Keeps the cause. It must hold no secret: its text is shown by loggers that print the chain.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.inner.source = Some(source.into());
        self
    }

    /// The same error for one more caller of a call that several wait for. Its cause, which only one can hold, becomes part
    /// of the message.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        let message = match &self.inner.source {
            Some(cause) => format!("{} ({cause})", self.inner.message).into(),
            None => self.inner.message.clone(),
        };
        let inner = Inner {
            kind: self.inner.kind,
            provider: self.inner.provider.clone(),
            operation: self.inner.operation,
            key: self.inner.key.clone(),
            content_type: self.inner.content_type.clone(),
            message,
            source: None,
        };
        Self { inner: Box::new(inner) }
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    /// Whether the same call may be sent again.
    pub fn retry(&self) -> Retry {
        self.inner.kind.retry()
    }

    /// The message alone, without provider, operation and key.
    pub fn message(&self) -> &str {
        &self.inner.message
    }

    /// The provider that failed, if known.
    pub fn provider(&self) -> Option<&str> {
        self.inner.provider.as_deref()
    }

    /// The operation that failed, if known.
    pub fn operation(&self) -> Option<&'static str> {
        self.inner.operation
    }

    /// The content type of the item, if the failure concerns one.
    pub fn content_type(&self) -> Option<&str> {
        self.inner.content_type.as_deref()
    }

    /// The key of the item, if the failure concerns one.
    pub fn key(&self) -> Option<&str> {
        self.inner.key.as_deref()
    }
}

impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { provider, operation, content_type, key, message, .. } = &*self.inner;
        if let Some(provider) = provider {
            write!(f, "{provider}: ")?;
        }
        if let Some(operation) = operation {
            write!(f, "{operation}: ")?;
        }
        f.write_str(message)?;
        match (content_type, key) {
            (Some(content_type), Some(key)) => {
                write!(f, " (content type {}, key {})", Shown(content_type), Shown(key))
            }
            (Some(content_type), None) => write!(f, " (content type {})", Shown(content_type)),
            (None, Some(key)) => write!(f, " (key {})", Shown(key)),
            (None, None) => Ok(()),
        }
    }
}

/// A user's text inside a message: quoted, escaped, and cut at 256 bytes.
struct Shown<'a>(&'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MOST: usize = 256;
        match self.0.get(..self.0.floor_char_boundary(MOST)) {
            Some(start) if start.len() < self.0.len() => write!(f, "{start:?}…"),
            _ => write!(f, "{:?}", self.0),
        }
    }
}

impl fmt::Debug for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.inner.kind)?;
        let mut cause = self.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl Error for StorageError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.inner.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_names_provider_operation_and_item() {
        let key = ItemKey::new("note", "a\u{202e}b").unwrap();
        let error = StorageError::new(ErrorKind::Corrupted, "checksum differs")
            .with_key(key)
            .with_operation("load")
            .with_provider("fs");
        assert_eq!(
            error.to_string(),
            "fs: load: checksum differs (content type \"note\", key \"a\\u{202e}b\")"
        );
    }

    #[test]
    fn context_closest_to_the_failure_wins() {
        let error =
            StorageError::new(ErrorKind::Full, "no room").with_provider("fs").with_provider("manager");
        assert_eq!(error.provider(), Some("fs"));
    }

    #[test]
    fn a_long_key_is_cut_in_the_text_and_whole_in_the_field() {
        let long = "é".repeat(300);
        let error = StorageError::new(ErrorKind::Full, "no room").with_key(ItemKey::new("t", &long).unwrap());
        assert!(error.to_string().len() < 400, "{error}");
        assert_eq!(error.key(), Some(long.as_str()));
    }
}
