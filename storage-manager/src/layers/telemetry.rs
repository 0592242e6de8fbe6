//! What a layer counts of its own decisions.

use metrics::{Counter, Label};
use storage_core::StorageProvider;

use crate::{names, source::Source};

/// The metrics of one layer over one provider. Decisions are rare, so that no handle is kept here.
#[derive(Debug)]
pub(super) struct Telemetry {
    provider: String,
    source: Source,
}

impl Telemetry {
    pub(super) fn of(provider: &impl StorageProvider) -> Self {
        Self { provider: provider.info().name.into_owned(), source: Source::new(None) }
    }

    pub(super) fn count(&self, name: &'static str, label: &'static str, value: &'static str) {
        self.shielded(|| self.counter(name, label, value).increment(1));
    }

    pub(super) fn set(&self, name: &'static str, value: f64) {
        self.shielded(|| self.source.gauge(name, vec![self.provider()]).set(value));
    }

    /// Runs what records; its faults are kept from the call.
    pub(super) fn shielded(&self, record: impl FnOnce()) {
        self.source.shielded(record);
    }

    pub(super) fn recorder(&self) -> usize {
        self.source.recorder()
    }

    /// Only within [`shielded`](Self::shielded).
    pub(super) fn counter(&self, name: &'static str, label: &'static str, value: &'static str) -> Counter {
        self.source.describe();
        self.source.counter(name, vec![self.provider(), Label::from_static_parts(label, value)])
    }

    fn provider(&self) -> Label {
        Label::new(names::PROVIDER, self.provider.clone())
    }
}
