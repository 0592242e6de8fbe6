//! What a search asks of a database, whichever it is.
//!
//! Everything that an index of a database can find is said to it; what only the core can decide, which is what a pattern
//! means beyond its literal beginning, is left to [`CompiledQuery::matches`].

use storage_core::{CompiledQuery, Glob, Order, Position, Tags, TimeRange};

/// The parts of a query, as far as a database can serve them.
#[derive(Debug)]
pub(crate) struct Plan<'q> {
    pub(crate) content_type: Option<&'q str>,
    pub(crate) keys: Keys<'q>,
    pub(crate) tags: &'q Tags,
    pub(crate) created: TimeRange,
    pub(crate) updated: TimeRange,
    pub(crate) expires: TimeRange,
    pub(crate) order: Order,
    /// The place behind which the page begins.
    pub(crate) position: Option<&'q Position>,
    /// Whether rows that the database answers must still be looked at with [`CompiledQuery::matches`].
    pub(crate) must_match: bool,
}

/// Which keys can match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Keys<'q> {
    All,
    One(&'q str),
    /// From the first on, and before the second if there is one; all of these begin with the first.
    Range(&'q str, Option<String>),
}

impl<'q> Plan<'q> {
    pub(crate) fn of(query: &'q CompiledQuery) -> Self {
        let glob = query.glob();
        Self {
            content_type: query.content_type(),
            keys: glob.map_or(Keys::All, keys),
            tags: query.tags(),
            created: query.created(),
            updated: query.updated(),
            expires: query.expires(),
            order: query.order(),
            position: query.position(),
            must_match: glob.is_some_and(|glob| !glob.is_literal() && !glob.is_prefix()),
        }
    }
}

fn keys(glob: &Glob) -> Keys<'_> {
    match glob.literal_prefix() {
        text if glob.is_literal() => Keys::One(text),
        "" => Keys::All,
        prefix => Keys::Range(prefix, behind(prefix)),
    }
}

/// The smallest text behind all that begin with `prefix`; `None` if there is none.
///
/// Bytes of UTF-8 have the order of the characters they stand for, so that the next character is the next text.
fn behind(prefix: &str) -> Option<String> {
    let mut text = prefix.to_owned();
    while let Some(last) = text.pop() {
        let next = (last..=char::MAX).nth(1);
        if let Some(next) = next {
            text.push(next);
            return Some(text);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use storage_core::StorageQuery;

    use super::*;

    #[test]
    fn a_prefix_ends_before_the_next_text() {
        for (prefix, end) in [
            ("a", Some("b")),
            ("user:", Some("user;")),
            ("~", Some("\u{7f}")),
            ("a\u{10ffff}", Some("b")),
            ("\u{d7ff}", Some("\u{e000}")),
            ("\u{10ffff}", None),
        ] {
            assert_eq!(behind(prefix).as_deref(), end, "{prefix:?}");
        }
    }

    #[test]
    fn patterns_are_ranges_of_keys_with_a_rest_for_the_core() {
        for (pattern, keys, must_match) in [
            ("*", Keys::All, false),
            ("*a", Keys::All, true),
            ("user:*", Keys::Range("user:", Some("user;".into())), false),
            ("user:*:x", Keys::Range("user:", Some("user;".into())), true),
            ("user:?", Keys::Range("user:", Some("user;".into())), true),
            ("user\\*", Keys::One("user*"), false),
        ] {
            let query = StorageQuery::new().pattern(pattern).compile().unwrap();
            let plan = Plan::of(&query);
            assert_eq!((plan.keys, plan.must_match), (keys, must_match), "{pattern}");
        }
    }
}
