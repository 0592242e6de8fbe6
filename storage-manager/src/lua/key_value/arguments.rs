//! What scripts pass to the methods of handles.

use mlua::{MultiValue, Table, Value};

use crate::{
    lua::{
        answer::{self, kind, text},
        convert::from_lua,
    },
    script::{
        Increment, ListOptions, Number, Put, ScriptError, ScriptLimits, ScriptResult, ScriptValue, Ttl,
    },
};

/// The arguments of one call. One that is missing is nil.
pub(super) struct Arguments {
    /// Those of the store that is called.
    limits: ScriptLimits,
    values: MultiValue,
}

impl Arguments {
    pub(super) const fn new(limits: ScriptLimits, values: MultiValue) -> Self {
        Self { limits, values }
    }

    fn at(&self, index: usize) -> &Value {
        self.values.get(index).unwrap_or(&Value::Nil)
    }

    /// The first argument.
    pub(super) fn key(&self) -> ScriptResult<String> {
        answer::key(self.at(0))
    }

    pub(super) fn value(&self, index: usize) -> ScriptResult<ScriptValue> {
        from_lua(self.at(index), self.limits)
    }

    /// Seconds; nil is without end.
    pub(super) fn ttl(&self, index: usize) -> ScriptResult<Ttl> {
        Ok(ttl(self.at(index))?.unwrap_or_default())
    }

    /// `{ttl, only_if_absent, if_version}`.
    pub(super) fn put_options(&self, index: usize) -> ScriptResult<Put> {
        let mut put = Put::default();
        self.options("put", index, |name, value| {
            match name {
                "ttl" => put.ttl = ttl(value)?.unwrap_or_default(),
                "only_if_absent" => put.only_if_absent = boolean(name, value)?,
                "if_version" => put.if_version = Some(version(value)?),
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(put)
    }

    /// `{prefix, after, limit}`.
    pub(super) fn list_options(&self, index: usize) -> ScriptResult<ListOptions> {
        let mut list = ListOptions::default();
        self.options("list", index, |name, value| {
            match name {
                "prefix" => list.prefix = text(name, value)?,
                "after" => list.after = Some(text(name, value)?),
                "limit" => list.limit = Some(count(name, value)?),
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(list)
    }

    /// `step, init, ttl` behind the key.
    pub(super) fn increment(&self) -> ScriptResult<Increment> {
        let step = number("the step", self.at(1))?.unwrap_or(Increment::default().step);
        // What a number of Luau cannot hold could be stored, but not be answered.
        let most = if cfg!(feature = "luau") { 1 << 53 } else { i64::MAX };
        Ok(Increment { step, init: number("init", self.at(2))?, ttl: ttl(self.at(3))?, most })
    }

    /// Gives each pair of a table to `set`, which says whether it knows the name.
    fn options(
        &self,
        call: &str,
        index: usize,
        mut set: impl FnMut(&str, &Value) -> ScriptResult<bool>,
    ) -> ScriptResult<()> {
        let options = match self.at(index) {
            Value::Nil => return Ok(()),
            Value::Table(options) => options,
            other => return Err(wrong(&format!("the options of {call}"), "a table", other)),
        };
        for (name, value) in pairs(options)? {
            let name = text("the name of an option", &name)?;
            if !set(&name, &value)? {
                return Err(ScriptError::invalid(format!("{call} has no option {name:?}")));
            }
        }
        Ok(())
    }
}

/// More pairs than there are options cannot all be known.
fn pairs(options: &Table) -> ScriptResult<Vec<(Value, Value)>> {
    const MOST: usize = 16;
    let pairs = options.pairs().take(MOST).collect::<mlua::Result<_>>();
    pairs.map_err(|error| ScriptError::invalid(format!("the options cannot be read: {error}")))
}

fn ttl(value: &Value) -> ScriptResult<Option<Ttl>> {
    match number("the ttl", value)? {
        None => Ok(None),
        #[expect(clippy::cast_precision_loss, reason = "exact for 285 million years of seconds")]
        Some(Number::Integer(seconds)) => Ttl::from_seconds(seconds as f64).map(Some),
        Some(Number::Float(seconds)) => Ttl::from_seconds(seconds).map(Some),
    }
}

fn number(name: &str, value: &Value) -> ScriptResult<Option<Number>> {
    match value {
        Value::Nil => Ok(None),
        Value::Integer(number) => Ok(Some(Number::Integer(*number))),
        Value::Number(number) => Ok(Some(Number::Float(*number))),
        other => Err(wrong(name, "a number", other)),
    }
}

fn count(name: &str, value: &Value) -> ScriptResult<usize> {
    match value {
        Value::Integer(count) => usize::try_from(*count)
            .map_err(|_| ScriptError::invalid(format!("{name} is {count}, it must be 1 or more"))),
        other => Err(wrong(name, "a whole number", other)),
    }
}

fn boolean(name: &str, value: &Value) -> ScriptResult<bool> {
    match value {
        Value::Boolean(value) => Ok(*value),
        other => Err(wrong(name, "true or false", other)),
    }
}

/// Versions are text for scripts: those of other stores may exceed what numbers hold.
fn version(value: &Value) -> ScriptResult<u64> {
    let invalid = || ScriptError::invalid("if_version is no version of an entry");
    match value {
        Value::Integer(version) => u64::try_from(*version).map_err(|_| invalid()),
        other => text("if_version", other)?.parse().map_err(|_| invalid()),
    }
}

fn wrong(name: &str, wanted: &str, value: &Value) -> ScriptError {
    ScriptError::invalid(format!("{name} must be {wanted}, it is a {}", kind(value)))
}
