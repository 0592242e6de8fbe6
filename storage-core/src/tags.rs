//! The tags of an item.

use std::{borrow::Cow, cmp::Ordering, fmt};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, Visitor},
};

use crate::{
    ErrorKind, Result, StorageError,
    limits::{MAX_TAG_NAME_BYTES, MAX_TAG_VALUE_BYTES, MAX_TAGS},
};

/// Tags of an item: a small map from name to value, in the order of the names.
///
/// Limits, checked when the item is saved: 64 tags; names of 1 to 128 bytes; values of 0 to 1,024 bytes; UTF-8 without
/// control characters.
///
/// ```
/// use storage_core::Tags;
///
/// let tags = Tags::from([("tier", "gold"), ("region", "eu")]);
/// assert_eq!(tags.get("tier"), Some("gold"));
/// assert_eq!(tags.iter().next(), Some(("region", "eu")));
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Tags {
    // Names and values one behind the other, sorted by name, names unique: two allocations however many tags there are,
    // because every save and every read of a stored item makes one of these.
    text: String,
    entries: Vec<Entry>,
}

/// Where a tag ends in the text. It begins where the one before ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Entry {
    name_end: usize,
    value_end: usize,
}

impl Tags {
    /// No tags.
    pub const fn new() -> Self {
        Self { text: String::new(), entries: Vec::new() }
    }

    /// Room for `tags` tags with `bytes` bytes of names and values together.
    pub fn with_capacity(tags: usize, bytes: usize) -> Self {
        Self { text: String::with_capacity(bytes), entries: Vec::with_capacity(tags) }
    }

    /// Sets `name` to `value`, replacing an earlier value.
    pub fn insert(&mut self, name: impl AsRef<str>, value: impl AsRef<str>) {
        let (name, value) = (name.as_ref(), value.as_ref());
        // Tags mostly arrive in order: those of a stored item always do.
        if self.last().is_none_or(|last| last < name) {
            return self.push(name, value);
        }
        match self.find(name) {
            Ok(at) => {
                self.remove(at);
                self.insert_at(at, name, value);
            }
            Err(at) => self.insert_at(at, name, value),
        }
    }

    /// The value of `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.at(self.find(name).ok()?).map(|(_, value)| value)
    }

    /// Whether the tag `name` has exactly this `value`.
    pub fn contains(&self, name: &str, value: &str) -> bool {
        self.get(name) == Some(value)
    }

    /// Names and values in the order of the names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> + Clone {
        (0..self.entries.len()).map(|at| self.at(at).unwrap_or_default())
    }

    /// The number of tags.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn last(&self) -> Option<&str> {
        self.at(self.len().checked_sub(1)?).map(|(name, _)| name)
    }

    fn start(&self, at: usize) -> usize {
        at.checked_sub(1).and_then(|before| self.entries.get(before)).map_or(0, |entry| entry.value_end)
    }

    fn at(&self, at: usize) -> Option<(&str, &str)> {
        let Entry { name_end, value_end } = *self.entries.get(at)?;
        Some((self.text.get(self.start(at)..name_end)?, self.text.get(name_end..value_end)?))
    }

    /// The place of `name`, or the place where it would be.
    fn find(&self, name: &str) -> std::result::Result<usize, usize> {
        let (mut low, mut high) = (0, self.entries.len());
        while low < high {
            let middle = low.midpoint(high);
            match self.at(middle).map_or("", |(other, _)| other).cmp(name) {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                Ordering::Equal => return Ok(middle),
            }
        }
        Err(low)
    }

    fn push(&mut self, name: &str, value: &str) {
        self.text.push_str(name);
        let name_end = self.text.len();
        self.text.push_str(value);
        self.entries.push(Entry { name_end, value_end: self.text.len() });
    }

    fn insert_at(&mut self, at: usize, name: &str, value: &str) {
        let start = self.start(at);
        self.text.insert_str(start, value);
        self.text.insert_str(start, name);
        let length = name.len() + value.len();
        for entry in self.entries.iter_mut().skip(at) {
            entry.name_end += length;
            entry.value_end += length;
        }
        self.entries.insert(at, Entry { name_end: start + name.len(), value_end: start + length });
    }

    fn remove(&mut self, at: usize) {
        let start = self.start(at);
        let Entry { value_end, .. } = self.entries.remove(at);
        self.text.replace_range(start..value_end, "");
        for entry in self.entries.iter_mut().skip(at) {
            entry.name_end -= value_end - start;
            entry.value_end -= value_end - start;
        }
    }

    /// Checks number, lengths and characters against the contract.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] with the first tag that is outside the limits.
    pub fn validate(&self) -> Result<()> {
        if self.len() > MAX_TAGS {
            return Err(invalid(format!("{} tags, at most {MAX_TAGS} are allowed", self.len())));
        }
        self.iter().try_for_each(|(name, value)| check_tag(name, value))
    }
}

fn check_tag(name: &str, value: &str) -> Result<()> {
    if name.is_empty() {
        return Err(invalid("tag name is empty".into()));
    }
    if name.len() > MAX_TAG_NAME_BYTES {
        let length = name.len();
        return Err(invalid(format!(
            "tag name has {length} bytes, at most {MAX_TAG_NAME_BYTES} are allowed"
        )));
    }
    if name.chars().any(char::is_control) {
        return Err(invalid(format!("tag name {name:?} holds a control character")));
    }
    if value.len() > MAX_TAG_VALUE_BYTES {
        let length = value.len();
        return Err(invalid(format!(
            "value of tag {name:?} has {length} bytes, at most {MAX_TAG_VALUE_BYTES} are allowed"
        )));
    }
    if value.chars().any(char::is_control) {
        return Err(invalid(format!("value of tag {name:?} holds a control character")));
    }
    Ok(())
}

fn invalid(message: String) -> StorageError {
    StorageError::new(ErrorKind::Invalid, message)
}

impl fmt::Debug for Tags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<N: AsRef<str>, V: AsRef<str>> FromIterator<(N, V)> for Tags {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let mut tags = Self::new();
        tags.extend(pairs);
        tags
    }
}

impl<N: AsRef<str>, V: AsRef<str>> Extend<(N, V)> for Tags {
    fn extend<I: IntoIterator<Item = (N, V)>>(&mut self, pairs: I) {
        for (name, value) in pairs {
            self.insert(name, value);
        }
    }
}

impl<N: AsRef<str>, V: AsRef<str>, const COUNT: usize> From<[(N, V); COUNT]> for Tags {
    fn from(pairs: [(N, V); COUNT]) -> Self {
        pairs.into_iter().collect()
    }
}

impl Serialize for Tags {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Tags {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Tags;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map from tag names to values")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> std::result::Result<Tags, M::Error> {
                let mut tags = Tags::new();
                while let Some((name, value)) = map.next_entry::<Cow<'de, str>, Cow<'de, str>>()? {
                    tags.insert(name, value);
                }
                Ok(tags)
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_last_value_of_a_name_wins_and_names_are_sorted() {
        let tags: Tags = [("b", "1"), ("a", "2"), ("b", "3")].into_iter().collect();
        assert_eq!(tags.iter().collect::<Vec<_>>(), [("a", "2"), ("b", "3")]);
        assert!(tags.contains("b", "3") && !tags.contains("b", "1") && tags.get("c").is_none());
    }

    proptest! {
        #[test]
        fn tags_behave_as_a_map(pairs in proptest::collection::vec(("[a-cé]{0,3}", "[x-zü]{0,4}"), 0..40)) {
            let mut tags = Tags::new();
            let mut map = BTreeMap::new();
            for (name, value) in &pairs {
                tags.insert(name, value);
                map.insert(name.as_str(), value.as_str());
                let expected: Vec<_> = map.iter().map(|(name, value)| (*name, *value)).collect();
                prop_assert_eq!(tags.iter().collect::<Vec<_>>(), expected);
            }
            for (name, _) in &pairs {
                prop_assert_eq!(tags.get(name), map.get(name.as_str()).copied());
            }
            prop_assert_eq!(tags.get("none"), None);
            // However they came to be, equal tags are equal.
            prop_assert_eq!(map.into_iter().collect::<Tags>(), tags);
        }
    }

    #[test]
    fn limits_are_checked_by_bytes() {
        assert!(Tags::from([("n".repeat(128), "v".repeat(1_024))]).validate().is_ok());
        for bad in [
            Tags::from([("", "v")]),
            Tags::from([("n".repeat(129), String::new())]),
            Tags::from([("n".to_owned(), "v".repeat(1_025))]),
            Tags::from([("n\n", "v")]),
            Tags::from([("n", "v\0")]),
            (0..65).map(|n| (n.to_string(), "")).collect(),
        ] {
            assert_eq!(bad.validate().unwrap_err().kind(), ErrorKind::Invalid, "{bad:?}");
        }
    }

    #[test]
    fn tags_travel_through_serde_as_a_map() {
        let tags = Tags::from([("tier", "gold")]);
        let json = serde_json::to_string(&tags).unwrap();
        assert_eq!(json, r#"{"tier":"gold"}"#);
        assert_eq!(serde_json::from_str::<Tags>(&json).unwrap(), tags);
    }
}
