//! How much memory one filled map takes, measured in a process of its own.

use std::fs;

use crate::{
    items,
    maps::{Dash, Moka, Provider, Scc, Store},
    measure::runtime,
    memory,
};

/// Fills the named map with `count` items and prints the growth of the resident memory in bytes.
pub(crate) fn run(contender: &str, count: u64) {
    let grown = match contender {
        "storage-memory" => fill(Provider(memory::provider()), count),
        "dashmap" => fill(Dash::default(), count),
        "scc" => fill(Scc::default(), count),
        "moka" => fill(Moka::default(), count),
        other => panic!("no map is called {other}"),
    };
    println!("{grown}");
}

fn fill<S: Store>(store: S, count: u64) -> u64 {
    let runtime = runtime();
    let before = resident();
    runtime.block_on(async {
        for n in 0..count {
            // Each item owns its payload, as it would if it had come over a network.
            store.save(items::request(&items::key(n), n, &items::payload())).await;
        }
    });
    let grown = resident() - before;
    drop(store);
    grown
}

/// Resident bytes of this process, from `/proc/self/statm` (in pages of 4 KiB).
fn resident() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").expect("this is Linux");
    let pages: u64 =
        statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("statm holds numbers");
    pages * 4_096
}
