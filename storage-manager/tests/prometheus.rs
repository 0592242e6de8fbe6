//! The text for Prometheus, and the memory behind it.
#![cfg(feature = "prometheus")]
#![expect(clippy::unwrap_used, reason = "tests state what they expect by panicking")]

mod support;

use metrics::{Key, Level, Metadata};
use storage_manager::{
    ErrorKind, ManualClock, StorageMonitor, UnifiedStorageManager, prometheus::PrometheusExporter,
};
use support::memory;

#[tokio::test]
async fn the_text_has_every_metric_with_its_type_and_help() {
    let exporter = PrometheusExporter::new();
    let manager = UnifiedStorageManager::builder()
        .monitor(StorageMonitor::with_recorder(exporter.recorder()))
        .register("note", memory(&ManualClock::default()))
        .build()
        .unwrap();
    manager.save("k", "1234567", "note").await.unwrap();
    manager.load_bytes("k", "lost").await.unwrap_err();
    manager.usage().await.unwrap();
    let text = exporter.render();
    for line in [
        "# TYPE storage_operations_total counter",
        "# TYPE storage_errors_total counter",
        "# TYPE storage_operations_in_flight gauge",
        "# TYPE storage_size_bytes gauge",
        "# TYPE storage_items gauge",
        "# TYPE storage_operation_duration_seconds histogram",
        "# TYPE storage_payload_bytes histogram",
        "# HELP storage_payload_bytes Payloads saved and loaded.",
        r#"storage_operations_total{operation="save",content_type="note",success="true"} 1"#,
        r#"storage_operations_total{operation="load",content_type="other",success="false"} 1"#,
        r#"storage_errors_total{kind="NoProvider"} 1"#,
        r#"storage_size_bytes{content_type="note"} 9"#,
        r#"storage_items{content_type="note"} 1"#,
        r#"storage_payload_bytes_bucket{operation="save",content_type="note",le="8"} 0"#,
        r#"storage_payload_bytes_bucket{operation="save",content_type="note",le="16"} 1"#,
        r#"storage_payload_bytes_bucket{operation="save",content_type="note",le="+Inf"} 1"#,
        r#"storage_payload_bytes_sum{operation="save",content_type="note"} 9"#,
        r#"storage_payload_bytes_count{operation="save",content_type="note"} 1"#,
        r#"storage_operation_duration_seconds_count{operation="save",content_type="note"} 1"#,
    ] {
        assert!(text.lines().any(|written| written == line), "{line}\n{text}");
    }
}

#[test]
fn buckets_grow_with_the_bound_and_end_at_the_count() {
    let exporter = PrometheusExporter::new();
    let recorder = exporter.recorder();
    let metadata = Metadata::new("test", Level::INFO, None);
    let histogram = recorder.register_histogram(&Key::from_name("wait_seconds"), &metadata);
    for n in 0..1_000 {
        histogram.record(f64::from(n) / 10.0);
    }
    let text = exporter.render();
    let counts: Vec<u64> = text
        .lines()
        .filter(|line| line.starts_with("wait_seconds_bucket"))
        .map(|line| line.rsplit(' ').next().unwrap().parse().unwrap())
        .collect();
    assert!(counts.is_sorted() && counts.len() > 20, "{counts:?}");
    assert_eq!(counts.last(), Some(&1_000));
    assert!(text.contains("wait_seconds_sum 49950"), "{text}");
}

#[test]
fn hostile_names_and_labels_cannot_forge_lines() {
    let exporter = PrometheusExporter::new();
    let recorder = exporter.recorder();
    let metadata = Metadata::new("test", Level::INFO, None);
    let labels = vec![metrics::Label::new("a b", "x\"}\nforged 1\n")];
    recorder.register_histogram(&Key::from_parts("na me", labels), &metadata).record(1.0);
    let text = exporter.render();
    assert!(
        text.lines().all(|line| line.is_empty() || line.starts_with("na_me") || line.starts_with('#')),
        "{text}"
    );
}

#[test]
fn samples_take_no_memory() {
    let exporter = PrometheusExporter::new();
    let recorder = exporter.recorder();
    let metadata = Metadata::new("test", Level::INFO, None);
    let histogram = recorder.register_histogram(&Key::from_name("wait_seconds"), &metadata);
    let before = resident_bytes();
    for n in 0..4_000_000_u32 {
        histogram.record(f64::from(n));
    }
    // Kept one by one they would take at least 32 MB.
    let more = resident_bytes().saturating_sub(before);
    assert!(more < 8 * 1_024 * 1_024, "{more} bytes more");
}

/// Zero where the machine does not tell.
fn resident_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    pages.and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok()).unwrap_or(0) * 4_096
}

#[test]
fn a_second_recorder_of_the_facade_is_refused() {
    PrometheusExporter::new().install().unwrap();
    assert_eq!(PrometheusExporter::new().install().unwrap_err().kind(), ErrorKind::Config);
}
