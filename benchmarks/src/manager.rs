//! What the manager adds to a call of its provider: the route and the metrics.

use std::{sync::Arc, time::Instant};

use storage_core::StorageProvider;
use storage_manager::{StorageMonitor, UnifiedStorageManager, prometheus::PrometheusExporter};

use crate::{
    Options, items,
    measure::{median, runtime},
    memory,
    table::{Better, Table},
};

const ITEMS: u64 = 10_000;
const CALLS: u64 = 300_000;

/// Measures loads of the same items through the provider, and through the manager with and without a recorder.
pub(crate) fn run(options: &Options, table: &mut Table) {
    let runtime = runtime();
    let provider = memory::provider();
    let exporter = PrometheusExporter::new();
    let measured = manager(&provider, StorageMonitor::with_recorder(exporter.recorder()));
    let silent = manager(&provider, StorageMonitor::new());
    let keys: Vec<_> = (0..ITEMS).map(items::key).collect();
    runtime.block_on(async {
        for (n, key) in keys.iter().enumerate() {
            provider
                .save(items::request(key, n as u64, &items::payload()))
                .await
                .expect("the provider saves");
        }
    });
    let mut times: [Vec<f64>; 3] = Default::default();
    for _ in 0..options.rounds.max(9) {
        times[0].push(runtime.block_on(per_call(&keys, async |key| managed(&measured, key).await)));
        times[1].push(runtime.block_on(per_call(&keys, async |key| managed(&silent, key).await)));
        times[2].push(runtime.block_on(per_call(&keys, async |key| {
            provider.load(items::identity(key)).await.expect("the provider loads").is_some()
        })));
    }
    let [measured, silent, alone] = times.map(median);
    table.add("manager: load", "manager over memory, with metrics", measured, "ns", Better::Less);
    table.add("manager: load", "manager over memory, no recorder", silent, "ns", Better::Less);
    table.add("manager: load", "memory provider alone", alone, "ns", Better::Less);
    table.add("manager: what it adds to a call", "with metrics", measured - alone, "ns", Better::Less);
    table.add("manager: what it adds to a call", "no recorder", silent - alone, "ns", Better::Less);
}

fn manager(provider: &Arc<dyn StorageProvider>, monitor: StorageMonitor) -> UnifiedStorageManager {
    UnifiedStorageManager::builder()
        .register(items::TYPE, Arc::clone(provider))
        .monitor(monitor)
        .build()
        .expect("one route is a valid manager")
}

async fn managed(manager: &UnifiedStorageManager, key: &str) -> bool {
    manager.load_bytes(key, items::TYPE).await.expect("the manager loads").is_some()
}

/// Nanoseconds of one call.
async fn per_call(keys: &[String], load: impl AsyncFn(&str) -> bool) -> f64 {
    let began = Instant::now();
    for n in 0..CALLS {
        assert!(load(&keys[(n * 7 % ITEMS) as usize]).await, "a saved item is found");
    }
    began.elapsed().as_nanos() as f64 / CALLS as f64
}
