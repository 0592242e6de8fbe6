//! Reads the answers of the server.

use redis::Value;
use storage_core::{CleanupReport, ErrorKind, Result, StorageError};

use crate::error::failure;

/// The bytes of a string, or nothing.
pub(crate) fn bytes(value: Value) -> Result<Option<Vec<u8>>> {
    match value {
        Value::Nil => Ok(None),
        Value::BulkString(bytes) => Ok(Some(bytes)),
        other => Err(unexpected(&other)),
    }
}

/// The text of a string, or nothing.
pub(crate) fn text(value: Value) -> Result<Option<String>> {
    let Some(bytes) = bytes(value)? else { return Ok(None) };
    let text = String::from_utf8(bytes);
    text.map(Some).map_err(|_| failure(ErrorKind::Corrupted, "the description of the store is no text"))
}

/// The strings of a list.
pub(crate) fn list(value: Value) -> Result<Vec<Vec<u8>>> {
    let entries = optional_list(value)?;
    entries.ok_or_else(|| unexpected(&Value::Nil))
}

/// The strings of a list, or nothing.
pub(crate) fn optional_list(value: Value) -> Result<Option<Vec<Vec<u8>>>> {
    match value {
        Value::Nil => Ok(None),
        Value::Array(values) => {
            let strings = values.into_iter().map(|value| match value {
                Value::BulkString(bytes) => Ok(bytes),
                other => Err(unexpected(&other)),
            });
            strings.collect::<Result<_>>().map(Some)
        }
        other => Err(unexpected(&other)),
    }
}

/// The strings of a list, each of which may be nothing.
pub(crate) fn options(value: Value) -> Result<Vec<Option<Vec<u8>>>> {
    match value {
        Value::Array(values) => values.into_iter().map(bytes).collect(),
        other => Err(unexpected(&other)),
    }
}

/// A number.
pub(crate) fn number(value: &Value) -> Result<u64> {
    match value {
        Value::Int(number) => u64::try_from(*number).map_err(|_| unexpected(value)),
        other => Err(unexpected(other)),
    }
}

/// What a step of cleanup removed.
pub(crate) fn swept(value: &Value) -> Result<CleanupReport> {
    match value {
        Value::Array(numbers) => match numbers.as_slice() {
            [expired, bytes, orphans] => {
                Ok(CleanupReport::new(number(expired)?, number(bytes)?).with_orphans(number(orphans)?))
            }
            [Value::BulkString(_)] => {
                Err(failure(ErrorKind::Corrupted, "the version mark of a bucket is damaged"))
            }
            _ => Err(unexpected(value)),
        },
        _ => Err(unexpected(value)),
    }
}

/// Whether the server answered that there is nothing.
pub(crate) const fn is_nothing(value: &Value) -> bool {
    matches!(value, Value::Nil)
}

/// The answer is of another kind than its question. Nothing of it is shown: it may hold payload.
pub(crate) fn unexpected(value: &Value) -> StorageError {
    let kind = match value {
        Value::Nil => "nothing",
        Value::Int(_) => "a number",
        Value::BulkString(_) | Value::SimpleString(_) | Value::Okay => "a string",
        Value::Array(_) => "a list",
        _ => "something else",
    };
    failure(ErrorKind::Internal, format!("the server's answer is {kind}, which does not fit its question"))
}

/// Where a scan goes on, and the keys that it met.
pub(crate) fn scanned(value: Value) -> Result<(Vec<u8>, Vec<Vec<u8>>)> {
    match value {
        Value::Array(parts) => {
            let mut parts = parts.into_iter();
            match (parts.next(), parts.next(), parts.next()) {
                (Some(cursor), Some(keys), None) => {
                    let cursor = bytes(cursor)?.ok_or_else(|| unexpected(&Value::Nil))?;
                    Ok((cursor, list(keys)?))
                }
                _ => Err(unexpected(&Value::Array(Vec::new()))),
            }
        }
        other => Err(unexpected(&other)),
    }
}
