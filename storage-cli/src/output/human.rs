//! Words for people: sizes, times, and text of unknown origin made safe for a terminal.

use std::{borrow::Cow, time::Duration};

use storage_manager::{StorageMetadata, Timestamp};

use crate::duration;

/// Text that may come from anyone, with everything escaped that a terminal would obey or reorder: control characters,
/// escape sequences, changes of writing direction, invisible and unassigned characters.
pub(crate) fn safe(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            ' '..='~' => out.push(c),
            _ => push_escaped(&mut out, c),
        }
    }
    Cow::Owned(out)
}

fn push_escaped(out: &mut String, c: char) {
    // A combining mark counts as printable only behind another character, as it is here.
    let pair = String::from_iter(['a', c]);
    out.extend(pair.escape_debug().skip(1));
}

/// A number of bytes with a binary unit: `5 B`, `1.2 KiB`.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1_024 {
        return format!("{bytes} B");
    }
    let mut unit_bytes: u128 = 1_024;
    let mut name = "KiB";
    for next in UNITS.into_iter().skip(1) {
        // One digit behind the point, rounded, must stay below 1,024.
        if u128::from(bytes) * 20 < unit_bytes * (1_024 * 20 - 1) {
            break;
        }
        unit_bytes *= 1_024;
        name = next;
    }
    let tenths = (u128::from(bytes) * 20 / unit_bytes).div_ceil(2);
    format!("{}.{} {name}", tenths / 10, tenths % 10)
}

/// A number with its noun: `1 item`, `1,234 items`.
pub(crate) fn items(count: u64) -> String {
    counted(count, "item", "items")
}

/// A number with the noun that fits it.
pub(crate) fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{} {}", grouped(count), if count == 1 { one } else { many })
}

/// A number with its digits in groups of three: `1,234`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// An instant cut to whole seconds; it can be copied into a filter.
pub(crate) fn seconds(time: Timestamp) -> String {
    let micros = time.as_micros();
    Timestamp::from_micros(micros - micros.rem_euclid(1_000_000)).unwrap_or(time).to_string()
}

/// When an item goes: `never`, `in 4m 59s`.
pub(crate) fn expiry(metadata: &StorageMetadata, now: Timestamp) -> String {
    metadata.expires_at.map_or_else(
        || "never".to_owned(),
        |at| format!("in {}", duration::humane(full_seconds(at.saturating_since(now)))),
    )
}

/// A span of a second or more rounded up, so that an hour is not shown as 59 minutes at once.
fn full_seconds(span: Duration) -> Duration {
    if span < Duration::from_secs(1) || span.subsec_nanos() == 0 {
        return span;
    }
    Duration::from_secs(span.as_secs().saturating_add(1))
}

/// Tags as `a=1 b=2`, or `-` without any.
pub(crate) fn tags(metadata: &StorageMetadata) -> String {
    let tags: Vec<_> = metadata.tags.iter().map(|(name, value)| format!("{name}={value}")).collect();
    if tags.is_empty() { "-".to_owned() } else { tags.join(" ") }
}

/// A word as a shell takes it: quoted only where it must be.
pub(crate) fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._+-/:=,@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_given_nothing_to_obey() {
        for (text, shown) in [
            ("plain 'text' \\ \"quoted\"", "plain 'text' \\ \"quoted\""),
            ("\u{1b}[31mred", "\\u{1b}[31mred"),
            ("a\nb\r\t\0", "a\\nb\\r\\t\\0"),
            ("a\u{202e}b\u{2066}c\u{200f}", "a\\u{202e}b\\u{2066}c\\u{200f}"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("日本 é e\u{301} 🦀", "日本 é e\u{301} 🦀"),
        ] {
            assert_eq!(safe(text), shown);
        }
    }

    #[test]
    fn sizes_are_rounded_to_one_digit() {
        for (size, text) in [
            (0, "0 B"),
            (1_023, "1023 B"),
            (1_024, "1.0 KiB"),
            (1_536, "1.5 KiB"),
            (1_048_575, "1.0 MiB"),
            (1_048_576, "1.0 MiB"),
            (10 * 1_048_576, "10.0 MiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(bytes(size), text);
        }
    }

    #[test]
    fn digits_are_grouped() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!((items(1), items(2)), ("1 item".to_owned(), "2 items".to_owned()));
    }

    #[test]
    fn seconds_are_cut_towards_the_past() {
        for (micros, text) in [(1_999_999, "1970-01-01T00:00:01Z"), (-1, "1969-12-31T23:59:59Z")] {
            assert_eq!(seconds(Timestamp::from_micros(micros).unwrap()), text);
        }
    }

    #[test]
    fn words_survive_a_shell() {
        assert_eq!(shell_word("a/b.rs"), "a/b.rs");
        assert_eq!(shell_word("*.rs"), "'*.rs'");
        assert_eq!(shell_word("it's"), r"'it'\''s'");
        assert_eq!(shell_word(""), "''");
    }
}
