//! Why a command failed, for people and for programs, and the exit status that says so.

use std::{error::Error, fmt::Write as _, io, process::ExitCode};

use serde::Serialize;
use storage_manager::{ErrorKind, ItemKey, StorageError};

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Status {
    Done = 0,
    /// No such item, or no store at all; or a script that raised an error.
    NoItem = 1,
    /// Usage or invalid input.
    Usage = 2,
    /// The condition of a write is not met.
    Condition = 3,
    /// The backend is unavailable or locked, or the outcome is unknown; or a script that was stopped at its limits.
    Unavailable = 4,
    Corrupted = 5,
    Other = 6,
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        Self::from(status as u8)
    }
}

impl From<ErrorKind> for Status {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::NotFound => Self::NoItem,
            ErrorKind::InvalidKey
            | ErrorKind::Invalid
            | ErrorKind::InvalidQuery
            | ErrorKind::TooLarge { .. }
            | ErrorKind::NoProvider
            | ErrorKind::Unsupported => Self::Usage,
            ErrorKind::AlreadyExists | ErrorKind::VersionConflict => Self::Condition,
            ErrorKind::Locked
            | ErrorKind::Timeout
            | ErrorKind::RateLimited
            | ErrorKind::Unavailable
            | ErrorKind::OutcomeUnknown => Self::Unavailable,
            ErrorKind::Corrupted => Self::Corrupted,
            _ => Self::Other,
        }
    }
}

/// A failed command.
#[derive(Debug)]
pub(crate) struct Failure {
    // One pointer, so that answers do not carry a large failure around.
    details: Box<Details>,
}

#[derive(Debug, Serialize)]
struct Details {
    kind: &'static str,
    /// What is wrong; for errors of a store without provider, operation and key, which have fields of their own.
    message: String,
    key: Option<String>,
    content_type: Option<String>,
    provider: Option<String>,
    operation: Option<&'static str>,
    /// The causes below, outermost first.
    causes: Vec<String>,
    /// What to do next.
    hint: Option<String>,
    #[serde(skip)]
    text: String,
    #[serde(skip)]
    status: Status,
}

impl Failure {
    fn new(kind: &'static str, status: Status, message: String) -> Self {
        let details = Details {
            kind,
            text: message.clone(),
            message,
            key: None,
            content_type: None,
            provider: None,
            operation: None,
            causes: Vec::new(),
            hint: None,
            status,
        };
        Self { details: Box::new(details) }
    }

    /// A command line that cannot be understood.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new("Usage", Status::Usage, message.into())
    }

    /// An argument or input outside its limits.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid.as_str(), Status::Usage, message.into())
    }

    /// Stored data that does not fit what was asked for.
    pub(crate) fn serialization(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Serialization.as_str(), Status::Other, message.into())
    }

    /// A script raised an error and did not catch it.
    #[cfg(any(feature = "lua54", feature = "luau"))]
    pub(crate) fn script_raised(message: String) -> Self {
        Self::new("Script", Status::NoItem, message)
    }

    /// A script reached a limit.
    #[cfg(any(feature = "lua54", feature = "luau"))]
    pub(crate) fn script_stopped(message: String) -> Self {
        Self::new("Stopped", Status::Unavailable, message)
    }

    /// No live item is stored under this key.
    pub(crate) fn no_item(key: ItemKey<'_>) -> Self {
        StorageError::new(ErrorKind::NotFound, "no such item").with_key(key).into()
    }

    /// There is no store in the place that was named.
    pub(crate) fn no_store(message: String) -> Self {
        Self::new(ErrorKind::NotFound.as_str(), Status::NoItem, message)
    }

    /// Reading or writing outside the store failed.
    pub(crate) fn io(message: impl Into<String>, cause: &io::Error) -> Self {
        Self::new("Io", Status::Other, message.into()).with_cause(cause)
    }

    #[must_use]
    pub(crate) fn with_cause(mut self, cause: &dyn Error) -> Self {
        self.details.causes.push(cause.to_string());
        self
    }

    #[must_use]
    pub(crate) fn with_key(mut self, key: ItemKey<'_>) -> Self {
        self.details.key = Some(key.key().to_owned());
        self.details.content_type = Some(key.content_type().to_owned());
        self
    }

    #[must_use]
    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.details.hint = Some(hint.into());
        self
    }

    /// Whether other items can be read all the same.
    pub(crate) fn concerns_one_item(&self) -> bool {
        self.details.key.is_some()
            && [ErrorKind::Corrupted, ErrorKind::Serialization]
                .iter()
                .any(|kind| kind.as_str() == self.details.kind)
    }

    pub(crate) fn status(&self) -> Status {
        self.details.status
    }

    /// The failure for people: what, why, and what to do next.
    pub(crate) fn for_people(&self) -> String {
        let mut text = format!("error: {}\n", self.details.text);
        for cause in &self.details.causes {
            let _ = writeln!(text, "cause: {cause}");
        }
        if let Some(hint) = &self.details.hint {
            let _ = writeln!(text, "hint:  {hint}");
        }
        text
    }

    /// The failure as a JSON document.
    pub(crate) fn for_programs(&self) -> String {
        #[derive(Serialize)]
        struct Document<'a> {
            error: &'a Details,
        }
        let document = Document { error: &self.details };
        serde_json::to_string(&document)
            .unwrap_or_else(|_| format!("{{\"error\":{{\"kind\":\"{}\"}}}}", self.details.kind))
    }
}

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Self {
        let mut causes = Vec::new();
        let mut cause = error.source();
        while let Some(inner) = cause {
            causes.push(inner.to_string());
            cause = inner.source();
        }
        let details = Details {
            kind: error.kind().as_str(),
            message: error.message().to_owned(),
            text: error.to_string(),
            key: error.key().map(str::to_owned),
            content_type: error.content_type().map(str::to_owned),
            provider: error.provider().map(str::to_owned),
            operation: error.operation(),
            causes,
            hint: hint(&error).map(str::to_owned),
            status: error.kind().into(),
        };
        Self { details: Box::new(details) }
    }
}

impl From<clap::Error> for Failure {
    /// The first paragraph of clap's text is the message, the rest says how to go on.
    fn from(error: clap::Error) -> Self {
        use clap::error::ErrorKind as Clap;
        let kind = match error.kind() {
            Clap::ValueValidation => ErrorKind::Invalid.as_str(),
            _ => "Usage",
        };
        let text = without_credentials(&error.render().to_string());
        let text = text.strip_prefix("error: ").unwrap_or(&text).trim_end();
        let (message, _) = text.split_once("\n\n").unwrap_or((text, ""));
        let mut failure = Self::new(kind, Status::Usage, message.trim().replace("\n  ", " "));
        text.clone_into(&mut failure.details.text);
        failure
    }
}

/// The text with the credentials of URLs left out: one may have been typed in the wrong place.
fn without_credentials(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("://") {
        let end = behind.find(|c: char| c.is_whitespace() || matches!(c, '\'' | '"')).unwrap_or(behind.len());
        let (url, _) = behind.split_at(end);
        let (hidden, host) = behind.split_at(url.rfind('@').unwrap_or(0));
        shown.extend([before, "://", if hidden.is_empty() { "" } else { "…" }]);
        rest = host;
    }
    shown + rest
}

/// What to do about a failure, where there is something to say that the message does not.
fn hint(error: &StorageError) -> Option<&'static str> {
    Some(match error.kind() {
        ErrorKind::NotFound => "`search` lists what is there; an item may also have expired",
        ErrorKind::AlreadyExists => "nothing was changed; leave out --if-absent to replace the item",
        ErrorKind::VersionConflict => {
            "nothing was changed; `load TYPE KEY --meta` shows the version that is stored now"
        }
        ErrorKind::Locked => "one process at a time can use a store; try again when the other has ended",
        // What is said of a whole store says itself what to do.
        ErrorKind::Corrupted if error.key().is_some() => {
            "`verify` names every damaged item; the others stay readable"
        }
        ErrorKind::Full => "make room: `cleanup` removes expired items, `delete` works on a full disk",
        ErrorKind::TooLarge { .. } => "nothing was stored; split the data",
        ErrorKind::OutcomeUnknown => {
            "load the item to see whether the write was applied before you repeat it"
        }
        ErrorKind::Timeout | ErrorKind::RateLimited | ErrorKind::Unavailable => {
            "nothing was changed; try again"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_exit_status() {
        for (kind, status) in [
            (ErrorKind::NotFound, 1),
            (ErrorKind::InvalidKey, 2),
            (ErrorKind::Invalid, 2),
            (ErrorKind::InvalidQuery, 2),
            (ErrorKind::TooLarge { size: 2, max: 1 }, 2),
            (ErrorKind::NoProvider, 2),
            (ErrorKind::Unsupported, 2),
            (ErrorKind::AlreadyExists, 3),
            (ErrorKind::VersionConflict, 3),
            (ErrorKind::Locked, 4),
            (ErrorKind::Timeout, 4),
            (ErrorKind::RateLimited, 4),
            (ErrorKind::Unavailable, 4),
            (ErrorKind::OutcomeUnknown, 4),
            (ErrorKind::Corrupted, 5),
            (ErrorKind::Full, 6),
            (ErrorKind::ReadOnly, 6),
            (ErrorKind::PermissionDenied, 6),
            (ErrorKind::Config, 6),
            (ErrorKind::Closed, 6),
            (ErrorKind::Serialization, 6),
            (ErrorKind::Internal, 6),
        ] {
            assert_eq!(Status::from(kind) as u8, status, "{kind}");
        }
    }

    #[test]
    fn credentials_of_urls_are_left_out() {
        for (text, shown) in [
            ("'redis://user:S3/CR@3T@host/0' x://b", "'redis://…@host/0' x://b"),
            ("no URL a@b", "no URL a@b"),
            ("x://host/ 'y://u@h'", "x://host/ 'y://…@h'"),
        ] {
            assert_eq!(without_credentials(text), shown);
        }
    }

    #[test]
    fn a_failure_has_one_shape_for_programs() {
        let key = ItemKey::new("note", "a").unwrap();
        let document: serde_json::Value =
            serde_json::from_str(&Failure::no_item(key).for_programs()).unwrap();
        let error = &document["error"];
        assert_eq!(error["kind"], "NotFound");
        assert_eq!((&error["content_type"], &error["key"]), (&"note".into(), &"a".into()));
        assert!(error["provider"].is_null() && error["hint"].is_string());
    }
}
