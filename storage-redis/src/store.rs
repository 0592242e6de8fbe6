//! One store in a database: what it is, that it is whole, and who uses it.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use storage_core::{ErrorKind, Result, SharedClock, StorageError, Timestamp};
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    config::RedisConfig,
    error::failure,
    gate::Gate,
    index::marker,
    keys::{Bucket, Layout},
    rebuild, reply,
    wire::{Call, Wire},
};

/// What the clones of a provider and its background work have in common.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) wire: Wire,
    pub(crate) config: RedisConfig,
    pub(crate) clock: SharedClock,
    pub(crate) layout: Layout,
    pub(crate) gate: Gate,
    /// Which creation of the store its indexes must be marked with.
    generation: AtomicU64,
}

/// What is written under the key of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Description {
    buckets: u16,
    indexing: bool,
    generation: u64,
    /// Whether every bucket has its marker. Until then, a missing one means nothing.
    ready: bool,
}

/// Attempts to agree with others who create the same store, or flush it, at this moment.
const ROUNDS: usize = 16;

impl Store {
    /// Opens the store, creating it where there is none if `create` says so.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is none; [`ErrorKind::Config`] if the store was created with other settings or by a newer version; those of the wire.
    pub(crate) async fn open(
        wire: Wire,
        config: RedisConfig,
        clock: SharedClock,
        create: bool,
    ) -> Result<Self> {
        let layout = Layout::new(&config.prefix, config.buckets);
        let gate = Gate::default();
        let store = Self { wire, config, clock, layout, gate, generation: AtomicU64::new(0) };
        let deadline = store.deadline();
        if !create && store.description(deadline).await?.is_none() {
            return Err(failure(ErrorKind::NotFound, "there is no store under the prefix"));
        }
        store.settle(deadline).await?;
        Ok(store)
    }

    /// When a call that starts now must have ended.
    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + self.config.operation_timeout
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The time as it is compared by scripts that keep an item for `expires_at`: milliseconds until the server may drop it.
    ///
    /// Only a backstop: what decides whether an item lives is the deadline in its record and the clock of the provider.
    pub(crate) fn lifetime(&self, expires_at: Timestamp, now: Timestamp) -> u128 {
        let left = expires_at.saturating_since(now) + self.config.expiry_grace;
        left.as_micros().div_ceil(Duration::from_millis(1).as_micros()).max(1)
    }

    /// What marks the index of a bucket as whole.
    pub(crate) fn marker(&self) -> [u8; 17] {
        marker(self.generation.load(Ordering::Acquire))
    }

    /// Finds out why a bucket has no marker, and puts it right if nothing is lost: the whole store was flushed, or it was
    /// created anew by another.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupted`] if the index of the bucket is lost.
    pub(crate) async fn examine(&self, bucket: usize, deadline: Instant) -> Result<()> {
        self.settle(deadline).await?;
        if self.missing_markers(deadline).await?.contains(&bucket) { Err(lost(bucket)) } else { Ok(()) }
    }

    /// Reads what the store is, creating it where there is none, and remembers its generation.
    async fn settle(&self, deadline: Instant) -> Result<()> {
        for _ in 0..ROUNDS {
            let Some(found) = self.description(deadline).await? else {
                self.create(deadline).await?;
                continue;
            };
            self.check(found)?;
            self.generation.store(found.generation, Ordering::Release);
            if found.ready {
                return Ok(());
            }
            self.complete(deadline).await?;
            self.write_description(Description { ready: true, ..found }, "XX", deadline).await?;
        }
        Err(failure(ErrorKind::Unavailable, "the store is created and flushed over and over again"))
    }

    /// Marks the indexes of a store that was begun. Where the server has evicted anything, this may be the rest of an older
    /// store: its items are put back first. If that takes more than half of the time left, the indexes count as lost until
    /// they are rebuilt; the other half is for what is still to be written.
    async fn complete(&self, deadline: Instant) -> Result<()> {
        if !self.has_evicted(deadline).await? {
            return self.mark(&self.layout.buckets, deadline).await;
        }
        if rebuild::rebuild(self, Some(halfway_to(deadline))).await?.is_unfinished {
            tracing::warn!("the server has evicted keys, and too many are left to look for items among them");
        }
        Ok(())
    }

    /// Whether a node of the store has evicted anything since it was started. One that does not tell has not.
    async fn has_evicted(&self, deadline: Instant) -> Result<bool> {
        let asked = self.layout.buckets.iter().map(|bucket| Call::read(bucket.slot, "INFO").arg("stats"));
        for answer in self.wire.call_all(asked.collect(), deadline).await {
            let text = match answer {
                Ok(value) => reply::text(value)?.unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::PermissionDenied => return Ok(false),
                Err(error) => return Err(error),
            };
            let evicted = text.lines().find_map(|line| line.strip_prefix("evicted_keys:"));
            if evicted.is_some_and(|count| count.trim() != "0") {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Begins a store. What is left of an older one whose description alone is gone decides its generation: its markers are
    /// good.
    async fn create(&self, deadline: Instant) -> Result<()> {
        let survivor = self.survivor(deadline).await?;
        let description = Description {
            buckets: self.config.buckets,
            indexing: self.config.indexing,
            generation: survivor.unwrap_or_else(|| Uuid::new_v4().as_u64_pair().0),
            ready: survivor.is_some(),
        };
        self.write_description(description, "NX", deadline).await
    }

    /// The generation of a bucket that has a marker.
    async fn survivor(&self, deadline: Instant) -> Result<Option<u64>> {
        let calls = self.layout.buckets.iter().map(|bucket| {
            let call = Call::read(bucket.slot, "ZRANGE").key(&bucket.index);
            call.arg("[!").arg("(\"").arg("BYLEX").arg("LIMIT").arg("0").arg("1")
        });
        for answer in self.wire.call_all(calls.collect(), deadline).await {
            let found = reply::list(answer?)?.into_iter().next();
            if let Some(generation) = found.and_then(|entry| generation_of(&entry)) {
                return Ok(Some(generation));
            }
        }
        Ok(None)
    }

    /// Marks the indexes of these buckets as whole.
    pub(crate) async fn mark(
        &self,
        buckets: impl IntoIterator<Item = &Bucket>,
        deadline: Instant,
    ) -> Result<()> {
        let marker = self.marker();
        let calls = buckets
            .into_iter()
            .map(|bucket| Call::write(bucket.slot, "ZADD").key(&bucket.index).arg("0").arg(marker));
        for answer in self.wire.call_all(calls.collect(), deadline).await {
            answer?;
        }
        Ok(())
    }

    /// The buckets whose index is not marked as whole.
    pub(crate) async fn missing_markers(&self, deadline: Instant) -> Result<Vec<usize>> {
        let marker = self.marker();
        let calls = self
            .layout
            .buckets
            .iter()
            .map(|bucket| Call::read(bucket.slot, "ZSCORE").key(&bucket.index).arg(marker));
        let answers = self.wire.call_all(calls.collect(), deadline).await;
        let mut missing = Vec::new();
        for (bucket, answer) in answers.into_iter().enumerate() {
            if reply::is_nothing(&answer?) {
                missing.push(bucket);
            }
        }
        Ok(missing)
    }

    async fn description(&self, deadline: Instant) -> Result<Option<Description>> {
        let call = Call::read(self.layout.store_slot, "GET").key(&self.layout.store);
        match reply::text(self.wire.call(call, deadline).await?)? {
            None => Ok(None),
            Some(text) => Description::read(&text).map(Some),
        }
    }

    async fn write_description(
        &self,
        description: Description,
        only: &'static str,
        deadline: Instant,
    ) -> Result<()> {
        let call = Call::write(self.layout.store_slot, "SET")
            .key(&self.layout.store)
            .arg(description.write())
            .arg(only);
        self.wire.call(call, deadline).await.map(drop)
    }

    fn check(&self, found: Description) -> Result<()> {
        let (buckets, indexing) = (self.config.buckets, self.config.indexing);
        if found.buckets != buckets {
            let message = format!(
                "the store has {} buckets, but the configuration says {buckets}; the number is fixed when a store is \
                 created",
                found.buckets
            );
            return Err(failure(ErrorKind::Config, message));
        }
        if found.indexing != indexing {
            let (is, wanted) = if indexing { ("without", "with") } else { ("with", "without") };
            let message = format!(
                "the store was created {is} indexing, but the configuration says {wanted}; that is fixed when a store is \
                 created"
            );
            return Err(failure(ErrorKind::Config, message));
        }
        Ok(())
    }
}

fn halfway_to(deadline: Instant) -> Instant {
    let now = Instant::now();
    now + deadline.saturating_duration_since(now) / 2
}

/// What tells that the index of a bucket is lost.
fn lost(bucket: usize) -> StorageError {
    let message = format!(
        "the index of bucket {bucket} is lost, because the server evicted it or someone removed it; loads go on, and \
         `rebuild_index` makes it anew"
    );
    failure(ErrorKind::Corrupted, message)
}

fn generation_of(marker: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(marker.strip_prefix(b"!")?).ok()?;
    u64::from_str_radix(digits, 16).ok()
}

/// The first word of a description.
const FORMAT: &str = "storage-redis/1";

impl Description {
    fn write(self) -> String {
        let Self { buckets, indexing, generation, ready } = self;
        format!("{FORMAT} buckets={buckets} indexing={indexing} generation={generation:016x} ready={ready}")
    }

    fn read(text: &str) -> Result<Self> {
        let mut words = text.split(' ');
        if words.next() != Some(FORMAT) {
            let message =
                "the database holds a store of another format under this prefix, perhaps of a newer version";
            return Err(failure(ErrorKind::Config, message));
        }
        let mut field = |name: &str| words.next()?.strip_prefix(name)?.strip_prefix("=");
        let mut read = || {
            Some(Self {
                buckets: field("buckets")?.parse().ok()?,
                indexing: field("indexing")?.parse().ok()?,
                generation: u64::from_str_radix(field("generation")?, 16).ok()?,
                ready: field("ready")?.parse().ok()?,
            })
        };
        read().ok_or_else(|| failure(ErrorKind::Corrupted, "the description of the store is damaged"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_description_of_a_store_never_changes() {
        let description = Description { buckets: 32, indexing: true, generation: 0xAB, ready: false };
        let text = "storage-redis/1 buckets=32 indexing=true generation=00000000000000ab ready=false";
        assert_eq!(description.write(), text);
        assert_eq!(Description::read(text).unwrap(), description);
    }

    #[test]
    fn what_is_no_description_is_refused() {
        for (text, kind) in [
            ("", ErrorKind::Config),
            ("storage-redis/2 buckets=32", ErrorKind::Config),
            ("storage-redis/1 buckets=32", ErrorKind::Corrupted),
            ("storage-redis/1 buckets=x indexing=true generation=0 ready=true", ErrorKind::Corrupted),
        ] {
            assert_eq!(Description::read(text).unwrap_err().kind(), kind, "{text}");
        }
    }
}
