//! The names of all metrics and labels, in one place.

/// Counter: calls that ended, by [`OPERATION`], [`CONTENT_TYPE`] and [`SUCCESS`].
pub const OPERATIONS_TOTAL: &str = "storage_operations_total";
/// Histogram: how long calls took, in seconds, by [`OPERATION`] and [`CONTENT_TYPE`].
pub const OPERATION_DURATION_SECONDS: &str = "storage_operation_duration_seconds";
/// Counter: failures, by [`KIND`]. Every failed item of a batch counts.
pub const ERRORS_TOTAL: &str = "storage_errors_total";
/// Histogram: payloads saved and loaded, in bytes, by [`OPERATION`] and [`CONTENT_TYPE`].
pub const PAYLOAD_BYTES: &str = "storage_payload_bytes";
/// Gauge: payload bytes of the live items, by [`CONTENT_TYPE`], as of the last usage report.
pub const SIZE_BYTES: &str = "storage_size_bytes";
/// Gauge: number of live items, by [`CONTENT_TYPE`], as of the last usage report.
pub const ITEMS: &str = "storage_items";
/// Gauge: calls under way, by [`CONTENT_TYPE`].
pub const OPERATIONS_IN_FLIGHT: &str = "storage_operations_in_flight";

/// Counter: calls that a layer refused without asking its provider, by [`LAYER`] and [`PROVIDER`].
pub const REJECTIONS_TOTAL: &str = "storage_rejections_total";
/// Counter: calls sent again by a layer, by [`OPERATION`] and [`PROVIDER`].
pub const RETRIES_TOTAL: &str = "storage_retries_total";
/// Counter: loads through a near cache, by [`RESULT`] and [`PROVIDER`].
pub const CACHE_REQUESTS_TOTAL: &str = "storage_cache_requests_total";
/// Gauge: 0 closed (all calls pass), 1 half open (probes pass), 2 open (none passes), by [`PROVIDER`].
pub const CIRCUIT_STATE: &str = "storage_circuit_state";

/// Label: what was asked for, such as `save`.
pub const OPERATION: &str = "operation";
/// Label: the registered content type or route pattern, or [`OTHER`].
pub const CONTENT_TYPE: &str = "content_type";
/// Label: `true` or `false`.
pub const SUCCESS: &str = "success";
/// Label: what a near cache had: `hit`, `absent` (known not to be there) or `miss`.
pub const RESULT: &str = "result";
/// Label: the layer, such as `circuit_breaker`.
pub const LAYER: &str = "layer";
/// Label: the name of the provider below a layer, such as `redis`.
pub const PROVIDER: &str = "provider";
/// Label: the name of the error kind, such as `Timeout`.
pub const KIND: &str = "kind";

/// The content type of everything that is not registered by name, and of calls that concern no single content type.
pub const OTHER: &str = "other";
