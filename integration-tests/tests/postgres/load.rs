//! Work on a provider while its server fails, and the comparison afterwards.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use integration_tests::{HeldClock, Ledger, Tally, Workload};
use storage_core::StorageProvider;
use storage_sql::{SqlConfig, SqlProvider};
use tokio::task::JoinHandle;

use crate::support::{eventually, patient, recovers, seed};

/// Sixteen tasks that save, overwrite, touch, delete and read, and one that cleans up.
pub(crate) struct Load {
    ledger: Arc<Ledger>,
    clock: HeldClock,
    stop: Arc<AtomicBool>,
    work: JoinHandle<()>,
}

impl Load {
    /// Works on a store that must lose nothing.
    pub(crate) async fn start(config: SqlConfig) -> Self {
        let clock = HeldClock::default();
        let store = SqlProvider::builder(config).clock(Arc::new(clock.clone())).connect().await.unwrap();
        let (ledger, stop) = (Arc::new(Ledger::new()), Arc::default());
        let workload = Workload {
            store: Arc::new(store),
            witness: Arc::clone(&ledger) as _,
            seed: seed(),
            stop: Arc::clone(&stop),
        };
        Self { ledger, clock, stop, work: tokio::spawn(workload.run()) }
    }

    /// Waits until `writes` more are acknowledged.
    pub(crate) async fn proceeds(&self, writes: u64) -> Duration {
        let goal = self.ledger.tally().acknowledged + writes;
        eventually("the work goes on", || async { self.ledger.tally().acknowledged >= goal }).await
    }

    /// Ends the work and compares what a new provider sees with everything that was acknowledged.
    pub(crate) async fn check(self, url: &str, table: &str) -> Tally {
        self.stop.store(true, Ordering::Relaxed);
        self.work.await.unwrap();
        self.clock.hold();
        let clock = Arc::new(self.clock.clone());
        let store = SqlProvider::builder(patient(url, table)).clock(clock).connect().await.unwrap();
        recovers(&store).await;
        let tally = self.ledger.check(&store, self.clock.hold()).await.unwrap_or_else(|why| panic!("{why}"));
        println!("{tally:?}");
        store.close().await.unwrap();
        tally
    }
}
