//! Connections to a file, and how they are set up.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use rusqlite::{Connection, OpenFlags, config::DbConfig};
use storage_core::{ErrorKind, Result};

use super::error::sqlite_error;
use crate::error::failure;

/// Statements kept prepared by each connection: those of all verbs, and searches of many shapes.
const PREPARED: usize = 96;
/// What is left of a write-ahead log once its content is in the file, in bytes.
const LOG_SIZE: u32 = 16 << 20;
/// How long to wait before a lock is asked for again that SQLite does not wait for by itself.
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(5);

/// Opens the file, which must exist unless `create` says that it may be made.
///
/// # Errors
/// [`ErrorKind::NotFound`] if there is no file; [`ErrorKind::Config`] for a directory; [`ErrorKind::PermissionDenied`] if it
/// cannot be written; [`ErrorKind::Locked`] if another process keeps it to itself.
pub(super) fn open(path: &Path, create: bool, patience: Duration) -> Result<Connection> {
    check_path(path, create)?;
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if create {
        flags |= OpenFlags::SQLITE_OPEN_CREATE;
    }
    let failed = |cause| sqlite_error("the file cannot be opened", cause);
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(patience).map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(PREPARED);
    // Without the right to write, SQLite opens a file for reading and says nothing.
    if connection.is_readonly("main").map_err(failed)? {
        return Err(failure(ErrorKind::PermissionDenied, "the file cannot be written"));
    }
    set_up(&connection, patience)?;
    Ok(connection)
}

fn check_path(path: &Path, create: bool) -> Result<()> {
    if path.is_dir() {
        return Err(failure(ErrorKind::Config, "a directory stands where the file should be"));
    }
    if path.exists() {
        return Ok(());
    }
    if !create {
        return Err(failure(ErrorKind::NotFound, "there is no such file"));
    }
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() && !folder.is_dir() => {
            Err(failure(ErrorKind::Config, "the directory of the file does not exist"))
        }
        _ => Ok(()),
    }
}

fn set_up(connection: &Connection, patience: Duration) -> Result<()> {
    let failed = |cause| sqlite_error("the connection cannot be set up", cause);
    // A file that somebody else made may hold functions and views of theirs.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false).map_err(failed)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false).map_err(failed)?;
    write_ahead(connection, patience)?;
    connection
        .execute_batch(&format!(
            "PRAGMA synchronous = FULL; PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY; \
             PRAGMA journal_size_limit = {LOG_SIZE}; PRAGMA wal_autocheckpoint = 0;"
        ))
        .map_err(failed)
}

/// Makes the file keep a write-ahead log, so that readers and the writer do not wait for each other. For the first change to
/// it, SQLite asks for its lock once and does not wait.
fn write_ahead(connection: &Connection, patience: Duration) -> Result<()> {
    let deadline = Instant::now() + patience;
    loop {
        let mode = connection.query_row("PRAGMA journal_mode = WAL", (), |row| row.get::<_, String>(0));
        match mode {
            Ok(mode) if mode == "wal" => return Ok(()),
            Ok(_) => {
                let message =
                    "the file system of the file does not let processes share memory, which SQLite needs";
                return Err(failure(ErrorKind::Config, message));
            }
            Err(cause) => {
                let error = sqlite_error("the file cannot be used", cause);
                if error.kind() != ErrorKind::Unavailable {
                    return Err(error);
                }
                if Instant::now() >= deadline {
                    return Err(failure(ErrorKind::Locked, "another process keeps the file to itself"));
                }
            }
        }
        thread::sleep(BETWEEN_ATTEMPTS);
    }
}
