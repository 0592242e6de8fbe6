//! `storage save`.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, IsTerminal, Read},
    path::Path,
};

use bytes::Bytes;
use storage_manager::{
    Condition, Encoding, ErrorKind, ItemKey, MAX_PAYLOAD_BYTES, SaveRequest, StorageError,
};

use super::{deadline, tell};
use crate::{
    args::Save,
    error::{Failure, Status},
    output::{Out, json, note},
    target::{Access, Target},
};

/// Saves an item. Everything is read and checked before the store is opened, so that waiting for standard input keeps
/// nobody out, and a bad argument makes no store.
pub(crate) async fn run(args: Save, target: &Target, out: &mut Out) -> Result<Status, Failure> {
    let key = args.item.key()?;
    deadline(args.ttl, args.expires_at)?;
    let tags = args.tags.collect()?;
    let data = payload(args.data, args.file.as_deref(), key)?;
    let encoding = if args.as_json { checked_json(&data, key)? } else { Encoding::RAW };
    let request = SaveRequest::new(key, data)
        .encoding(encoding)
        .tags(tags)
        .condition(condition(args.if_absent, args.if_version));
    target
        .with(Access::Create, async |store| {
            let request = request.expires_at(deadline(args.ttl, args.expires_at)?);
            let item = store.save(request).await?;
            tell("saved", &item.metadata, out)?;
            // The save is durable here; whoever reads the answer need not wait for the store to be closed.
            out.flush()
        })
        .await?;
    if target.is_memory() && !out.is_json() {
        note("note: a memory: store is gone when the command ends");
    }
    Ok(Status::Done)
}

fn condition(absent: bool, version: Option<u64>) -> Condition {
    match version {
        Some(version) => Condition::Version(version),
        None if absent => Condition::Absent,
        None => Condition::None,
    }
}

fn payload(data: Option<OsString>, file: Option<&Path>, key: ItemKey<'_>) -> Result<Bytes, Failure> {
    let read = match (data, file) {
        (Some(data), _) => return Ok(data.into_encoded_bytes().into()),
        (None, Some(path)) => {
            let unreadable =
                |error| Failure::invalid(format!("{} cannot be read", path.display())).with_cause(&error);
            read_all(File::open(path).map_err(unreadable)?).map_err(unreadable)?
        }
        (None, None) => {
            if io::stdin().is_terminal() {
                note("reading the data from standard input; end it with Ctrl-D");
            }
            read_all(io::stdin().lock())
                .map_err(|error| Failure::io("standard input cannot be read", &error))?
        }
    };
    read.ok_or_else(|| too_large(key))
}

/// Everything there is to read, or `None` if it is more than any store takes: memory use is bounded.
fn read_all(source: impl Read) -> io::Result<Option<Bytes>> {
    let mut data = Vec::new();
    source.take(MAX_PAYLOAD_BYTES + 1).read_to_end(&mut data)?;
    Ok((data.len() as u64 <= MAX_PAYLOAD_BYTES).then(|| data.into()))
}

fn too_large(key: ItemKey<'_>) -> Failure {
    let kind = ErrorKind::TooLarge { size: MAX_PAYLOAD_BYTES + 1, max: MAX_PAYLOAD_BYTES };
    let message = format!("the data has more than {MAX_PAYLOAD_BYTES} bytes, the most an item can have");
    StorageError::new(kind, message).with_key(key).into()
}

fn checked_json(data: &[u8], key: ItemKey<'_>) -> Result<Encoding, Failure> {
    match json::check(data) {
        Ok(()) => Ok(Encoding::JSON),
        Err(error) => Err(Failure::invalid(format!("the data is not JSON: {error}"))
            .with_key(key)
            .with_hint("nothing was stored; leave out --as-json to store the bytes as they are")),
    }
}
