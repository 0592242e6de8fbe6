//! Into the interpreter.

use mlua::{Lua, Result, Table, Value};

use super::from_lua::STEPS;
use crate::lua::deadline::Deadline;

#[cfg(feature = "luau")]
use crate::script::{ScriptError, ScriptErrorKind};
use crate::script::{ScriptKey, ScriptTable, ScriptValue};

/// A fresh copy of `value` in the interpreter.
///
/// # Errors
/// The interpreter is out of memory. On Luau, whose numbers are floats: an integer that no float equals, which some other
/// program stored.
pub fn to_lua(lua: &Lua, value: &ScriptValue) -> Result<Value> {
    match value {
        ScriptValue::Nil => Ok(Value::Nil),
        ScriptValue::Boolean(value) => Ok(Value::Boolean(*value)),
        ScriptValue::Integer(value) => integer(*value),
        ScriptValue::Float(value) => Ok(Value::Number(*value)),
        ScriptValue::String(value) => lua.create_string(value).map(Value::String),
        ScriptValue::Table(value) => table(lua, value).map(Value::Table),
    }
}

fn table(lua: &Lua, value: &ScriptTable) -> Result<Table> {
    let rest = value.rest();
    let table = lua.create_table_with_capacity(value.sequence().len(), rest.len())?;
    let deadline = Deadline::of(lua);
    for (value, step) in value.sequence().iter().zip(0..) {
        check_time(deadline.as_deref(), step)?;
        table.raw_push(to_lua(lua, value)?)?;
    }
    for ((key, value), step) in rest.zip(0..) {
        check_time(deadline.as_deref(), step)?;
        table.raw_set(self::key(lua, key)?, to_lua(lua, value)?)?;
    }
    Ok(table)
}

/// Gives up at the deadline of the script: nothing else interrupts a conversion.
fn check_time(deadline: Option<&Deadline>, step: usize) -> Result<()> {
    match deadline {
        Some(deadline) if step.is_multiple_of(STEPS) => deadline.check().map(|_| ()),
        _ => Ok(()),
    }
}

fn key(lua: &Lua, key: &ScriptKey) -> Result<Value> {
    match key {
        ScriptKey::Boolean(key) => Ok(Value::Boolean(*key)),
        ScriptKey::Integer(key) => integer(*key),
        ScriptKey::Float(key) => Ok(Value::Number(key.get())),
        ScriptKey::String(key) => lua.create_string(key).map(Value::String),
    }
}

#[cfg(feature = "lua54")]
#[expect(clippy::unnecessary_wraps, reason = "Luau has fewer integers")]
const fn integer(value: i64) -> Result<Value> {
    Ok(Value::Integer(value))
}

/// A wrong number would be worse than none: keys and amounts are numbers too.
#[cfg(feature = "luau")]
fn integer(value: i64) -> Result<Value> {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "looks for exactly that"
    )]
    let is_exact = value as f64 as i128 == i128::from(value);
    if is_exact {
        return Ok(Value::Integer(value));
    }
    let message = format!("the stored integer {value} cannot be held by a number of Luau");
    Err(mlua::Error::external(ScriptError::new(ScriptErrorKind::Internal, message)))
}
