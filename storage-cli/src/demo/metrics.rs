//! The metrics of the tour, abridged.

use storage_manager::names;

/// What a newcomer wants to see, in this order: what was done, how long it took, what there is.
const SHOWN: [&str; 4] =
    [names::OPERATIONS_TOTAL, names::OPERATION_DURATION_SECONDS, names::ITEMS, names::SIZE_BYTES];

/// The lines of a Prometheus text that say something at a glance: no explanations, no buckets, nothing that is zero.
pub(super) fn abridged(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for name in SHOWN {
        let of_name = |line: &&str| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with('{') || rest.starts_with("_sum{"))
                && !line.ends_with(" 0")
        };
        let mut found: Vec<_> = text.lines().filter(of_name).map(str::to_owned).collect();
        found.sort();
        lines.extend(found);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_says_nothing_at_a_glance_is_left_out() {
        let text = "\
# HELP storage_operations_total Calls.
storage_operations_total{operation=\"save\"} 2
storage_operations_total{operation=\"load\"} 1
storage_operations_in_flight{} 1
storage_items{content_type=\"rs\"} 5
storage_items{content_type=\"other\"} 0
storage_operation_duration_seconds_bucket{le=\"1\"} 2
storage_operation_duration_seconds_sum{operation=\"save\"} 0.5
storage_operation_duration_seconds_count{operation=\"save\"} 2
";
        let expected = [
            "storage_operations_total{operation=\"load\"} 1",
            "storage_operations_total{operation=\"save\"} 2",
            "storage_operation_duration_seconds_sum{operation=\"save\"} 0.5",
            "storage_items{content_type=\"rs\"} 5",
        ];
        assert_eq!(abridged(text), expected);
    }
}
