//! Counts what is stored.

use futures_util::FutureExt;
use storage_core::{Result, StorageQuery, Usage};

use crate::store::Store;

use super::{Outcome, Pace, Search, examined, plan::Section};

/// The number of items that match.
pub(crate) async fn count(store: &Store, query: &StorageQuery) -> Result<u64> {
    examined(store, &query.filters(), Pace::Steps, |search| search.count().boxed()).await
}

/// What the store holds, per content type.
pub(crate) async fn usage(store: &Store) -> Result<Usage> {
    examined(store, &StorageQuery::new(), Pace::Steps, |search| search.usage().boxed()).await
}

impl Search<'_> {
    async fn count(&self) -> Outcome<u64> {
        let parts = self.parts().await?;
        let plan = self.plan(&parts, usize::MAX).await?;
        let mut count = 0;
        self.each_hit(&parts, &plan.narrowest, |_| count += 1).await?;
        Ok(count)
    }

    async fn usage(&self) -> Outcome<Usage> {
        let parts = self.parts().await?;
        let mut lanes = self.lanes(&parts, &Section::Keys, false, usize::MAX);
        let mut usage = Usage::default();
        while !lanes.is_done() {
            let candidates = lanes.drain(self).await?;
            for (candidate, head) in candidates.iter().zip(self.heads(&candidates).await?) {
                if let (Some(head), Some(name)) =
                    (head.filter(|head| head.is_live(self.now)), candidate.name())
                {
                    usage.add_item(name.content_type(), head.payload.into());
                }
            }
        }
        Ok(usage)
    }
}
