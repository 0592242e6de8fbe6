//! Whose keys are whose: the identity of a script, and how (scope, ident, key) becomes the key of an item.

use std::{fmt, str::FromStr};

use super::{ScriptError, ScriptResult};

/// Longest key of `store` and `registry`, in bytes of UTF-8: 512.
pub const MAX_SCRIPT_KEY_BYTES: usize = 512;
/// Longest identity of a script, in bytes of UTF-8: 128.
pub const MAX_IDENT_BYTES: usize = 128;

/// The identity of a metric or script, which is its namespace: 1 to 128 bytes of UTF-8 without control characters.
///
/// The host chooses it when it makes a script's environment, the same at every run; a script cannot change it.
///
/// ```
/// use storage_manager::script::Ident;
///
/// let ident: Ident = "monitor-cpu".parse()?;
/// assert!("".parse::<Ident>().is_err());
/// # Ok::<(), storage_manager::script::ScriptError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ident(String);

impl Ident {
    /// The identity as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Ident {
    type Err = ScriptError;

    fn from_str(text: &str) -> ScriptResult<Self> {
        check("the identity of a script", text, MAX_IDENT_BYTES)?;
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Ident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The key of the item for `key` in the namespace of `ident`, or in the global one.
///
/// `monitor-cpu:state` is the key `state` of `monitor-cpu`; `:state` is the global key `state`. In an identity, `%` and
/// `:` are written `%25` and `%3A`: so the first colon always ends it, no two (scope, ident, key) have one item, and no
/// namespace is a prefix of another one.
///
/// # Errors
/// `INVALID` if the key is empty, longer than [`MAX_SCRIPT_KEY_BYTES`] or holds a control character.
pub(crate) fn item_key(ident: Option<&Ident>, key: &str) -> ScriptResult<String> {
    check_key(key)?;
    let mut item_key = String::with_capacity(ident.map_or(0, |ident| ident.0.len()) + 1 + key.len());
    for c in ident.map_or("", Ident::as_str).chars() {
        match c {
            '%' => item_key.push_str("%25"),
            ':' => item_key.push_str("%3A"),
            c => item_key.push(c),
        }
    }
    item_key.push(':');
    item_key.push_str(key);
    Ok(item_key)
}

/// Checks a key of `store` or `registry`.
pub(crate) fn check_key(key: &str) -> ScriptResult<()> {
    check("the key", key, MAX_SCRIPT_KEY_BYTES)
}

/// The text of a key that a script gave as bytes.
///
/// # Errors
/// `INVALID` if it is not UTF-8.
pub fn key_text(key: &[u8]) -> ScriptResult<&str> {
    str::from_utf8(key).map_err(|_| ScriptError::invalid("the key is not UTF-8"))
}

fn check(what: &str, text: &str, most: usize) -> ScriptResult<()> {
    if text.is_empty() {
        return Err(ScriptError::invalid(format!("{what} is empty")));
    }
    if text.len() > most {
        let length = text.len();
        return Err(ScriptError::invalid(format!("{what} has {length} bytes, at most {most} are allowed")));
    }
    match text.chars().position(char::is_control) {
        Some(at) => {
            Err(ScriptError::invalid(format!("{what} holds a control character (character {})", at + 1)))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;
    use storage_core::MAX_KEY_BYTES;

    use super::*;

    fn ident(text: &str) -> Ident {
        text.parse().unwrap()
    }

    #[test]
    fn item_keys_read_as_the_documents_show_them() {
        assert_eq!(item_key(Some(&ident("monitor-cpu")), "x").unwrap(), "monitor-cpu:x");
        assert_eq!(item_key(None, "versao_agente").unwrap(), ":versao_agente");
        assert_eq!(item_key(Some(&ident("a:b%")), "c:d").unwrap(), "a%3Ab%25:c:d");
    }

    #[test]
    fn the_longest_identity_and_key_fit_into_an_item() {
        let longest = item_key(Some(&ident(&":".repeat(MAX_IDENT_BYTES))), &"k".repeat(MAX_SCRIPT_KEY_BYTES));
        assert!(longest.unwrap().len() <= MAX_KEY_BYTES);
        assert!(item_key(None, &"k".repeat(MAX_SCRIPT_KEY_BYTES + 1)).is_err());
        assert!("i".repeat(MAX_IDENT_BYTES + 1).parse::<Ident>().is_err());
    }

    #[test]
    fn keys_outside_their_limits_are_refused() {
        for bad in ["", "a\nb", "\0", "\u{7f}", "\u{85}"] {
            assert!(item_key(None, bad).is_err() && bad.parse::<Ident>().is_err(), "{bad:?}");
        }
        assert!(key_text(b"\xff").is_err());
    }

    /// Joined as `ident:key`, ident `a` with key `b:c` met ident `a:b` with key `c`, and the global key `a:b:c` met both.
    #[test]
    fn a_million_identities_and_keys_meet_nowhere() {
        // Few letters and short words make the same texts over and over, cut in different places.
        const LETTERS: [&str; 8] = ["a", "b", ":", "%", "3A", "25", "%3A", "é"];
        let mut seen: HashMap<String, (Option<String>, String)> = HashMap::new();
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let mut word = |least: usize| -> String {
            (0..random.usize(least..5)).filter_map(|_| random.choice(LETTERS)).collect()
        };
        for _ in 0..1_000_000 {
            let (owner, key) = (Some(word(0)).filter(|owner| !owner.is_empty()), word(1));
            let encoded = item_key(owner.as_deref().map(ident).as_ref(), &key).unwrap();
            let before = seen.entry(encoded).or_insert_with(|| (owner.clone(), key.clone()));
            assert_eq!(*before, (owner, key));
        }
        assert!(seen.len() > 50_000, "the words are too few to mean anything: {}", seen.len());
    }

    proptest! {
        #[test]
        fn no_namespace_is_a_prefix_of_another(a in "[a%:é]{1,4}", b in "[a%:é]{1,4}", key in "[a%:]{1,4}") {
            prop_assume!(a != b);
            let foreign = item_key(Some(&ident(&b)), &key).unwrap();
            let namespace = item_key(Some(&ident(&a)), "x").unwrap();
            let namespace = namespace.strip_suffix('x').unwrap();
            prop_assert!(!foreign.starts_with(namespace));
            prop_assert!(!item_key(None, &key).unwrap().starts_with(namespace));
        }
    }
}
