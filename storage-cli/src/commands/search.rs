//! `storage search`.

use std::sync::Arc;

use storage_manager::{Clock, StorageItem, StorageMetadata, StorageQuery, SystemClock, Timestamp};

use crate::{
    app,
    args::Search,
    error::{Failure, Status},
    output::{
        Out, human,
        json::{self, Document},
        note,
        table::Table,
    },
    store::Store,
    target::{Access, Target},
};

/// Hits fetched at once; what a search holds in memory does not grow with what it finds.
const PAGE: usize = 1_000;

/// Lists the hits.
pub(crate) async fn run(args: Search, target: &Target, out: &mut Out) -> Result<Status, Failure> {
    let Search { filters, order, limit, data } = args;
    // Payloads are loaded one by one, because a page of large ones could fill the memory.
    let query = limit.into_iter().fold(filters.query()?.order(order).metadata_only(), StorageQuery::limit);
    target.with(Access::Existing, async |store| list(store, query, data, out).await).await
}

/// Prints all hits of `query`, page after page.
pub(crate) async fn list(
    store: &Store,
    query: StorageQuery,
    data: bool,
    out: &mut Out,
) -> Result<Status, Failure> {
    let mut list = List { data, table: None, status: Status::Done };
    let mut next = Some(query.page_size(PAGE));
    while let Some(query) = next.take() {
        let page = store.search(&query).await?;
        let hits: Vec<_> = page.results.into_iter().map(|hit| hit.item.metadata).collect();
        if !hits.is_empty() {
            list.page(store, &hits, out).await?;
        }
        next = page.next.filter(|_| !out.is_reader_gone()).map(|cursor| query.cursor(cursor));
    }
    if list.table.is_none() && !out.is_json() {
        note("no item matches");
    }
    Ok(list.status)
}

/// A list under way.
struct List {
    data: bool,
    table: Option<Table>,
    /// The worst of what happened to single items: one that cannot be read does not hide the others.
    status: Status,
}

impl List {
    async fn page(
        &mut self,
        store: &Store,
        hits: &[Arc<StorageMetadata>],
        out: &mut Out,
    ) -> Result<(), Failure> {
        let now = SystemClock.now();
        if self.table.is_none() && !out.is_json() {
            let rows: Vec<_> = hits.iter().map(|hit| cells(hit, now)).collect();
            let headings: Vec<_> = HEADINGS.into_iter().chain(self.data.then_some("DATA")).collect();
            self.table = Some(Table::begin(&headings, &rows, out)?);
        }
        for hit in hits {
            match (self.data, &self.table) {
                _ if out.is_reader_gone() => break,
                (true, _) => self.item(store, hit, out).await?,
                (false, Some(table)) => table.row(&cells(hit, now), out)?,
                (false, None) => out.document(&**hit)?,
            }
        }
        Ok(())
    }

    /// Prints one hit with its data.
    async fn item(&mut self, store: &Store, hit: &StorageMetadata, out: &mut Out) -> Result<(), Failure> {
        let loaded = async { Ok(store.load(hit.item_key()?).await?) };
        let printed = match loaded.await {
            // It expired since it was found.
            Ok(None) => Ok(()),
            Ok(Some(item)) => self.print(&item, out),
            Err(failure) => Err(failure),
        };
        match printed {
            Err(failure) if failure.concerns_one_item() => {
                // In its place among the answers, should both go to one terminal.
                out.flush()?;
                self.status = self.status.max(app::report(&failure, out.is_json()));
                Ok(())
            }
            other => other,
        }
    }

    fn print(&self, item: &StorageItem, out: &mut Out) -> Result<(), Failure> {
        let Some(table) = &self.table else { return out.document(&Document::new(item)?) };
        let mut row = cells(&item.metadata, SystemClock.now());
        row.push(match json::script_value(item)? {
            Some(value) => excerpt(json::text(&value)?.as_bytes()),
            None => excerpt(&item.data),
        });
        table.row(&row, out)
    }
}

const HEADINGS: [&str; 7] = ["KEY", "TYPE", "SIZE", "UPDATED", "EXPIRES", "VERSION", "TAGS"];

fn cells(metadata: &StorageMetadata, now: Timestamp) -> Vec<String> {
    vec![
        metadata.key.clone(),
        metadata.content_type.clone(),
        human::bytes(metadata.size),
        human::seconds(metadata.updated_at),
        human::expiry(metadata, now),
        metadata.version.to_string(),
        human::tags(metadata),
    ]
}

/// The beginning of the data as one line for people.
fn excerpt(data: &[u8]) -> String {
    const MOST: usize = 80;
    let Ok(text) = str::from_utf8(data) else { return "(binary)".to_owned() };
    let mut excerpt: String = text.chars().take(MOST).collect();
    if excerpt.len() < text.len() {
        excerpt.push('…');
    }
    excerpt
}
