//! Names of routes and what they match: the one look-up behind providers and metric labels.

use std::{
    collections::HashMap,
    fmt,
    hash::{BuildHasherDefault, Hasher},
    sync::Arc,
};

use storage_core::{ErrorKind, ItemKey, Result, StorageError};

/// Which content types a route takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Pattern {
    /// One content type.
    Exact(Box<str>),
    /// Every content type that starts with this.
    Prefix(Box<str>),
    /// Every content type that no other route takes.
    Fallback,
}

impl Pattern {
    /// Reads `session` as an exact route, `image/*` as a prefix and `*` as the fallback.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if the route is empty, holds a `*` before its end, or could match no content type.
    pub(crate) fn parse(route: &str) -> Result<Self> {
        let (name, is_prefix) = route.strip_suffix('*').map_or((route, false), |name| (name, true));
        if is_prefix && name.is_empty() {
            return Ok(Self::Fallback);
        }
        if name.contains('*') {
            return Err(unfit(route, "a `*` can only stand at its end"));
        }
        // The key is a stand-in: the constructor holds the one rule for content types.
        ItemKey::new(name, "-").map_err(|error| unfit(route, error.message()))?;
        Ok(if is_prefix { Self::Prefix(name.into()) } else { Self::Exact(name.into()) })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Prefix(prefix) => write!(f, "{prefix}*"),
            Self::Fallback => f.write_str("*"),
        }
    }
}

fn unfit(route: &str, why: &str) -> StorageError {
    StorageError::new(ErrorKind::Config, format!("route {route:?} cannot be used: {why}"))
}

/// Values by pattern. The exact pattern wins, then the longest prefix, then the fallback.
#[derive(Debug)]
pub(crate) struct PatternMap<V> {
    exact: HashMap<Box<str>, Arc<V>, BuildHasherDefault<NameHasher>>,
    // Longest first, so that the first match is the best one.
    prefixes: Vec<(Box<str>, Arc<V>)>,
    fallback: Option<Arc<V>>,
}

impl<V> PatternMap<V> {
    /// The value for a content type.
    pub(crate) fn find(&self, content_type: &str) -> Option<&Arc<V>> {
        self.exact
            .get(content_type)
            .or_else(|| {
                let prefixed = self.prefixes.iter().find(|(prefix, _)| content_type.starts_with(&**prefix));
                prefixed.map(|(_, value)| value)
            })
            .or(self.fallback.as_ref())
    }

    /// The value that was set for exactly this pattern.
    pub(crate) fn get(&self, pattern: &Pattern) -> Option<&Arc<V>> {
        match pattern {
            Pattern::Exact(name) => self.exact.get(name),
            Pattern::Prefix(prefix) => {
                self.prefixes.iter().find(|(other, _)| other == prefix).map(|(_, value)| value)
            }
            Pattern::Fallback => self.fallback.as_ref(),
        }
    }

    /// Sets the value of a pattern that has none yet.
    pub(crate) fn insert(&mut self, pattern: Pattern, value: Arc<V>) {
        match pattern {
            Pattern::Exact(name) => {
                self.exact.insert(name, value);
            }
            Pattern::Prefix(prefix) => {
                let at = self.prefixes.partition_point(|(other, _)| other.len() >= prefix.len());
                self.prefixes.insert(at, (prefix, value));
            }
            Pattern::Fallback => self.fallback = Some(value),
        }
    }

    /// Takes the value of exactly this pattern out.
    pub(crate) fn remove(&mut self, pattern: &Pattern) -> Option<Arc<V>> {
        match pattern {
            Pattern::Exact(name) => self.exact.remove(name),
            Pattern::Prefix(prefix) => {
                let at = self.prefixes.iter().position(|(other, _)| other == prefix)?;
                Some(self.prefixes.remove(at).1)
            }
            Pattern::Fallback => self.fallback.take(),
        }
    }

    /// All values, in no particular order.
    pub(crate) fn values(&self) -> impl Iterator<Item = &Arc<V>> {
        let prefixed = self.prefixes.iter().map(|(_, value)| value);
        self.exact.values().chain(prefixed).chain(&self.fallback)
    }
}

impl<V> Default for PatternMap<V> {
    fn default() -> Self {
        Self { exact: HashMap::default(), prefixes: Vec::new(), fallback: None }
    }
}

impl<V> Clone for PatternMap<V> {
    fn clone(&self) -> Self {
        Self { exact: self.exact.clone(), prefixes: self.prefixes.clone(), fallback: self.fallback.clone() }
    }
}

/// A quick hash of short names.
///
/// It is no defence against chosen collisions, and needs none: the map holds what the program registered, and whatever
/// a caller looks up, it does not grow.
#[derive(Debug, Default)]
struct NameHasher(u64);

impl NameHasher {
    fn mix(&mut self, word: u64) {
        // The odd constant of Fx; rotation lets earlier words reach all bits.
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}

impl Hasher for NameHasher {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.mix(u64::from_le_bytes(*word));
        }
        self.mix(rest.iter().fold(0, |word, byte| (word << 8) | u64::from(*byte)));
    }

    fn write_u8(&mut self, byte: u8) {
        self.mix(u64::from(byte));
    }

    fn finish(&self) -> u64 {
        // The table looks at the highest and the lowest bits, and a product is weak in the latter.
        self.0 ^ (self.0 >> 32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(routes: &[&str]) -> PatternMap<String> {
        let mut map = PatternMap::default();
        for route in routes {
            map.insert(Pattern::parse(route).unwrap(), Arc::new((*route).to_owned()));
        }
        map
    }

    #[test]
    fn exact_beats_the_longest_prefix_beats_the_fallback() {
        for routes in
            [["*", "image/*", "image/p*", "image/png", "a"], ["a", "image/png", "image/p*", "image/*", "*"]]
        {
            let map = map(&routes);
            let found = |content_type: &str| map.find(content_type).map(|route| route.as_str());
            assert_eq!(found("image/png"), Some("image/png"));
            assert_eq!(found("image/pngs"), Some("image/p*"));
            assert_eq!(found("image/gif"), Some("image/*"));
            assert_eq!(found("image"), Some("*"));
            assert_eq!(found("ab"), Some("*"));
        }
    }

    #[test]
    fn without_a_fallback_the_rest_has_no_route() {
        let map = map(&["image/*", "a"]);
        assert_eq!(map.find("b"), None);
        assert_eq!(map.find("imag"), None);
    }

    #[test]
    fn what_was_removed_is_found_no_more() {
        let mut map = map(&["*", "image/*", "image/png"]);
        for route in ["image/png", "image/*", "*"] {
            let pattern = Pattern::parse(route).unwrap();
            assert_eq!(map.find("image/png").map(|found| found.as_str()), Some(route));
            assert_eq!(map.remove(&pattern).as_deref().map(String::as_str), Some(route));
            assert!(map.get(&pattern).is_none() && map.remove(&pattern).is_none());
        }
        assert_eq!(map.values().count(), 0);
    }

    #[test]
    fn routes_that_no_content_type_can_take_are_refused() {
        for bad in ["", "**", "*a", "a*b", "a*b*", "a b", "é*", "a\0", &"t".repeat(256)] {
            let error = Pattern::parse(bad).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{bad:?}");
        }
    }

    #[test]
    fn a_pattern_is_shown_as_it_was_written() {
        for route in ["session", "image/*", "*"] {
            assert_eq!(Pattern::parse(route).unwrap().to_string(), route);
        }
    }
}
