//! One file per command.

pub(crate) mod cleanup;
pub(crate) mod count;
pub(crate) mod delete;
pub(crate) mod load;
#[cfg(any(feature = "lua54", feature = "luau"))]
pub(crate) mod lua;
pub(crate) mod save;
pub(crate) mod search;
pub(crate) mod stats;
pub(crate) mod touch;
pub(crate) mod verify;

use std::time::Duration;

use storage_manager::{Clock, ItemKey, StorageMetadata, SystemClock, Timestamp};

use crate::{
    args::Item,
    error::Failure,
    output::{Out, human, table},
};

impl Item {
    /// The identity, checked.
    pub(crate) fn key(&self) -> Result<ItemKey<'_>, Failure> {
        Ok(ItemKey::new(&self.content_type, &self.key)?)
    }
}

/// The deadline that `--ttl` or `--expires-at` asks for, seen from now.
///
/// Commands ask once before they do anything, to refuse what cannot be, and again when the store is open: a short time to
/// live must not pass while it is opened.
///
/// # Errors
/// It lies in the past, or beyond the last instant there is.
fn deadline(ttl: Option<Duration>, expires_at: Option<Timestamp>) -> Result<Option<Timestamp>, Failure> {
    let now = SystemClock.now();
    match (ttl, expires_at) {
        (Some(ttl), _) => match now.checked_add(ttl) {
            Some(at) => Ok(Some(at)),
            None => {
                Err(Failure::invalid(format!("--ttl leads beyond {}, the last deadline", Timestamp::MAX)))
            }
        },
        (None, Some(at)) if at <= now => {
            Err(Failure::invalid(format!("--expires-at {at} is not in the future (it is {now})")))
        }
        (None, at) => Ok(at),
    }
}

/// Says what was done to an item: its metadata for programs, a sentence for people.
fn tell(done: &str, metadata: &StorageMetadata, out: &mut Out) -> Result<(), Failure> {
    if out.is_json() {
        return out.document(metadata);
    }
    let StorageMetadata { content_type, version, size, .. } = metadata;
    let deadline = metadata.expires_at.map_or_else(
        || "no deadline".to_owned(),
        // From the moment of the write, whose time to live people have in mind.
        |at| format!("expires {} ({at})", human::expiry(metadata, metadata.updated_at)),
    );
    let key = human::safe(&metadata.key);
    out.line(format_args!(
        "{done} {key} ({content_type}): {}, version {version}, {deadline}",
        human::bytes(*size)
    ))
}

/// The metadata of an item, one field per line for people.
fn show_metadata(metadata: &StorageMetadata, out: &mut Out) -> Result<(), Failure> {
    if out.is_json() {
        return out.document(metadata);
    }
    let expires_at = metadata.expires_at.map_or_else(
        || "never".to_owned(),
        |at| format!("{at} ({})", human::expiry(metadata, SystemClock.now())),
    );
    table::pairs(
        &[
            ("id", metadata.id.to_string()),
            ("key", metadata.key.clone()),
            ("content type", metadata.content_type.clone()),
            ("created at", metadata.created_at.to_string()),
            ("updated at", metadata.updated_at.to_string()),
            ("expires at", expires_at),
            ("version", metadata.version.to_string()),
            ("encoding", metadata.encoding.to_string()),
            ("tags", human::tags(metadata)),
            ("size", human::bytes(metadata.size)),
        ],
        out,
    )
}
