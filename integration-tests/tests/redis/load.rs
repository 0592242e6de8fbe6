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
use storage_redis::{RedisConfig, RedisProvider};
use tokio::task::JoinHandle;

use crate::{
    stopwatch::Stopwatch,
    support::{eventually, recovers, seed},
};

/// Sixteen tasks that save, overwrite, touch, delete and read, and one that cleans up.
pub(crate) struct Load {
    pub(crate) store: Arc<Stopwatch>,
    ledger: Arc<Ledger>,
    clock: HeldClock,
    stop: Arc<AtomicBool>,
    work: JoinHandle<()>,
}

impl Load {
    /// Works on a store that must lose nothing.
    pub(crate) async fn start(config: RedisConfig) -> Self {
        Self::with(config, Ledger::new()).await
    }

    /// Works on a store whose server may itself lose what it acknowledged.
    pub(crate) async fn start_with_losses(config: RedisConfig) -> Self {
        Self::with(config, Ledger::of_a_server_that_loses()).await
    }

    async fn with(config: RedisConfig, ledger: Ledger) -> Self {
        let clock = HeldClock::default();
        let provider = RedisProvider::builder(config).clock(Arc::new(clock.clone())).connect().await.unwrap();
        Self::on(Arc::new(provider), clock, ledger)
    }

    pub(crate) fn on(provider: Arc<dyn StorageProvider>, clock: HeldClock, ledger: Ledger) -> Self {
        let (store, ledger, stop) = (Stopwatch::over(provider), Arc::new(ledger), Arc::default());
        let workload = Workload {
            store: Arc::clone(&store) as _,
            witness: Arc::clone(&ledger) as _,
            seed: seed(),
            stop: Arc::clone(&stop),
        };
        Self { store, ledger, clock, stop, work: tokio::spawn(workload.run()) }
    }

    /// Waits until `writes` more are acknowledged.
    pub(crate) async fn proceeds(&self, writes: u64) -> Duration {
        let goal = self.ledger.tally().acknowledged + writes;
        eventually("the work goes on", || async { self.ledger.tally().acknowledged >= goal }).await
    }

    /// Lets it work for a while.
    pub(crate) async fn runs_for(&self, millis: u64) {
        tokio::time::sleep(Duration::from_millis(millis)).await;
    }

    /// Ends the work.
    pub(crate) async fn stop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        (&mut self.work).await.unwrap();
    }

    /// Another provider of the same store, which sees the same time, held from now on.
    pub(crate) async fn another(&self, config: RedisConfig) -> RedisProvider {
        self.clock.hold();
        RedisProvider::builder(config).clock(Arc::new(self.clock.clone())).connect().await.unwrap()
    }

    /// Ends the work and compares what a new provider sees with everything that was acknowledged.
    pub(crate) async fn check(mut self, config: RedisConfig) -> Tally {
        self.stop().await;
        let patience = Duration::from_secs(30);
        let config = RedisConfig { response_timeout: patience, operation_timeout: patience, ..config };
        let store = self.another(config).await;
        recovers_quietly(&store).await;
        self.agrees(&store).await.unwrap_or_else(|why| panic!("{why}"))
    }

    /// Compares a store with everything that was acknowledged.
    pub(crate) async fn agrees(&self, store: &dyn StorageProvider) -> Result<Tally, String> {
        let now = self.clock.hold();
        let tally = self.ledger.check(store, now).await?;
        println!("{tally:?}");
        Ok(tally)
    }
}

/// Waits until the store works, and leaves nothing in it.
async fn recovers_quietly(store: &RedisProvider) {
    recovers(store).await;
    let deleted = store.delete(crate::support::key("recovered"), storage_core::Condition::None).await;
    assert!(deleted.unwrap());
}

impl std::fmt::Debug for Load {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Load").field("store", &self.store).finish_non_exhaustive()
    }
}
