//! `storage delete`.

use serde_json::json;

use crate::{
    args::Delete,
    error::{Failure, Status},
    output::{Out, human},
    target::{Access, Target},
};

/// Deletes an item.
pub(crate) async fn run(args: Delete, target: &Target, out: &mut Out) -> Result<Status, Failure> {
    let key = args.item.key()?;
    let deleted =
        target.with(Access::Existing, async |store| Ok(store.delete(key, args.if_version).await?)).await?;
    if !deleted {
        return Err(Failure::no_item(key));
    }
    if out.is_json() {
        out.document(&json!({ "deleted": true, "key": key.key(), "content_type": key.content_type() }))?;
    } else {
        out.line(format_args!("deleted {} ({})", human::safe(key.key()), key.content_type()))?;
    }
    Ok(Status::Done)
}
