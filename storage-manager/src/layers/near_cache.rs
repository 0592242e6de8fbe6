//! What a near cache holds, and the bookkeeping that keeps an old answer from replacing a newer one.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::Mutex;
use quick_cache::{Equivalent, Weighter, sync::Cache};
use storage_core::{Answer, ItemKey, Result, SharedClock, StorageItem, Timestamp};
use tokio::sync::OnceCell;

use super::cached::CacheConfig;

/// Items by identity, and who is reading and writing them at the moment.
///
/// The identities are spread over stripes. A load may fill the cache only if no write of its stripe was under way when it
/// began, and none has begun since; a save only if it was alone in its stripe. Whatever is not certain to be the newest is
/// not kept, and the next load asks the provider.
#[derive(Debug)]
pub(super) struct NearCache {
    config: CacheConfig,
    clock: SharedClock,
    items: Cache<Identity, Kept, Bytes>,
    hasher: RandomState,
    stripes: Box<[Mutex<Stripe>]>,
    closed: AtomicBool,
}

/// More stripes than writes are usually under way at once, so that they rarely keep each other from filling.
const STRIPES: usize = 1_024;
/// What an entry takes beside its texts and its payload, about.
const OVERHEAD: usize = 256;

/// What the cache knows of an item.
#[derive(Debug, Clone)]
pub(super) enum Known {
    Item(StorageItem),
    Absent,
}

impl Known {
    pub(super) fn into_item(self) -> Option<StorageItem> {
        match self {
            Self::Item(item) => Some(item),
            Self::Absent => None,
        }
    }
}

#[derive(Debug, Clone)]
struct Kept {
    known: Known,
    since: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Identity {
    content_type: Box<str>,
    key: Box<str>,
}

impl Identity {
    fn of(key: ItemKey<'_>) -> Self {
        Self { content_type: key.content_type().into(), key: key.key().into() }
    }
}

/// An identity that is only looked up; it hashes as the owned one.
#[derive(Hash)]
struct Asked<'a> {
    content_type: &'a str,
    key: &'a str,
}

impl<'a> Asked<'a> {
    fn of(key: ItemKey<'a>) -> Self {
        Self { content_type: key.content_type(), key: key.key() }
    }
}

impl Equivalent<Identity> for Asked<'_> {
    fn equivalent(&self, other: &Identity) -> bool {
        *self.key == *other.key && *self.content_type == *other.content_type
    }
}

#[derive(Debug, Clone)]
struct Bytes;

impl Weighter<Identity, Kept> for Bytes {
    fn weight(&self, identity: &Identity, kept: &Kept) -> u64 {
        let item = match &kept.known {
            Known::Absent => 0,
            Known::Item(item) => {
                let tags: usize =
                    item.metadata.tags.iter().map(|(name, value)| name.len() + value.len()).sum();
                item.data.len() + tags
            }
        };
        // The identity stands in the cache and in the metadata.
        (OVERHEAD + 2 * (identity.content_type.len() + identity.key.len()) + item) as u64
    }
}

#[derive(Debug, Default)]
struct Stripe {
    /// Grows when a write begins and when it ends.
    generation: u64,
    writes: usize,
    flights: HashMap<Identity, Flight>,
}

/// A load under way, for which others may wait.
#[derive(Debug)]
struct Flight {
    answer: Arc<OnceCell<Result<Option<StorageItem>>>>,
    passengers: usize,
}

/// When a load began: what it must compare before it may fill the cache. `None` if a write was under way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ticket(Option<u64>);

impl NearCache {
    pub(super) fn new(config: CacheConfig, clock: SharedClock) -> Self {
        // The number of entries is an estimate that sizes the table; the bound is the weight.
        let entries = usize::try_from(config.max_bytes / 1_024).unwrap_or(usize::MAX).clamp(64, 1 << 20);
        Self {
            items: Cache::with_weighter(entries, config.max_bytes, Bytes),
            config,
            clock,
            hasher: RandomState::new(),
            stripes: (0..STRIPES).map(|_| Mutex::default()).collect(),
            closed: AtomicBool::new(false),
        }
    }

    /// Answers nothing from here on, and keeps nothing.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.items.clear();
    }

    fn stripe(&self, key: ItemKey<'_>) -> &Mutex<Stripe> {
        let index = self.hasher.hash_one(Asked::of(key)) as usize % STRIPES;
        #[expect(
            clippy::indexing_slicing,
            reason = "there are as many stripes as the index is taken modulo of"
        )]
        &self.stripes[index]
    }

    /// What is known of an item and may be answered now.
    pub(super) fn get(&self, key: ItemKey<'_>) -> Option<Known> {
        if self.closed.load(Ordering::Acquire) {
            return None;
        }
        let kept = self.items.get(&Asked::of(key))?;
        let now = self.clock.now();
        let (max_age, live) = match &kept.known {
            Known::Item(item) => (self.config.max_age, item.metadata.is_live(now)),
            Known::Absent => (self.config.absent_max_age, true),
        };
        // A clock that was set back must not make an entry young again.
        let fresh = kept.since <= now && now < kept.since.saturating_add(max_age);
        (live && fresh).then_some(kept.known)
    }

    pub(super) fn ticket(&self, key: ItemKey<'_>) -> Ticket {
        Ticket::of(&self.stripe(key).lock())
    }

    /// Keeps what a load found, if no write came between.
    pub(super) fn fill(&self, key: ItemKey<'_>, ticket: Ticket, found: &Option<StorageItem>) {
        let stripe = self.stripe(key).lock();
        if ticket.0 == Some(stripe.generation) {
            self.keep(key, found.clone().map_or(Known::Absent, Known::Item));
        }
    }

    /// Only under the lock of the stripe.
    fn keep(&self, key: ItemKey<'_>, known: Known) {
        let is_wanted = matches!(known, Known::Item(_)) || !self.config.absent_max_age.is_zero();
        if is_wanted && !self.closed.load(Ordering::Acquire) {
            self.items.insert(Identity::of(key), Kept { known, since: self.clock.now() });
        }
    }

    /// Loads an item, or waits for the answer of somebody who does.
    pub(super) async fn fly<'a>(
        &self,
        key: ItemKey<'_>,
        load: impl FnOnce() -> Answer<'a, Result<Option<StorageItem>>>,
    ) -> Result<Option<StorageItem>> {
        let passage = self.board(key);
        let answer = passage.answer.get_or_init(|| async {
            // Taken at the take-off: a pilot that gave up may have waited here for long.
            let ticket = self.ticket(key);
            let found = load().await;
            if let Ok(found) = &found {
                self.fill(key, ticket, found);
            }
            found
        });
        match answer.await {
            Ok(found) => Ok(found.clone()),
            Err(error) => Err(error.duplicate()),
        }
    }

    fn board<'c>(&'c self, key: ItemKey<'c>) -> Passage<'c> {
        let mut stripe = self.stripe(key).lock();
        let flight = match stripe.flights.entry(Identity::of(key)) {
            Entry::Occupied(flight) => flight.into_mut(),
            Entry::Vacant(place) => place.insert(Flight { answer: Arc::default(), passengers: 0 }),
        };
        flight.passengers += 1;
        Passage { cache: self, key, answer: Arc::clone(&flight.answer) }
    }

    /// Forgets an item for as long as a write of it is under way.
    pub(super) fn begin_write<'c>(&'c self, key: ItemKey<'c>) -> Write<'c> {
        let mut stripe = self.stripe(key).lock();
        stripe.writes += 1;
        self.change(&mut stripe, key);
        Write { cache: self, key, began: stripe.generation, saved: None }
    }

    /// What was known, and what loads under way will find, may be old from here on.
    fn change(&self, stripe: &mut Stripe, key: ItemKey<'_>) {
        stripe.generation += 1;
        stripe.flights.remove(&Identity::of(key));
        self.items.remove(&Asked::of(key));
    }
}

impl Ticket {
    const fn of(stripe: &Stripe) -> Self {
        Self(if stripe.writes == 0 { Some(stripe.generation) } else { None })
    }
}

/// A place in a flight. The last passenger to leave takes the flight off the list, also if nobody brought it home.
struct Passage<'c> {
    cache: &'c NearCache,
    key: ItemKey<'c>,
    answer: Arc<OnceCell<Result<Option<StorageItem>>>>,
}

impl Drop for Passage<'_> {
    fn drop(&mut self) {
        let mut stripe = self.cache.stripe(self.key).lock();
        let Entry::Occupied(mut flight) = stripe.flights.entry(Identity::of(self.key)) else { return };
        // After a write in between, the list may name a later flight.
        if !Arc::ptr_eq(&flight.get().answer, &self.answer) {
            return;
        }
        flight.get_mut().passengers -= 1;
        if flight.get().passengers == 0 || self.answer.initialized() {
            flight.remove();
        }
    }
}

/// A write under way. It ends when this is dropped, however the call ended.
#[must_use]
#[derive(Debug)]
pub(super) struct Write<'c> {
    cache: &'c NearCache,
    key: ItemKey<'c>,
    began: u64,
    saved: Option<StorageItem>,
}

impl Write<'_> {
    /// The write was acknowledged with this item.
    pub(super) fn saved(mut self, item: &StorageItem) {
        self.saved = Some(item.clone());
    }
}

impl Drop for Write<'_> {
    fn drop(&mut self) {
        let mut stripe = self.cache.stripe(self.key).lock();
        let was_alone = stripe.writes == 1 && stripe.generation == self.began;
        stripe.writes -= 1;
        self.cache.change(&mut stripe, self.key);
        if let Some(item) = self.saved.take().filter(|_| was_alone) {
            self.cache.keep(self.key, Known::Item(item));
        }
    }
}
