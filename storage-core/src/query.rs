//! What a search asks for, and the one matcher of every provider.

use std::cmp::Ordering;

use crate::{
    Bytes, Cursor, ErrorKind, Glob, Order, Result, StorageError, StorageItem, StorageMetadata, StorageResult,
    Tags, Timestamp, cursor::Progress, key::check_content_type, limits::MAX_PAGE_SIZE,
};

pub use crate::cursor::Position;

/// What a search asks for. All filters must hold; without any, every live item is a hit.
///
/// Of the time ranges, `after` is inclusive and `before` exclusive, so that adjacent windows share no item.
///
/// ```
/// use storage_core::{Order, StorageQuery};
///
/// let query = StorageQuery::new()
///     .content_type("profile")
///     .pattern("user:*")
///     .tag("tier", "gold")
///     .order(Order::UPDATED.descending())
///     .limit(20);
/// assert!(query.compile().is_ok());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StorageQuery {
    content_type: Option<String>,
    pattern: Option<String>,
    tags: Tags,
    created: TimeRange,
    updated: TimeRange,
    expires: TimeRange,
    order: Order,
    limit: Option<u64>,
    page_size: Option<usize>,
    cursor: Option<Cursor>,
    metadata_only: bool,
}

/// A span of time: `after` is inclusive, `before` exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TimeRange {
    /// The first instant within the range; `None` is unbounded.
    pub after: Option<Timestamp>,
    /// The first instant behind the range; `None` is unbounded.
    pub before: Option<Timestamp>,
}

impl TimeRange {
    /// Whether the range holds every instant.
    pub fn is_unbounded(self) -> bool {
        self == Self::default()
    }

    /// Whether `time` lies within.
    pub fn contains(self, time: Timestamp) -> bool {
        self.after.is_none_or(|after| after <= time) && self.before.is_none_or(|before| time < before)
    }
}

impl StorageQuery {
    /// Hits on one page unless asked otherwise.
    pub const DEFAULT_PAGE_SIZE: usize = 100;

    /// A query for every live item.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only items of this content type.
    #[must_use]
    pub fn content_type(mut self, content_type: impl Into<String>) -> Self {
        self.content_type = Some(content_type.into());
        self
    }

    /// Only items whose key matches this [`Glob`].
    #[must_use]
    pub fn pattern(mut self, pattern: impl Into<String>) -> Self {
        self.pattern = Some(pattern.into());
        self
    }

    /// Only items that have the tag `name` with exactly this `value`. Several tags must all be there.
    #[must_use]
    pub fn tag(mut self, name: impl AsRef<str>, value: impl AsRef<str>) -> Self {
        self.tags.insert(name, value);
        self
    }

    /// Only items created at this instant or later.
    #[must_use]
    pub fn created_after(mut self, time: Timestamp) -> Self {
        self.created.after = Some(time);
        self
    }

    /// Only items created before this instant.
    #[must_use]
    pub fn created_before(mut self, time: Timestamp) -> Self {
        self.created.before = Some(time);
        self
    }

    /// Only items updated at this instant or later.
    #[must_use]
    pub fn updated_after(mut self, time: Timestamp) -> Self {
        self.updated.after = Some(time);
        self
    }

    /// Only items updated before this instant.
    #[must_use]
    pub fn updated_before(mut self, time: Timestamp) -> Self {
        self.updated.before = Some(time);
        self
    }

    /// Only items that expire at this instant or later. Items without a deadline are no hits.
    #[must_use]
    pub fn expires_after(mut self, time: Timestamp) -> Self {
        self.expires.after = Some(time);
        self
    }

    /// Only items that expire before this instant. Items without a deadline are no hits.
    #[must_use]
    pub fn expires_before(mut self, time: Timestamp) -> Self {
        self.expires.before = Some(time);
        self
    }

    /// The order of the hits. Default: [`Order::KEY`].
    #[must_use]
    pub fn order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// At most this many hits over all pages. Default: no limit.
    #[must_use]
    pub fn limit(mut self, limit: u64) -> Self {
        self.limit = Some(limit);
        self
    }

    /// At most this many hits on one page, 1 to 10,000. Default: 100.
    #[must_use]
    pub fn page_size(mut self, page_size: usize) -> Self {
        self.page_size = Some(page_size);
        self
    }

    /// Goes on behind the page that returned this cursor. `None` starts at the beginning.
    #[must_use]
    pub fn cursor(mut self, cursor: impl Into<Option<Cursor>>) -> Self {
        self.cursor = cursor.into();
        self
    }

    /// Asks for metadata alone: no payload is read or sent, and the hits hold empty data.
    #[must_use]
    pub fn metadata_only(mut self) -> Self {
        self.metadata_only = true;
        self
    }

    /// The content type asked for.
    pub fn get_content_type(&self) -> Option<&str> {
        self.content_type.as_deref()
    }

    /// The filters alone: what decides whether an item is a hit, without order, limit, page and cursor.
    #[must_use]
    pub fn filters(&self) -> Self {
        Self {
            content_type: self.content_type.clone(),
            pattern: self.pattern.clone(),
            tags: self.tags.clone(),
            created: self.created,
            updated: self.updated,
            expires: self.expires,
            ..Self::default()
        }
    }

    /// Checks the query and prepares it for matching.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidQuery`] if the content type, pattern, tags or page size are outside their limits, or the
    /// cursor is damaged or of another query.
    pub fn compile(&self) -> Result<CompiledQuery> {
        if let Some(content_type) = &self.content_type {
            check_content_type(content_type).map_err(|error| as_query_error(&error))?;
        }
        self.tags.validate().map_err(|error| as_query_error(&error))?;
        let page_size = self.page_size.unwrap_or(Self::DEFAULT_PAGE_SIZE);
        if !(1..=MAX_PAGE_SIZE).contains(&page_size) {
            let message = format!("page size is {page_size}, it must be 1 to {MAX_PAGE_SIZE}");
            return Err(StorageError::new(ErrorKind::InvalidQuery, message));
        }
        let fingerprint = self.fingerprint();
        let progress = self.cursor.as_ref().map(Progress::from_cursor).transpose()?;
        if progress.as_ref().is_some_and(|progress| progress.fingerprint != fingerprint) {
            return Err(StorageError::new(ErrorKind::InvalidQuery, "cursor belongs to another query"));
        }
        let (returned, position) =
            progress.map_or((0, None), |progress| (progress.returned, Some(progress.position)));
        Ok(CompiledQuery {
            glob: self.pattern.as_deref().map(Glob::new).transpose()?,
            query: self.clone(),
            page_size,
            fingerprint,
            returned,
            position,
        })
    }

    /// A stable hash of what decides which hits there are and in which order; page size and payloads may change midway.
    fn fingerprint(&self) -> u64 {
        let mut text = Vec::new();
        let mut part = |bytes: Option<&[u8]>| {
            text.extend(bytes.map_or(u64::MAX, |bytes| bytes.len() as u64).to_be_bytes());
            text.extend(bytes.unwrap_or_default());
        };
        part(self.content_type.as_deref().map(str::as_bytes));
        part(self.pattern.as_deref().map(str::as_bytes));
        for (name, value) in self.tags.iter() {
            part(Some(name.as_bytes()));
            part(Some(value.as_bytes()));
        }
        for range in [self.created, self.updated, self.expires] {
            for end in [range.after, range.before] {
                part(end.map(|time| time.as_micros().to_be_bytes()).as_ref().map(<[u8; 8]>::as_slice));
            }
        }
        part(Some(self.order.to_string().as_bytes()));
        part(self.limit.map(u64::to_be_bytes).as_ref().map(<[u8; 8]>::as_slice));
        xxhash_rust::xxh3::xxh3_64(&text)
    }
}

fn as_query_error(error: &StorageError) -> StorageError {
    StorageError::new(ErrorKind::InvalidQuery, error.message().to_owned())
}

/// A query checked and prepared: the one matcher and the one ordering of every provider.
#[derive(Debug, Clone)]
pub struct CompiledQuery {
    query: StorageQuery,
    glob: Option<Glob>,
    page_size: usize,
    fingerprint: u64,
    returned: u64,
    position: Option<Position>,
}

impl CompiledQuery {
    /// Whether an item is a hit at `now`: it is live and all filters hold. The cursor is not looked at.
    pub fn matches(&self, metadata: &StorageMetadata, now: Timestamp) -> bool {
        let query = &self.query;
        metadata.is_live(now)
            && query.content_type.as_deref().is_none_or(|content_type| content_type == metadata.content_type)
            && query.created.contains(metadata.created_at)
            && query.updated.contains(metadata.updated_at)
            && (query.expires.is_unbounded()
                || metadata.expires_at.is_some_and(|at| query.expires.contains(at)))
            && query.tags.iter().all(|(name, value)| metadata.tags.contains(name, value))
            && self.glob.as_ref().is_none_or(|glob| glob.matches(&metadata.key))
    }

    /// Which of two hits comes first.
    pub fn compare(&self, a: &StorageMetadata, b: &StorageMetadata) -> Ordering {
        self.query.order.compare(a, b)
    }

    /// Whether an item lies behind the cursor of the query; every item does if there is none.
    pub fn is_after_cursor(&self, metadata: &StorageMetadata) -> bool {
        self.position.as_ref().is_none_or(|position| position.is_before(metadata, self.query.order))
    }

    /// The content type asked for.
    pub fn content_type(&self) -> Option<&str> {
        self.query.content_type.as_deref()
    }

    /// The pattern asked for.
    pub const fn glob(&self) -> Option<&Glob> {
        self.glob.as_ref()
    }

    /// The text every hit's key starts with; empty if the query says nothing of it.
    pub fn literal_prefix(&self) -> &str {
        self.glob.as_ref().map_or("", Glob::literal_prefix)
    }

    /// The tags that every hit has.
    pub const fn tags(&self) -> &Tags {
        &self.query.tags
    }

    /// When hits were created.
    pub const fn created(&self) -> TimeRange {
        self.query.created
    }

    /// When hits were updated.
    pub const fn updated(&self) -> TimeRange {
        self.query.updated
    }

    /// When hits expire.
    pub const fn expires(&self) -> TimeRange {
        self.query.expires
    }

    /// The order of the hits.
    pub const fn order(&self) -> Order {
        self.query.order
    }

    /// The place behind which the page begins, if the query has a cursor.
    pub const fn position(&self) -> Option<&Position> {
        self.position.as_ref()
    }

    /// Whether payloads are left out.
    pub const fn is_metadata_only(&self) -> bool {
        self.query.metadata_only
    }

    /// How many hits the page holds at most: the page size, or what is left of the limit.
    pub fn page_len(&self) -> usize {
        let left = self.left();
        usize::try_from(left).map_or(self.page_size, |left| left.min(self.page_size))
    }

    /// How many hits the limit leaves from the cursor on; `u64::MAX` if there is no limit.
    pub fn left(&self) -> u64 {
        self.query.limit.unwrap_or(u64::MAX).saturating_sub(self.returned)
    }

    /// The page made of `results`, at most [`page_len`](Self::page_len) hits in order; `more` says whether hits follow.
    pub fn page(&self, results: Vec<StorageResult>, more: bool) -> SearchPage {
        let returned = self.returned + results.len() as u64;
        let more = more && returned < self.query.limit.unwrap_or(u64::MAX);
        let next = results.last().filter(|_| more).map(|last| {
            let position = Position::of(&last.item.metadata, self.query.order);
            Progress { fingerprint: self.fingerprint, returned, position }.to_cursor()
        });
        SearchPage { results, next }
    }

    /// The page of this query over all items of a store, for providers without a query of their own.
    ///
    /// Keeps no more than one page in memory.
    pub fn page_of(&self, items: impl IntoIterator<Item = StorageItem>, now: Timestamp) -> SearchPage {
        let wanted = self.page_len();
        let mut best: Vec<StorageItem> = Vec::new();
        let hits = items
            .into_iter()
            .filter(|item| self.matches(&item.metadata, now) && self.is_after_cursor(&item.metadata));
        for item in hits {
            best.push(item);
            // Trimmed at twice the page, so that sorting costs little per item.
            if best.len() > 2 * wanted + 1 {
                self.keep_first(&mut best, wanted + 1);
            }
        }
        self.keep_first(&mut best, wanted + 1);
        let more = best.len() > wanted;
        best.truncate(wanted);
        self.page(best.into_iter().map(|item| StorageResult::hit(self.project(item))).collect(), more)
    }

    fn keep_first(&self, items: &mut Vec<StorageItem>, count: usize) {
        items.sort_unstable_by(|a, b| self.compare(&a.metadata, &b.metadata));
        items.truncate(count);
    }

    fn project(&self, item: StorageItem) -> StorageItem {
        if self.is_metadata_only() { StorageItem { data: Bytes::new(), ..item } } else { item }
    }
}

/// One page of a search, in the order of the query.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SearchPage {
    /// The hits.
    pub results: Vec<StorageResult>,
    /// Where the next page begins; `None` if this is the last one.
    pub next: Option<Cursor>,
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{Encoding, Uuid};

    fn item(content_type: &str, key: &str, created: i64) -> StorageItem {
        let at = Timestamp::from_micros(created).unwrap();
        let metadata = StorageMetadata {
            id: Uuid::nil(),
            key: key.into(),
            content_type: content_type.into(),
            created_at: at,
            updated_at: at,
            expires_at: None,
            version: 1,
            encoding: Encoding::RAW,
            tags: Tags::new(),
            size: 0,
        };
        StorageItem { data: Bytes::new(), metadata: Arc::new(metadata) }
    }

    fn walk(query: &StorageQuery, items: &[StorageItem]) -> Vec<String> {
        let mut query = query.clone();
        let mut keys = Vec::new();
        loop {
            let page = query.compile().unwrap().page_of(items.iter().cloned(), Timestamp::UNIX_EPOCH);
            keys.extend(
                page.results
                    .iter()
                    .map(|hit| format!("{}/{}", hit.item.metadata.content_type, hit.item.metadata.key)),
            );
            match page.next {
                Some(next) => query = query.cursor(next),
                None => return keys,
            }
        }
    }

    #[test]
    fn pages_join_in_every_order_and_descending_is_the_exact_reverse() {
        let items = [item("b", "x", 2), item("a", "x", 2), item("a", "y", 1), item("a", "w", 2)];
        for order in [Order::KEY, Order::CREATED, Order::UPDATED] {
            let query = StorageQuery::new().page_size(1).order(order);
            let mut forward = walk(&query, &items);
            let expected = match order {
                Order::KEY => ["a/w", "a/x", "b/x", "a/y"],
                _ => ["a/y", "a/w", "a/x", "b/x"],
            };
            assert_eq!(forward, expected);
            forward.reverse();
            assert_eq!(walk(&query.order(order.descending()), &items), forward);
        }
    }

    #[test]
    fn the_limit_spans_pages_and_ends_the_walk() {
        let items: Vec<_> = (0..10).map(|n| item("t", &format!("k{n}"), 0)).collect();
        assert_eq!(walk(&StorageQuery::new().page_size(3).limit(7), &items).len(), 7);
        assert_eq!(walk(&StorageQuery::new().page_size(3).limit(6), &items).len(), 6);
        assert_eq!(walk(&StorageQuery::new().limit(0), &items).len(), 0);
    }

    #[test]
    fn a_cursor_of_another_query_is_refused() {
        let items: Vec<_> = (0..3).map(|n| item("t", &format!("k{n}"), 0)).collect();
        let query = StorageQuery::new().page_size(1);
        let next = query.compile().unwrap().page_of(items, Timestamp::UNIX_EPOCH).next;
        assert!(query.clone().page_size(2).metadata_only().cursor(next.clone()).compile().is_ok());
        for foreign in [
            StorageQuery::new().content_type("t"),
            StorageQuery::new().order(Order::CREATED),
            StorageQuery::new().limit(2),
        ] {
            assert_eq!(foreign.cursor(next.clone()).compile().unwrap_err().kind(), ErrorKind::InvalidQuery);
        }
    }

    #[test]
    fn fields_that_swap_places_change_the_fingerprint() {
        let at = Timestamp::UNIX_EPOCH;
        let queries = [
            StorageQuery::new().content_type("a"),
            StorageQuery::new().pattern("a"),
            StorageQuery::new().tag("a", "b"),
            StorageQuery::new().tag("ab", ""),
            StorageQuery::new().created_after(at),
            StorageQuery::new().created_before(at),
            StorageQuery::new().updated_after(at),
            StorageQuery::new().expires_after(at),
        ];
        let mut fingerprints: Vec<_> = queries.iter().map(StorageQuery::fingerprint).collect();
        fingerprints.sort_unstable();
        fingerprints.dedup();
        assert_eq!(fingerprints.len(), queries.len());
    }

    #[test]
    fn what_is_outside_the_limits_is_an_invalid_query() {
        for bad in [
            StorageQuery::new().page_size(0),
            StorageQuery::new().page_size(10_001),
            StorageQuery::new().content_type(""),
            StorageQuery::new().pattern("["),
            StorageQuery::new().tag("", ""),
            StorageQuery::new().cursor(Cursor::from("nonsense".to_owned())),
        ] {
            assert_eq!(bad.compile().unwrap_err().kind(), ErrorKind::InvalidQuery, "{bad:?}");
        }
    }
}
