//! A recorder that can be read.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};

/// Everything that was recorded, as `name{label=value,...}` with its values: sums of counters and gauges, all samples of
/// histograms.
#[derive(Debug, Default)]
pub(crate) struct Notebook {
    pages: Mutex<BTreeMap<String, Arc<Page>>>,
}

#[derive(Debug, Default)]
struct Page {
    values: Mutex<Vec<f64>>,
}

impl Notebook {
    /// The sum of a counter or gauge, or of the samples of a histogram; zero if there is none.
    pub(crate) fn sum(&self, series: &str) -> f64 {
        self.samples(series).iter().sum()
    }

    pub(crate) fn samples(&self, series: &str) -> Vec<f64> {
        let page = self.pages.lock().unwrap().get(series).cloned();
        page.map_or(Vec::new(), |page| page.values.lock().unwrap().clone())
    }

    pub(crate) fn series(&self) -> Vec<String> {
        self.pages.lock().unwrap().keys().cloned().collect()
    }

    fn page(&self, key: &Key) -> Arc<Page> {
        let labels: Vec<_> = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        let series = format!("{}{{{}}}", key.name(), labels.join(","));
        Arc::clone(self.pages.lock().unwrap().entry(series).or_default())
    }
}

impl Recorder for Notebook {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.page(key))
    }
    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.page(key))
    }
    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.page(key))
    }
}

impl Page {
    fn add(&self, value: f64) {
        let mut values = self.values.lock().unwrap();
        match values.first_mut() {
            Some(sum) => *sum += value,
            None => values.push(value),
        }
    }
}

impl CounterFn for Page {
    fn increment(&self, value: u64) {
        self.add(value as f64);
    }
    fn absolute(&self, value: u64) {
        *self.values.lock().unwrap() = vec![value as f64];
    }
}

impl GaugeFn for Page {
    fn increment(&self, value: f64) {
        self.add(value);
    }
    fn decrement(&self, value: f64) {
        self.add(-value);
    }
    fn set(&self, value: f64) {
        *self.values.lock().unwrap() = vec![value];
    }
}

impl HistogramFn for Page {
    fn record(&self, value: f64) {
        self.values.lock().unwrap().push(value);
    }
}
