//! Keys in their order, page by page.

use storage_core::{Clock, Cursor, Glob, StorageMetadata, StorageQuery, StorageResult};

use super::handle::KeyValueStore;
use crate::script::{Action, Attributes, ScriptError, ScriptResult, Ttl};

/// What [`list`](KeyValueStore::list) asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListOptions {
    /// Only keys that start with this. Default: all keys.
    pub prefix: String,
    /// The cursor of the page before. Default: from the beginning.
    pub after: Option<String>,
    /// Most keys on the page, 1 to 1,000. Default: 100.
    pub limit: Option<usize>,
}

impl ListOptions {
    /// Most keys on one page.
    pub const MAX_LIMIT: usize = 1_000;
    /// Keys on one page unless asked otherwise.
    pub const DEFAULT_LIMIT: usize = 100;

    fn query(&self, content_type: &str) -> ScriptResult<StorageQuery> {
        let limit = self.limit.unwrap_or(Self::DEFAULT_LIMIT);
        if !(1..=Self::MAX_LIMIT).contains(&limit) {
            return Err(ScriptError::invalid(format!(
                "the limit is {limit}, it must be 1 to {}",
                Self::MAX_LIMIT
            )));
        }
        let cursor = self.after.clone().map(Cursor::from);
        let query = StorageQuery::new().content_type(content_type).metadata_only();
        let pattern = format!("{}*", Glob::escape(&self.prefix));
        Ok(query.pattern(pattern).page_size(limit).cursor(cursor))
    }
}

/// Some keys in their order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyPage {
    /// The entries. There may be fewer than asked for although more follow.
    pub entries: Vec<KeyEntry>,
    /// What to ask for the next page with; `None` if this was the last one.
    pub cursor: Option<String>,
}

/// A key with what is known of its entry beside the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyEntry {
    /// The key.
    pub key: String,
    /// The version.
    pub version: u64,
    /// How long the entry still lives.
    pub ttl: Ttl,
    /// Bytes of the stored value.
    pub size: u64,
}

impl KeyEntry {
    fn new(metadata: &StorageMetadata, clock: &dyn Clock) -> Self {
        Self {
            key: metadata.key.clone(),
            version: metadata.version,
            ttl: Ttl::left(metadata.expires_at, clock),
            size: metadata.size,
        }
    }
}

impl KeyValueStore {
    /// Keys in the order of their bytes, page by page, without their values: a page of large values could be more than a
    /// script's memory holds.
    ///
    /// Walking the cursors gives every entry that was there and untouched all the time exactly once. Keys whose existence
    /// the policy does not let the script ask for are left out.
    ///
    /// # Errors
    /// `INVALID` for a limit outside 1 to 1,000, and for an `after` that is not the cursor of a page of this store with
    /// this prefix; those of every call.
    pub async fn list(&self, options: &ListOptions) -> ScriptResult<KeyPage> {
        let store = self.store()?;
        let attributes = Attributes { prefix: Some(&options.prefix), ..Attributes::default() };
        self.authorize(Action::KeyList, attributes)?;
        let query = options.query(&store.content_type)?;
        let page = store.items.manager.search_page(&query).await?;
        let clock = store.items.clock();
        let visible = page.results.iter().filter(|hit| self.may(Action::KeyHas, &hit.item.metadata.key));
        let entries = visible.map(|hit| KeyEntry::new(&hit.item.metadata, clock)).collect();
        Ok(KeyPage { entries, cursor: page.next.map(|cursor| cursor.to_string()) })
    }

    /// Deletes all entries and returns how many it were. Not one step: entries that are written meanwhile may stay.
    /// Keys that the policy does not let the script delete stay as well.
    ///
    /// # Errors
    /// Those of every call. What was deleted before a failure is gone.
    pub async fn clear(&self) -> ScriptResult<u64> {
        let store = self.store()?;
        self.authorize(Action::StoreClear, Attributes::default())?;
        let all = StorageQuery::new().content_type(&*store.content_type).metadata_only().page_size(1_000);
        let mut deleted = 0;
        let mut next = Some(all);
        while let Some(query) = next.take() {
            let page = store.items.manager.search_page(&query).await?;
            deleted += self.delete_all(&page.results).await?;
            next = page.next.map(|cursor| query.cursor(cursor));
        }
        Ok(deleted)
    }

    async fn delete_all(&self, hits: &[StorageResult]) -> ScriptResult<u64> {
        let store = self.store()?;
        let keys = hits.iter().map(|hit| &*hit.item.metadata.key);
        let keys = keys.filter(|key| self.may(Action::KeyDelete, key));
        let keys: Vec<_> = keys.map(|key| (key, &*store.content_type)).collect();
        let mut deleted = 0;
        for answer in store.items.manager.delete_many(&keys).await {
            deleted += u64::from(answer?);
        }
        Ok(deleted)
    }
}
