//! How the driver's rows become items, and items become values to be bound.

use mysql_async::{Row, Value, from_value_opt};
use storage_core::{Bytes, ErrorKind, ItemKey, Result, StorageError, StorageItem, StorageMetadata, Tags};

use super::statements::text;
use crate::{
    engine::Save,
    error::failure,
    row::{self, content_checksum, damaged, micros, row_checksum, stored_version},
};

/// The columns of a row, taken one by one from the left.
#[derive(Debug)]
pub(super) struct Columns {
    values: std::vec::IntoIter<Value>,
}

impl Columns {
    pub(super) fn new(row: Row) -> Self {
        Self { values: row.unwrap().into_iter() }
    }

    pub(super) fn bytes(&mut self) -> Result<Vec<u8>> {
        match self.values.next() {
            Some(Value::Bytes(bytes)) => Ok(bytes),
            _ => Err(unexpected()),
        }
    }

    pub(super) fn text(&mut self) -> Result<String> {
        String::from_utf8(self.bytes()?).map_err(|_| damaged("a text"))
    }

    pub(super) fn integer(&mut self) -> Result<i64> {
        self.optional_integer()?.ok_or_else(unexpected)
    }

    pub(super) fn optional_integer(&mut self) -> Result<Option<i64>> {
        let value = self.values.next().ok_or_else(unexpected)?;
        from_value_opt(value).map_err(|_| unexpected())
    }
}

fn unexpected() -> StorageError {
    failure(ErrorKind::Corrupted, "the server answered another type of value than the store keeps")
}

/// What the columns of an item hold, before anything is believed of it.
#[derive(Debug)]
pub(super) struct Stored {
    content_type: String,
    key: String,
    id: Vec<u8>,
    created_at: i64,
    updated_at: i64,
    expires_at: Option<i64>,
    /// The version, whatever else is damaged.
    pub(super) version: i64,
    encoding: String,
    tags: Vec<u8>,
    pub(super) size: i64,
    content_sum: i64,
    row_sum: i64,
}

/// The metadata of a stored item and the checksum of what its save brought.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) metadata: StorageMetadata,
    pub(super) content_sum: i64,
}

impl Stored {
    pub(super) fn take(columns: &mut Columns) -> Result<Self> {
        Ok(Self {
            content_type: columns.text()?,
            key: columns.text()?,
            id: columns.bytes()?,
            created_at: columns.integer()?,
            updated_at: columns.integer()?,
            expires_at: columns.optional_integer()?,
            version: columns.integer()?,
            encoding: columns.text()?,
            tags: columns.bytes()?,
            size: columns.integer()?,
            content_sum: columns.integer()?,
            row_sum: columns.integer()?,
        })
    }

    pub(super) fn identity(&self) -> (&str, &str) {
        (&self.content_type, &self.key)
    }

    /// The tags, if they can be read.
    pub(super) fn tags(&self) -> Result<Tags> {
        serde_json::from_slice(&self.tags).map_err(|_| damaged("its tags"))
    }

    /// The metadata, if it is what was saved.
    pub(super) fn known(&self) -> Result<Known> {
        self.checked().map_err(|error| match ItemKey::new(&self.content_type, &self.key) {
            Ok(key) => error.with_key(key),
            Err(_) => error,
        })
    }

    fn checked(&self) -> Result<Known> {
        let tags = self.tags()?;
        let row = row::Row {
            content_type: &self.content_type,
            key: &self.key,
            id: &self.id,
            created_at: self.created_at,
            updated_at: self.updated_at,
            expires_at: self.expires_at,
            version: self.version,
            encoding: &self.encoding,
            size: self.size,
            tags,
        };
        let metadata = row.metadata()?;
        if row_checksum(self.content_sum, &metadata) != self.row_sum {
            return Err(damaged("its checksum"));
        }
        Ok(Known { metadata, content_sum: self.content_sum })
    }
}

/// The item in a row whose last column is the payload.
pub(super) fn item(row: Row) -> Result<StorageItem> {
    let mut columns = Columns::new(row);
    let known = Stored::take(&mut columns)?.known()?;
    row::item(known.metadata, Bytes::from(columns.bytes()?), known.content_sum)
}

/// The values of a row, in the order of the statement that inserts it.
pub(super) fn values(save: &Save, metadata: &StorageMetadata) -> Result<Vec<Value>> {
    let key = metadata.item_key()?;
    let content_sum = content_checksum(key, &metadata.encoding, &metadata.tags, &save.data);
    let tags = serde_json::to_vec(&metadata.tags).map_err(|cause| {
        failure(ErrorKind::Serialization, "the tags cannot be written").with_source(cause)
    })?;
    Ok(vec![
        text(&metadata.content_type),
        text(&metadata.key),
        Value::Bytes(metadata.id.as_bytes().to_vec()),
        Value::Int(micros(metadata.created_at)),
        Value::Int(micros(metadata.updated_at)),
        deadline(metadata),
        Value::Int(stored_version(metadata.version)),
        text(metadata.encoding.as_str()),
        Value::Bytes(tags),
        Value::Int(metadata.size.cast_signed()),
        Value::Int(content_sum),
        Value::Int(row_checksum(content_sum, metadata)),
        Value::Bytes(save.data.to_vec()),
    ])
}

/// The deadline, as it is bound.
pub(super) fn deadline(metadata: &StorageMetadata) -> Value {
    metadata.expires_at.map_or(Value::NULL, |at| Value::Int(micros(at)))
}
