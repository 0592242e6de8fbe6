//! Spans of time as people write them: `90s`, `1h30m`.

use std::time::Duration;

const UNITS: [(&str, u64); 6] = [
    ("w", 7 * 24 * 3_600_000),
    ("d", 24 * 3_600_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Reads whole numbers with units, the largest unit first: `90s`, `5m`, `2h`, `7d`, `1h30m`, `250ms`, `2w`.
///
/// # Errors
/// What is wrong with the text, in words for people.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    if text.starts_with('-') {
        return Err("a time to live cannot be negative".into());
    }
    let mut rest = text;
    let mut total: u64 = 0;
    let mut smallest = u64::MAX;
    while !rest.is_empty() {
        let (amount, unit, behind) = next_part(rest)?;
        if unit >= smallest {
            return Err("units run from large to small, each at most once, such as 1h30m".into());
        }
        let part = amount.checked_mul(unit).ok_or_else(too_long)?;
        total = total.checked_add(part).ok_or_else(too_long)?;
        (smallest, rest) = (unit, behind);
    }
    if total == 0 {
        return Err(if text.is_empty() { form() } else { "a time to live must be longer than zero".into() });
    }
    Ok(Duration::from_millis(total))
}

/// The first number of `text`, the milliseconds of its unit, and what follows.
fn next_part(text: &str) -> Result<(u64, u64, &str), String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, behind) = text.split_at(digits);
    if number.is_empty() {
        return Err(form());
    }
    let letters = behind.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(behind.len());
    let (name, rest) = behind.split_at(letters);
    let (_, unit) = UNITS.iter().find(|(unit, _)| *unit == name).ok_or_else(form)?;
    let amount = number.parse().map_err(|_| too_long())?;
    Ok((amount, *unit, rest))
}

fn form() -> String {
    "write whole numbers with the unit w, d, h, m, s or ms, such as 90s, 5m, 2h, 7d or 1h30m".into()
}

fn too_long() -> String {
    "this is longer than any deadline can be".into()
}

/// A span with its two largest units, such as `4m 59s`; spans under a second in milliseconds.
pub(crate) fn humane(span: Duration) -> String {
    let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    if millis < 1_000 {
        return format!("{millis}ms");
    }
    let mut rest = millis;
    let mut parts = Vec::new();
    // Weeks and milliseconds add nothing that days and seconds do not say.
    for (name, unit) in UNITS.iter().filter(|(name, _)| !matches!(*name, "w" | "ms")) {
        if rest >= *unit && parts.len() < 2 {
            parts.push(format!("{}{name}", rest / unit));
            rest %= unit;
        } else if !parts.is_empty() {
            break;
        }
    }
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_with_units_add_up() {
        for (text, seconds) in [("90s", 90), ("5m", 300), ("2h", 7_200), ("7d", 604_800), ("1h30m", 5_400)] {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(parse("1s1ms"), Ok(Duration::from_millis(1_001)));
        assert_eq!(parse("2w0d"), Ok(Duration::from_secs(1_209_600)));
    }

    #[test]
    fn everything_else_says_what_is_wrong() {
        for (bad, why) in [
            ("", "such as 90s"),
            ("90", "such as 90s"),
            ("s", "such as 90s"),
            ("1.5h", "such as 90s"),
            ("NaN", "such as 90s"),
            ("inf", "such as 90s"),
            ("1y", "such as 90s"),
            (" 1s", "such as 90s"),
            ("1s ", "such as 90s"),
            ("٣s", "such as 90s"),
            ("-5s", "negative"),
            ("0s", "longer than zero"),
            ("0h0ms", "longer than zero"),
            ("30m1h", "large to small"),
            ("1s1s", "large to small"),
            ("99999999999999999999s", "longer than any"),
            ("18446744073709551615d", "longer than any"),
        ] {
            let error = parse(bad).unwrap_err();
            assert!(error.contains(why), "{bad:?}: {error}");
        }
    }

    #[test]
    fn spans_read_well() {
        for (millis, text) in [
            (0, "0ms"),
            (999, "999ms"),
            (1_000, "1s"),
            (299_000, "4m 59s"),
            (3_600_000, "1h"),
            (3_605_000, "1h"),
            (90_000_000, "1d 1h"),
        ] {
            assert_eq!(humane(Duration::from_millis(millis)), text);
        }
    }
}
