//! All histograms of an exporter.

use std::{
    collections::BTreeMap,
    fmt::Write,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use metrics::{Key, KeyName};
use metrics_exporter_prometheus::formatting::{
    sanitize_label_key, sanitize_label_value, sanitize_metric_name, write_help_line, write_type_line,
};

use super::buckets::Buckets;

/// All histograms, by name and labels. Recording takes no lock: handles are registered once and kept.
#[derive(Debug, Default)]
pub(super) struct Histograms {
    families: Mutex<BTreeMap<String, Family>>,
}

/// The histograms of one name.
#[derive(Debug, Default)]
struct Family {
    description: Option<String>,
    /// By their labels as they are written.
    members: BTreeMap<String, Arc<Buckets>>,
}

impl Histograms {
    pub(super) fn describe(&self, name: &KeyName, description: &str) {
        let mut families = self.lock();
        let family = families.entry(sanitize_metric_name(name.as_str())).or_default();
        family.description.get_or_insert_with(|| description.to_owned());
    }

    /// The histogram of a key, made at the first time.
    pub(super) fn register(&self, key: &Key) -> Arc<Buckets> {
        let labels: Vec<_> = key
            .labels()
            .map(|label| {
                format!("{}=\"{}\"", sanitize_label_key(label.key()), sanitize_label_value(label.value()))
            })
            .collect();
        let mut families = self.lock();
        let family = families.entry(sanitize_metric_name(key.name())).or_default();
        let member = family.members.entry(labels.join(",")).or_insert_with(|| Arc::new(Buckets::new()));
        Arc::clone(member)
    }

    /// Appends all histograms that were registered.
    pub(super) fn render(&self, text: &mut String) {
        for (name, family) in self.lock().iter().filter(|(_, family)| !family.members.is_empty()) {
            if let Some(description) = &family.description {
                write_help_line(text, name, None, None, description);
            }
            write_type_line(text, name, None, None, "histogram");
            for (labels, buckets) in &family.members {
                render_member(text, name, labels, buckets);
            }
            text.push('\n');
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Family>> {
        // Every change is one insertion, which leaves the map whole even if a thread panicked.
        self.families.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn render_member(text: &mut String, name: &str, labels: &str, buckets: &Buckets) {
    let (from, to) = bounds(name);
    let more = if labels.is_empty() { String::new() } else { format!("{labels},") };
    let only = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
    // The count is read last, so that it is not below what the buckets say.
    let cumulated = buckets.cumulated(from, to);
    let (sum, count) = (buckets.sum(), buckets.count());
    for (bound, count) in cumulated {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name}_bucket{{{more}le=\"{bound}\"}} {count}");
    }
    let _ = writeln!(text, "{name}_bucket{{{more}le=\"+Inf\"}} {count}");
    let _ = writeln!(text, "{name}_sum{only} {sum}");
    let _ = writeln!(text, "{name}_count{only} {count}");
}

/// The exponents of the bounds that make sense for a metric: from 119 ns to 128 s, or from 1 B to 2 GiB.
fn bounds(name: &str) -> (i32, i32) {
    if name.ends_with("_seconds") {
        (-23, 7)
    } else if name.ends_with("_bytes") {
        (0, 31)
    } else {
        (i32::MIN, i32::MAX)
    }
}
