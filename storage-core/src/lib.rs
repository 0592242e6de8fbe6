#![doc = include_str!("../README.md")]

mod capabilities;
mod clock;
mod codec;
mod condition;
mod cursor;
mod error;
mod ext;
mod forward;
mod glob;
mod item;
mod key;
mod limits;
mod metadata;
mod order;
mod provider;
mod query;
mod report;
mod request;
mod secret;
mod tags;
mod timestamp;

#[cfg(feature = "conformance")]
pub mod conformance;

pub use async_trait::async_trait;
pub use bytes::Bytes;
pub use uuid::Uuid;

pub use capabilities::{Capabilities, ProviderInfo};
pub use clock::{Clock, ManualClock, SharedClock, SystemClock};
pub use codec::{Codec, Encoding};
pub use condition::Condition;
pub use cursor::Cursor;
pub use error::{ErrorKind, Result, Retry, StorageError};
pub use ext::{SearchStream, StorageProviderExt};
#[doc(hidden)]
pub use forward::Answer;
pub use glob::Glob;
pub use item::{StorageItem, StorageResult};
pub use key::ItemKey;
pub use limits::{
    MAX_CONTENT_TYPE_BYTES, MAX_KEY_BYTES, MAX_PAGE_SIZE, MAX_PATTERN_BYTES, MAX_PAYLOAD_BYTES,
    MAX_TAG_NAME_BYTES, MAX_TAG_VALUE_BYTES, MAX_TAGS,
};
pub use metadata::{StorageMetadata, next_version};
pub use order::{Direction, Order, OrderBy};
pub use provider::StorageProvider;
pub use query::{CompiledQuery, Position, SearchPage, StorageQuery, TimeRange};
pub use report::{Amount, CleanupReport, Damaged, Health, Usage, VerifyReport};
pub use request::SaveRequest;
pub use secret::Secret;
pub use tags::Tags;
pub use timestamp::Timestamp;
