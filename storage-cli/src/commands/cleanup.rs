//! `storage cleanup`.

use storage_manager::CleanupReport;

use crate::{
    error::{Failure, Status},
    output::{Out, human},
    target::{Access, Target},
};

/// Removes expired items and leftovers, and says how much it was.
pub(crate) async fn run(target: &Target, out: &mut Out) -> Result<Status, Failure> {
    let report = target.with(Access::Existing, async |store| Ok(store.cleanup().await?)).await?;
    if out.is_json() {
        out.document(&report)?;
    } else {
        out.line(sentence(&report))?;
    }
    Ok(Status::Done)
}

/// What a cleanup did, for people.
pub(crate) fn sentence(report: &CleanupReport) -> String {
    let expired = human::counted(report.expired, "expired item", "expired items");
    let orphans = human::counted(report.orphans, "leftover", "leftovers");
    format!("removed {expired} ({}) and {orphans} of interrupted work", human::bytes(report.bytes))
}
