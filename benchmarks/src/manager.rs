//! What the manager adds to a call of its provider: the route and the metrics.

use std::{sync::Arc, time::Instant};

use storage_core::StorageProvider;
use storage_manager::UnifiedStorageManager;

use crate::{
    Options, items,
    measure::{median, runtime},
    memory,
    table::{Better, Table},
};

const ITEMS: u64 = 10_000;
const CALLS: u64 = 1_000_000;

/// Measures loads of the same items through the provider and through the manager.
pub(crate) fn run(options: &Options, table: &mut Table) {
    let runtime = runtime();
    let provider = memory::provider();
    let manager = UnifiedStorageManager::builder()
        .register(items::TYPE, Arc::clone(&provider))
        .build()
        .expect("one route is a valid manager");
    let keys: Vec<_> = (0..ITEMS).map(items::key).collect();
    runtime.block_on(async {
        for (n, key) in keys.iter().enumerate() {
            provider
                .save(items::request(key, n as u64, &items::payload()))
                .await
                .expect("the provider saves");
        }
    });
    let (mut bare, mut managed) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds.max(5) {
        let began = Instant::now();
        runtime.block_on(async {
            for n in 0..CALLS {
                let key = &keys[(n * 7 % ITEMS) as usize];
                assert!(provider.load(items::identity(key)).await.expect("the provider loads").is_some());
            }
        });
        bare.push(began.elapsed().as_nanos() as f64 / CALLS as f64);
        let began = Instant::now();
        runtime.block_on(async {
            for n in 0..CALLS {
                let key = &keys[(n * 7 % ITEMS) as usize];
                assert!(manager.load_bytes(key, items::TYPE).await.expect("the manager loads").is_some());
            }
        });
        managed.push(began.elapsed().as_nanos() as f64 / CALLS as f64);
    }
    let (bare, managed) = (median(bare), median(managed));
    table.add("manager: load", "UnifiedStorageManager over memory", managed, "ns", Better::Less);
    table.add("manager: load", "memory provider alone", bare, "ns", Better::Less);
    table.add(
        "manager: what route and metrics add",
        "UnifiedStorageManager",
        managed - bare,
        "ns",
        Better::Less,
    );
}
