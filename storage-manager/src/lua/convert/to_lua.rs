//! Into the interpreter.

use mlua::{Lua, Result, Table, Value};

use crate::script::{ScriptError, ScriptErrorKind, ScriptKey, ScriptTable, ScriptValue, patience::Patience};

/// A fresh copy of `value` in the interpreter.
///
/// # Errors
/// The interpreter is out of memory. On Luau, whose numbers are floats: an integer that no float equals, which some other
/// program stored.
pub fn to_lua(lua: &Lua, value: &ScriptValue) -> Result<Value> {
    Walk { lua, patience: Patience::of_this_task() }.value(value)
}

struct Walk<'l> {
    lua: &'l Lua,
    patience: Patience,
}

impl Walk<'_> {
    fn value(&mut self, value: &ScriptValue) -> Result<Value> {
        if self.patience.is_over() {
            let error = ScriptError::new(ScriptErrorKind::Timeout, "the script is out of time");
            return Err(mlua::Error::external(error));
        }
        match value {
            ScriptValue::Nil => Ok(Value::Nil),
            ScriptValue::Boolean(value) => Ok(Value::Boolean(*value)),
            ScriptValue::Integer(value) => integer(*value),
            ScriptValue::Float(value) => Ok(Value::Number(*value)),
            ScriptValue::String(value) => self.lua.create_string(value).map(Value::String),
            ScriptValue::Table(value) => self.table(value).map(Value::Table),
        }
    }

    fn table(&mut self, value: &ScriptTable) -> Result<Table> {
        let rest = value.rest();
        let table = self.lua.create_table_with_capacity(value.sequence().len(), rest.len())?;
        for value in value.sequence() {
            table.raw_push(self.value(value)?)?;
        }
        for (key, value) in rest {
            table.raw_set(self.key(key)?, self.value(value)?)?;
        }
        Ok(table)
    }

    fn key(&self, key: &ScriptKey) -> Result<Value> {
        match key {
            ScriptKey::Boolean(key) => Ok(Value::Boolean(*key)),
            ScriptKey::Integer(key) => integer(*key),
            ScriptKey::Float(key) => Ok(Value::Number(key.get())),
            ScriptKey::String(key) => self.lua.create_string(key).map(Value::String),
        }
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
