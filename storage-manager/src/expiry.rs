//! How long an item lives.

use std::time::Duration;

use storage_core::{ErrorKind, Result, StorageError, Timestamp};

/// How long an item lives. Made from a [`Duration`] or a [`Timestamp`], or said by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Expiry {
    /// For ever.
    #[default]
    Never,
    /// For this long from now on: at least a microsecond.
    After(Duration),
    /// Until this instant, which must lie in the future.
    At(Timestamp),
}

impl Expiry {
    /// The deadline, seen from `now`.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if the time to live is shorter than a microsecond or ends after [`Timestamp::MAX`].
    pub(crate) fn deadline(self, now: Timestamp) -> Result<Option<Timestamp>> {
        let invalid = |message: String| Err(StorageError::new(ErrorKind::Invalid, message));
        match self {
            Self::Never => Ok(None),
            Self::At(deadline) => Ok(Some(deadline)),
            Self::After(ttl) if ttl < Duration::from_micros(1) => {
                invalid(format!("time to live is {ttl:?}, it must be at least 1µs"))
            }
            Self::After(ttl) => match now.checked_add(ttl) {
                Some(deadline) => Ok(Some(deadline)),
                None => invalid(format!("time to live is {ttl:?}, it would end after {}", Timestamp::MAX)),
            },
        }
    }
}

impl From<Duration> for Expiry {
    fn from(ttl: Duration) -> Self {
        Self::After(ttl)
    }
}

impl From<Timestamp> for Expiry {
    fn from(deadline: Timestamp) -> Self {
        Self::At(deadline)
    }
}

impl From<Option<Timestamp>> for Expiry {
    fn from(deadline: Option<Timestamp>) -> Self {
        deadline.map_or(Self::Never, Self::At)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_to_live_outside_the_range_is_invalid() {
        let now = Timestamp::UNIX_EPOCH;
        for bad in [Duration::ZERO, Duration::from_nanos(999), Duration::MAX, Duration::from_secs(1 << 40)] {
            let error = Expiry::After(bad).deadline(now).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{bad:?}");
        }
        let micro = Duration::from_micros(1);
        assert_eq!(Expiry::from(micro).deadline(now).unwrap(), now.checked_add(micro));
        assert_eq!(Expiry::Never.deadline(now).unwrap(), None);
    }
}
