//! Where failures of PostgreSQL get their meaning.

use std::{error::Error, fmt};

use storage_core::{ErrorKind, StorageError};
use tokio_postgres::error::{DbError, Severity, SqlState};

use crate::error::failure;

/// What was under way when something failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum During {
    Connect,
    Read,
    /// A write that was sent.
    Write,
}

/// The meaning of a failure.
pub(crate) fn meaning(error: tokio_postgres::Error, during: During) -> StorageError {
    match error.as_db_error() {
        Some(refusal) => refused(refusal, during),
        None => broken(error, during),
    }
}

/// Whether the same statement may well succeed when it is sent again: it lost against another one and did nothing.
pub(crate) fn is_collision(error: &tokio_postgres::Error) -> bool {
    const COLLISIONS: [SqlState; 3] =
        [SqlState::T_R_DEADLOCK_DETECTED, SqlState::T_R_SERIALIZATION_FAILURE, SqlState::LOCK_NOT_AVAILABLE];
    error.code().is_some_and(|code| COLLISIONS.contains(code))
}

/// Whether one row of a statement is to blame: without it, the others may succeed.
pub(crate) fn is_of_one_row(error: &tokio_postgres::Error) -> bool {
    // Data exceptions, violated constraints, rows that are too large for an index, and what triggers raise.
    const CLASSES: [&str; 4] = ["22", "23", "54", "P0"];
    error.code().is_some_and(|code| CLASSES.iter().any(|class| code.code().starts_with(class)))
}

/// Whether the prepared statements of a connection are of no use any more: a table was altered, or somebody between us and the
/// server dropped them.
pub(crate) fn is_of_old_statements(error: &tokio_postgres::Error) -> bool {
    error.code().is_some_and(|code| {
        *code == SqlState::FEATURE_NOT_SUPPORTED || *code == SqlState::INVALID_SQL_STATEMENT_NAME
    })
}

/// Whether the connection was lost.
pub(crate) fn is_lost(error: &tokio_postgres::Error) -> bool {
    match error.as_db_error() {
        Some(refusal) => is_fatal(refusal),
        // The driver tells these apart by their texts alone.
        None => LOST.contains(&error.to_string().as_str()),
    }
}

/// What the driver says of a connection that is of no use any more.
const LOST: [&str; 4] = [
    "connection closed",
    "error communicating with the server",
    "unexpected message from server",
    "error parsing response from server",
];

/// What the server said, without the details and hints that repeat what is stored.
#[derive(Debug)]
struct Refusal {
    code: String,
    message: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SQLSTATE {}: {}", self.code, self.message)
    }
}

impl Error for Refusal {}

fn is_fatal(error: &DbError) -> bool {
    matches!(error.parsed_severity(), Some(Severity::Fatal | Severity::Panic))
}

/// A server that ends a connection in the middle of a write may have committed it before: whoever waits for a standby, for
/// example, is sent away after the commit.
fn refused(error: &DbError, during: During) -> StorageError {
    let (kind, message) = match during {
        During::Write if is_fatal(error) => {
            (ErrorKind::OutcomeUnknown, "the server ended the connection while a write was under way")
        }
        _ => kind_of(error.code()),
    };
    let refusal = Refusal { code: error.code().code().to_owned(), message: error.message().to_owned() };
    failure(kind, format!("{message} ({refusal})")).with_source(refusal)
}

fn kind_of(code: &SqlState) -> (ErrorKind, &'static str) {
    use ErrorKind as Kind;
    match code.code() {
        "40P01" | "40001" => (Kind::Unavailable, "the statement kept colliding with others"),
        "55P03" => (Kind::Unavailable, "a lock was held by others for too long"),
        "57014" => (Kind::Timeout, "the server ended the statement, which changed nothing"),
        "53100" => (Kind::Full, "the disk of the server is full"),
        "53300" => (Kind::Unavailable, "the server has no connection left"),
        "42501" => (Kind::PermissionDenied, "the user has no right to do this"),
        "25006" => (Kind::ReadOnly, "the server takes no writes: is it a standby?"),
        "28000" | "28P01" => (Kind::Unauthenticated, "the server does not accept user and password"),
        "3D000" => (Kind::Config, "the database does not exist"),
        "3F000" => (Kind::Config, "the schema does not exist"),
        "42P01" => (Kind::Config, "the table is missing"),
        "42703" => (Kind::Config, "a column is missing"),
        "42804" | "42883" | "42P10" | "23502" | "42P16" => {
            (Kind::Config, "the table does not have the shape that is expected")
        }
        "22001" => (Kind::Invalid, "the key or value is too long for its column"),
        "22003" | "22008" => (Kind::Invalid, "the deadline is outside the range of its column"),
        "22021" => (Kind::Invalid, "the column of the values holds texts, and the payload is none"),
        "XX001" | "XX002" => (Kind::Corrupted, "the server found its files damaged"),
        other => match other.get(..2) {
            Some("08" | "57") => (Kind::Unavailable, "the server is not ready or ended the connection"),
            Some("53") => (Kind::Unavailable, "the server has run out of a resource"),
            Some("58") => (Kind::Unavailable, "the system of the server failed"),
            Some("0A" | "26") => (Kind::Unavailable, "the table was altered meanwhile"),
            Some("54") => (Kind::Invalid, "the item is beyond a limit of the server"),
            _ => (Kind::Internal, "the server refused a statement"),
        },
    }
}

/// What did not come from the server: the network, TLS, and answers that cannot be read.
fn broken(error: tokio_postgres::Error, during: During) -> StorageError {
    // The driver tells these apart by their texts alone.
    let text = error.to_string();
    let (kind, message) = match (during, text.as_str()) {
        (During::Connect, "error performing TLS handshake") => {
            (ErrorKind::Config, "no encrypted connection could be made")
        }
        (_, "authentication error") => (ErrorKind::Unauthenticated, "signing in failed"),
        (During::Connect, "invalid configuration") => {
            (ErrorKind::Unauthenticated, "the server asks for what is not configured, such as a password")
        }
        (_, text) if text.starts_with("error deserializing column") || text.starts_with("invalid column") => {
            (ErrorKind::Corrupted, "a stored row has another shape than what was saved")
        }
        (_, text) if text.starts_with("error serializing parameter") => {
            (ErrorKind::Config, "the table does not have the shape that is expected")
        }
        (During::Read | During::Write, text) if !LOST.contains(&text) => {
            (ErrorKind::Internal, "the driver refused a statement")
        }
        (During::Write, _) => {
            (ErrorKind::OutcomeUnknown, "the connection was lost while a write was under way")
        }
        (During::Connect, _) => (ErrorKind::Unavailable, "the server cannot be reached"),
        (During::Read, _) => (ErrorKind::Unavailable, "the connection was lost"),
    };
    let failure = failure(kind, message);
    match error.into_source() {
        Some(cause) => failure.with_source(cause),
        None => failure,
    }
}
