//! What is counted and timed, under which names, and what happens when the metrics themselves fail.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests state what they expect by panicking")]

mod support;

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::FutureExt;
use metrics::{Counter, CounterFn, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use storage_manager::{
    Amount, Builder, ErrorKind, ItemKey, ManualClock, Monitored, Operation, SaveRequest, StorageMonitor,
    StorageProvider, StorageQuery, UnifiedStorageManager,
};
use support::{Mood, Puppet, memory, notebook::Notebook};

fn observed() -> (Arc<Notebook>, Builder) {
    let notebook = Arc::new(Notebook::default());
    let monitor = StorageMonitor::with_recorder(Arc::clone(&notebook) as _);
    (notebook, UnifiedStorageManager::builder().monitor(monitor))
}

fn total(operation: &str, content_type: &str, success: bool) -> String {
    format!("storage_operations_total{{operation={operation},content_type={content_type},success={success}}}")
}

#[tokio::test]
async fn every_metric_has_its_exact_name_and_labels() {
    let clock = ManualClock::default();
    let (notebook, builder) = observed();
    let manager = builder.register("note", memory(&clock)).build().unwrap();
    manager.save("k", "12345", "note").await.unwrap();
    manager.load::<String>("k", "note").await.unwrap();
    manager.load::<String>("none", "note").await.unwrap();
    manager.save("k", "1", "note").if_absent().await.unwrap_err();
    manager.usage().await.unwrap();
    assert_eq!(
        notebook.series(),
        [
            "storage_errors_total{kind=AlreadyExists}",
            "storage_items{content_type=note}",
            "storage_items{content_type=other}",
            "storage_operation_duration_seconds{operation=load,content_type=note}",
            "storage_operation_duration_seconds{operation=save,content_type=note}",
            "storage_operation_duration_seconds{operation=usage,content_type=other}",
            "storage_operations_in_flight{content_type=note}",
            "storage_operations_in_flight{content_type=other}",
            "storage_operations_total{operation=load,content_type=note,success=true}",
            "storage_operations_total{operation=save,content_type=note,success=false}",
            "storage_operations_total{operation=save,content_type=note,success=true}",
            "storage_operations_total{operation=usage,content_type=other,success=true}",
            "storage_payload_bytes{operation=load,content_type=note}",
            "storage_payload_bytes{operation=save,content_type=note}",
            "storage_size_bytes{content_type=note}",
            "storage_size_bytes{content_type=other}",
        ]
    );
    assert_eq!(notebook.sum(&total("load", "note", true)), 2.0);
    assert_eq!(notebook.sum(&total("save", "note", false)), 1.0);
    assert_eq!(notebook.samples("storage_payload_bytes{operation=load,content_type=note}"), [7.0]);
    assert_eq!(notebook.sum("storage_size_bytes{content_type=note}"), 7.0);
    assert_eq!(notebook.sum("storage_items{content_type=note}"), 1.0);
    let durations = notebook.samples("storage_operation_duration_seconds{operation=load,content_type=note}");
    assert!(
        durations.len() == 2 && durations.iter().all(|seconds| (0.0..60.0).contains(seconds)),
        "{durations:?}"
    );
}

#[tokio::test]
async fn every_operation_is_counted_under_its_name() {
    let clock = ManualClock::default();
    let (notebook, builder) = observed();
    let manager = builder.register("note", memory(&clock)).build().unwrap();
    manager.save("k", 1, "note").await.unwrap();
    manager.touch("k", "note", Duration::from_secs(9)).await.unwrap();
    manager.load::<u8>("k", "note").await.unwrap();
    let query = StorageQuery::new().content_type("note");
    manager.search::<u8>(query.clone()).next().await.unwrap().unwrap();
    manager.search_page(&StorageQuery::new()).await.unwrap();
    manager.count(&query).await.unwrap();
    let _ = manager.save_many([manager.save("k", 1, "note")]).await;
    let _ = manager.load_many::<u8>(&[("k", "note")]).await;
    let _ = manager.delete_many(&[("k", "note")]).await;
    manager.delete("k", "note").await.unwrap();
    let _ = manager.cleanup().await.unwrap();
    let _ = manager.health().await.unwrap();
    let _ = manager.close().await;
    for operation in
        ["save", "touch", "load", "search", "count", "save_many", "load_many", "delete_many", "delete"]
    {
        assert_eq!(notebook.sum(&total(operation, "note", true)), 1.0, "{operation}");
    }
    for operation in ["search", "cleanup", "health", "close"] {
        assert_eq!(notebook.sum(&total(operation, "other", true)), 1.0, "{operation}");
    }
    let flying = ["note", "other"]
        .map(|label| notebook.sum(&format!("storage_operations_in_flight{{content_type={label}}}")));
    assert_eq!(flying, [0.0, 0.0]);
}

#[tokio::test]
async fn a_pattern_is_one_label_and_everything_else_is_other() {
    let clock = ManualClock::default();
    let (notebook, builder) = observed();
    let manager = builder.register("image/*", memory(&clock)).fallback(memory(&clock)).build().unwrap();
    for content_type in ["image/png", "image/gif", "session", "report"] {
        manager.save("k", 1, content_type).await.unwrap();
    }
    assert_eq!(notebook.sum(&total("save", "image/*", true)), 2.0);
    assert_eq!(notebook.sum(&total("save", "other", true)), 2.0);
    manager.usage().await.unwrap();
    assert_eq!(notebook.sum("storage_items{content_type=image/*}"), 2.0);
    assert_eq!(notebook.sum("storage_items{content_type=other}"), 2.0);
    manager.delete("k", "session").await.unwrap();
    manager.delete("k", "report").await.unwrap();
    manager.usage().await.unwrap();
    assert_eq!(notebook.sum("storage_items{content_type=other}"), 0.0, "what is gone is not left standing");
}

#[tokio::test]
async fn refused_calls_count_as_failures_of_other() {
    let clock = ManualClock::default();
    let (notebook, builder) = observed();
    let manager = builder.register("note", memory(&clock)).build().unwrap();
    manager.load::<u8>("k", "lost").await.unwrap_err();
    manager.save("", 1, "note").await.unwrap_err();
    let _ = manager.load_many::<u8>(&[("k", "lost"), ("k", "note")]).await;
    assert_eq!(notebook.sum("storage_errors_total{kind=NoProvider}"), 2.0);
    assert_eq!(notebook.sum("storage_errors_total{kind=InvalidKey}"), 1.0);
    assert_eq!(notebook.sum(&total("load", "other", false)), 1.0);
    assert_eq!(notebook.sum(&total("load_many", "other", false)), 1.0);
    assert_eq!(notebook.sum(&total("load_many", "note", true)), 1.0);
}

#[tokio::test]
async fn a_million_hostile_content_types_make_no_series() {
    let clock = ManualClock::default();
    let (notebook, builder) = observed();
    let manager =
        builder.register("note", memory(&clock)).register("image/*", memory(&clock)).build().unwrap();
    let noise = async |n: u32| {
        let (key, content_type) = (format!("user-{n}"), format!("hostile-{n}"));
        manager.load_bytes(&key, &content_type).await.unwrap_err();
        manager.load_bytes(&key, &format!("image/{n}")).await.unwrap();
        let query = StorageQuery::new().content_type(content_type);
        manager.count(&query).await.unwrap_err();
    };
    noise(0).await;
    manager.monitor().record_operation("hostile", Operation::Save, true);
    manager.monitor().record_size("hostile", 1);
    let before = notebook.series();
    for n in 1..20_000 {
        noise(n).await;
    }
    for n in 0..1_000_000 {
        manager.monitor().record_operation(&format!("hostile-{n}"), Operation::Save, true);
    }
    assert_eq!(notebook.series(), before);
    assert!(
        before.iter().all(|series| !series.contains("hostile") && !series.contains("user-")),
        "{before:?}"
    );
    assert_eq!(notebook.sum(&total("save", "other", true)), 1_000_001.0);
}

#[tokio::test]
async fn a_cancelled_call_is_neither_success_nor_failure() {
    let clock = ManualClock::default();
    let (notebook, builder) = observed();
    let puppet = Puppet::new("puppet", &clock);
    puppet.be(Mood::Hanging);
    let manager = builder.register("note", puppet).build().unwrap();
    let flying = || notebook.sum("storage_operations_in_flight{content_type=note}");
    {
        let mut load = std::pin::pin!(manager.load_bytes("k", "note"));
        assert!(load.as_mut().now_or_never().is_none());
        assert_eq!(flying(), 1.0);
    }
    assert_eq!(flying(), 0.0);
    assert_eq!(notebook.series(), ["storage_operations_in_flight{content_type=note}"]);
}

#[tokio::test]
async fn a_monitored_provider_counts_like_a_manager() {
    let notebook = Arc::new(Notebook::default());
    let monitor = StorageMonitor::with_recorder(Arc::clone(&notebook) as _);
    monitor.register("note").unwrap();
    let store = Monitored::new(memory(&ManualClock::default()), monitor);
    let key = ItemKey::new("note", "k").unwrap();
    store.save(SaveRequest::new(key, "12")).await.unwrap();
    let requests = vec![
        SaveRequest::new(key, "123"),
        SaveRequest::new(ItemKey::new("stray", "k").unwrap(), "1"),
        SaveRequest::new(key, "1234").condition(storage_manager::Condition::Absent),
    ];
    let _ = store.save_many(requests).await;
    assert_eq!(notebook.sum(&total("save", "note", true)), 1.0);
    assert_eq!(notebook.sum(&total("save_many", "note", false)), 1.0);
    assert_eq!(notebook.sum(&total("save_many", "other", true)), 1.0);
    assert_eq!(notebook.samples("storage_payload_bytes{operation=save_many,content_type=note}"), [3.0]);
    assert_eq!(notebook.sum("storage_errors_total{kind=AlreadyExists}"), 1.0);
    assert_eq!(store.usage().await.unwrap().total(), Amount { items: 2, bytes: 4 });
    assert_eq!(notebook.sum("storage_size_bytes{content_type=other}"), 1.0);
}

/// Panics when a metric is registered, or when one is recorded.
struct Bomb {
    at_registration: bool,
    armed: AtomicBool,
    blasts: Arc<AtomicU64>,
}

struct Fuse(Arc<AtomicU64>);

impl CounterFn for Fuse {
    fn increment(&self, _: u64) {
        self.0.fetch_add(1, Ordering::SeqCst);
        panic!("metrics are broken");
    }
    fn absolute(&self, _: u64) {}
}

impl Recorder for Bomb {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        if self.at_registration && self.armed.load(Ordering::SeqCst) {
            self.blasts.fetch_add(1, Ordering::SeqCst);
            panic!("metrics are broken");
        }
        Counter::from_arc(Arc::new(Fuse(Arc::clone(&self.blasts))))
    }
    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }
    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[tokio::test]
async fn a_recorder_that_panics_fails_no_call_and_is_left_alone() {
    for at_registration in [true, false] {
        let blasts = Arc::new(AtomicU64::new(0));
        let bomb = Bomb { at_registration, armed: AtomicBool::new(true), blasts: Arc::clone(&blasts) };
        let monitor = StorageMonitor::with_recorder(Arc::new(bomb));
        let manager = UnifiedStorageManager::builder()
            .monitor(monitor)
            .register("note", memory(&ManualClock::default()))
            .build()
            .unwrap();
        let calls = async {
            manager.save("k", 1, "note").await.unwrap();
            assert_eq!(manager.load::<u8>("k", "note").await.unwrap().unwrap().data, 1);
            assert_eq!(manager.load::<u8>("k", "lost").await.unwrap_err().kind(), ErrorKind::NoProvider);
            assert!(manager.save_many([manager.save("l", 1, "note")]).await.iter().all(Result::is_ok));
            assert!(manager.delete("k", "note").await.unwrap());
            manager.usage().await.unwrap();
            manager.monitor().record_operation("note", Operation::Save, true);
        };
        assert!(AssertUnwindSafe(calls).catch_unwind().await.is_ok());
        assert!(manager.monitor().is_faulty());
        assert_eq!(blasts.load(Ordering::SeqCst), 1, "it is asked once, not once per call");
    }
}
