//! Where failures of the driver and of the server get their meaning.
//!
//! The texts of a server may repeat values that were sent to it: only its numbers are handed on.

use std::io;

use mysql_async::{DriverError, Error, IoError, ServerError};
use storage_core::{ErrorKind, StorageError};

use crate::error::failure;

/// A failure of a statement, and what it means for the transaction around it.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) error: StorageError,
    pub(super) advice: Advice,
}

/// What to do about a failure, as long as nothing was committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Advice {
    /// Another transaction was in the way: once more, from the beginning.
    Again,
    /// The connection is gone: once more on another one.
    Reconnect,
    /// It would fail again.
    GiveUp,
}

impl Fault {
    pub(super) const fn new(error: StorageError, advice: Advice) -> Self {
        Self { error, advice }
    }
}

impl From<StorageError> for Fault {
    fn from(error: StorageError) -> Self {
        Self::new(error, Advice::GiveUp)
    }
}

impl From<Fault> for StorageError {
    fn from(fault: Fault) -> Self {
        fault.error
    }
}

impl From<Error> for Fault {
    fn from(cause: Error) -> Self {
        match cause {
            Error::Server(error) => server_fault(&error),
            Error::Io(IoError::Io(cause)) if is_about_tls(&cause) => {
                let error = failure(ErrorKind::Config, "the two ends do not agree on TLS");
                error.with_source(cause).into()
            }
            Error::Io(IoError::Io(cause)) => {
                Self::new(io_error(&cause).with_source(cause), Advice::Reconnect)
            }
            Error::Io(IoError::Tls(cause)) => {
                let error = failure(ErrorKind::Config, "the two ends do not agree on TLS");
                error.with_source(cause).into()
            }
            Error::Driver(cause) => driver_fault(&cause),
            Error::Url(_) => {
                failure(ErrorKind::Config, "url has a setting that the driver does not take").into()
            }
            Error::Other(cause) => Self::new(
                failure(ErrorKind::Unavailable, "the connection failed").with_source(cause),
                Advice::Reconnect,
            ),
        }
    }
}

fn is_about_tls(cause: &io::Error) -> bool {
    cause.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()).is_some()
}

fn io_error(cause: &io::Error) -> StorageError {
    let message = match cause.kind() {
        io::ErrorKind::ConnectionRefused => "the server cannot be reached: nobody listens there",
        io::ErrorKind::TimedOut => "the server cannot be reached: it does not answer",
        _ => "the connection to the server is lost",
    };
    failure(ErrorKind::Unavailable, message)
}

fn driver_fault(cause: &DriverError) -> Fault {
    let (kind, message, advice) = match cause {
        DriverError::ConnectionClosed | DriverError::PoolDisconnected => {
            (ErrorKind::Unavailable, "the connection to the server is lost", Advice::Reconnect)
        }
        DriverError::UnknownAuthPlugin { .. }
        | DriverError::MysqlOldPasswordDisabled
        | DriverError::CleartextPluginDisabled
        | DriverError::InvalidParsecSalt => (
            ErrorKind::Unauthenticated,
            "the server wants a kind of sign-in that is not supported",
            Advice::GiveUp,
        ),
        DriverError::NoClientSslFlagFromServer => {
            (ErrorKind::Config, "the server offers no TLS", Advice::GiveUp)
        }
        DriverError::NoKeyFound => (ErrorKind::Config, "tls.key holds no private key", Advice::GiveUp),
        DriverError::PacketTooLarge => {
            (ErrorKind::Unavailable, "a packet is larger than max_allowed_packet", Advice::GiveUp)
        }
        // The two ends have lost each other: the connection is of no use any more.
        DriverError::PacketOutOfOrder
        | DriverError::UnexpectedPacket { .. }
        | DriverError::BadCompressedPacketHeader
        | DriverError::CantParseServerVersion { .. } => {
            (ErrorKind::Unavailable, "what answers does not speak the protocol of MySQL", Advice::Reconnect)
        }
        // These hold values; they are not handed on.
        _ => (ErrorKind::Internal, "the driver refuses the statement", Advice::GiveUp),
    };
    Fault::new(failure(kind, message), advice)
}

/// The meaning of an error of the server.
pub(super) fn server_fault(error: &ServerError) -> Fault {
    use ErrorKind as Kind;
    let (kind, message, advice) = match error.code {
        1205 => (Kind::Unavailable, "another transaction holds a lock for too long", Advice::Again),
        1213 => (Kind::Unavailable, "two transactions wait for each other", Advice::Again),
        1020 => (Kind::Unavailable, "a row was changed meanwhile", Advice::Again),
        1062 => (Kind::Unavailable, "another program has inserted the item meanwhile", Advice::Again),
        1615 => (Kind::Unavailable, "a statement must be prepared again", Advice::Again),
        1040 | 1203 => (Kind::Unavailable, "the server has too many connections", Advice::GiveUp),
        1226 => (Kind::Unavailable, "the user has used up what the server grants it", Advice::GiveUp),
        1461 => (Kind::Unavailable, "the server has too many prepared statements", Advice::GiveUp),
        1037 | 1038 | 1041 | 1135 => (Kind::Unavailable, "the server has no memory left", Advice::GiveUp),
        1053 | 1077 | 1079 | 1080 | 1184 | 1317 | 1158..=1161 | 1927 | 3169 | 4031 => {
            (Kind::Unavailable, "the server has ended the connection or the statement", Advice::Reconnect)
        }
        1969 | 3024 => (Kind::Timeout, "the statement took longer than the server lets it", Advice::GiveUp),
        1044 | 1142 | 1143 | 1227 | 1370 | 1410 => {
            (Kind::PermissionDenied, "the user may not do this", Advice::GiveUp)
        }
        1045 | 1251 | 1396 | 1698 | 1820 | 1862 | 3118 | 4151 => (
            Kind::Unauthenticated,
            "user name or password are wrong, or the user may not sign in",
            Advice::GiveUp,
        ),
        1130 | 1129 => {
            (Kind::Unauthenticated, "the server takes no connections from this host", Advice::GiveUp)
        }
        1046 | 1049 => (Kind::Config, "the database does not exist", Advice::GiveUp),
        1051 | 1146 | 1932 => (Kind::Config, "a table of the store does not exist", Advice::GiveUp),
        1054 | 1136 => (Kind::Config, "a table of the store has not the columns of one", Advice::GiveUp),
        1364 => {
            (Kind::Config, "a column of the table has no default and is none of the store's", Advice::GiveUp)
        }
        1665 => (
            Kind::Config,
            "the server writes its log by statement, which READ COMMITTED needs by row",
            Advice::GiveUp,
        ),
        1290 | 1792 | 1836 | 3100 => (Kind::ReadOnly, "the server takes no writes", Advice::GiveUp),
        1015 | 1036 => (Kind::ReadOnly, "the table takes no writes", Advice::GiveUp),
        1021 | 1114 | 1026 => (Kind::Full, "the server has no room left", Advice::GiveUp),
        // The number of the system's error is the only thing that the text says.
        1030 if error.message.contains("28") => (Kind::Full, "the server has no room left", Advice::GiveUp),
        1153 => {
            (Kind::Unavailable, "the server has lowered max_allowed_packet; connect again", Advice::GiveUp)
        }
        1366 | 1406 | 1264 | 1265 | 1292 => {
            (Kind::Invalid, "a column of the table does not take the value", Advice::GiveUp)
        }
        1034 | 1194 | 1195 | 1712 | 1877 => (Kind::Corrupted, "the table is damaged", Advice::GiveUp),
        code => {
            let message = format!("the server answered error {code} ({:.5})", error.state.escape_default());
            return failure(Kind::Internal, message).into();
        }
    };
    Fault::new(failure(kind, format!("{message} (error {})", error.code)), advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(code: u16) -> Fault {
        server_fault(&ServerError { code, message: "hunter2 'a'".into(), state: "HY000".into() })
    }

    #[test]
    fn errors_of_the_server_have_their_kinds_and_hide_its_text() {
        for (code, kind, advice) in [
            (1213, ErrorKind::Unavailable, Advice::Again),
            (1205, ErrorKind::Unavailable, Advice::Again),
            (1062, ErrorKind::Unavailable, Advice::Again),
            (1927, ErrorKind::Unavailable, Advice::Reconnect),
            (1053, ErrorKind::Unavailable, Advice::Reconnect),
            (1040, ErrorKind::Unavailable, Advice::GiveUp),
            (1045, ErrorKind::Unauthenticated, Advice::GiveUp),
            (1142, ErrorKind::PermissionDenied, Advice::GiveUp),
            (1146, ErrorKind::Config, Advice::GiveUp),
            (1290, ErrorKind::ReadOnly, Advice::GiveUp),
            (1114, ErrorKind::Full, Advice::GiveUp),
            (1969, ErrorKind::Timeout, Advice::GiveUp),
            (9999, ErrorKind::Internal, Advice::GiveUp),
        ] {
            let fault = fault(code);
            assert_eq!((fault.error.kind(), fault.advice), (kind, advice), "{code}");
            assert!(!format!("{fault:?}").contains("hunter2"), "{fault:?}");
        }
    }
}
