//! Wrong providers: each wraps the right one and breaks one promise, as a plausible implementation would.

mod fault;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use storage_core::{
    Bytes, CleanupReport, Clock, Condition, ErrorKind, Health, ItemKey, ProviderInfo, Result, SaveRequest,
    SearchPage, SharedClock, StorageError, StorageItem, StorageMetadata, StorageProvider, StorageQuery,
    Timestamp, Usage, async_trait,
};

pub(crate) use fault::Fault;

use crate::provider::MapProvider;

/// The right provider with one fault.
#[derive(Debug)]
pub(crate) struct Faulty {
    inner: MapProvider,
    /// The same items on a clock that stands still, where nothing ever expires.
    timeless: MapProvider,
    clock: SharedClock,
    fault: Fault,
    /// Versions or deadlines noted beside the items.
    notes: Mutex<HashMap<String, i64>>,
    busy: AtomicBool,
    closes: AtomicU64,
}

#[derive(Debug)]
struct Frozen(Timestamp);

impl Clock for Frozen {
    fn now(&self) -> Timestamp {
        self.0
    }
}

#[derive(Debug)]
struct Behind(SharedClock);

impl Clock for Behind {
    fn now(&self) -> Timestamp {
        self.0.now().saturating_sub(Duration::from_micros(1))
    }
}

impl Faulty {
    pub(crate) fn new(fault: Fault, clock: SharedClock) -> Self {
        let frozen: SharedClock = Arc::new(Frozen(clock.now()));
        let inner = match fault {
            Fault::IgnoresExpiry => Arc::clone(&frozen),
            Fault::ExpiresAnInstantLate => Arc::new(Behind(Arc::clone(&clock))),
            _ => Arc::clone(&clock),
        };
        Self {
            inner: MapProvider::new(inner),
            timeless: MapProvider::new(frozen),
            clock,
            fault,
            notes: Mutex::default(),
            busy: AtomicBool::new(false),
            closes: AtomicU64::new(0),
        }
    }

    /// Content type and key as this provider understands them.
    fn bent(&self, key: ItemKey<'_>) -> (String, String) {
        let (content_type, name) = (key.content_type().to_owned(), key.key().to_owned());
        match self.fault {
            Fault::FoldsKeys => (content_type, name.to_lowercase()),
            Fault::TrimsKeys if !name.trim().is_empty() => (content_type, name.trim().to_owned()),
            Fault::NormalisesKeys => (content_type, name.replace("e\u{301}", "é")),
            Fault::CutsKeys => (content_type, name[..name.floor_char_boundary(255)].to_owned()),
            Fault::IgnoresContentTypes => ("any".to_owned(), name),
            Fault::JoinsTypeAndKey => ("any".to_owned(), format!("{content_type}:{name}")),
            _ => (content_type, name),
        }
    }

    fn note_of(&self, key: ItemKey<'_>) -> Option<i64> {
        self.notes.lock().unwrap().get(key.key()).copied()
    }

    fn note(&self, key: ItemKey<'_>, note: Option<i64>) {
        let mut notes = self.notes.lock().unwrap();
        match note {
            Some(note) => notes.insert(key.key().to_owned(), note),
            None => notes.remove(key.key()),
        };
    }

    /// The request as this provider takes it, or its answer at once.
    async fn misread<'a>(
        &self,
        mut request: SaveRequest<'a>,
    ) -> Result<SaveRequest<'a>, Result<StorageItem>> {
        let live = self.inner.load(request.key).await.ok().flatten();
        match (self.fault, live) {
            (Fault::LosesTags, _) => request.tags = storage_core::Tags::new(),
            (Fault::FoldsTags, _) => {
                request.tags =
                    request.tags.iter().map(|(name, value)| (name, value.to_lowercase())).collect();
            }
            (Fault::ForgetsEncoding, _) => request.encoding = storage_core::Encoding::RAW,
            (Fault::ForgetsConditions, _) => request.condition = Condition::None,
            (Fault::CutsPayloads, _) => request.data.truncate(self.info().capabilities.max_payload as usize),
            (Fault::AcceptsPastDeadlines, _)
                if request.expires_at.is_some_and(|at| at <= self.clock.now()) =>
            {
                let metadata = request.metadata(None, self.clock.now(), 1).into();
                return Err(Ok(StorageItem { data: request.data, metadata }));
            }
            (Fault::MergesTags, Some(live)) => {
                let mut tags = live.metadata.tags.clone();
                tags.extend(request.tags.iter());
                request.tags = tags;
            }
            (Fault::KeepsTheOldDeadline, Some(live)) => {
                request.expires_at = request.expires_at.or(live.metadata.expires_at);
            }
            _ => {}
        }
        Ok(request)
    }

    /// Saves in more steps than one, or with steps left out.
    async fn clumsy_save(&self, request: SaveRequest<'_>) -> Result<StorageItem> {
        let key = request.key;
        match self.fault {
            Fault::ChecksThenSaves => {
                let live = self.inner.load(key).await?;
                request.condition.check_save(live.as_ref().map(|item| &*item.metadata))?;
                tokio::task::yield_now().await;
                self.inner.save(request.condition(Condition::None)).await
            }
            Fault::OverwritesInTwoSteps if request.condition == Condition::None => {
                self.inner.delete(key, Condition::None).await?;
                tokio::task::yield_now().await;
                self.inner.save(request).await
            }
            Fault::ResetsCreation if request.condition == Condition::None => {
                self.inner.delete(key, Condition::None).await?;
                self.inner.save(request).await
            }
            Fault::IndexesInASecondStep => {
                let item = self.inner.save(request.clone()).await?;
                tokio::task::yield_now().await;
                self.timeless.save(request.condition(Condition::None)).await?;
                Ok(item)
            }
            Fault::StaysBusyWhenDropped => {
                if self.busy.swap(true, Ordering::SeqCst) {
                    return Err(StorageError::new(ErrorKind::Unavailable, "still busy with another call"));
                }
                tokio::task::yield_now().await;
                self.busy.store(false, Ordering::SeqCst);
                self.inner.save(request).await
            }
            _ => self.inner.save(request).await,
        }
    }

    /// What a save answers of the item it made.
    fn misreported(&self, item: StorageItem, key: ItemKey<'_>) -> StorageItem {
        let mut metadata = (*item.metadata).clone();
        match self.fault {
            Fault::ReusesVersions => {
                let next = self.note_of(key).unwrap_or(0) + 1;
                self.note(key, Some(next));
                metadata.version = next as u64;
            }
            Fault::TakesVersionsFromTheClock => metadata.version = self.clock.now().as_micros() as u64,
            Fault::ForgetsUpdates => metadata.updated_at = metadata.created_at,
            Fault::SweepsByOldNotes if self.note_of(key).is_none() => {
                self.note(key, metadata.expires_at.map(Timestamp::as_micros));
            }
            _ => return item,
        }
        StorageItem { metadata: metadata.into(), ..item }
    }

    /// The query as this provider understands it.
    fn misread_query(&self, query: &StorageQuery) -> StorageQuery {
        let query = query.clone();
        match self.fault {
            Fault::CapsSearch => query.limit(1_000),
            Fault::IgnoresCursors => query.cursor(None),
            Fault::ForgivesDamagedCursors if query.compile().is_err() => query.cursor(None),
            Fault::IncludesTheEnd => match query.compile().ok().and_then(|query| query.created().before) {
                Some(end) => query.created_before(end.saturating_add(Duration::from_micros(1))),
                None => query,
            },
            _ => query,
        }
    }

    /// The page as this provider serves it.
    async fn misserved(&self, query: &StorageQuery, mut page: SearchPage) -> Result<SearchPage> {
        match self.fault {
            Fault::BreaksTiesOneWay if query.compile()?.order().is_descending() => {
                // Right for times, wrong for the ties of one instant.
                page.results.sort_by(|a, b| {
                    let (a, b) = (&a.item.metadata, &b.item.metadata);
                    b.created_at.cmp(&a.created_at).then_with(|| a.key.cmp(&b.key))
                });
            }
            // The index says which items, the store what is in them.
            Fault::BringsData | Fault::IndexesInASecondStep => {
                for hit in &mut page.results {
                    if let Some(item) = self.inner.load(hit.item.metadata.item_key()?).await? {
                        hit.item = item;
                    }
                }
            }
            _ => {}
        }
        Ok(page)
    }

    fn blurred(&self, error: StorageError, data: &Bytes) -> StorageError {
        match self.fault {
            Fault::BareErrors => StorageError::new(error.kind(), "it failed"),
            Fault::QuotesPayloads => {
                let text = String::from_utf8_lossy(data).into_owned();
                StorageError::new(error.kind(), format!("cannot store {text}"))
                    .with_provider("map")
                    .with_operation("save")
            }
            _ => error,
        }
    }
}

#[async_trait]
impl StorageProvider for Faulty {
    fn info(&self) -> ProviderInfo {
        let mut info = self.inner.info();
        match self.fault {
            Fault::ClaimsDurability => info.capabilities.durable = true,
            Fault::DeniesItsSearch => info.capabilities.search = false,
            _ => {}
        }
        info
    }

    async fn save(&self, request: SaveRequest<'_>) -> Result<StorageItem> {
        let (content_type, name) = self.bent(request.key);
        let key = ItemKey::new(&content_type, &name)?;
        let request = match self.misread(SaveRequest { key, ..request }).await {
            Ok(request) => request,
            Err(answer) => return answer,
        };
        let data = request.data.clone();
        if matches!(self.fault, Fault::SearchesExpired | Fault::SearchesDeleted | Fault::CountsExpired) {
            // Where this one refuses, so does the other.
            drop(self.timeless.save(request.clone()).await);
        }
        let answer = self.clumsy_save(request).await.map_err(|error| match error.kind() {
            ErrorKind::Unavailable => error,
            _ => self.blurred(error, &data).with_key(key),
        });
        let answer = answer.map(|item| self.misreported(item, key));
        match answer {
            Err(error) if self.fault == Fault::BareErrors => {
                Err(StorageError::new(error.kind(), "it failed"))
            }
            answer => answer,
        }
    }

    async fn load(&self, key: ItemKey<'_>) -> Result<Option<StorageItem>> {
        let (content_type, name) = self.bent(key);
        let key = ItemKey::new(&content_type, &name)?;
        match self.fault {
            Fault::Hangs => std::future::pending().await,
            Fault::MissesWhenClosed => self.inner.load(key).await.or(Ok(None)),
            Fault::ReadsInTwoSteps => {
                let data = self.inner.load(key).await?;
                tokio::task::yield_now().await;
                let metadata = self.inner.load(key).await?;
                Ok(data.zip(metadata).map(|(data, other)| StorageItem { data: data.data, ..other }))
            }
            _ => self.inner.load(key).await,
        }
    }

    async fn delete(&self, key: ItemKey<'_>, condition: Condition) -> Result<bool> {
        let (content_type, name) = self.bent(key);
        let key = ItemKey::new(&content_type, &name)?;
        match self.fault {
            Fault::ReusesVersions => self.note(key, None),
            Fault::IndexesInASecondStep => _ = self.timeless.delete(key, Condition::None).await?,
            _ => {}
        }
        match self.fault {
            Fault::ForgetsConditionsOfDeletes => self.inner.delete(key, Condition::None).await,
            Fault::AlwaysDeleted => self.inner.delete(key, condition).await.map(|_| true),
            _ => self.inner.delete(key, condition).await,
        }
    }

    async fn search(&self, query: &StorageQuery) -> Result<SearchPage> {
        let misread = self.misread_query(query);
        let page = match self.fault {
            Fault::SearchesExpired | Fault::SearchesDeleted | Fault::IndexesInASecondStep => {
                self.timeless.search(&misread).await
            }
            Fault::SwallowsQueryErrors => self.inner.search(&misread).await.or(Ok(SearchPage::default())),
            Fault::LimitsEachPage => {
                let query = query.compile()?;
                let page = self.inner.search(&misread).await?;
                // The hits of the page, and the news that there are more whatever the limit says.
                Ok(match (page.next, page.results.last()) {
                    (None, Some(last)) if query.page_len() == page.results.len() => {
                        let behind = misread.filters().order(query.order());
                        let last = last.item.metadata.key.clone();
                        let rest = self.inner.search(&behind).await?.results;
                        let rest = rest.into_iter().skip_while(|hit| hit.item.metadata.key != last).skip(1);
                        SearchPage {
                            results: page.results.into_iter().chain(rest.take(1)).collect(),
                            next: None,
                        }
                    }
                    (next, _) => SearchPage { next, results: page.results },
                })
            }
            _ => self.inner.search(&misread).await,
        };
        self.misserved(query, page?).await
    }

    async fn cleanup(&self) -> Result<CleanupReport> {
        match self.fault {
            Fault::SwallowsCleanup => Ok(CleanupReport::default()),
            Fault::ReportsNothingCleaned => self.inner.cleanup().await.map(|_| CleanupReport::default()),
            Fault::SweepsByOldNotes => {
                let now = self.clock.now().as_micros();
                let notes = self.notes.lock().unwrap().clone();
                for (name, _) in notes.iter().filter(|(_, deadline)| **deadline <= now) {
                    self.inner.delete(ItemKey::new("note", name)?, Condition::None).await?;
                }
                self.inner.cleanup().await
            }
            _ => self.inner.cleanup().await,
        }
    }

    async fn close(&self) -> Result<()> {
        match self.fault {
            Fault::NeverCloses => Ok(()),
            Fault::ClosesOnce if self.closes.fetch_add(1, Ordering::SeqCst) > 0 => {
                Err(StorageError::new(ErrorKind::Closed, "closed already"))
            }
            _ => self.inner.close().await,
        }
    }

    async fn save_many(&self, requests: Vec<SaveRequest<'_>>) -> Vec<Result<StorageItem>> {
        let mut answers = Vec::new();
        let mut stopped = false;
        for request in requests {
            let answer = match stopped {
                true => Err(StorageError::new(ErrorKind::Internal, "the batch has failed")),
                false => self.save(request).await,
            };
            stopped |= answer.is_err() && self.fault == Fault::StopsBatches;
            answers.push(answer);
        }
        answers
    }

    async fn load_many(&self, keys: &[ItemKey<'_>]) -> Vec<Result<Option<StorageItem>>> {
        let mut keys = keys.to_vec();
        if self.fault == Fault::SortsBatches {
            keys.sort_unstable();
        }
        let mut answers = Vec::new();
        for key in keys {
            answers.push(self.load(key).await);
        }
        answers
    }

    async fn touch(
        &self,
        key: ItemKey<'_>,
        expires_at: Option<Timestamp>,
    ) -> Result<Option<Arc<StorageMetadata>>> {
        let (content_type, name) = self.bent(key);
        let key = ItemKey::new(&content_type, &name)?;
        let before = self.inner.load(key).await?.map(|item| item.metadata);
        match self.fault {
            Fault::TouchesNothing => Ok(before.map(|metadata| {
                Arc::new(metadata.touched(expires_at, self.clock.now(), metadata.version + 1))
            })),
            Fault::TouchesWithoutVersion => {
                let touched = self.inner.touch(key, expires_at).await?;
                Ok(touched.zip(before).map(|(touched, before)| {
                    Arc::new(StorageMetadata { version: before.version, ..(*touched).clone() })
                }))
            }
            _ => self.inner.touch(key, expires_at).await,
        }
    }

    async fn count(&self, query: &StorageQuery) -> Result<u64> {
        match self.fault {
            Fault::CountsExpired => self.timeless.count(query).await,
            Fault::CapsCount => self.inner.count(query).await.map(|count| count.min(1_000)),
            _ => self.inner.count(query).await,
        }
    }

    async fn usage(&self) -> Result<Usage> {
        self.inner.usage().await
    }

    async fn health(&self) -> Health {
        if self.fault == Fault::AlwaysHealthy { Health::Healthy } else { self.inner.health().await }
    }
}
