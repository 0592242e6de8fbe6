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
    runs: Vec<Run<E>>,
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

    /// Whether [`settled`](Self::settled) shows every entry.
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
            Some(last) if follows(&last.entries, &newest, context) => last.extend(&newest),
            _ => {
                newest.shrink_to_fit();
                self.runs.push(Run::new(newest));
            }
        }
        self.collapse(context);
    }

    /// Merges from the small end until each run is at least twice as long as the next.
    fn collapse(&mut self, context: &E::Context) {
        while let Some(newer) = self.runs.pop() {
            match self.runs.pop() {
                Some(older) if older.entries.len() <= 2 * newer.entries.len() => {
                    self.runs.push(merge(older, &newer.entries, context));
                }
                older => {
                    self.runs.extend(older);
                    self.runs.push(newer);
                    return;
                }
            }
        }
    }

    /// The settled runs.
    pub(crate) fn settled(&self) -> impl Iterator<Item = &Run<E>> {
        self.runs.iter()
    }

    /// Bytes of memory taken.
    pub(crate) fn bytes(&self) -> usize {
        let entries = self.pending.capacity() + self.runs.iter().map(Run::capacity).sum::<usize>();
        entries * size_of::<E>() + self.runs.capacity() * size_of::<Run<E>>()
    }

    /// The last entry of the settled runs.
    pub(crate) fn last(&self, context: &E::Context) -> Option<E> {
        self.runs.iter().filter_map(Run::last).max_by(|a, b| a.order(b, context))
    }

    /// Removes and returns the last entry of the settled runs.
    pub(crate) fn pop(&mut self, context: &E::Context) -> Option<E> {
        let run = self
            .runs
            .iter_mut()
            .max_by(|a, b| a.last().zip(b.last()).map_or(Ordering::Equal, |(a, b)| a.order(&b, context)));
        let popped = run.and_then(Run::pop);
        self.runs.retain(|run| !run.entries.is_empty());
        popped
    }

    /// Replaces or removes each entry by `change`, which must keep their order, and gives spare memory back.
    pub(crate) fn rewrite(&mut self, mut change: impl FnMut(E) -> Option<E>) {
        self.pending.retain_mut(|entry| replace(entry, &mut change));
        for run in &mut self.runs {
            run.entries.retain_mut(|entry| replace(entry, &mut change));
            if run.entries.capacity() > 2 * run.entries.len() {
                run.entries.shrink_to_fit();
            }
            run.renew_fences();
        }
        if self.pending.capacity() > 2 * self.pending.len() {
            self.pending.shrink_to_fit();
        }
        self.runs.retain(|run| !run.entries.is_empty());
        self.runs.shrink_to_fit();
    }
}

/// Replaces an entry, or says that it shall go.
fn replace<E: Copy>(entry: &mut E, change: &mut impl FnMut(E) -> Option<E>) -> bool {
    match change(*entry) {
        Some(changed) => {
            *entry = changed;
            true
        }
        None => false,
    }
}

/// Entries between two fences: a few cache lines.
const STRIDE: usize = 32;

/// A sorted run, and every 32nd of its entries once more. Halving a large run looks at memory that is in no cache,
/// step after step; the fences of all runs together stay in one.
#[derive(Debug)]
pub(crate) struct Run<E> {
    entries: Vec<E>,
    fences: Vec<E>,
}

impl<E: Copy> Run<E> {
    fn new(entries: Vec<E>) -> Self {
        let mut run = Self { entries, fences: Vec::new() };
        run.renew_fences();
        run
    }

    /// The entries in their order.
    pub(crate) fn entries(&self) -> &[E] {
        &self.entries
    }

    /// The number of entries at the start for which `is_low` holds, as `partition_point` of a slice.
    pub(crate) fn partition_point(&self, is_low: impl Fn(&E) -> bool) -> usize {
        let block = self.fences.partition_point(&is_low).saturating_sub(1);
        let start = block * STRIDE;
        let end = self.entries.len().min(start + STRIDE);
        start + self.entries.get(start..end).unwrap_or_default().partition_point(is_low)
    }

    fn last(&self) -> Option<E> {
        self.entries.last().copied()
    }

    fn pop(&mut self) -> Option<E> {
        let popped = self.entries.pop();
        self.fences.truncate(self.entries.len().div_ceil(STRIDE));
        popped
    }

    /// Appends, with a quarter of spare room instead of the usual half: large vectors grow in place.
    fn extend(&mut self, newer: &[E]) {
        if self.entries.capacity() - self.entries.len() < newer.len() {
            self.entries.reserve_exact(newer.len().max(self.entries.len() / 4));
        }
        self.entries.extend_from_slice(newer);
        let known = self.fences.len() * STRIDE;
        self.fences.extend(self.entries.iter().skip(known).step_by(STRIDE));
    }

    fn renew_fences(&mut self) {
        self.fences = self.entries.iter().step_by(STRIDE).copied().collect();
    }

    fn capacity(&self) -> usize {
        self.entries.capacity() + self.fences.capacity()
    }
}

/// Whether all of `newer` comes after all of `older`.
fn follows<E: Entry>(older: &[E], newer: &[E], context: &E::Context) -> bool {
    older.last().zip(newer.first()).is_none_or(|(a, b)| a.order(b, context) != Ordering::Greater)
}

fn merge<E: Entry>(mut older: Run<E>, newer: &[E], context: &E::Context) -> Run<E> {
    if follows(&older.entries, newer, context) {
        older.extend(newer);
        return older;
    }
    Run::new(interleave(&older.entries, newer, context))
}

fn interleave<E: Entry>(older: &[E], newer: &[E], context: &E::Context) -> Vec<E> {
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
        let mut all: Vec<_> = runs.settled().flat_map(Run::entries).copied().collect();
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
        let sizes: Vec<_> = runs.settled().map(|run| run.entries().len()).collect();
        assert!(sizes.windows(2).all(|pair| pair[0] > 2 * pair[1]), "{sizes:?}");
        assert!(runs.settled().all(|run| run.entries().is_sorted_by_key(|entry| entry.0)));
    }

    /// The fences must lead to where a search of the whole run would, also while the run grows and shrinks.
    fn assert_fences_lead(runs: &Runs<(u32, u32)>) {
        for run in runs.settled() {
            for bound in 0..=301 {
                let is_low = |entry: &(u32, u32)| entry.0 < bound;
                assert_eq!(run.partition_point(is_low), run.entries().partition_point(is_low), "{bound}");
            }
        }
    }

    #[test]
    fn fences_lead_to_every_place_of_a_run() {
        let mut runs = Runs::default();
        for (n, number) in numbers(1_000, 300).enumerate() {
            runs.push((number, n as u32), &());
            if n % 37 == 0 {
                runs.settle(&());
                assert_fences_lead(&runs);
            }
        }
        runs.settle(&());
        runs.rewrite(|(number, n)| (n % 3 > 0).then_some((number, n)));
        while runs.pop(&()).is_some() {
            assert_fences_lead(&runs);
        }
        (0..300).for_each(|n| runs.push((n, n), &()));
        runs.settle(&());
        assert_fences_lead(&runs);
    }

    #[test]
    fn entries_in_order_are_one_run() {
        let mut runs = Runs::default();
        (0..10_000).for_each(|n| runs.push((n, n), &()));
        runs.settle(&());
        assert_eq!(runs.settled().count(), 1);
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
