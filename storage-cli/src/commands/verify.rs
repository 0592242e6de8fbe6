//! `storage verify`.

use serde::Serialize;
use storage_manager::{Damaged, VerifyReport};

use crate::{
    error::{Failure, Status},
    output::{Out, human, table},
    target::{Access, Target},
};

/// Reads everything back and names what is damaged.
pub(crate) async fn run(target: &Target, out: &mut Out) -> Result<Status, Failure> {
    let report = target.with(Access::Existing, async |store| Ok(store.verify().await?)).await?;
    match &report {
        _ if out.is_json() => out.document(&Document::new(report.as_ref()))?,
        Some(report) => for_people(report, out)?,
        None => out.line("nothing to verify: a memory: store keeps nothing that could be damaged")?,
    }
    let is_clean = report.is_none_or(|report| report.is_clean());
    Ok(if is_clean { Status::Done } else { Status::Corrupted })
}

#[derive(Serialize)]
struct Document<'a> {
    intact: u64,
    damaged: Vec<Damage<'a>>,
}

#[derive(Serialize)]
struct Damage<'a> {
    content_type: Option<&'a str>,
    key: Option<&'a str>,
    what: &'a str,
}

impl<'a> Document<'a> {
    fn new(report: Option<&'a VerifyReport>) -> Self {
        let damage = |Damaged { content_type, key, what, .. }: &'a Damaged| Damage {
            content_type: content_type.as_deref(),
            key: key.as_deref(),
            what,
        };
        let damaged = report.into_iter().flat_map(|report| &report.damaged).map(damage).collect();
        Self { intact: report.map_or(0, |report| report.intact), damaged }
    }
}

fn for_people(report: &VerifyReport, out: &mut Out) -> Result<(), Failure> {
    let VerifyReport { intact, damaged, .. } = report;
    let intact = human::counted(*intact, "item is intact", "items are intact");
    if damaged.is_empty() {
        return out.line(format_args!("{intact}, nothing is damaged"));
    }
    let found = human::counted(damaged.len() as u64, "damage was found", "damages were found");
    out.line(format_args!("{intact}, {found}:\n"))?;
    let rows: Vec<_> = damaged.iter().map(row).collect();
    table::print(&["TYPE", "KEY", "DAMAGE"], &rows, out)
}

fn row(damage: &Damaged) -> Vec<String> {
    let known = |name: &Option<String>| name.clone().unwrap_or_else(|| "-".to_owned());
    vec![known(&damage.content_type), known(&damage.key), damage.what.clone()]
}
