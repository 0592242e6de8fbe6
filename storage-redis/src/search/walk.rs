//! Follows the order of an answer through all buckets at once.

use super::{
    Hits, Outcome, Part, Search,
    plan::{Plan, Section},
};

impl Search<'_> {
    /// The first `most` hits, by following a section; `None` if that takes more than the plan allows, because the hits do
    /// not lie as evenly as was hoped.
    pub(super) async fn walk(
        &self,
        parts: &[Part],
        section: &Section,
        plan: &Plan,
        most: usize,
    ) -> Outcome<Option<Hits>> {
        // One more than the page tells whether there is another page.
        let wanted = most.saturating_add(1);
        let mut lanes = self.lanes(parts, section, true, wanted);
        let mut hits = Vec::new();
        let mut ask = wanted;
        while hits.len() < wanted {
            let glob = self.query.glob();
            let candidates = lanes
                .next(self, ask, |candidate| {
                    glob.is_none_or(|glob| candidate.name().is_some_and(|name| glob.matches(name.key())))
                })
                .await?;
            if candidates.is_empty() {
                break;
            }
            let found = self.hits(&candidates, section).await?;
            // Where few candidates are hits, more are asked for at once.
            let missing = wanted.saturating_sub(hits.len() + found.len());
            ask = if found.len() * 2 < candidates.len() { ask.saturating_mul(2) } else { missing }
                .clamp(1, MOST_AT_ONCE);
            hits.extend(found);
            if hits.len() < wanted && lanes.looked_at > plan.budget {
                return Ok(None);
            }
        }
        let more = hits.len() > most;
        hits.truncate(most);
        Ok(Some(Hits { items: hits, more }))
    }
}

/// Most records read at once.
const MOST_AT_ONCE: usize = 10_001;
