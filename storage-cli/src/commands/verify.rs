//! `storage verify`.

use serde::Serialize;

use crate::{
    error::{Failure, Status},
    output::{Out, human, table},
    store::{Access, Target},
};

/// What reading everything back found.
#[derive(Debug, Serialize)]
pub(crate) struct Verified {
    /// Items that are whole.
    pub(crate) intact: u64,
    pub(crate) damaged: Vec<Damage>,
}

/// One thing that is damaged.
#[derive(Debug, Serialize)]
pub(crate) struct Damage {
    /// `None` if the damage belongs to no single item that is known.
    pub(crate) content_type: Option<String>,
    pub(crate) key: Option<String>,
    pub(crate) what: String,
}

/// Reads everything back and names what is damaged.
pub(crate) async fn run(target: &Target, out: &mut Out) -> Result<Status, Failure> {
    let verified = target.with(Access::Existing, async |store| store.verify().await).await?;
    if out.is_json() {
        out.document(&verified)?;
    } else if target.is_memory() {
        out.line("nothing to verify: a memory: store keeps nothing that could be damaged")?;
    } else {
        for_people(&verified, out)?;
    }
    Ok(if verified.damaged.is_empty() { Status::Done } else { Status::Corrupted })
}

fn for_people(verified: &Verified, out: &mut Out) -> Result<(), Failure> {
    let Verified { intact, damaged } = verified;
    let intact = human::counted(*intact, "item is intact", "items are intact");
    if damaged.is_empty() {
        return out.line(format_args!("{intact}, nothing is damaged"));
    }
    let found = human::counted(damaged.len() as u64, "damage was found", "damages were found");
    out.line(format_args!("{intact}, {found}:\n"))?;
    let rows: Vec<_> = damaged.iter().map(row).collect();
    table::print(&["TYPE", "KEY", "DAMAGE"], &rows, out)
}

fn row(damage: &Damage) -> Vec<String> {
    let known = |name: &Option<String>| name.clone().unwrap_or_else(|| "-".to_owned());
    vec![known(&damage.content_type), known(&damage.key), damage.what.clone()]
}
