//! How a column holds deadlines.

use mysql_async::Value;
use storage_core::Timestamp;

use crate::plain::{elapsed_seconds, of_seconds, round_up, seconds};

/// What a column of deadlines counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deadlines {
    /// Whole seconds since 1970.
    Seconds,
    /// The server's own type for times, of this many microseconds each, in UTC.
    Times { step: i64 },
}

/// The beginning of the epoch. The sessions of this provider run in UTC.
const EPOCH: &str = "TIMESTAMP '1970-01-01 00:00:00'";

impl Deadlines {
    /// What a bound value becomes in the column.
    pub(super) fn stored(self) -> String {
        match self {
            Self::Seconds => "?".to_owned(),
            Self::Times { .. } => format!("({EPOCH} + INTERVAL ? MICROSECOND)"),
        }
    }

    /// What is read of the column.
    pub(super) fn shown(self, column: &str) -> String {
        match self {
            Self::Seconds => format!("CAST({column} AS SIGNED)"),
            Self::Times { .. } => format!("TIMESTAMPDIFF(MICROSECOND, {EPOCH}, {column})"),
        }
    }

    /// The condition that a deadline has not come. A number of 0 stands for none.
    pub(super) fn live(self, column: &str) -> String {
        match self {
            Self::Seconds => format!("({column} IS NULL OR {column} = 0 OR {column} > ?)"),
            Self::Times { .. } => format!("({column} IS NULL OR {column} > {})", self.stored()),
        }
    }

    /// The condition that a deadline has come.
    pub(super) fn expired(self, column: &str) -> String {
        match self {
            Self::Seconds => format!("({column} <> 0 AND {column} <= ?)"),
            Self::Times { .. } => format!("{column} <= {}", self.stored()),
        }
    }

    /// The deadline that the column keeps of this one, rounded up.
    pub(super) fn kept(self, time: Timestamp) -> Timestamp {
        match self {
            Self::Seconds => round_up(time),
            Self::Times { step } => {
                let micros = time.as_micros();
                let rest = micros.rem_euclid(step);
                let up = if rest == 0 { Some(micros) } else { micros.checked_add(step - rest) };
                up.and_then(Timestamp::from_micros).unwrap_or(Timestamp::MAX)
            }
        }
    }

    /// A deadline as it is bound.
    pub(super) fn bound(self, deadline: Option<Timestamp>) -> Value {
        deadline.map_or(Value::NULL, |deadline| match self {
            Self::Seconds => Value::Int(seconds(deadline)),
            Self::Times { .. } => Value::Int(self.kept(deadline).as_micros()),
        })
    }

    /// The time that it is, as it is compared with the column.
    pub(super) fn now(self, now: Timestamp) -> Value {
        match self {
            Self::Seconds => Value::Int(elapsed_seconds(now)),
            Self::Times { .. } => Value::Int(now.as_micros()),
        }
    }

    /// What [`shown`](Self::shown) says.
    pub(super) fn read(self, value: Option<i64>) -> Option<Timestamp> {
        match self {
            Self::Seconds => of_seconds(value),
            Self::Times { .. } => value.and_then(Timestamp::from_micros),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_are_rounded_up_to_what_the_column_can_hold() {
        let at = |micros| Timestamp::from_micros(micros).unwrap();
        for (step, micros, kept) in
            [(1, 7, 7), (1_000, 7, 1_000), (1_000, 1_000, 1_000), (1_000_000, 1, 1_000_000), (1_000, -1, 0)]
        {
            assert_eq!(Deadlines::Times { step }.kept(at(micros)), at(kept), "{micros} in steps of {step}");
        }
        assert_eq!(Deadlines::Times { step: 1_000_000 }.kept(Timestamp::MAX), Timestamp::MAX);
    }
}
