//! Looks at everything that the narrowest section names and keeps the first hits.

use std::sync::Arc;

use storage_core::{Bytes, StorageItem, StorageMetadata};

use super::{Hits, Outcome, Part, Search, plan::Section};

impl Search<'_> {
    /// The first `most` hits, and whether there are more.
    pub(super) async fn gather(&self, parts: &[Part], section: &Section, most: usize) -> Outcome<Hits> {
        loop {
            let mut best = self.first_hits(parts, section, most.saturating_add(1)).await?;
            let more = best.len() > most;
            best.truncate(most);
            let items = if self.query.is_metadata_only() {
                let without_data =
                    |metadata| StorageItem { data: Bytes::new(), metadata: Arc::new(metadata) };
                best.into_iter().map(without_data).collect()
            } else {
                self.with_payloads(best).await?
            };
            // A page needs a last hit for the next one to begin behind.
            if !(items.is_empty() && more) {
                return Ok(Hits { items, more });
            }
        }
    }

    async fn first_hits(
        &self,
        parts: &[Part],
        section: &Section,
        wanted: usize,
    ) -> Outcome<Vec<StorageMetadata>> {
        let mut best: Vec<StorageMetadata> = Vec::new();
        self.each_hit(parts, section, |metadata| {
            if self.query.is_after_cursor(&metadata) {
                best.push(metadata);
            }
            // Trimmed at some pages, so that memory stays bounded and selecting costs little per hit.
            if best.len() > 4 * wanted {
                self.keep_first(&mut best, wanted);
            }
        })
        .await?;
        self.keep_first(&mut best, wanted);
        best.sort_unstable_by(|a, b| self.query.compare(a, b));
        Ok(best)
    }

    /// Hands every item that matches to `take`, in no order.
    pub(super) async fn each_hit(
        &self,
        parts: &[Part],
        section: &Section,
        mut take: impl FnMut(StorageMetadata),
    ) -> Outcome<()> {
        let mut lanes = self.lanes(parts, section, false, usize::MAX);
        let glob = self.query.glob();
        while !lanes.is_done() {
            let mut candidates = lanes.drain(self).await?;
            candidates.retain(|candidate| {
                candidate.name().is_some_and(|name| {
                    glob.is_none_or(|glob| glob.matches(name.key()))
                        && self.query.content_type().is_none_or(|wanted| wanted == name.content_type())
                })
            });
            for (candidate, metadata) in candidates.iter().zip(self.metadata(&candidates).await?) {
                let current = metadata.filter(|metadata| section.has(candidate, metadata));
                if let Some(metadata) = current.filter(|metadata| self.query.matches(metadata, self.now)) {
                    take(metadata);
                }
            }
        }
        Ok(())
    }

    /// Keeps the first `count` of `hits`, in no order.
    fn keep_first(&self, hits: &mut Vec<StorageMetadata>, count: usize) {
        if hits.len() > count {
            hits.select_nth_unstable_by(count, |a, b| self.query.compare(a, b));
            hits.truncate(count);
        }
    }
}
