//! Until when a script may keep its thread busy.

use std::time::Instant;

tokio::task_local! {
    /// The deadline of the script that the current task runs.
    static UNTIL: Instant;
}

/// Does the work of a script whose time ends at `end`: what it encodes, decodes or converts is given up then. Nothing else
/// would interrupt that, because it happens within one call of the script.
#[cfg(any(feature = "lua54", feature = "luau"))]
pub(crate) async fn until<T>(end: Option<Instant>, work: impl Future<Output = T>) -> T {
    match end {
        Some(end) => UNTIL.scope(end, work).await,
        None => work.await,
    }
}

/// Looks at the clock now and then.
#[derive(Debug, Clone)]
pub(crate) struct Patience {
    until: Option<Instant>,
    steps: u32,
}

/// Steps between two looks at the clock: less than a millisecond of any work.
const STEPS: u32 = 4_096;

impl Patience {
    /// That with the script of the current task, or without end.
    pub(crate) fn of_this_task() -> Self {
        Self { until: UNTIL.try_with(|until| *until).ok(), steps: 0 }
    }

    /// Counts a step of work, and says whether it is time to give up.
    pub(crate) fn is_over(&mut self) -> bool {
        self.steps += 1;
        if self.steps < STEPS {
            return false;
        }
        self.steps = 0;
        self.until.is_some_and(|until| Instant::now() >= until)
    }
}

#[cfg(test)]
mod tests {
    use storage_core::ErrorKind;

    use super::*;
    use crate::script::{ScriptErrorKind, ScriptLimits, ScriptTable, ScriptValue, decode, encode};

    /// A value of a million parts was written and read to its end, whatever time its script had left.
    #[tokio::test]
    async fn a_large_value_is_neither_written_nor_read_beyond_the_deadline() {
        let limits = ScriptLimits::default();
        let value = ScriptValue::from(ScriptTable::from(vec![1; 10_000]));
        let bytes = encode(&value, limits).unwrap();
        UNTIL
            .scope(Instant::now(), async {
                assert_eq!(encode(&value, limits).unwrap_err().kind(), ScriptErrorKind::Timeout);
                assert_eq!(decode(&bytes, limits).unwrap_err().kind(), ErrorKind::Timeout);
            })
            .await;
        assert_eq!(decode(&bytes, limits).unwrap(), value);
    }
}
