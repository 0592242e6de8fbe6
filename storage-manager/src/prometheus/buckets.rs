//! A histogram of constant size.

use std::sync::atomic::{AtomicU64, Ordering};

use metrics::HistogramFn;

/// The exponent of the lowest bound: 2^-23 seconds are 119 ns.
const LOWEST: i32 = -23;
/// The exponent of the highest bound: 2^40 bytes are 1 TiB.
const HIGHEST: i32 = 40;
const BOUNDS: usize = (HIGHEST - LOWEST + 1) as usize;

/// Counts values between powers of two. Recording is two atomic additions, and takes no memory.
#[derive(Debug)]
pub(super) struct Buckets {
    counts: [AtomicU64; BOUNDS],
    /// Values above the highest bound.
    beyond: AtomicU64,
    /// The bits of an `f64`.
    sum: AtomicU64,
}

impl Buckets {
    pub(super) fn new() -> Self {
        let zero = AtomicU64::new(0);
        Self { counts: [const { AtomicU64::new(0) }; BOUNDS], beyond: zero, sum: AtomicU64::new(0) }
    }

    /// Each bound from `2^from` to `2^to` with the number of values up to it.
    pub(super) fn cumulated(&self, from: i32, to: i32) -> Vec<(f64, u64)> {
        let mut sum = 0;
        let bounds = (LOWEST..=HIGHEST).zip(&self.counts).map(|(exponent, count)| {
            sum += count.load(Ordering::Relaxed);
            (exponent, sum)
        });
        let shown = bounds.filter(|(exponent, _)| (from..=to).contains(exponent));
        shown.map(|(exponent, sum)| (f64::from(exponent).exp2(), sum)).collect()
    }

    /// The number of values.
    pub(super) fn count(&self) -> u64 {
        self.counts.iter().chain([&self.beyond]).map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// The sum of the values.
    pub(super) fn sum(&self) -> f64 {
        f64::from_bits(self.sum.load(Ordering::Relaxed))
    }

    fn of(&self, value: f64) -> &AtomicU64 {
        self.counts.get(place(value)).unwrap_or(&self.beyond)
    }
}

impl HistogramFn for Buckets {
    fn record(&self, value: f64) {
        self.record_many(value, 1);
    }

    fn record_many(&self, value: f64, count: usize) {
        // No bound can tell where it belongs, and one of them would spoil the sum for ever.
        if value.is_nan() {
            return;
        }
        self.of(value).fetch_add(count as u64, Ordering::Relaxed);
        let more = value * count as f64;
        let add = |sum: u64| Some((f64::from_bits(sum) + more).to_bits());
        // The closure always answers, so that this cannot fail.
        let _ = self.sum.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }
}

/// The place of the lowest bound that is not below `value`, behind the last one if there is none.
fn place(value: f64) -> usize {
    if value <= 0.0 {
        return 0;
    }
    let bits = value.to_bits();
    let exponent = (bits >> 52) as i32 - 1_023;
    let is_power_of_two = bits & ((1 << 52) - 1) == 0;
    let bound = if is_power_of_two { exponent } else { exponent + 1 };
    usize::try_from(bound - LOWEST).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count_up_to(buckets: &Buckets, exponent: i32) -> u64 {
        buckets.cumulated(exponent, exponent)[0].1
    }

    #[test]
    fn a_bound_counts_what_is_not_above_it() {
        for exponent in [LOWEST, -1, 0, 1, HIGHEST] {
            let bound = f64::from(exponent).exp2();
            let buckets = Buckets::new();
            buckets.record(bound.next_down());
            buckets.record(bound);
            buckets.record(bound.next_up());
            assert_eq!(count_up_to(&buckets, exponent), 2, "2^{exponent}");
            assert_eq!(buckets.count(), 3);
        }
    }

    #[test]
    fn values_off_the_scale_are_counted_and_no_number_is_not() {
        let buckets = Buckets::new();
        for value in
            [0.0, -1.0, f64::MIN_POSITIVE, 5e-324, f64::MAX, f64::INFINITY, f64::NAN, f64::NEG_INFINITY]
        {
            buckets.record(value);
        }
        assert_eq!(count_up_to(&buckets, LOWEST), 5);
        assert_eq!(count_up_to(&buckets, HIGHEST), 5);
        assert_eq!(buckets.count(), 7);
    }

    #[test]
    fn many_at_once_count_as_one_by_one() {
        let (many, single) = (Buckets::new(), Buckets::new());
        many.record_many(0.25, 3);
        (0..3).for_each(|_| single.record(0.25));
        assert_eq!(many.sum(), single.sum());
        assert_eq!(many.cumulated(LOWEST, HIGHEST), single.cumulated(LOWEST, HIGHEST));
    }
}
