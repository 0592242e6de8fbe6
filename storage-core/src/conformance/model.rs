//! The plain reference that search and the state machine are compared with: a list of items and obvious loops.
//!
//! It shares nothing with the matcher, the order, the glob and the cursors of the contract, so that these are tested too.

use std::cmp::Ordering;

use fastrand::Rng;

use crate::{ItemKey, Order, OrderBy, StorageItem, StorageMetadata, StorageQuery, Timestamp};

/// What should be stored, expired items included.
#[derive(Default)]
pub(super) struct Model {
    pub(super) items: Vec<StorageItem>,
}

impl Model {
    /// The item under `key`, expired or not.
    pub(super) fn stored(&self, key: ItemKey<'_>) -> Option<&StorageItem> {
        self.items.iter().find(|item| is_at(item, key))
    }

    /// The live item under `key`.
    pub(super) fn live(&self, key: ItemKey<'_>, now: Timestamp) -> Option<&StorageItem> {
        self.stored(key).filter(|item| is_live(item, now))
    }

    /// Puts `item` in the place of whatever has its key.
    pub(super) fn put(&mut self, item: StorageItem) {
        self.items.retain(|other| {
            (&other.metadata.content_type, &other.metadata.key)
                != (&item.metadata.content_type, &item.metadata.key)
        });
        self.items.push(item);
    }

    pub(super) fn remove(&mut self, key: ItemKey<'_>) {
        self.items.retain(|item| !is_at(item, key));
    }

    /// Every hit of `wanted`, in order, without its limit.
    pub(super) fn find(&self, wanted: &Wanted, now: Timestamp) -> Vec<StorageItem> {
        let mut hits: Vec<_> = self
            .items
            .iter()
            .filter(|item| is_live(item, now) && wanted.fits(&item.metadata))
            .cloned()
            .collect();
        hits.sort_by(|a, b| wanted.compare(&a.metadata, &b.metadata));
        hits
    }
}

fn is_at(item: &StorageItem, key: ItemKey<'_>) -> bool {
    item.metadata.content_type == key.content_type() && item.metadata.key == key.key()
}

pub(super) fn is_live(item: &StorageItem, now: Timestamp) -> bool {
    match item.metadata.expires_at {
        None => true,
        Some(deadline) => deadline > now,
    }
}

/// A query, in terms that can be matched naively.
#[derive(Debug, Clone, Default)]
pub(super) struct Wanted {
    pub(super) content_type: Option<String>,
    pub(super) pattern: Option<Vec<Piece>>,
    pub(super) tags: Vec<(String, String)>,
    pub(super) created: Span,
    pub(super) updated: Span,
    pub(super) expires: Span,
    pub(super) order: Order,
    pub(super) limit: Option<u64>,
}

/// From the first instant within to the first behind.
pub(super) type Span = (Option<Timestamp>, Option<Timestamp>);

/// A part of a pattern.
#[derive(Debug, Clone)]
pub(super) enum Piece {
    Plain(char),
    One,
    Any,
    OneOf(Vec<char>),
    NoneOf(Vec<char>),
}

impl Wanted {
    fn fits(&self, item: &StorageMetadata) -> bool {
        let of_type = self.content_type.as_ref().is_none_or(|wanted| *wanted == item.content_type);
        let key: Vec<char> = item.key.chars().collect();
        let named = self.pattern.as_ref().is_none_or(|pattern| matches(pattern, &key));
        let tagged = self.tags.iter().all(|(name, value)| item.tags.get(name) == Some(value));
        let in_time =
            within(self.created, Some(item.created_at)) && within(self.updated, Some(item.updated_at));
        of_type && named && tagged && in_time && within(self.expires, item.expires_at)
    }

    fn compare(&self, a: &StorageMetadata, b: &StorageMetadata) -> Ordering {
        let names = (a.key.as_bytes(), &a.content_type).cmp(&(b.key.as_bytes(), &b.content_type));
        let ascending = match self.order.by {
            OrderBy::Key => names,
            OrderBy::Created => a.created_at.as_micros().cmp(&b.created_at.as_micros()).then(names),
            OrderBy::Updated => a.updated_at.as_micros().cmp(&b.updated_at.as_micros()).then(names),
        };
        if self.order.is_descending() { ascending.reverse() } else { ascending }
    }

    /// The same query, in the words of the contract.
    pub(super) fn query(&self) -> StorageQuery {
        let mut query = StorageQuery::new().order(self.order);
        if let Some(content_type) = &self.content_type {
            query = query.content_type(content_type.clone());
        }
        if let Some(pattern) = &self.pattern {
            query = query.pattern(pattern.iter().map(Piece::to_string).collect::<String>());
        }
        for (name, value) in &self.tags {
            query = query.tag(name.clone(), value.clone());
        }
        query = bounded(query, self.created, StorageQuery::created_after, StorageQuery::created_before);
        query = bounded(query, self.updated, StorageQuery::updated_after, StorageQuery::updated_before);
        query = bounded(query, self.expires, StorageQuery::expires_after, StorageQuery::expires_before);
        match self.limit {
            Some(limit) => query.limit(limit),
            None => query,
        }
    }

    /// A random query that has a fair chance to hit some of `items`, and to be refused by none of the limits.
    pub(super) fn random(random: &mut Rng, items: &[StorageItem]) -> Self {
        let near = if items.is_empty() { None } else { random.choice(items) }.map(|item| &*item.metadata);
        let mut wanted = Self::default();
        let by = [OrderBy::Key, OrderBy::Created, OrderBy::Updated][random.usize(..3)];
        wanted.order = Order { by, ..Order::KEY };
        if random.bool() {
            wanted.order = wanted.order.descending();
        }
        if random.u8(..3) == 0 {
            wanted.limit = Some(random.u64(..30));
        }
        let Some(near) = near else { return wanted };
        if random.u8(..3) == 0 {
            wanted.content_type = Some(near.content_type.clone());
        }
        if random.u8(..2) == 0 {
            wanted.pattern = Some(blurred(random, &near.key));
        }
        if random.u8(..2) == 0 {
            wanted.tags = near.tags.iter().map(|(name, value)| (name.into(), value.into())).collect();
            wanted.tags.truncate(random.usize(..3));
        }
        for (span, time) in [(&mut wanted.created, near.created_at), (&mut wanted.updated, near.updated_at)] {
            if random.u8(..4) == 0 {
                *span = around(random, time);
            }
        }
        if random.u8(..4) == 0 {
            wanted.expires = around(random, near.expires_at.unwrap_or(near.created_at));
        }
        wanted
    }
}

/// Whether `time` lies in `span`; what has no time lies in the unbounded one alone.
fn within((from, to): Span, time: Option<Timestamp>) -> bool {
    match time {
        None => from.is_none() && to.is_none(),
        Some(time) => from.is_none_or(|from| time >= from) && to.is_none_or(|to| time < to),
    }
}

fn bounded(
    query: StorageQuery,
    (from, to): Span,
    after: fn(StorageQuery, Timestamp) -> StorageQuery,
    before: fn(StorageQuery, Timestamp) -> StorageQuery,
) -> StorageQuery {
    let query = from.map_or(query.clone(), |from| after(query, from));
    to.map_or(query.clone(), |to| before(query, to))
}

/// A span with an end at `time`, next to it, or not far from it.
fn around(random: &mut Rng, time: Timestamp) -> Span {
    let mut end = |chance: u8| {
        let offset = random.choice([-2_000_000, -1_000, -1, 0, 0, 0, 1, 1_000, 2_000_000]).unwrap_or(0);
        let end = Timestamp::from_micros(time.as_micros() + offset);
        end.filter(|_| random.u8(..4) < chance)
    };
    (end(3), end(2))
}

/// A pattern that matches `key`, or nearly.
fn blurred(random: &mut Rng, key: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for c in key.chars() {
        match random.u8(..12) {
            0 => pieces.push(Piece::One),
            1 => pieces.push(Piece::Any),
            2 => pieces.extend([Piece::Any, Piece::Plain(c)]),
            3 => pieces.push(Piece::OneOf(vec![c, 'b', 'é'])),
            4 => pieces.push(Piece::NoneOf(vec!['a', ':'])),
            5 if random.bool() => pieces.push(Piece::Plain('a')),
            _ => pieces.push(Piece::Plain(c)),
        }
        if random.u8(..12) == 0 {
            pieces.push(Piece::Any);
            break;
        }
    }
    pieces
}

/// The definition of a match, one case per line.
fn matches(pattern: &[Piece], key: &[char]) -> bool {
    match (pattern, key) {
        ([], key) => key.is_empty(),
        ([Piece::Any, rest @ ..], key) => (0..=key.len()).any(|taken| matches(rest, &key[taken..])),
        (_, []) => false,
        ([piece, rest @ ..], [c, others @ ..]) => piece.takes(*c) && matches(rest, others),
    }
}

impl Piece {
    fn takes(&self, c: char) -> bool {
        match self {
            Self::Plain(plain) => *plain == c,
            Self::One | Self::Any => true,
            Self::OneOf(set) => set.contains(&c),
            Self::NoneOf(set) => !set.contains(&c),
        }
    }
}

impl std::fmt::Display for Piece {
    /// The piece as it is written in a pattern, with everything escaped that might mean something.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let escaped = |c: &char| if c.is_ascii_punctuation() { format!("\\{c}") } else { c.to_string() };
        let set = |set: &[char]| set.iter().map(escaped).collect::<String>();
        match self {
            Self::Plain(c) => f.write_str(&escaped(c)),
            Self::One => f.write_str("?"),
            Self::Any => f.write_str("*"),
            Self::OneOf(chars) => write!(f, "[{}]", set(chars)),
            Self::NoneOf(chars) => write!(f, "[!{}]", set(chars)),
        }
    }
}
