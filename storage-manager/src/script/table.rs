//! Tables: a sequence from 1 on, and pairs under other keys.

use std::{cmp::Ordering, collections::BTreeMap};

use storage_core::Bytes;

use super::ScriptValue;

/// The key of a pair in a table: anything but nil and NaN, which no table takes. (Tables as keys are not values that
/// could be stored: their identity would be lost.)
///
/// A float with a whole value is the integer of that value, as in Lua: `t[1.0]` is `t[1]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ScriptKey {
    /// `true` or `false`.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// A float that is no whole number of 64 bits.
    Float(FloatKey),
    /// Bytes.
    String(Bytes),
}

/// A float that can be a key: not NaN, and no whole number of 64 bits. Made by [`ScriptKey::from_float`].
#[derive(Debug, Clone, Copy)]
pub struct FloatKey(f64);

impl FloatKey {
    /// The float.
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl Ord for FloatKey {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl PartialOrd for FloatKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for FloatKey {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for FloatKey {}

impl ScriptKey {
    /// The key that `float` stands for: an integer where it is one, and `None` for NaN.
    pub fn from_float(float: f64) -> Option<Self> {
        // 2^63, the first float above every integer.
        const END: f64 = 9_223_372_036_854_775_808.0;
        if float.is_nan() {
            return None;
        }
        if float.fract() == 0.0 && (-END..END).contains(&float) {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "whole and within the range, as just checked"
            )]
            return Some(Self::Integer(float as i64));
        }
        Some(Self::Float(FloatKey(float)))
    }
}

impl From<bool> for ScriptKey {
    fn from(key: bool) -> Self {
        Self::Boolean(key)
    }
}

impl From<i64> for ScriptKey {
    fn from(key: i64) -> Self {
        Self::Integer(key)
    }
}

impl From<i32> for ScriptKey {
    fn from(key: i32) -> Self {
        Self::Integer(key.into())
    }
}

impl From<&str> for ScriptKey {
    fn from(key: &str) -> Self {
        Self::String(Bytes::copy_from_slice(key.as_bytes()))
    }
}

impl From<String> for ScriptKey {
    fn from(key: String) -> Self {
        Self::String(key.into())
    }
}

impl From<Bytes> for ScriptKey {
    fn from(key: Bytes) -> Self {
        Self::String(key)
    }
}

/// A table: pairs of keys and values, none of them nil. Two tables are equal if they hold the same pairs.
///
/// The pairs under 1, 2, 3 … without a gap form the *sequence*; mixed and sparse tables are whatever else there is
/// beside it. Inserting nil removes a pair.
///
/// ```
/// use storage_manager::script::{ScriptKey, ScriptTable, ScriptValue};
///
/// let mut table = ScriptTable::new();
/// table.push("first");
/// table.insert(3, "third");
/// table.insert("name", "mixed");
/// assert_eq!((table.len(), table.sequence().len()), (3, 1));
/// table.insert(2, "second");
/// assert_eq!(table.sequence().len(), 3);
/// table.insert("name", ScriptValue::Nil);
/// assert_eq!(table.get("name"), None);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ScriptTable {
    // The values under 1..=n. Neither part ever holds a nil, and `rest` never holds the key n + 1: so that one set of
    // pairs has one form, which is what makes equality and the stored bytes simple.
    sequence: Vec<ScriptValue>,
    rest: BTreeMap<ScriptKey, ScriptValue>,
}

impl ScriptTable {
    /// An empty table.
    pub const fn new() -> Self {
        Self { sequence: Vec::new(), rest: BTreeMap::new() }
    }

    /// Puts `value` under `key`, replacing what was there; nil removes the pair.
    pub fn insert(&mut self, key: impl Into<ScriptKey>, value: impl Into<ScriptValue>) {
        let (key, value) = (key.into(), value.into());
        match (sequence_index(&key), value.is_nil()) {
            (Some(at), true) if at < self.sequence.len() => self.break_at(at),
            (Some(at), false) if at < self.sequence.len() => {
                if let Some(slot) = self.sequence.get_mut(at) {
                    *slot = value;
                }
            }
            (Some(at), false) if at == self.sequence.len() => self.push(value),
            (_, true) => {
                self.rest.remove(&key);
            }
            (_, false) => {
                self.rest.insert(key, value);
            }
        }
    }

    /// Puts `value` behind the sequence; nil changes nothing.
    pub fn push(&mut self, value: impl Into<ScriptValue>) {
        let value = value.into();
        if value.is_nil() {
            return;
        }
        self.sequence.push(value);
        while let Some(next) = self.next_key().and_then(|key| self.rest.remove(&key)) {
            self.sequence.push(next);
        }
    }

    /// The value under `key`.
    pub fn get(&self, key: impl Into<ScriptKey>) -> Option<&ScriptValue> {
        let key = key.into();
        match sequence_index(&key) {
            Some(at) if at < self.sequence.len() => self.sequence.get(at),
            _ => self.rest.get(&key),
        }
    }

    /// The values under 1, 2, 3 … up to the first gap.
    pub fn sequence(&self) -> &[ScriptValue] {
        &self.sequence
    }

    /// The pairs beside the sequence, in the order of their keys: booleans, integers, floats, strings.
    pub fn rest(&self) -> impl ExactSizeIterator<Item = (&ScriptKey, &ScriptValue)> {
        self.rest.iter()
    }

    /// All pairs: the sequence first, then the rest.
    pub fn iter(&self) -> impl Iterator<Item = (ScriptKey, &ScriptValue)> {
        let numbered = (1..).map(ScriptKey::Integer).zip(&self.sequence);
        numbered.chain(self.rest.iter().map(|(key, value)| (key.clone(), value)))
    }

    /// The number of pairs.
    pub fn len(&self) -> usize {
        self.sequence.len() + self.rest.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.sequence.is_empty() && self.rest.is_empty()
    }

    /// The key right behind the sequence.
    fn next_key(&self) -> Option<ScriptKey> {
        i64::try_from(self.sequence.len()).ok()?.checked_add(1).map(ScriptKey::Integer)
    }

    /// Takes the value at `at` out of the sequence; what stood behind it no longer belongs to the sequence.
    fn break_at(&mut self, at: usize) {
        let behind = self.sequence.split_off(at);
        let keys = (1..).skip(at).map(ScriptKey::Integer);
        self.rest.extend(keys.zip(behind).skip(1));
    }
}

/// Where a key would stand in a sequence that is long enough.
fn sequence_index(key: &ScriptKey) -> Option<usize> {
    match key {
        ScriptKey::Integer(key) => usize::try_from(key.checked_sub(1)?).ok(),
        _ => None,
    }
}

impl<K: Into<ScriptKey>, V: Into<ScriptValue>> FromIterator<(K, V)> for ScriptTable {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let mut table = Self::new();
        for (key, value) in pairs {
            table.insert(key, value);
        }
        table
    }
}

/// A sequence, which ends for good at the first nil: later values keep their numbers.
impl<V: Into<ScriptValue>> From<Vec<V>> for ScriptTable {
    fn from(values: Vec<V>) -> Self {
        (1_i64..).zip(values).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(float: f64) -> ScriptKey {
        ScriptKey::from_float(float).unwrap()
    }

    #[test]
    fn whole_floats_are_integer_keys() {
        assert_eq!(key(1.0), ScriptKey::Integer(1));
        assert_eq!(key(-0.0), ScriptKey::Integer(0));
        assert_eq!(key(-9_223_372_036_854_775_808.0), ScriptKey::Integer(i64::MIN));
        for float in [0.5, 9_223_372_036_854_775_808.0, f64::INFINITY, f64::NEG_INFINITY, 1e300] {
            assert!(matches!(key(float), ScriptKey::Float(key) if key.get() == float), "{float}");
        }
        assert_eq!(ScriptKey::from_float(f64::NAN), None);
    }

    #[test]
    fn the_way_a_table_was_made_does_not_show() {
        let forwards = ScriptTable::from(vec![1, 2, 3]);
        let backwards: ScriptTable = [(3, 3), (2, 2), (1, 1)].into_iter().collect();
        assert_eq!(forwards, backwards);
        assert_eq!(backwards.sequence().len(), 3);
    }

    #[test]
    fn a_gap_ends_the_sequence_and_filling_it_joins_both_ends() {
        let mut table = ScriptTable::from(vec![1, 2, 3, 4]);
        table.insert(2, ScriptValue::Nil);
        assert_eq!((table.sequence().len(), table.len()), (1, 3));
        assert_eq!((table.get(2), table.get(4)), (None, Some(&ScriptValue::Integer(4))));
        table.insert(2, 2);
        assert_eq!(table, ScriptTable::from(vec![1, 2, 3, 4]));
        table.insert(4, ScriptValue::Nil);
        assert_eq!(table, ScriptTable::from(vec![1, 2, 3]));
    }

    #[test]
    fn extreme_integers_are_keys_beside_the_sequence() {
        let mut table = ScriptTable::new();
        for key in [i64::MIN, i64::MAX, 0, -1] {
            table.insert(key, key);
            assert_eq!(table.get(key), Some(&ScriptValue::Integer(key)));
        }
        assert!(table.sequence().is_empty());
    }
}
