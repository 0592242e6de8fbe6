//! Measures a batch under every label that it holds.

use std::sync::Arc;

use storage_core::{ErrorKind, Result};

use crate::{
    Operation,
    series::{Running, Series},
};

/// Measures `call`, whose answers belong to the entries with these `series`, one by one.
///
/// Each label counts one call, which succeeded if all its entries did.
pub(crate) async fn measure_batch<A>(
    operation: Operation,
    series: &[Arc<Series>],
    call: impl Future<Output = Vec<Result<A>>>,
    size: impl Fn(&A) -> Option<u64>,
) -> Vec<Result<A>> {
    let mut tallies: Vec<Tally<'_>> = Vec::new();
    for series in series {
        if !tallies.iter().any(|tally| Arc::ptr_eq(tally.series, series)) {
            tallies.push(Tally::begin(operation, series));
        }
    }
    let answers = call.await;
    for (series, answer) in series.iter().zip(&answers) {
        let Some(tally) = tallies.iter_mut().find(|tally| Arc::ptr_eq(tally.series, series)) else {
            continue;
        };
        match answer {
            Ok(value) => tally.sizes.extend(size(value)),
            Err(error) => tally.failures.push(error.kind()),
        }
    }
    for Tally { running, sizes, failures, .. } in tallies {
        running.finished(sizes, failures);
    }
    answers
}

/// What became of the entries of one label.
struct Tally<'a> {
    series: &'a Arc<Series>,
    running: Running<'a>,
    sizes: Vec<u64>,
    failures: Vec<ErrorKind>,
}

impl<'a> Tally<'a> {
    fn begin(operation: Operation, series: &'a Arc<Series>) -> Self {
        Self { series, running: series.begin(operation), sizes: Vec::new(), failures: Vec::new() }
    }
}
