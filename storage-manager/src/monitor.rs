//! Counts and times storage calls through the `metrics` facade.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;
use metrics::Recorder;
use storage_core::{Amount, ErrorKind, Result, StorageQuery, Usage};

use crate::{
    Operation, names,
    patterns::{Pattern, PatternMap},
    series::Series,
    source::Source,
};

/// Counts and times storage calls through the `metrics` facade. The names are in [`names`].
///
/// Clones share everything. Only registered content types become labels: a route registers itself, everything else is
/// recorded as [`names::OTHER`], and a key never is a label. So the number of series does not depend on what callers
/// send.
///
/// The recorder may be installed before or after the monitor is made; what is recorded before is lost. Of recorders that
/// come one after the other (local ones of threads, in tests), the first sixteen are served. A recorder that
/// panics is noticed, logged once and left alone from there on: metrics never fail a call.
///
/// ```
/// use storage_manager::{Operation, StorageMonitor};
///
/// let monitor = StorageMonitor::new();
/// monitor.register("profile")?;
/// monitor.record_operation("profile", Operation::Save, true);
/// monitor.record_size("profile", 1_000);
/// # Ok::<(), storage_manager::StorageError>(())
/// ```
#[derive(Debug, Clone)]
pub struct StorageMonitor {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    source: Arc<Source>,
    labels: ArcSwap<PatternMap<Series>>,
    // Held while the map above is replaced; looking up takes no lock.
    registering: Mutex<()>,
    other: Arc<Series>,
}

impl StorageMonitor {
    /// A monitor that records to whichever recorder the facade has at the moment of a call.
    pub fn new() -> Self {
        Self::from_source(Source::new(None))
    }

    /// A monitor that records to `recorder`, whatever the facade has.
    pub fn with_recorder(recorder: Arc<dyn Recorder + Send + Sync>) -> Self {
        Self::from_source(Source::new(Some(recorder)))
    }

    fn from_source(source: Source) -> Self {
        let source = Arc::new(source);
        let other = Arc::new(Series::new(names::OTHER.to_owned(), Arc::clone(&source)));
        let inner = Inner { source, labels: ArcSwap::default(), registering: Mutex::default(), other };
        Self { inner: Arc::new(inner) }
    }

    /// Makes a content type, or a pattern such as `image/*`, a label of its own. Once is enough; again changes nothing.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if it is neither a content type nor a pattern.
    pub fn register(&self, content_type: &str) -> Result<()> {
        self.series(&Pattern::parse(content_type)?);
        Ok(())
    }

    /// Counts a call that ended.
    pub fn record_operation(&self, content_type: &str, operation: Operation, success: bool) {
        self.find(content_type).count(operation, success);
    }

    /// Sets how many payload bytes the live items of a content type have.
    pub fn record_size(&self, content_type: &str, bytes: u64) {
        self.find(content_type).set_size(bytes);
    }

    /// Sets size and number of items of every registered content type; those that `usage` does not name have none.
    pub fn record_usage(&self, usage: &Usage) {
        let labels = self.inner.labels.load();
        let mut amounts: HashMap<_, (&Arc<Series>, Amount)> = labels
            .values()
            .chain([&self.inner.other])
            .map(|series| (Arc::as_ptr(series), (series, Amount::default())))
            .collect();
        for (content_type, amount) in &usage.content_types {
            let series = labels.find(content_type).unwrap_or(&self.inner.other);
            if let Some((_, sum)) = amounts.get_mut(&Arc::as_ptr(series)) {
                *sum += *amount;
            }
        }
        for (series, amount) in amounts.into_values() {
            series.set_amount(amount);
        }
    }

    /// Whether the recorder panicked, so that nothing is recorded any more.
    pub fn is_faulty(&self) -> bool {
        self.inner.source.is_faulty()
    }

    /// The series of a route, made at the first time.
    pub(crate) fn series(&self, pattern: &Pattern) -> Arc<Series> {
        if *pattern == Pattern::Fallback {
            return Arc::clone(&self.inner.other);
        }
        // Nothing below can panic halfway, and the map is replaced as a whole: a poisoned lock guards nothing broken.
        let _registering = self.inner.registering.lock().unwrap_or_else(PoisonError::into_inner);
        let labels = self.inner.labels.load();
        if let Some(series) = labels.get(pattern) {
            return Arc::clone(series);
        }
        let series = Arc::new(Series::new(pattern.to_string(), Arc::clone(&self.inner.source)));
        let mut more = PatternMap::clone(&labels);
        more.insert(pattern.clone(), Arc::clone(&series));
        self.inner.labels.store(Arc::new(more));
        series
    }

    /// The series of a content type.
    pub(crate) fn find(&self, content_type: &str) -> Arc<Series> {
        let labels = self.inner.labels.load();
        Arc::clone(labels.find(content_type).unwrap_or(&self.inner.other))
    }

    /// Counts a failure that belongs to no call of a provider.
    pub(crate) fn count_error(&self, kind: ErrorKind) {
        let source = &self.inner.source;
        source.shielded(|| source.count_error(kind));
    }

    /// The series of what a query asks for.
    pub(crate) fn find_for(&self, query: &StorageQuery) -> Arc<Series> {
        let find = |content_type| self.find(content_type);
        query.get_content_type().map_or_else(|| Arc::clone(&self.inner.other), find)
    }

    /// The series of what concerns no single registered content type.
    pub(crate) fn other(&self) -> &Arc<Series> {
        &self.inner.other
    }
}

impl Default for StorageMonitor {
    fn default() -> Self {
        Self::new()
    }
}
