//! Instants in microseconds, with RFC 3339 text at the edges.

use std::{
    fmt,
    str::FromStr,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{ErrorKind, Result, StorageError};

/// An instant: microseconds since the Unix epoch, UTC, between the years 0000 and 9999.
///
/// Its text form is RFC 3339, such as `2026-03-01T12:00:00.5Z`, in `Display`, `FromStr` and serde alike.
///
/// ```
/// use std::time::Duration;
/// use storage_core::Timestamp;
///
/// let start: Timestamp = "2026-03-01T12:00:00Z".parse()?;
/// let later = start.checked_add(Duration::from_millis(1_500)).unwrap();
/// assert_eq!(later.to_string(), "2026-03-01T12:00:01.5Z");
/// # Ok::<(), storage_core::StorageError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The first instant: 0000-01-01T00:00:00Z.
    pub const MIN: Self = Self(-62_167_219_200_000_000);
    /// The last instant: 9999-12-30T22:00:00Z.
    pub const MAX: Self = Self(253_402_207_200_000_000);
    /// 1970-01-01T00:00:00Z.
    pub const UNIX_EPOCH: Self = Self(0);

    /// The instant `micros` microseconds after the epoch, or `None` outside [`MIN`](Self::MIN)`..=`[`MAX`](Self::MAX).
    pub const fn from_micros(micros: i64) -> Option<Self> {
        if micros < Self::MIN.0 || micros > Self::MAX.0 { None } else { Some(Self(micros)) }
    }

    /// Microseconds since the epoch, negative before it.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// This instant plus `duration` (cut to whole microseconds), or `None` past [`MAX`](Self::MAX).
    pub fn checked_add(self, duration: Duration) -> Option<Self> {
        let micros = i64::try_from(duration.as_micros()).ok()?;
        Self::from_micros(self.0.checked_add(micros)?)
    }

    /// This instant plus `duration`, at most [`MAX`](Self::MAX).
    #[must_use]
    pub fn saturating_add(self, duration: Duration) -> Self {
        self.checked_add(duration).unwrap_or(Self::MAX)
    }

    /// This instant minus `duration`, at least [`MIN`](Self::MIN).
    #[must_use]
    pub fn saturating_sub(self, duration: Duration) -> Self {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_sub(micros).max(Self::MIN.0))
    }

    /// The time from `earlier` to this instant, zero if `earlier` is later.
    pub fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl From<SystemTime> for Timestamp {
    /// Cuts to whole microseconds and to the range of timestamps.
    fn from(time: SystemTime) -> Self {
        match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => Self::UNIX_EPOCH.saturating_add(since),
            Err(before) => Self::UNIX_EPOCH.saturating_sub(before.duration()),
        }
    }
}

impl From<Timestamp> for SystemTime {
    fn from(timestamp: Timestamp) -> Self {
        let distance = Duration::from_micros(timestamp.0.unsigned_abs());
        if timestamp.0 < 0 { Self::UNIX_EPOCH - distance } else { Self::UNIX_EPOCH + distance }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(time) => fmt::Display::fmt(&time, f),
            Err(_) => write!(f, "{} µs since the epoch", self.0),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Timestamp {
    type Err = StorageError;

    /// Parses RFC 3339 text with an offset, such as `2026-03-01T12:00:00+02:00`; digits finer than a microsecond are
    /// cut.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if the text is no RFC 3339 time within the range.
    fn from_str(text: &str) -> Result<Self> {
        let invalid = || {
            StorageError::new(
                ErrorKind::Invalid,
                format!("{text:?} is no time; write RFC 3339, such as 2026-03-01T12:00:00Z"),
            )
        };
        let time: jiff::Timestamp = text.parse().map_err(|_| invalid())?;
        let micros = time.as_nanosecond().div_euclid(1_000);
        i64::try_from(micros).ok().and_then(Self::from_micros).ok_or_else(invalid)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_the_range_have_a_text_that_reads_back() {
        for end in [Timestamp::MIN, Timestamp::UNIX_EPOCH, Timestamp::MAX] {
            assert_eq!(end.to_string().parse::<Timestamp>().unwrap(), end, "{end}");
        }
        assert_eq!(Timestamp::from_micros(i64::MAX), None);
        assert_eq!(Timestamp::from_micros(i64::MIN), None);
    }

    #[test]
    fn text_without_offset_or_outside_the_range_is_refused() {
        for bad in [
            "",
            "now",
            "2026-03-01",
            "2026-03-01T12:00:00",
            "2026-13-01T00:00:00Z",
            "-000001-01-01T00:00:00Z",
        ] {
            assert_eq!(bad.parse::<Timestamp>().unwrap_err().kind(), ErrorKind::Invalid, "{bad:?}");
        }
    }

    #[test]
    fn finer_digits_are_cut_towards_the_past_on_both_sides_of_the_epoch() {
        assert_eq!("1970-01-01T00:00:00.0000019Z".parse::<Timestamp>().unwrap().as_micros(), 1);
        assert_eq!("1969-12-31T23:59:59.9999999Z".parse::<Timestamp>().unwrap().as_micros(), -1);
    }

    #[test]
    fn arithmetic_saturates_instead_of_wrapping() {
        assert_eq!(Timestamp::MAX.saturating_add(Duration::MAX), Timestamp::MAX);
        assert_eq!(Timestamp::MIN.saturating_sub(Duration::MAX), Timestamp::MIN);
        assert_eq!(Timestamp::MIN.saturating_since(Timestamp::MAX), Duration::ZERO);
        assert_eq!(Timestamp::UNIX_EPOCH.checked_add(Duration::MAX), None);
    }
}
