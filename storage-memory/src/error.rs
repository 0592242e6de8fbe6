//! The errors of this provider.

use storage_core::{ErrorKind, ItemKey, StorageError};

/// The name under which the provider appears in errors and metrics.
pub(crate) const NAME: &str = "memory";

pub(crate) fn closed() -> StorageError {
    StorageError::new(ErrorKind::Closed, "the store was closed")
}

/// The limits are reached, and nothing could be removed to make room.
pub(crate) fn full(max_items: u64, max_bytes: u64) -> StorageError {
    let message = match (max_items, max_bytes) {
        (0, 0) => "a shard of the store is full: no more items can be numbered".to_owned(),
        (0, _) => format!("the store is full: it takes {max_bytes} bytes"),
        (_, 0) => format!("the store is full: it takes {max_items} items"),
        _ => format!("the store is full: it takes {max_items} items and {max_bytes} bytes"),
    };
    StorageError::new(ErrorKind::Full, message)
}

/// The item alone is larger than the whole store.
pub(crate) fn never_fits(cost: u64, max_bytes: u64) -> StorageError {
    let message =
        format!("the item takes {cost} bytes with its metadata, the whole store at most {max_bytes}");
    StorageError::new(ErrorKind::Full, message)
}

/// Adds where it happened.
pub(crate) fn during(operation: &'static str) -> impl Fn(StorageError) -> StorageError {
    move |error| error.with_provider(NAME).with_operation(operation)
}

/// Adds where and to which item it happened.
pub(crate) fn during_on(operation: &'static str, key: ItemKey<'_>) -> impl Fn(StorageError) -> StorageError {
    move |error| error.with_provider(NAME).with_operation(operation).with_key(key)
}
