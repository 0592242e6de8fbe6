//! `storage touch`.

use super::{deadline, tell};
use crate::{
    args::Touch,
    error::{Failure, Status},
    output::Out,
    store::Store,
    target::{Access, Target},
};

/// Gives an item another deadline, or none.
pub(crate) async fn run(args: Touch, target: &Target, out: &mut Out) -> Result<Status, Failure> {
    let key = args.item.key()?;
    deadline(args.ttl, args.expires_at)?;
    let touch = async |store: &Store| Ok(store.touch(key, deadline(args.ttl, args.expires_at)?).await?);
    let touched = target.with(Access::Existing, touch).await?;
    let metadata = touched.ok_or_else(|| Failure::no_item(key))?;
    tell("touched", &metadata, out)?;
    Ok(Status::Done)
}
