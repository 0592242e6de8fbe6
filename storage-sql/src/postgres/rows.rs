//! Rows as the driver reads them, and what they stand for.

use storage_core::{Bytes, ItemKey, Result, StorageError, StorageItem, StorageMetadata, Tags};
use tokio_postgres::{
    Row as Answer,
    types::{FromSql, Json},
};
use uuid::Uuid;

use super::error::{During, meaning};
use crate::row::{self, Row, damaged};

/// Where the payload begins behind the metadata.
const CHECKSUM: usize = 10;
const DATA: usize = 11;

/// The item in a row of metadata and payload.
///
/// # Errors
/// [`ErrorKind::Corrupted`](storage_core::ErrorKind::Corrupted) naming the item if it is not what was saved.
pub(super) fn item(answer: &Answer) -> Result<StorageItem> {
    let metadata = metadata(answer)?;
    let data = column::<&[u8]>(answer, DATA)?;
    row::item(metadata, Bytes::copy_from_slice(data), column(answer, CHECKSUM)?)
}

/// The metadata in a row that begins with it.
///
/// # Errors
/// As [`item`].
pub(super) fn metadata(answer: &Answer) -> Result<StorageMetadata> {
    let (content_type, key) = identity(answer)?;
    let tags = answer.try_get::<_, Json<Tags>>(9).map_err(|_| {
        let error = damaged("its tags");
        ItemKey::new(content_type, key).map_or(error, |key| damaged("its tags").with_key(key))
    })?;
    let id: Uuid = column(answer, 2)?;
    let row = Row {
        content_type,
        key,
        id: id.as_bytes(),
        created_at: column(answer, 3)?,
        updated_at: column(answer, 4)?,
        expires_at: column(answer, 5)?,
        version: column(answer, 6)?,
        encoding: column(answer, 7)?,
        size: column(answer, 8)?,
        tags: tags.0,
    };
    row.metadata()
}

/// Content type and key in a row that begins with them.
///
/// # Errors
/// As [`column`].
pub(super) fn identity(answer: &Answer) -> Result<(&str, &str)> {
    Ok((column(answer, 0)?, column(answer, 1)?))
}

/// One column of a row.
///
/// # Errors
/// [`ErrorKind::Corrupted`](storage_core::ErrorKind::Corrupted) if it holds another type.
pub(super) fn column<'r, T: FromSql<'r>>(answer: &'r Answer, at: usize) -> Result<T> {
    answer.try_get(at).map_err(unreadable)
}

fn unreadable(error: tokio_postgres::Error) -> StorageError {
    meaning(error, During::Read)
}
