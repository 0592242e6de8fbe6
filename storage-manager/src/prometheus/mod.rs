//! The metrics as text for Prometheus.
//!
//! The recorder of `metrics-exporter-prometheus` keeps every sample of a histogram until its upkeep runs, so that memory
//! and pauses grow with the load. Here counters and gauges are its work, and histograms are counted into buckets at once:
//! memory does not depend on the number of calls, and there is no upkeep to run and no task to own.

mod buckets;
mod histograms;

use std::{fmt, sync::Arc};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use storage_core::{ErrorKind, Result, StorageError};

use self::histograms::Histograms;

/// Collects metrics and renders them in the text format of Prometheus. How the text is served is the program's choice.
///
/// Clones share everything.
///
/// ```
/// use storage_manager::{Operation, StorageMonitor, prometheus::PrometheusExporter};
///
/// let exporter = PrometheusExporter::new();
/// let monitor = StorageMonitor::with_recorder(exporter.recorder());
/// monitor.register("profile")?;
/// monitor.record_operation("profile", Operation::Save, true);
/// let text = exporter.render();
/// assert!(text.contains(r#"storage_operations_total{operation="save",content_type="profile",success="true"} 1"#));
/// # Ok::<(), storage_manager::StorageError>(())
/// ```
#[derive(Clone)]
pub struct PrometheusExporter {
    recorder: Arc<BoundedRecorder>,
    handle: PrometheusHandle,
}

impl PrometheusExporter {
    /// An exporter that nothing records to yet.
    pub fn new() -> Self {
        let inner = PrometheusBuilder::new().build_recorder();
        let handle = inner.handle();
        Self { recorder: Arc::new(BoundedRecorder { inner, histograms: Histograms::default() }), handle }
    }

    /// The recorder to give to [`StorageMonitor::with_recorder`](crate::StorageMonitor::with_recorder) or to another
    /// part of the program.
    pub fn recorder(&self) -> Arc<dyn Recorder + Send + Sync> {
        Arc::clone(&self.recorder) as _
    }

    /// Makes this the recorder of the `metrics` facade, for everything in this process that records there.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if the facade has a recorder already.
    pub fn install(&self) -> Result<()> {
        metrics::set_global_recorder(Arc::clone(&self.recorder))
            .map_err(|_| StorageError::new(ErrorKind::Config, "the metrics facade has a recorder already"))
    }

    /// The metrics as they are now, in the text format of Prometheus.
    pub fn render(&self) -> String {
        let mut text = self.handle.render();
        self.recorder.histograms.render(&mut text);
        text
    }
}

impl Default for PrometheusExporter {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for PrometheusExporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrometheusExporter")
    }
}

/// Counters and gauges go to the recorder of the exporter, histograms into buckets.
struct BoundedRecorder {
    inner: PrometheusRecorder,
    histograms: Histograms,
}

impl Recorder for BoundedRecorder {
    fn describe_counter(&self, name: KeyName, unit: Option<Unit>, description: SharedString) {
        self.inner.describe_counter(name, unit, description);
    }

    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, description: SharedString) {
        self.inner.describe_gauge(name, unit, description);
    }

    fn describe_histogram(&self, name: KeyName, _unit: Option<Unit>, description: SharedString) {
        self.histograms.describe(&name, &description);
    }

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        self.inner.register_counter(key, metadata)
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        self.inner.register_gauge(key, metadata)
    }

    fn register_histogram(&self, key: &Key, _metadata: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.histograms.register(key))
    }
}
