//! Where failures of servers and connections get their meaning.

use std::{borrow::Cow, io};

use storage_core::{ErrorKind, StorageError};

/// The name of the provider in errors.
pub(crate) const PROVIDER: &str = "redis";

/// An error of this provider.
pub(crate) fn failure(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> StorageError {
    StorageError::new(kind, message).with_provider(PROVIDER)
}

/// The meaning of a failure of a connection; `what` says what could not be done.
pub(crate) fn io_error(what: &str, cause: io::Error) -> StorageError {
    let kind = tls_kind(&cause).unwrap_or(ErrorKind::Unavailable);
    let why = match cause.kind() {
        _ if kind == ErrorKind::Config => "the two ends do not agree on TLS",
        io::ErrorKind::ConnectionRefused => "nobody listens there",
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => "the connection was reset",
        io::ErrorKind::UnexpectedEof => "the server ended the connection",
        io::ErrorKind::TimedOut => "the server did not answer in time",
        io::ErrorKind::InvalidData => "the server answered something that is no Redis protocol",
        _ => "the connection failed",
    };
    failure(kind, format!("{what}: {why}")).with_source(cause)
}

/// What a failure of TLS itself means: the wrong authority, name or certificate do not pass by waiting.
fn tls_kind(cause: &io::Error) -> Option<ErrorKind> {
    match cause.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::InvalidCertificate(_)
        | rustls::Error::AlertReceived(_)
        | rustls::Error::InvalidMessage(_)
        | rustls::Error::NoCertificatesPresented
        | rustls::Error::PeerIncompatible(_)
        | rustls::Error::PeerMisbehaved(_) => Some(ErrorKind::Config),
        _ => None,
    }
}

/// The meaning of an error that a server answered.
///
/// Only the texts of errors that are not known are shown, without the part that repeats what was sent.
pub(crate) fn server_error(text: &str) -> StorageError {
    let (code, detail) = text.split_once(' ').unwrap_or((text, ""));
    let (kind, message) = match code {
        "LOADING" => (ErrorKind::Unavailable, "the server is loading its data"),
        "BUSY" => (ErrorKind::Unavailable, "the server is busy with a script"),
        "MASTERDOWN" => (ErrorKind::Unavailable, "the server has lost its master"),
        "CLUSTERDOWN" => (ErrorKind::Unavailable, "the cluster does not serve this slot at the moment"),
        "TRYAGAIN" => (ErrorKind::Unavailable, "the slot is being moved"),
        "MOVED" | "ASK" => (ErrorKind::Unavailable, "the cluster sends from one node to another in circles"),
        "NOREPLICAS" => (ErrorKind::Unavailable, "the server has too few replicas to take writes"),
        "READONLY" => (ErrorKind::ReadOnly, "the server is a replica"),
        "CROSSSLOT" => (ErrorKind::Internal, "the keys of a call do not share a slot"),
        "NOSCRIPT" => (ErrorKind::Internal, "the server forgot a script that was sent along"),
        "OOM" => (ErrorKind::Full, "the server has no memory left"),
        "NOPERM" => (ErrorKind::PermissionDenied, "the user may not do this"),
        "WRONGPASS" => (ErrorKind::Unauthenticated, "user name or password are wrong, or the user is off"),
        "NOAUTH" => (ErrorKind::Unauthenticated, "the server wants a password"),
        "WRONGTYPE" => (ErrorKind::Corrupted, "a key holds a value of another type"),
        "MISCONF" => (ErrorKind::ReadOnly, "the server cannot write to its disk and takes no writes"),
        "ERR" => return plain_error(detail),
        _ => return failure(ErrorKind::Internal, format!("the server answered {}", shown(text))),
    };
    failure(kind, message)
}

/// Errors without a code of their own are known by their text.
fn plain_error(detail: &str) -> StorageError {
    let (kind, message) = match detail {
        _ if detail.starts_with("max number of clients") => {
            (ErrorKind::Unavailable, "the server has too many clients")
        }
        _ if detail.contains("AUTH <password> called without any password") => {
            (ErrorKind::Unauthenticated, "a password is given, and the server's default user has none")
        }
        _ if detail.starts_with("invalid password") => (ErrorKind::Unauthenticated, "the password is wrong"),
        _ if detail.starts_with("DB index is out of range") => {
            (ErrorKind::Config, "the server has no database of this number")
        }
        _ if detail.starts_with("SELECT is not allowed in cluster mode") => {
            (ErrorKind::Config, "the server is part of a cluster, which has only database 0")
        }
        _ if detail.contains("cluster support disabled") => {
            (ErrorKind::Config, "the server is not part of a cluster")
        }
        _ if detail.contains("-OOM ") || detail.starts_with("OOM ") => {
            (ErrorKind::Full, "the server has no memory left")
        }
        _ => return failure(ErrorKind::Internal, format!("the server answered {}", shown(detail))),
    };
    failure(kind, message)
}

/// An unknown text of the server: escaped, at most 200 bytes, and without the arguments that it may repeat.
fn shown(text: &str) -> String {
    const MOST: usize = 200;
    let text = text.split(", with args beginning with").next().unwrap_or_default();
    format!("{:?}", text.get(..text.floor_char_boundary(MOST)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_of_the_server_has_its_kind() {
        let known = [
            ("LOADING Redis is loading the dataset in memory", ErrorKind::Unavailable),
            ("BUSY Redis is busy running a script.", ErrorKind::Unavailable),
            ("MASTERDOWN Link with MASTER is down", ErrorKind::Unavailable),
            ("CLUSTERDOWN Hash slot not served", ErrorKind::Unavailable),
            ("TRYAGAIN Multiple keys request during rehashing of slot", ErrorKind::Unavailable),
            ("MOVED 1 h:1", ErrorKind::Unavailable),
            ("ERR max number of clients reached", ErrorKind::Unavailable),
            ("READONLY You can't write against a read only replica.", ErrorKind::ReadOnly),
            ("MISCONF Redis is configured to save RDB snapshots", ErrorKind::ReadOnly),
            ("CROSSSLOT Keys in request don't hash to the same slot", ErrorKind::Internal),
            ("NOSCRIPT No matching script.", ErrorKind::Internal),
            ("OOM command not allowed when used memory > 'maxmemory'.", ErrorKind::Full),
            ("NOPERM this user has no permissions", ErrorKind::PermissionDenied),
            ("WRONGPASS invalid username-password pair", ErrorKind::Unauthenticated),
            ("NOAUTH Authentication required.", ErrorKind::Unauthenticated),
            ("WRONGTYPE Operation against a key", ErrorKind::Corrupted),
            ("ERR DB index is out of range", ErrorKind::Config),
            ("ERR This instance has cluster support disabled", ErrorKind::Config),
            ("ERR something new", ErrorKind::Internal),
            ("NEW", ErrorKind::Internal),
        ];
        for (text, kind) in known {
            assert_eq!(server_error(text).kind(), kind, "{text}");
        }
    }

    #[test]
    fn what_was_sent_is_not_shown() {
        let error = server_error("ERR unknown command 'X', with args beginning with: 'hunter2'");
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        assert!(error.message().contains("unknown command"), "{error}");
    }
}
