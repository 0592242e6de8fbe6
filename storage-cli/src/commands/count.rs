//! `storage count`.

use crate::{
    args::Filters,
    error::{Failure, Status},
    output::Out,
    target::{Access, Target},
};

/// Prints the number of hits alone, which is a JSON document as well.
pub(crate) async fn run(args: Filters, target: &Target, out: &mut Out) -> Result<Status, Failure> {
    let query = args.query()?;
    let count = target.with(Access::Existing, async |store| Ok(store.count(&query).await?)).await?;
    out.line(count)?;
    Ok(Status::Done)
}
