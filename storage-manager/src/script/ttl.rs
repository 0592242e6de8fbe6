//! Times to live in seconds, as scripts give them.

use std::time::Duration;

use storage_core::{Clock, Timestamp};

use super::{ScriptError, ScriptResult};

/// How long an entry lives: for a number of seconds with fractions, or without end.
///
/// ```
/// use storage_manager::script::Ttl;
///
/// assert_eq!(Ttl::from_seconds(0.0)?, Ttl::NONE);
/// assert_eq!(Ttl::from_seconds(1.5)?.as_seconds(), Some(1.5));
/// assert!(Ttl::from_seconds(-1.0).is_err());
/// # Ok::<(), storage_manager::script::ScriptError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ttl(Option<Duration>);

impl Ttl {
    /// Without end.
    pub const NONE: Self = Self(None);

    /// `seconds` from now on; 0 is without end. A part of a microsecond counts as a whole one, so that nothing that was
    /// meant to end lives for ever.
    ///
    /// # Errors
    /// `INVALID` if it is negative, NaN or infinite, or so long that it would end after the year 9999.
    pub fn from_seconds(seconds: f64) -> ScriptResult<Self> {
        if seconds == 0.0 {
            return Ok(Self::NONE);
        }
        let invalid = |why: &str| ScriptError::invalid(format!("the ttl is {seconds}, it {why}"));
        if !seconds.is_finite() || seconds < 0.0 {
            return Err(invalid("must be a number of seconds, 0 or more"));
        }
        let ttl = Duration::try_from_secs_f64(seconds).map_err(|_| invalid("is too long"))?;
        if Timestamp::UNIX_EPOCH.checked_add(ttl).is_none() {
            return Err(invalid("is too long"));
        }
        Ok(Self(Some(ttl.max(Duration::from_micros(1)))))
    }

    /// The seconds; `None` without end.
    pub fn as_seconds(self) -> Option<f64> {
        self.0.map(|ttl| ttl.as_secs_f64())
    }

    /// The instant at which an entry that is written now ends.
    pub(crate) fn deadline(self, clock: &dyn Clock) -> ScriptResult<Option<Timestamp>> {
        let Some(ttl) = self.0 else { return Ok(None) };
        let too_long = || ScriptError::invalid(format!("the ttl is {}, it is too long", ttl.as_secs_f64()));
        clock.now().checked_add(ttl).map(Some).ok_or_else(too_long)
    }

    pub(crate) fn doubled(self) -> Self {
        Self(self.0.map(|ttl| ttl.saturating_mul(2)))
    }

    /// What is left of the life of an entry, at least a microsecond: whoever is told of the entry was told that it lives.
    pub(crate) fn left(expires_at: Option<Timestamp>, clock: &dyn Clock) -> Self {
        Self(expires_at.map(|at| at.saturating_since(clock.now()).max(Duration::from_micros(1))))
    }
}

impl From<Duration> for Ttl {
    /// A duration of zero is without end, as 0 seconds are.
    fn from(ttl: Duration) -> Self {
        Self(Some(ttl).filter(|ttl| !ttl.is_zero()).map(|ttl| ttl.max(Duration::from_micros(1))))
    }
}

#[cfg(test)]
mod tests {
    use storage_core::ManualClock;

    use super::*;

    #[test]
    fn seconds_have_fractions_and_limits() {
        let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
        let micros = |seconds: f64| {
            let deadline = Ttl::from_seconds(seconds).and_then(|ttl| ttl.deadline(&clock));
            deadline.map(|at| at.map(Timestamp::as_micros)).map_err(|error| error.kind().as_str())
        };
        for (seconds, expected) in [
            (0.0, Ok(None)),
            (-0.0, Ok(None)),
            (1.0, Ok(Some(1_000_000))),
            (0.25, Ok(Some(250_000))),
            (1e-6, Ok(Some(1))),
            (1e-9, Ok(Some(1))),
            (1e-300, Ok(Some(1))),
            (300.0, Ok(Some(300_000_000))),
            (-1.0, Err("INVALID")),
            (-1e-300, Err("INVALID")),
            (f64::NAN, Err("INVALID")),
            (f64::INFINITY, Err("INVALID")),
            (f64::NEG_INFINITY, Err("INVALID")),
            (1e12, Err("INVALID")),
            (1e308, Err("INVALID")),
        ] {
            assert_eq!(micros(seconds), expected, "{seconds}");
        }
    }

    #[test]
    fn what_is_left_is_never_nothing() {
        let clock = ManualClock::default();
        let now = clock.now();
        assert_eq!(Ttl::left(None, &clock), Ttl::NONE);
        assert_eq!(Ttl::left(Some(now), &clock).as_seconds(), Some(1e-6));
        let later = now.saturating_add(Duration::from_millis(1_500));
        assert_eq!(Ttl::left(Some(later), &clock).as_seconds(), Some(1.5));
    }
}
