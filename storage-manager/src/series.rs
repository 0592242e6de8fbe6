//! The metrics of one content type, with handles that are resolved once.

use std::sync::{Arc, OnceLock};

use metrics::{Counter, Gauge, Histogram, Label};
use quanta::Instant;
use storage_core::{Amount, ErrorKind, Result};

use crate::{Operation, names, source::Source};

/// The metrics of one content type, route pattern, or of everything else.
#[derive(Debug)]
pub(crate) struct Series {
    label: String,
    source: Arc<Source>,
    handles: OnceLock<Box<Handles>>,
}

impl Series {
    pub(crate) fn new(label: String, source: Arc<Source>) -> Self {
        Self { label, source, handles: OnceLock::new() }
    }

    /// Measures one call from here until its answer.
    ///
    /// A call that is dropped before its answer was neither a success nor a failure: it only leaves the number of calls
    /// in flight.
    pub(crate) fn begin(&self, operation: Operation) -> Running<'_> {
        let mut handles = None;
        self.source.shielded(|| {
            let Some(resolved) = self.handles() else { return };
            resolved.in_flight(self).increment(1.0);
            handles = Some(resolved);
        });
        Running { series: self, handles, operation, started: Instant::now() }
    }

    /// Measures `call`; `payload` finds the size of what was moved.
    pub(crate) async fn measure<T>(
        &self,
        operation: Operation,
        call: impl Future<Output = Result<T>>,
        payload: impl FnOnce(&T) -> Option<u64>,
    ) -> Result<T> {
        let running = self.begin(operation);
        let answer = call.await;
        match &answer {
            Ok(value) => running.finished(payload(value), None),
            Err(error) => running.finished(None, [error.kind()]),
        }
        answer
    }

    /// Counts a call that ended, without a duration.
    pub(crate) fn count(&self, operation: Operation, success: bool) {
        self.source.shielded(|| {
            if let Some(handles) = self.handles() {
                handles.ended(self, operation, success).increment(1);
            }
        });
    }

    /// Counts a call that was refused before it reached a provider.
    pub(crate) fn count_refusal(&self, operation: Operation, kind: ErrorKind) {
        self.count(operation, false);
        self.source.shielded(|| self.source.count_error(kind));
    }

    pub(crate) fn set_size(&self, bytes: u64) {
        self.source.shielded(|| self.gauge(names::SIZE_BYTES).set(bytes as f64));
    }

    pub(crate) fn set_amount(&self, amount: Amount) {
        self.set_size(amount.bytes);
        self.source.shielded(|| self.gauge(names::ITEMS).set(amount.items as f64));
    }

    fn gauge(&self, name: &'static str) -> Gauge {
        self.source.gauge(name, vec![self.label()])
    }

    fn label(&self) -> Label {
        Label::new(names::CONTENT_TYPE, self.label.clone())
    }

    /// The handles for the recorder that is in use now; `None` if there were too many recorders before it.
    fn handles(&self) -> Option<&Handles> {
        let recorder = self.source.recorder();
        let mut slot = &self.handles;
        for _ in 0..MOST_RECORDERS {
            let handles = slot.get_or_init(|| {
                self.source.describe();
                Box::new(Handles::new(recorder))
            });
            if handles.recorder == recorder {
                return Some(handles);
            }
            slot = &handles.next;
        }
        None
    }
}

/// Handles are kept as long as their series, so that a call under way can hold them without counting references. That
/// bounds how many recorders can be served: usually there is one, after a time without any.
const MOST_RECORDERS: usize = 16;

/// A call under way.
#[must_use]
#[derive(Debug)]
pub(crate) struct Running<'a> {
    series: &'a Series,
    handles: Option<&'a Handles>,
    operation: Operation,
    started: Instant,
}

impl Running<'_> {
    /// The call ended: it moved payloads of these sizes, and failed for these reasons, if for any.
    pub(crate) fn finished(
        self,
        payloads: impl IntoIterator<Item = u64>,
        failures: impl IntoIterator<Item = ErrorKind>,
    ) {
        let mut failures = failures.into_iter().peekable();
        self.ended(failures.peek().is_none(), |handles| {
            for bytes in payloads {
                handles.payload(self.series, self.operation).record(bytes as f64);
            }
            failures.for_each(|kind| self.series.source.count_error(kind));
        });
    }

    fn ended(&self, success: bool, record: impl FnOnce(&Handles)) {
        let Some(handles) = self.handles else { return };
        let series = self.series;
        let seconds = self.started.elapsed().as_secs_f64();
        series.source.shielded(|| {
            // A call may end on a thread that has another recorder than the one where it began.
            let moved = series.source.recorder() != handles.recorder;
            let Some(handles) = (if moved { series.handles() } else { Some(handles) }) else { return };
            handles.ended(series, self.operation, success).increment(1);
            handles.duration(series, self.operation).record(seconds);
            record(handles);
        });
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        // The same gauge that was raised, whichever recorder is in use by now.
        if let Some(handles) = self.handles {
            self.series.source.shielded(|| handles.in_flight(self.series).decrement(1.0));
        }
    }
}

/// Handles of one recorder. Each is registered at its first use, so that there are no series for what never happens.
#[derive(Debug)]
struct Handles {
    recorder: usize,
    /// The handles of the recorder that came after this one.
    next: OnceLock<Box<Self>>,
    in_flight: OnceLock<Gauge>,
    operations: [OperationHandles; Operation::ALL.len()],
    unknown: OperationHandles,
}

#[derive(Debug, Default)]
struct OperationHandles {
    succeeded: OnceLock<Counter>,
    failed: OnceLock<Counter>,
    duration: OnceLock<Histogram>,
    payload: OnceLock<Histogram>,
}

impl Handles {
    fn new(recorder: usize) -> Self {
        Self {
            recorder,
            next: OnceLock::new(),
            in_flight: OnceLock::new(),
            operations: Default::default(),
            unknown: OperationHandles::default(),
        }
    }

    fn of(&self, operation: Operation) -> &OperationHandles {
        // The list is as long as the enum, so that the second choice is never taken.
        self.operations.get(operation as usize).unwrap_or(&self.unknown)
    }

    fn in_flight(&self, series: &Series) -> &Gauge {
        self.in_flight.get_or_init(|| series.gauge(names::OPERATIONS_IN_FLIGHT))
    }

    fn ended(&self, series: &Series, operation: Operation, success: bool) -> &Counter {
        let handles = self.of(operation);
        let (handle, text) = match success {
            true => (&handles.succeeded, "true"),
            false => (&handles.failed, "false"),
        };
        handle.get_or_init(|| {
            let labels = vec![
                Label::from_static_parts(names::OPERATION, operation.as_str()),
                series.label(),
                Label::from_static_parts(names::SUCCESS, text),
            ];
            series.source.counter(names::OPERATIONS_TOTAL, labels)
        })
    }

    fn duration(&self, series: &Series, operation: Operation) -> &Histogram {
        self.of(operation)
            .duration
            .get_or_init(|| histogram(series, operation, names::OPERATION_DURATION_SECONDS))
    }

    fn payload(&self, series: &Series, operation: Operation) -> &Histogram {
        self.of(operation).payload.get_or_init(|| histogram(series, operation, names::PAYLOAD_BYTES))
    }
}

fn histogram(series: &Series, operation: Operation, name: &'static str) -> Histogram {
    let labels = vec![Label::from_static_parts(names::OPERATION, operation.as_str()), series.label()];
    series.source.histogram(name, labels)
}
