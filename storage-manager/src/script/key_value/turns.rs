//! Who may change an entry next.

use std::hash::{BuildHasher, RandomState};

use tokio::sync::{Semaphore, SemaphorePermit};

/// Queues for read-and-write changes of entries within this process, so that those who wait take turns in the order of
/// their arrival, instead of all trying at once and most failing.
///
/// A turn is a courtesy and no lock: what keeps changes whole is the version of the entry, which other processes see
/// too. A turn ends when its holder is dropped; entries that share a queue by chance only wait for each other.
#[derive(Debug)]
pub(super) struct Turns {
    hasher: RandomState,
    queues: Vec<Semaphore>,
}

const QUEUES: usize = 64;

impl Default for Turns {
    fn default() -> Self {
        Self { hasher: RandomState::new(), queues: (0..QUEUES).map(|_| Semaphore::new(1)).collect() }
    }
}

impl Turns {
    /// Waits for a turn with `key`.
    pub(super) async fn wait(&self, key: &str) -> Option<SemaphorePermit<'_>> {
        let queue = usize::try_from(self.hasher.hash_one(key) % QUEUES as u64).unwrap_or(0);
        // The queues are never closed; were they, changes would go on without taking turns.
        self.queues.get(queue)?.acquire().await.ok()
    }
}
