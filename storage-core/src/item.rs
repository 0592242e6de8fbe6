//! Items and search hits.

use std::sync::Arc;

use bytes::Bytes;

use crate::StorageMetadata;

/// A stored item: its data and its metadata, both of one single save.
///
/// Providers speak `StorageItem<Bytes>`; typed callers get `StorageItem<T>`. Cloning the former costs two reference
/// counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageItem<T = Bytes> {
    /// The value.
    pub data: T,
    /// Who and when: identity, times, version, encoding, tags.
    pub metadata: Arc<StorageMetadata>,
}

impl<T> StorageItem<T> {
    /// The same metadata with the data changed by `change`.
    ///
    /// # Errors
    /// The error of `change`.
    pub fn try_map<U, E>(
        self,
        change: impl FnOnce(T, &StorageMetadata) -> Result<U, E>,
    ) -> Result<StorageItem<U>, E> {
        let data = change(self.data, &self.metadata)?;
        Ok(StorageItem { data, metadata: self.metadata })
    }
}

/// A hit of a search.
#[derive(Debug, Clone, PartialEq)]
pub struct StorageResult<T = Bytes> {
    /// The item found. Its data is empty if the query asked for metadata only.
    pub item: StorageItem<T>,
    /// How well it fits: 1.0 unless text was searched.
    pub score: f64,
    /// Fragments that matched: none unless text was searched.
    pub highlights: Vec<String>,
}

impl<T> StorageResult<T> {
    /// A plain hit: score 1.0 and no highlights.
    pub const fn hit(item: StorageItem<T>) -> Self {
        Self { item, score: 1.0, highlights: Vec::new() }
    }

    /// The same hit with its data changed by `change`.
    ///
    /// # Errors
    /// The error of `change`.
    pub fn try_map<U, E>(
        self,
        change: impl FnOnce(T, &StorageMetadata) -> Result<U, E>,
    ) -> Result<StorageResult<U>, E> {
        let item = self.item.try_map(change)?;
        Ok(StorageResult { item, score: self.score, highlights: self.highlights })
    }
}
