//! The identity of an item.

use std::fmt;

use crate::{
    ErrorKind, Result, StorageError,
    limits::{MAX_CONTENT_TYPE_BYTES, MAX_KEY_BYTES},
};

/// The identity of an item: its content type and its key, borrowed and validated.
///
/// The same key under two content types names two items. Both parts are compared byte for byte: never folded, trimmed
/// or normalised. A key is 1 to 1,024 bytes of UTF-8 without control characters; separators, dots, quotes, glob
/// characters and any script are fine. A content type is 1 to 255 bytes of ASCII letters, digits and `. _ + - / :`.
///
/// ```
/// use storage_core::ItemKey;
///
/// let key = ItemKey::new("profile", "user:1")?;
/// assert_eq!((key.content_type(), key.key()), ("profile", "user:1"));
/// # Ok::<(), storage_core::StorageError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ItemKey<'a> {
    content_type: &'a str,
    key: &'a str,
}

impl<'a> ItemKey<'a> {
    /// The identity of `key` under `content_type`.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if the content type is outside its limits, [`ErrorKind::InvalidKey`] if the key is.
    pub fn new(content_type: &'a str, key: &'a str) -> Result<Self> {
        check_content_type(content_type)?;
        check_key(key).map_err(|error| error.with_content_type(content_type))?;
        Ok(Self { content_type, key })
    }

    /// The content type.
    pub const fn content_type(self) -> &'a str {
        self.content_type
    }

    /// The key.
    pub const fn key(self) -> &'a str {
        self.key
    }
}

impl fmt::Debug for ItemKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{:?}", self.content_type, self.key)
    }
}

/// Checks a content type against the contract.
///
/// # Errors
/// [`ErrorKind::Invalid`] with what is wrong.
pub(crate) fn check_content_type(content_type: &str) -> Result<()> {
    let invalid = |message: String| Err(StorageError::new(ErrorKind::Invalid, message));
    if content_type.is_empty() {
        return invalid("content type is empty".into());
    }
    if content_type.len() > MAX_CONTENT_TYPE_BYTES {
        let length = content_type.len();
        return invalid(format!(
            "content type has {length} bytes, at most {MAX_CONTENT_TYPE_BYTES} are allowed"
        ));
    }
    let allowed =
        |c: char| matches!(c, 'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '_' | '+' | '-' | '/' | ':');
    match content_type.chars().find(|c| !allowed(*c)) {
        Some(c) => invalid(format!(
            "content type holds the character {c:?}, allowed are ASCII letters, digits and . _ + - / :"
        )),
        None => Ok(()),
    }
}

fn check_key(key: &str) -> Result<()> {
    let invalid = |message: String| Err(StorageError::new(ErrorKind::InvalidKey, message));
    if key.is_empty() {
        return invalid("key is empty".into());
    }
    if key.len() > MAX_KEY_BYTES {
        return invalid(format!("key has {} bytes, at most {MAX_KEY_BYTES} are allowed", key.len()));
    }
    // Most keys are plain ASCII, and every load checks one.
    if key.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Ok(());
    }
    match key.chars().position(char::is_control) {
        Some(position) => invalid(format!("key holds a control character (character {})", position + 1)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_limited_by_bytes_and_control_characters_alone() {
        for good in ["a", "..", "/", "\\", "a b", " ", "%_'\"", "[*?]", "{}", "日本", "\u{202e}", "CON"] {
            assert!(ItemKey::new("t", good).is_ok(), "{good:?}");
        }
        for bad in ["", "\0", "a\nb", "\r", "\u{7f}", "\u{85}"] {
            assert_eq!(ItemKey::new("t", bad).unwrap_err().kind(), ErrorKind::InvalidKey, "{bad:?}");
        }
        assert!(ItemKey::new("t", &"k".repeat(1_024)).is_ok());
        assert!(ItemKey::new("t", &"é".repeat(513)).is_err());
    }

    #[test]
    fn content_types_are_plain_ascii_names() {
        for good in ["session", "image/png", "application/vnd.a+json", "a:b_c-d.e"] {
            assert!(ItemKey::new(good, "k").is_ok(), "{good:?}");
        }
        for bad in ["", "a b", "é", "a*", "a\0", &"t".repeat(256)] {
            assert_eq!(ItemKey::new(bad, "k").unwrap_err().kind(), ErrorKind::Invalid, "{bad:?}");
        }
    }
}
