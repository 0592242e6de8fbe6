//! The slowest hundredth of calls with large values: 64 tasks at once, payloads of 64 KiB, every provider.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use storage_core::StorageProvider;
use tokio::runtime::Runtime;

use crate::{
    Options, items,
    maps::{Provider, Store as _},
    measure::{Turn, Until, Workload, median_turn, runtime, turn},
    table::{Better, Table},
};

const TASKS: u64 = 64;
const KEYS: u64 = 1_000;
const PAYLOAD: usize = 64 * 1_024;

/// Overwrites or loads of a thousand large items.
struct Large {
    store: Provider,
    payload: Bytes,
    loads: bool,
}

impl Workload for Large {
    async fn step(&self, task: u64, n: u64) {
        let at = (n * 7_919 + task * 104_729) % KEYS;
        let key = items::key(at);
        if self.loads {
            assert!(self.store.load(items::identity(&key)).await, "a saved item is found");
        } else {
            self.store.save(items::request(&key, at, &self.payload)).await;
        }
    }
}

/// Measures writes and reads of large values on `provider`.
pub(crate) fn measure(options: &Options, name: &str, provider: &Arc<dyn StorageProvider>, table: &mut Table) {
    let runtime = runtime();
    let payload = Bytes::from(vec![b'x'; PAYLOAD]);
    fill(&runtime, provider, &payload);
    for loads in [false, true] {
        let workload =
            Arc::new(Large { store: Provider(Arc::clone(provider)), payload: payload.clone(), loads });
        let until = Until::Elapsed(Duration::from_secs_f64(options.seconds));
        let turns: Vec<Turn> = (0..options.rounds).map(|_| turn(&runtime, &workload, TASKS, until)).collect();
        let verb = if loads { "load" } else { "save" };
        let what = format!("{name}: {verb} of 64 KiB, {TASKS} tasks");
        let ours = format!("storage-{name}");
        table.add(&what, &ours, median_turn(&turns).per_second, "/s", Better::More);
        table.add(&format!("{what}: p99"), &ours, median_turn(&turns).p99_micros, "µs", Better::Less);
    }
}

fn fill(runtime: &Runtime, provider: &Arc<dyn StorageProvider>, payload: &Bytes) {
    runtime.block_on(async {
        for n in 0..KEYS {
            let key = items::key(n);
            provider.save(items::request(&key, n, payload)).await.expect("the provider saves");
        }
    });
}
