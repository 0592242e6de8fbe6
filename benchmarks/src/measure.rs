//! Turns, rounds, medians and percentiles.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use tokio::runtime::{Builder, Runtime};

/// Something to do over and over: step `n` of `task`.
pub(crate) trait Workload: Send + Sync + 'static {
    /// Does one step.
    fn step(&self, task: u64, n: u64) -> impl Future<Output = ()> + Send;
}

/// What one turn showed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Turn {
    /// Steps per second over all tasks.
    pub(crate) per_second: f64,
    /// 99th percentile of the sampled steps, in microseconds.
    pub(crate) p99_micros: f64,
}

/// A runtime with two workers, as on the smallest machine we care for.
pub(crate) fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime starts")
}

/// When a turn ends.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Until {
    /// After this time.
    Elapsed(Duration),
    /// After this many steps of each task.
    Steps(u64),
}

/// Runs `tasks` loops of the workload side by side.
///
/// Every 16th step is timed for the percentile: a clock read costs as much as a look-up.
pub(crate) fn turn<W: Workload>(runtime: &Runtime, workload: &Arc<W>, tasks: u64, until: Until) -> Turn {
    let stop = Arc::new(AtomicBool::new(false));
    let most = match until {
        Until::Elapsed(_) => u64::MAX,
        Until::Steps(steps) => steps,
    };
    let started = Instant::now();
    let handles: Vec<_> = (0..tasks)
        .map(|task| runtime.spawn(repeat(Arc::clone(workload), task, most, Arc::clone(&stop))))
        .collect();
    if let Until::Elapsed(length) = until {
        std::thread::sleep(length);
        stop.store(true, Ordering::Relaxed);
    }
    let mut steps = 0;
    let mut latency = histogram();
    for handle in handles {
        let (done, sampled) = runtime.block_on(handle).expect("a bench task ends");
        steps += done;
        latency.add(sampled).expect("both histograms grow as needed");
    }
    Turn {
        per_second: steps as f64 / started.elapsed().as_secs_f64(),
        p99_micros: latency.value_at_quantile(0.99) as f64 / 1_000.0,
    }
}

async fn repeat<W: Workload>(
    workload: Arc<W>,
    task: u64,
    most: u64,
    stop: Arc<AtomicBool>,
) -> (u64, Histogram<u64>) {
    let mut latency = histogram();
    let mut n = 0;
    while n < most && !stop.load(Ordering::Relaxed) {
        if n % 16 == 0 {
            let began = Instant::now();
            workload.step(task, n).await;
            latency.record(began.elapsed().as_nanos() as u64).expect("the histogram grows as needed");
        } else {
            workload.step(task, n).await;
        }
        n += 1;
        if n % 256 == 0 {
            // Tasks outnumber the workers, and a bare map never yields by itself.
            tokio::task::yield_now().await;
        }
    }
    (n, latency)
}

fn histogram() -> Histogram<u64> {
    Histogram::new(3).expect("three digits are valid")
}

/// The median of several figures.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The median of how long `work` takes in `runs` runs, in microseconds.
pub(crate) fn median_micros(runs: usize, work: &dyn Fn()) -> f64 {
    let runs = (0..runs).map(|_| {
        let began = Instant::now();
        work();
        began.elapsed().as_secs_f64() * 1e6
    });
    median(runs.collect())
}

/// The medians over the turns of one contender.
pub(crate) fn median_turn(turns: &[Turn]) -> Turn {
    Turn {
        per_second: median(turns.iter().map(|turn| turn.per_second).collect()),
        p99_micros: median(turns.iter().map(|turn| turn.p99_micros).collect()),
    }
}
