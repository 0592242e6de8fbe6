//! The entries of the indexes: a few bytes each, naming items by slot number.

use std::cmp::Ordering;

use storage_core::{TimeRange, Timestamp};

use crate::{
    runs::{Entry, Runs},
    slots::Slots,
};

/// Entries of which a range can be cut out.
pub(crate) trait Ranged: Entry<Context = Slots> {
    /// What names a range.
    type Range: ?Sized;

    /// The slot that the entry points at.
    fn slot(&self) -> u32;

    /// Whether the entry sorts before the range, lies in it, or sorts after it.
    fn side(&self, range: &Self::Range, slots: &Slots) -> Ordering;

    /// The same entry for an item that moved to `slot`.
    fn moved(self, slot: u32) -> Self;
}

/// Entries in an order that a search can ask for.
pub(crate) trait Ordered: Ranged {
    /// How the entry sorts beside `place`.
    fn versus(&self, place: &Place, slots: &Slots) -> Ordering;

    /// The time by which the entry sorts, if it does.
    fn time(&self) -> Timestamp;

    /// Where the entry lies.
    fn place(&self, slots: &Slots) -> Place {
        Place { time: self.time(), identity: slots.identity(self.slot()).into() }
    }
}

/// A point in an order, which stays meaningful when items come and go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// Not looked at by the order of keys.
    pub(crate) time: Timestamp,
    pub(crate) identity: Box<str>,
}

/// An item by key: most comparisons are decided by the first eight bytes of the key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Named {
    head: u64,
    slot: u32,
}

impl Named {
    pub(crate) fn new(slot: u32, slots: &Slots) -> Self {
        Self { head: head(slots.identity(slot)), slot }
    }
}

/// Bytes of a key that an entry holds itself.
const HEAD: usize = 8;

/// The first bytes as a number that sorts like them.
fn head(text: &str) -> u64 {
    let mut head = [0; HEAD];
    head.iter_mut().zip(text.bytes()).for_each(|(to, from)| *to = from);
    u64::from_be_bytes(head)
}

/// All keys that begin with a text.
#[derive(Debug, Clone)]
pub(crate) struct Prefix {
    text: Box<str>,
    head: u64,
    /// The bits of a head that the text decides.
    mask: u64,
}

impl Prefix {
    pub(crate) fn new(text: &str) -> Self {
        let undecided = 8 * HEAD.saturating_sub(text.len()) as u32;
        Self { text: text.into(), head: head(text), mask: u64::MAX.checked_shl(undecided).unwrap_or(0) }
    }

    /// Whether every key begins with it.
    pub(crate) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }
}

impl Entry for Named {
    type Context = Slots;

    fn order(&self, other: &Self, slots: &Slots) -> Ordering {
        self.head.cmp(&other.head).then_with(|| slots.identity(self.slot).cmp(slots.identity(other.slot)))
    }
}

impl Ranged for Named {
    type Range = Prefix;

    fn slot(&self) -> u32 {
        self.slot
    }

    fn side(&self, prefix: &Prefix, slots: &Slots) -> Ordering {
        (self.head & prefix.mask).cmp(&prefix.head).then_with(|| {
            if prefix.text.len() <= HEAD {
                return Ordering::Equal;
            }
            let identity = slots.identity(self.slot);
            if identity.starts_with(&*prefix.text) { Ordering::Equal } else { identity.cmp(&prefix.text) }
        })
    }

    fn moved(self, slot: u32) -> Self {
        Self { slot, ..self }
    }
}

impl Ordered for Named {
    fn versus(&self, place: &Place, slots: &Slots) -> Ordering {
        self.head.cmp(&head(&place.identity)).then_with(|| slots.identity(self.slot).cmp(&place.identity))
    }

    fn time(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }
}

/// An item by the time of its creation or last change, then by key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timed {
    time: Timestamp,
    slot: u32,
}

impl Timed {
    pub(crate) const fn new(time: Timestamp, slot: u32) -> Self {
        Self { time, slot }
    }
}

impl Entry for Timed {
    type Context = Slots;

    fn order(&self, other: &Self, slots: &Slots) -> Ordering {
        self.time.cmp(&other.time).then_with(|| slots.identity(self.slot).cmp(slots.identity(other.slot)))
    }
}

impl Ranged for Timed {
    type Range = TimeRange;

    fn slot(&self) -> u32 {
        self.slot
    }

    fn side(&self, range: &TimeRange, _: &Slots) -> Ordering {
        side(self.time, range)
    }

    fn moved(self, slot: u32) -> Self {
        Self { slot, ..self }
    }
}

impl Ordered for Timed {
    fn versus(&self, place: &Place, slots: &Slots) -> Ordering {
        self.time.cmp(&place.time).then_with(|| slots.identity(self.slot).cmp(&place.identity))
    }

    fn time(&self) -> Timestamp {
        self.time
    }
}

fn side(time: Timestamp, range: &TimeRange) -> Ordering {
    if range.contains(time) {
        Ordering::Equal
    } else if range.after.is_some_and(|after| time < after) {
        Ordering::Less
    } else {
        Ordering::Greater
    }
}

/// An item by its deadline, the latest first: what is due is taken off the cheap end of a vector.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    time: Timestamp,
    slot: u32,
}

impl Deadline {
    pub(crate) const fn new(time: Timestamp, slot: u32) -> Self {
        Self { time, slot }
    }

    pub(crate) const fn time(self) -> Timestamp {
        self.time
    }
}

impl Entry for Deadline {
    type Context = Slots;

    fn order(&self, other: &Self, _: &Slots) -> Ordering {
        other.time.cmp(&self.time).then(self.slot.cmp(&other.slot))
    }
}

impl Ranged for Deadline {
    type Range = TimeRange;

    fn slot(&self) -> u32 {
        self.slot
    }

    fn side(&self, range: &TimeRange, _: &Slots) -> Ordering {
        side(self.time, range).reverse()
    }

    fn moved(self, slot: u32) -> Self {
        Self { slot, ..self }
    }
}

/// An item by the hash of a tag or of its content type. Strings are not kept: who finds an entry checks the item, so
/// that two tags with one hash cost a look and never a wrong hit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Posting {
    hash: u32,
    slot: u32,
}

impl Posting {
    pub(crate) const fn new(hash: u32, slot: u32) -> Self {
        Self { hash, slot }
    }

    pub(crate) const fn hash(self) -> u32 {
        self.hash
    }
}

impl Entry for Posting {
    type Context = Slots;

    fn order(&self, other: &Self, _: &Slots) -> Ordering {
        (self.hash, self.slot).cmp(&(other.hash, other.slot))
    }
}

impl Ranged for Posting {
    type Range = u32;

    fn slot(&self) -> u32 {
        self.slot
    }

    fn side(&self, hash: &u32, _: &Slots) -> Ordering {
        self.hash.cmp(hash)
    }

    fn moved(self, slot: u32) -> Self {
        Self { slot, ..self }
    }
}

/// The part of each run that lies in `range` and for which `skip_low` and `skip_high` are false. Both must be monotone:
/// the one true only at the low end, the other only at the high end.
pub(crate) fn window<'a, E: Ranged>(
    runs: &'a Runs<E>,
    slots: &'a Slots,
    range: &E::Range,
    skip_low: impl Fn(&E) -> bool,
    skip_high: impl Fn(&E) -> bool,
) -> impl Iterator<Item = &'a [E]> {
    runs.settled().map(move |run| {
        let start =
            run.partition_point(|entry| entry.side(range, slots) == Ordering::Less || skip_low(entry));
        let rest = run.entries().get(start..).unwrap_or_default();
        let length =
            leading(rest, |entry| entry.side(range, slots) != Ordering::Greater && !skip_high(entry));
        rest.get(..length).unwrap_or_default()
    })
}

/// How many entries at the start of `run` satisfy `is_in`, as `partition_point`, but quick if they are few: looking in
/// the middle of a large run first would wait for memory that is not in any cache.
fn leading<E>(run: &[E], is_in: impl Fn(&E) -> bool) -> usize {
    let mut reach = 1;
    while run.get(reach - 1).is_some_and(&is_in) {
        reach *= 2;
    }
    let known = reach / 2;
    let unsure = run.get(known..run.len().min(reach)).unwrap_or_default();
    known + unsure.partition_point(is_in)
}

/// The part of each run that lies in `range`.
pub(crate) fn within<'a, E: Ranged>(
    runs: &'a Runs<E>,
    slots: &'a Slots,
    range: &E::Range,
) -> impl Iterator<Item = &'a [E]> {
    window(runs, slots, range, |_| false, |_| false)
}
