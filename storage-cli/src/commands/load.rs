//! `storage load`.

use super::show_metadata;
use crate::{
    args::Load,
    error::{Failure, Status},
    output::{Out, json},
    target::{Access, Target},
};

/// Writes the data of an item, or its metadata.
pub(crate) async fn run(args: Load, target: &Target, out: &mut Out) -> Result<Status, Failure> {
    let key = args.item.key()?;
    let item = target.with(Access::Existing, async |store| Ok(store.load(key).await?)).await?;
    let item = item.ok_or_else(|| Failure::no_item(key))?;
    match (args.meta, out.is_json()) {
        (true, _) => show_metadata(&item.metadata, out)?,
        (false, true) => out.document(&json::Document::new(&item)?)?,
        (false, false) if args.raw => out.bytes(&item.data)?,
        (false, false) => match json::script_value(&item)? {
            Some(value) => out.document(&value)?,
            None => out.bytes(&item.data)?,
        },
    }
    Ok(Status::Done)
}
