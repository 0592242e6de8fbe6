//! `storage stats`.

use std::collections::BTreeMap;

use serde::Serialize;
use storage_manager::{Amount, Capabilities, ProviderInfo, Usage};

use crate::{
    error::{Failure, Status},
    output::{Out, human, table},
    target::{Access, Target},
};

/// Shows who keeps the items, what it offers and what it holds.
pub(crate) async fn run(target: &Target, out: &mut Out) -> Result<Status, Failure> {
    let (info, usage) =
        target.with(Access::Existing, async |store| Ok((store.info(), store.usage().await?))).await?;
    if out.is_json() {
        out.document(&Document {
            provider: &info.name,
            capabilities: info.capabilities,
            total: usage.total(),
            content_types: &usage.content_types,
        })?;
    } else {
        for_people(&info, &usage, out)?;
    }
    Ok(Status::Done)
}

#[derive(Serialize)]
struct Document<'a> {
    provider: &'a str,
    capabilities: Capabilities,
    total: Amount,
    content_types: &'a BTreeMap<String, Amount>,
}

fn for_people(info: &ProviderInfo, usage: &Usage, out: &mut Out) -> Result<(), Failure> {
    let total = usage.total();
    table::pairs(
        &[
            ("provider", info.name.to_string()),
            ("offers", offers(info.capabilities)),
            ("largest item", human::bytes(info.capabilities.max_payload)),
            ("items", human::grouped(total.items)),
            ("data", human::bytes(total.bytes)),
        ],
        out,
    )?;
    if usage.content_types.is_empty() {
        return Ok(());
    }
    out.line("")?;
    let rows: Vec<_> = usage.content_types.iter().map(|(name, amount)| row(name, *amount)).collect();
    table::print(&["TYPE", "ITEMS", "DATA"], &rows, out)
}

fn row(name: &str, amount: Amount) -> Vec<String> {
    vec![name.to_owned(), human::grouped(amount.items), human::bytes(amount.bytes)]
}

fn offers(capabilities: Capabilities) -> String {
    let Capabilities { durable, shared, conditions, tags, search, .. } = capabilities;
    let named = [
        (durable, "durable writes"),
        (shared, "several processes at once"),
        (conditions, "conditions"),
        (tags, "tags"),
        (search, "search"),
    ];
    let names: Vec<_> = named.into_iter().filter_map(|(offered, name)| offered.then_some(name)).collect();
    if names.is_empty() { "loads, saves and deletes".to_owned() } else { names.join(", ") }
}
