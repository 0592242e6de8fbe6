//! A sorted multiset that is cheap to grow: a few sorted runs and an unsorted tail.

use std::{cmp::Ordering, mem};

/// What an index holds: small, copied freely, and ordered with the help of what it points into.
pub(crate) trait Entry: Copy {
    /// What the entry's order needs beside the entry itself.
    type Context;

    /// The order of the index.
    fn order(&self, other: &Self, context: &Self::Context) -> Ordering;
}

/// Entries wait here until sorting them is worth it: sorting 128 together costs a fraction of 128 insertions.
const PENDING: usize = 128;

/// Sorted runs whose sizes shrink geometrically, so that an entry is merged only `log(n)` times over its life, by
/// walking memory forwards. Measured against `BTreeSet`s this makes inserts several times cheaper, and entries that
/// arrive in order, as times do, are just appended.
#[derive(Debug)]
pub(crate) struct Runs<E> {
    /// Not yet sorted. Readers settle the runs first.
    pending: Vec<E>,
    /// The largest first; each at least twice as long as the next.
    runs: Vec<Vec<E>>,
}

impl<E> Default for Runs<E> {
    fn default() -> Self {
        Self { pending: Vec::new(), runs: Vec::new() }
    }
}

impl<E: Entry> Runs<E> {
    /// Adds an entry.
    pub(crate) fn push(&mut self, entry: E, context: &E::Context) {
        self.pending.push(entry);
        if self.pending.len() >= PENDING {
            self.settle(context);
        }
    }

    /// Whether [`slices`](Self::slices) shows every entry.
    pub(crate) const fn is_settled(&self) -> bool {
        self.pending.is_empty()
    }

    /// Sorts what is pending into the runs.
    pub(crate) fn settle(&mut self, context: &E::Context) {
        if self.is_settled() {
            return;
        }
        let mut newest = mem::take(&mut self.pending);
        newest.sort_unstable_by(|a, b| a.order(b, context));
        match self.runs.last_mut() {
            Some(last) if follows(last, &newest, context) => extend(last, &newest),
            _ => {
                newest.shrink_to_fit();
                self.runs.push(newest);
            }
        }
        self.collapse(context);
    }

    /// Merges from the small end until each run is at least twice as long as the next.
    fn collapse(&mut self, context: &E::Context) {
        while let Some(newer) = self.runs.pop() {
            match self.runs.pop() {
                Some(older) if older.len() <= 2 * newer.len() => {
                    self.runs.push(merge(older, &newer, context));
                }
                older => {
                    self.runs.extend(older);
                    self.runs.push(newer);
                    return;
                }
            }
        }
    }

    /// The settled runs, each sorted.
    pub(crate) fn slices(&self) -> impl Iterator<Item = &[E]> {
        self.runs.iter().map(Vec::as_slice)
    }

    /// Bytes of memory taken.
    pub(crate) fn bytes(&self) -> usize {
        let entries = self.pending.capacity() + self.runs.iter().map(Vec::capacity).sum::<usize>();
        entries * size_of::<E>() + self.runs.capacity() * size_of::<Vec<E>>()
    }

    /// The last entry of the settled runs.
    pub(crate) fn last(&self, context: &E::Context) -> Option<E> {
        self.runs.iter().filter_map(|run| run.last().copied()).max_by(|a, b| a.order(b, context))
    }

    /// Removes and returns the last entry of the settled runs.
    pub(crate) fn pop(&mut self, context: &E::Context) -> Option<E> {
        let run = self
            .runs
            .iter_mut()
            .filter(|run| !run.is_empty())
            .max_by(|a, b| a.last().zip(b.last()).map_or(Ordering::Equal, |(a, b)| a.order(b, context)));
        let popped = run.and_then(Vec::pop);
        self.runs.retain(|run| !run.is_empty());
        popped
    }

    /// Replaces or removes each entry by `change`, which must keep their order, and gives spare memory back.
    pub(crate) fn rewrite(&mut self, mut change: impl FnMut(E) -> Option<E>) {
        for run in self.runs.iter_mut().chain([&mut self.pending]) {
            run.retain_mut(|entry| match change(*entry) {
                Some(changed) => {
                    *entry = changed;
                    true
                }
                None => false,
            });
            if run.capacity() > 2 * run.len() {
                run.shrink_to_fit();
            }
        }
        self.runs.retain(|run| !run.is_empty());
        self.runs.shrink_to_fit();
    }
}

/// Whether all of `newer` comes after all of `older`.
fn follows<E: Entry>(older: &[E], newer: &[E], context: &E::Context) -> bool {
    older.last().zip(newer.first()).is_none_or(|(a, b)| a.order(b, context) != Ordering::Greater)
}

/// Appends, with a quarter of spare room instead of the usual half: large vectors grow in place.
fn extend<E: Copy>(older: &mut Vec<E>, newer: &[E]) {
    if older.capacity() - older.len() < newer.len() {
        older.reserve_exact(newer.len().max(older.len() / 4));
    }
    older.extend_from_slice(newer);
}

fn merge<E: Entry>(mut older: Vec<E>, newer: &[E], context: &E::Context) -> Vec<E> {
    if follows(&older, newer, context) {
        extend(&mut older, newer);
        return older;
    }
    let mut merged = Vec::with_capacity(older.len() + newer.len());
    let (mut left, mut right) = (older.iter(), newer.iter());
    let mut heads = (left.next(), right.next());
    loop {
        match heads {
            (Some(a), Some(b)) if a.order(b, context) != Ordering::Greater => {
                merged.push(*a);
                heads.0 = left.next();
            }
            (_, Some(b)) => {
                merged.push(*b);
                heads.1 = right.next();
            }
            (Some(a), None) => {
                merged.push(*a);
                merged.extend_from_slice(left.as_slice());
                return merged;
            }
            (None, None) => return merged,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Entry for (u32, u32) {
        type Context = ();

        fn order(&self, other: &Self, (): &()) -> Ordering {
            self.0.cmp(&other.0)
        }
    }

    /// Numbers below `below` that look random and come out the same every time.
    fn numbers(count: u32, below: u32) -> impl Iterator<Item = u32> {
        (0..count).map(move |n| n.wrapping_mul(2_654_435_761).rotate_left(13) % below)
    }

    fn sorted(runs: &Runs<(u32, u32)>) -> Vec<(u32, u32)> {
        let mut all: Vec<_> = runs.slices().flatten().copied().collect();
        all.sort_unstable();
        all
    }

    #[test]
    fn every_entry_is_kept_in_sorted_runs_of_shrinking_size() {
        let (mut runs, mut expected) = (Runs::default(), Vec::new());
        for (n, number) in numbers(10_000, 500).enumerate() {
            runs.push((number, n as u32), &());
            expected.push((number, n as u32));
            if n % 1_009 == 0 {
                runs.settle(&());
            }
        }
        runs.settle(&());
        expected.sort_unstable();
        assert_eq!(sorted(&runs), expected);
        let sizes: Vec<_> = runs.slices().map(<[_]>::len).collect();
        assert!(sizes.windows(2).all(|pair| pair[0] > 2 * pair[1]), "{sizes:?}");
        assert!(runs.slices().all(|run| run.is_sorted_by_key(|entry| entry.0)));
    }

    #[test]
    fn entries_in_order_are_one_run() {
        let mut runs = Runs::default();
        (0..10_000).for_each(|n| runs.push((n, n), &()));
        runs.settle(&());
        assert_eq!(runs.slices().count(), 1);
    }

    #[test]
    fn entries_are_popped_from_the_last() {
        let mut runs = Runs::default();
        numbers(1_000, 300).for_each(|number| runs.push((number, 0), &()));
        runs.settle(&());
        let mut popped: Vec<_> = std::iter::from_fn(|| runs.pop(&())).collect();
        assert_eq!(popped.len(), 1_000);
        popped.reverse();
        assert!(popped.is_sorted());
        assert!(runs.last(&()).is_none());
    }

    #[test]
    fn a_rewrite_gives_memory_back() {
        let mut runs = Runs::default();
        numbers(10_000, 10_000).for_each(|number| runs.push((number, 0), &()));
        let before = runs.bytes();
        runs.rewrite(|(number, _)| (number < 100).then_some((number, 1)));
        runs.settle(&());
        assert!(sorted(&runs).iter().all(|(number, mark)| *number < 100 && *mark == 1));
        assert!(runs.bytes() < before / 10, "{} of {before} bytes are left", runs.bytes());
        runs.rewrite(|_| None);
        assert_eq!(runs.bytes(), 0);
    }
}
