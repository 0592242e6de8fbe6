//! Patterns over keys.

use std::str::Chars;

use crate::{ErrorKind, Result, StorageError, limits::MAX_PATTERN_BYTES};

/// A pattern over keys, compiled once and matched without backtracking over more than one `*`.
///
/// `*` stands for any characters, separators included, or none; `?` for one character; `[a-z_]` for one of a set and
/// `[!a-z]` (or `[^a-z]`) for one outside it; `\` takes the next character literally. A `]` that stands first in a set
/// is a member of it. Everything else stands for itself, byte for byte. A match takes at most `key × pattern` steps.
///
/// ```
/// use storage_core::Glob;
///
/// let glob = Glob::new("user:*:[0-9]?")?;
/// assert!(glob.matches("user:a/b:42"));
/// assert!(!glob.matches("user:a:x2"));
/// assert_eq!(glob.literal_prefix(), "user:");
/// # Ok::<(), storage_core::StorageError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Glob {
    prefix: String,
    // What follows the literal prefix.
    tokens: Vec<Token>,
}

#[derive(Debug, Clone)]
enum Token {
    Literal(char),
    AnyChar,
    AnyText,
    Set { negated: bool, ranges: Vec<(char, char)> },
}

impl Glob {
    /// Compiles `pattern`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidQuery`] if the pattern is empty, longer than 4,096 bytes, ends within an escape or a set, or
    /// holds a range that runs backwards.
    pub fn new(pattern: &str) -> Result<Self> {
        if pattern.is_empty() {
            return Err(invalid(pattern, "is empty and could match no key"));
        }
        if pattern.len() > MAX_PATTERN_BYTES {
            let message =
                format!("pattern has {} bytes, at most {MAX_PATTERN_BYTES} are allowed", pattern.len());
            return Err(StorageError::new(ErrorKind::InvalidQuery, message));
        }
        let mut glob = Self { prefix: String::new(), tokens: Vec::new() };
        let mut rest = pattern.chars();
        while let Some(token) = next_token(&mut rest).map_err(|what| invalid(pattern, what))? {
            glob.push(token);
        }
        Ok(glob)
    }

    /// The pattern that matches `text` alone, with every special character escaped.
    pub fn escape(text: &str) -> String {
        let mut escaped = String::with_capacity(text.len());
        for c in text.chars() {
            if matches!(c, '*' | '?' | '[' | ']' | '\\') {
                escaped.push('\\');
            }
            escaped.push(c);
        }
        escaped
    }

    /// The text every matching key starts with: what an ordered index can seek to.
    pub fn literal_prefix(&self) -> &str {
        &self.prefix
    }

    /// Whether the pattern is its literal prefix alone and so matches exactly one key.
    pub fn is_literal(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Whether the pattern is its literal prefix and one `*`, and so matches every key that begins with the prefix.
    pub fn is_prefix(&self) -> bool {
        matches!(self.tokens.as_slice(), [Token::AnyText])
    }

    /// Whether `key` matches.
    pub fn matches(&self, key: &str) -> bool {
        key.strip_prefix(&*self.prefix).is_some_and(|rest| matches_tokens(&self.tokens, rest))
    }

    fn push(&mut self, token: Token) {
        match (token, self.tokens.last()) {
            (Token::Literal(c), None) => self.prefix.push(c),
            // Two stars in a row mean the same as one.
            (Token::AnyText, Some(Token::AnyText)) => {}
            (token, _) => self.tokens.push(token),
        }
    }
}

fn next_token(rest: &mut Chars<'_>) -> Result<Option<Token>, &'static str> {
    let Some(c) = rest.next() else { return Ok(None) };
    Ok(Some(match c {
        '*' => Token::AnyText,
        '?' => Token::AnyChar,
        '\\' => Token::Literal(rest.next().ok_or("ends with an unfinished escape")?),
        '[' => next_set(rest)?,
        c => Token::Literal(c),
    }))
}

fn next_set(rest: &mut Chars<'_>) -> Result<Token, &'static str> {
    const OPEN: &str = "holds a set that is not closed";
    let negated = rest.as_str().starts_with(['!', '^']);
    if negated {
        rest.next();
    }
    let mut ranges = Vec::new();
    loop {
        let low = match rest.next().ok_or(OPEN)? {
            ']' if !ranges.is_empty() => return Ok(Token::Set { negated, ranges }),
            '\\' => rest.next().ok_or(OPEN)?,
            c => c,
        };
        let high = range_end(rest)?.unwrap_or(low);
        if high < low {
            return Err("holds a range that runs backwards");
        }
        ranges.push((low, high));
    }
}

/// The upper end if a `-` follows that is not the last character of the set.
fn range_end(rest: &mut Chars<'_>) -> Result<Option<char>, &'static str> {
    let text = rest.as_str();
    if !text.starts_with('-') || text.starts_with("-]") {
        return Ok(None);
    }
    rest.next();
    match rest.next() {
        Some('\\') => rest.next(),
        other => other,
    }
    .map(Some)
    .ok_or("holds a set that is not closed")
}

fn matches_tokens(mut tokens: &[Token], text: &str) -> bool {
    let mut text = text.chars();
    // Where to go on, one character further each time, when what follows the last `*` does not fit. Earlier stars never
    // need to be tried again: whatever they could take, the last one can take too.
    let mut resume: Option<(&[Token], Chars<'_>)> = None;
    loop {
        if let [Token::AnyText, after @ ..] = tokens {
            resume = Some((after, text.clone()));
            tokens = after;
            continue;
        }
        let mut ahead = text.clone();
        match (tokens, ahead.next()) {
            ([], None) => return true,
            // A pattern that ends with `*` takes whatever is left.
            ([], Some(_)) if resume.as_ref().is_some_and(|(after, _)| after.is_empty()) => return true,
            ([token, after @ ..], Some(c)) if token.accepts(c) => (tokens, text) = (after, ahead),
            _ => {
                let Some((after, from)) = &mut resume else { return false };
                if from.next().is_none() {
                    return false;
                }
                (tokens, text) = (*after, from.clone());
            }
        }
    }
}

impl Token {
    fn accepts(&self, c: char) -> bool {
        match self {
            Self::Literal(literal) => *literal == c,
            Self::AnyChar => true,
            Self::AnyText => false,
            Self::Set { negated, ranges } => {
                ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != *negated
            }
        }
    }
}

fn invalid(pattern: &str, what: &str) -> StorageError {
    StorageError::new(ErrorKind::InvalidQuery, format!("pattern {pattern:?} {what}"))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, key: &str) -> bool {
        Glob::new(pattern).unwrap().matches(key)
    }

    #[test]
    fn wildcards_sets_and_escapes_mean_what_the_docs_say() {
        for (pattern, key) in [
            ("*", "anything/at all"),
            ("a*", "a"),
            ("a*c", "abbc"),
            ("a*c", "acbc"),
            ("?", "é"),
            ("**a", "a"),
            ("[a-c]", "b"),
            ("[!a-c]", "d"),
            ("[^a-c]", "d"),
            ("[]a]", "]"),
            ("[!]]", "a"),
            ("[a-]", "-"),
            ("[\\]-a]", "^"),
            ("\\*", "*"),
            ("\\a", "a"),
            ("a\\\\b", "a\\b"),
            ("*ab*ab", "abab"),
            ("*.txt", "a.b.txt"),
            ("a?*", "ab"),
            ("{a,b}", "{a,b}"),
            ("日*語", "日本語"),
        ] {
            assert!(matches(pattern, key), "{pattern} {key}");
        }
        for (pattern, key) in [
            ("a", "A"),
            ("a*", "ba"),
            ("?", ""),
            ("?", "ab"),
            ("[a-c]", "d"),
            ("[!a-c]", "b"),
            ("\\*", "a"),
            ("a*c", "abcd"),
            ("*ab", "aba"),
            ("é", "e\u{301}"),
            ("a?", "a"),
            ("[!]]", "]"),
            ("a*b*c", "acb"),
        ] {
            assert!(!matches(pattern, key), "{pattern} {key}");
        }
    }

    #[test]
    fn unfinished_patterns_are_refused() {
        for bad in ["", "[", "[a", "[]", "[!", "[!]", "[a-", "[z-a]", "\\", "a\\", "[\\", &"a".repeat(4_097)]
        {
            assert_eq!(Glob::new(bad).unwrap_err().kind(), ErrorKind::InvalidQuery, "{bad}");
        }
    }

    #[test]
    fn the_literal_prefix_ends_at_the_first_special_character() {
        for (pattern, prefix, literal) in [
            ("abc", "abc", true),
            ("a\\*c", "a*c", true),
            ("ab*", "ab", false),
            ("*a", "", false),
            ("a[b]", "a", false),
        ] {
            let glob = Glob::new(pattern).unwrap();
            assert_eq!((glob.literal_prefix(), glob.is_literal()), (prefix, literal), "{pattern}");
        }
    }

    #[test]
    fn hostile_patterns_take_linear_time() {
        let text = "a".repeat(100_000);
        let started = Instant::now();
        assert!(!matches("*a*a*a*a*a*a*a*a*b", &text));
        // A backtracking matcher would need longer than the age of the universe; the bound only tells the two apart.
        assert!(started.elapsed().as_secs() < 20);
    }

    /// The definition of a match, exponential and obvious.
    fn matches_by_definition(tokens: &[Token], text: &[char]) -> bool {
        match (tokens, text) {
            ([], text) => text.is_empty(),
            ([Token::AnyText, after @ ..], text) => {
                (0..=text.len()).any(|taken| matches_by_definition(after, &text[taken..]))
            }
            ([token, after @ ..], [c, rest @ ..]) => token.accepts(*c) && matches_by_definition(after, rest),
            (_, []) => false,
        }
    }

    proptest! {
        #[test]
        fn the_matcher_agrees_with_the_definition(pattern in "[ab*?]{1,8}", key in "[ab]{0,10}") {
            let glob = Glob::new(&pattern).unwrap();
            let mut tokens: Vec<_> = glob.prefix.chars().map(Token::Literal).collect();
            tokens.extend(glob.tokens.clone());
            let chars: Vec<_> = key.chars().collect();
            prop_assert_eq!(glob.matches(&key), matches_by_definition(&tokens, &chars));
        }

        #[test]
        fn an_escaped_key_matches_itself_alone(key in "\\PC{1,20}", other in "\\PC{1,20}") {
            let glob = Glob::new(&Glob::escape(&key)).unwrap();
            prop_assert!(glob.is_literal() && glob.matches(&key));
            prop_assert_eq!(glob.matches(&other), key == other);
        }

        #[test]
        fn no_pattern_panics(pattern in "\\PC*", key in "\\PC*") {
            if let Ok(glob) = Glob::new(&pattern) {
                glob.matches(&key);
            }
        }
    }
}
