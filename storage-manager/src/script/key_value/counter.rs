//! Changes that depend on what is there: counting up, and replacing what exists.

use std::time::Duration;

use storage_core::{Bytes, Condition, ErrorKind, StorageError, StorageItem};

use super::{
    handle::{KeyValueStore, check_value},
    stores::Store,
};
use crate::script::{Action, ScriptError, ScriptErrorKind, ScriptResult, ScriptValue, Ttl, items::Write};

/// A number of a script: whole or with a fraction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// A whole number of 64 bits.
    Integer(i64),
    /// A number with a fraction.
    Float(f64),
}

impl Number {
    /// The sum, by the rules of Lua: whole if both are whole.
    ///
    /// # Errors
    /// `INVALID` if a whole sum exceeds 64 bits or another one is not finite: a counter neither wraps around nor gets
    /// stuck at infinity.
    pub fn checked_add(self, step: Self) -> ScriptResult<Self> {
        match (self, step) {
            (Self::Integer(a), Self::Integer(b)) => a
                .checked_add(b)
                .map(Self::Integer)
                .ok_or_else(|| ScriptError::invalid("the sum exceeds the range of integers")),
            (a, b) => {
                let sum = a.as_float() + b.as_float();
                let finite = Some(sum).filter(|sum| sum.is_finite()).map(Self::Float);
                finite.ok_or_else(|| ScriptError::invalid("the sum is not a finite number"))
            }
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "what Lua does when it adds an integer to a float")]
    const fn as_float(self) -> f64 {
        match self {
            Self::Integer(value) => value as f64,
            Self::Float(value) => value,
        }
    }
}

impl From<Number> for ScriptValue {
    fn from(number: Number) -> Self {
        match number {
            Number::Integer(value) => Self::Integer(value),
            Number::Float(value) => Self::Float(value),
        }
    }
}

impl TryFrom<&ScriptValue> for Number {
    type Error = ScriptError;

    fn try_from(value: &ScriptValue) -> ScriptResult<Self> {
        match value {
            ScriptValue::Integer(value) => Ok(Self::Integer(*value)),
            ScriptValue::Float(value) => Ok(Self::Float(*value)),
            other => Err(ScriptError::invalid(format!("the value is a {}, not a number", other.type_name()))),
        }
    }
}

/// How [`incr`](KeyValueStore::incr) counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Increment {
    /// What is added; may be negative. Default: 1.
    pub step: Number,
    /// What is counted up from if there is no entry. Default: none, and then that is an error.
    pub init: Option<Number>,
    /// How long an entry lives that this call makes. Goes with `init`; an entry that is there keeps its deadline.
    pub ttl: Option<Ttl>,
    /// The largest whole sum, and without its sign the least, for a script language that holds no more. A sum beyond it is
    /// `INVALID`. Default: that of 64 bits.
    pub most: i64,
}

impl Default for Increment {
    fn default() -> Self {
        Self { step: Number::Integer(1), init: None, ttl: None, most: i64::MAX }
    }
}

impl Increment {
    fn check(self) -> ScriptResult<()> {
        if self.ttl.is_some() && self.init.is_none() {
            return Err(ScriptError::invalid("a ttl goes with init: it is for the entry that is made"));
        }
        Ok(())
    }

    fn add_to(self, number: Number) -> ScriptResult<Number> {
        match number.checked_add(self.step)? {
            // The least integer of 64 bits has no counterpart.
            Number::Integer(sum) if self.most < i64::MAX && sum.unsigned_abs() > self.most.unsigned_abs() => {
                Err(ScriptError::invalid(format!("the sum exceeds {}", self.most)))
            }
            sum => Ok(sum),
        }
    }
}

impl KeyValueStore {
    /// Adds to the number under `key` in one atomic step, also among several processes, and returns the sum. Without an
    /// entry, `init` plus the step is stored.
    ///
    /// The deadline of an entry is kept, as are its tags and its encoding; `ttl` is for an entry that this call makes.
    /// So the window of a rate limit ends when it was meant to, however often it is counted. Whole numbers stay whole as
    /// long as all parts are.
    ///
    /// Needs the permissions to read and to write the key, and a tokio runtime with timers.
    ///
    /// # Errors
    /// `NOT_FOUND` if there is neither an entry nor `init`; `INVALID` if the value is no number, if the sum is out of
    /// range, or for a `ttl` without `init`; `CONFLICT`, retryable, if the entry keeps changing under way; those of
    /// every call. In all these cases the entry is as it was.
    pub async fn incr(&self, key: &str, increment: Increment) -> ScriptResult<Number> {
        let store = self.prepare(Action::KeyGet, key)?;
        self.prepare(Action::KeySet, key)?;
        increment.check()?;
        store.change(key, move || store.count_up(key, increment)).await
    }

    /// Stores a value if there is an entry, and says whether there was one. The deadline is the new `ttl`, as with
    /// [`set`](Self::set). Needs a tokio runtime with timers.
    ///
    /// # Errors
    /// As [`set`](Self::set); `CONFLICT`, retryable, if the entry keeps changing under way.
    pub async fn replace(&self, key: &str, value: &ScriptValue, ttl: Ttl) -> ScriptResult<bool> {
        let store = self.prepare(Action::KeySet, key)?;
        check_value(value)?;
        let data = store.items.encode(value)?;
        let data = &data;
        store.change(key, move || store.replace(key, data, ttl)).await
    }
}

/// Attempts before a change gives up. Every failed one means that somebody else's change went through.
const MOST_ATTEMPTS: u32 = 100;
/// Longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_millis(10);

impl Store {
    /// Makes `attempt` until nothing came in between.
    async fn change<T, F>(&self, key: &str, attempt: impl Fn() -> F) -> ScriptResult<T>
    where
        F: Future<Output = ScriptResult<Attempt<T>>>,
    {
        let _turn = self.turns.wait(key).await;
        for round in 0..MOST_ATTEMPTS {
            if let Attempt::Done(answer) = attempt().await? {
                return Ok(answer);
            }
            pause(round).await;
        }
        let message = format!("the entry changed {MOST_ATTEMPTS} times under way");
        Err(ScriptError::new(ScriptErrorKind::Conflict, message).and_retryable())
    }

    async fn count_up(&self, key: &str, increment: Increment) -> ScriptResult<Attempt<Number>> {
        let Some(item) = self.items.load(&self.content_type, key).await? else {
            return self.begin_counting(key, increment).await;
        };
        let sum = increment.add_to(Number::try_from(&self.items.value(&item)?)?)?;
        let updated = self.items.update(&item.metadata, &sum.into()).await;
        self.settle(&item, updated.map(|()| sum))
    }

    async fn begin_counting(&self, key: &str, increment: Increment) -> ScriptResult<Attempt<Number>> {
        let Some(init) = increment.init else {
            return Err(ScriptError::new(ScriptErrorKind::NotFound, "there is no entry to count up"));
        };
        let sum = increment.add_to(init)?;
        let expires_at = increment.ttl.unwrap_or_default().deadline(self.items.clock())?;
        let write = Write { expires_at, condition: Condition::Absent };
        match self.items.save(&self.content_type, key, &sum.into(), write).await {
            Ok(_) => Ok(Attempt::Done(sum)),
            Err(error) if error.kind() == ScriptErrorKind::AlreadyExists => Ok(Attempt::Overtaken),
            Err(error) => Err(error),
        }
    }

    async fn replace(&self, key: &str, data: &Bytes, ttl: Ttl) -> ScriptResult<Attempt<bool>> {
        let Some(item) = self.items.load(&self.content_type, key).await? else {
            return Ok(Attempt::Done(false));
        };
        let expires_at = ttl.deadline(self.items.clock())?;
        let write = Write { expires_at, condition: Condition::Version(item.metadata.version) };
        let saved = self.items.write(&self.content_type, key, data.clone(), write).await;
        self.settle(&item, saved.map(|_| true))
    }

    /// Whether a write under the version of `item` was overtaken by another one, or by the end of the item's life.
    fn settle<T>(&self, item: &StorageItem, written: ScriptResult<T>) -> ScriptResult<Attempt<T>> {
        match written {
            Ok(answer) => Ok(Attempt::Done(answer)),
            Err(error) if error.kind() == ScriptErrorKind::Conflict => Ok(Attempt::Overtaken),
            // A provider refuses the old deadline if it passed since the item was loaded.
            Err(error) if is_invalid(&error) && self.is_over(item) => Ok(Attempt::Overtaken),
            Err(error) => Err(error),
        }
    }

    fn is_over(&self, item: &StorageItem) -> bool {
        !item.metadata.is_live(self.items.clock().now())
    }
}

fn is_invalid(error: &ScriptError) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<StorageError>());
    cause.is_some_and(|cause| cause.kind() == ErrorKind::Invalid)
}

enum Attempt<T> {
    Done(T),
    Overtaken,
}

/// Steps aside for a random while, all contenders alike however long they have tried, because whoever waits longer the
/// more often it lost would lose for ever.
async fn pause(round: u32) {
    // The first losses are mostly chance.
    if round >= 3 {
        tokio::time::sleep(LONGEST_PAUSE.mul_f64(fastrand::f64())).await;
    }
}
