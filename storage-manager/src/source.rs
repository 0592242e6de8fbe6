//! Where metrics go, and the shield between them and the calls they measure.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, Recorder, Unit};
use storage_core::ErrorKind;

use crate::names;

const METADATA: Metadata<'static> = Metadata::new("storage", Level::INFO, Some(module_path!()));

/// Where metrics go: a recorder given by hand, or whichever the facade has at the moment of a call.
pub(crate) struct Source {
    given: Option<Arc<dyn Recorder + Send + Sync>>,
    faulty: AtomicBool,
}

impl Source {
    pub(crate) fn new(given: Option<Arc<dyn Recorder + Send + Sync>>) -> Self {
        Self { given, faulty: AtomicBool::new(false) }
    }

    /// Which recorder is in use. The number changes when another one is installed, so that handles which belong to the
    /// former one, or to none, are not kept for ever.
    pub(crate) fn recorder(&self) -> usize {
        self.with(|recorder| std::ptr::from_ref(recorder).addr())
    }

    fn with<T>(&self, call: impl FnOnce(&dyn Recorder) -> T) -> T {
        match &self.given {
            Some(recorder) => call(&**recorder),
            None => metrics::with_recorder(call),
        }
    }

    /// Runs what records. If it panics, nothing is recorded from there on and the caller never notices: a fault of the
    /// metrics must not fail a call, nor flood the log with one panic per call.
    pub(crate) fn shielded(&self, record: impl FnOnce()) {
        if self.is_faulty() {
            return;
        }
        // Handles are registered as a whole or not at all, so that no state is left half-written by an unwinding.
        if catch_unwind(AssertUnwindSafe(record)).is_err() {
            self.faulty.store(true, Ordering::Relaxed);
            tracing::error!("the metrics recorder panicked; storage metrics are off from here on");
        }
    }

    pub(crate) fn is_faulty(&self) -> bool {
        self.faulty.load(Ordering::Relaxed)
    }

    pub(crate) fn counter(&self, name: &'static str, labels: Vec<Label>) -> Counter {
        self.with(|recorder| recorder.register_counter(&Key::from_parts(name, labels), &METADATA))
    }

    pub(crate) fn gauge(&self, name: &'static str, labels: Vec<Label>) -> Gauge {
        self.with(|recorder| recorder.register_gauge(&Key::from_parts(name, labels), &METADATA))
    }

    pub(crate) fn histogram(&self, name: &'static str, labels: Vec<Label>) -> Histogram {
        self.with(|recorder| recorder.register_histogram(&Key::from_parts(name, labels), &METADATA))
    }

    /// Counts one failure.
    pub(crate) fn count_error(&self, kind: ErrorKind) {
        self.counter(names::ERRORS_TOTAL, vec![Label::from_static_parts(names::KIND, kind.as_str())])
            .increment(1);
    }

    /// Tells the recorder what the metrics mean.
    pub(crate) fn describe(&self) {
        self.with(|recorder| {
            let counters = [
                (names::OPERATIONS_TOTAL, "Storage calls that ended."),
                (names::ERRORS_TOTAL, "Storage failures by kind; every failed item of a batch counts."),
                (names::REJECTIONS_TOTAL, "Calls that a layer refused without asking its provider."),
                (names::RETRIES_TOTAL, "Calls that a layer sent again."),
                (names::CACHE_REQUESTS_TOTAL, "Loads through a near cache, by what the cache had."),
            ];
            for (name, text) in counters {
                recorder.describe_counter(name.into(), Some(Unit::Count), text.into());
            }
            let gauges = [
                (
                    names::SIZE_BYTES,
                    Unit::Bytes,
                    "Payload bytes of the live items, as of the last usage report.",
                ),
                (names::ITEMS, Unit::Count, "Live items, as of the last usage report."),
                (names::OPERATIONS_IN_FLIGHT, Unit::Count, "Storage calls under way."),
                (names::CIRCUIT_STATE, Unit::Count, "0: all calls pass, 1: probes pass, 2: none passes."),
            ];
            for (name, unit, text) in gauges {
                recorder.describe_gauge(name.into(), Some(unit), text.into());
            }
            let histograms = [
                (names::OPERATION_DURATION_SECONDS, Unit::Seconds, "How long storage calls took."),
                (names::PAYLOAD_BYTES, Unit::Bytes, "Payloads saved and loaded."),
            ];
            for (name, unit, text) in histograms {
                recorder.describe_histogram(name.into(), Some(unit), text.into());
            }
        });
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("given", &self.given.is_some())
            .field("faulty", &self.is_faulty())
            .finish()
    }
}
