//! The provider that `docs/write-a-provider.md` builds, at work.

use storage_core::{
    ItemKey, Result, SaveRequest, StorageProvider, StorageProviderExt, StorageQuery, SystemClock,
};

mod provider;
use provider::MapProvider;

#[tokio::main]
async fn main() -> Result<()> {
    use futures_util::TryStreamExt;

    let store = MapProvider::new(SystemClock::shared());
    for (key, text) in [("n1", "first note"), ("n2", "second note")] {
        store.save(SaveRequest::new(ItemKey::new("note", key)?, text).tag("lang", "en")).await?;
    }
    let mut hits = store.search_stream(StorageQuery::new().tag("lang", "en"));
    while let Some(hit) = hits.try_next().await? {
        println!("{}: {} bytes", hit.item.metadata.key, hit.item.metadata.size);
    }
    store.close().await
}
