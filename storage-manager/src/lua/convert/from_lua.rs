//! Out of the interpreter.

use std::ffi::c_void;

use bytes::Bytes;
use mlua::{LuaString, Table, Value};

use crate::script::{
    Budget, Excess, ScriptError, ScriptKey, ScriptLimits, ScriptResult, ScriptTable, ScriptValue, ValuePath,
};

/// The value of a script that `value` is: a copy, without metatables. Tables that are reached twice are copied twice.
///
/// On Luau, which has one type of numbers, whole numbers become integers.
///
/// # Errors
/// `INVALID`, naming the place in the value, for a function, a thread, userdata or another value that cannot be stored; for
/// a table as a key, or within itself; for more than `limits` allow.
///
/// ```
/// use storage_manager::{lua::{from_lua, mlua::Lua}, script::ScriptLimits};
///
/// let lua = Lua::new();
/// let value = lua.load("{ servers = { 'a', print } }").eval()?;
/// let error = from_lua(&value, ScriptLimits::default()).unwrap_err();
/// assert_eq!(error.message(), "value.servers[2]: a function cannot be stored");
/// # Ok::<(), storage_manager::lua::mlua::Error>(())
/// ```
pub fn from_lua(value: &Value, limits: ScriptLimits) -> ScriptResult<ScriptValue> {
    Walk::new(limits).value(value).map_err(Refusal::explain)
}

/// The way through one value, or through several that share the limits.
pub(crate) struct Walk {
    budget: Budget,
    /// The tables that are being copied, outermost first.
    ancestors: Vec<*const c_void>,
}

/// What cannot be stored, and where.
struct Refusal {
    what: Refused,
    path: ValuePath,
}

enum Refused {
    Kind(&'static str),
    Key(&'static str),
    Cycle,
    Excess(Excess),
    /// The interpreter failed.
    Broken(mlua::Error),
}

impl From<Refused> for Refusal {
    fn from(what: Refused) -> Self {
        Self { what, path: ValuePath::new() }
    }
}

impl From<Excess> for Refusal {
    fn from(excess: Excess) -> Self {
        Refused::Excess(excess).into()
    }
}

impl Refusal {
    fn within(self, key: ScriptKey) -> Self {
        Self { path: self.path.within(key), ..self }
    }

    fn explain(self) -> ScriptError {
        let Self { what, path } = self;
        match what {
            Refused::Kind(kind) => ScriptError::invalid(format!("{path}: a {kind} cannot be stored")),
            Refused::Key(kind) => ScriptError::invalid(format!("{path}: a {kind} cannot be stored as a key")),
            Refused::Cycle => ScriptError::invalid(format!("{path}: a table within itself cannot be stored")),
            Refused::Excess(excess) => excess.at(&path),
            Refused::Broken(error) => ScriptError::invalid(format!("{path}: {error}")),
        }
    }
}

impl Walk {
    pub(crate) fn new(limits: ScriptLimits) -> Self {
        Self { budget: Budget::new(limits), ancestors: Vec::new() }
    }

    /// A value that is called `key` in messages, as a member of another one is.
    pub(crate) fn member(&mut self, key: ScriptKey, value: &Value) -> ScriptResult<ScriptValue> {
        self.value(value).map_err(|refusal| refusal.within(key).explain())
    }

    fn value(&mut self, value: &Value) -> Result<ScriptValue, Refusal> {
        self.budget.spend(1)?;
        match value {
            Value::Nil => Ok(ScriptValue::Nil),
            Value::Boolean(value) => Ok(ScriptValue::Boolean(*value)),
            Value::Integer(value) => Ok(ScriptValue::Integer(*value)),
            Value::Number(value) => Ok(ScriptValue::Float(*value)),
            Value::String(text) => self.text(text).map(ScriptValue::String),
            Value::Table(table) => self.table(table).map(ScriptValue::Table),
            other => Err(Refused::Kind(other.type_name()).into()),
        }
    }

    fn text(&mut self, text: &LuaString) -> Result<Bytes, Refusal> {
        let bytes = text.as_bytes();
        self.budget.spend_bytes(bytes.len())?;
        Ok(Bytes::copy_from_slice(&bytes))
    }

    fn table(&mut self, table: &Table) -> Result<ScriptTable, Refusal> {
        if self.ancestors.contains(&table.to_pointer()) {
            return Err(Refused::Cycle.into());
        }
        self.budget.enter()?;
        self.ancestors.push(table.to_pointer());
        let copy = self.pairs(table)?;
        self.ancestors.pop();
        self.budget.leave();
        Ok(copy)
    }

    fn pairs(&mut self, table: &Table) -> Result<ScriptTable, Refusal> {
        let mut copy = ScriptTable::new();
        let mut refusal = None;
        let walked = table.for_each(|key: Value, value: Value| match self.pair(&key, &value) {
            Ok((key, value)) => {
                copy.insert(key, value);
                Ok(())
            }
            Err(found) => {
                refusal = Some(found);
                // Ends the walk; what it says is not looked at.
                Err(mlua::Error::runtime("refused"))
            }
        });
        match (refusal, walked) {
            (Some(refusal), _) => Err(refusal),
            (None, Err(error)) => Err(Refused::Broken(error).into()),
            (None, Ok(())) => Ok(copy),
        }
    }

    fn pair(&mut self, key: &Value, value: &Value) -> Result<(ScriptKey, ScriptValue), Refusal> {
        let key = self.key(key)?;
        match self.value(value) {
            Ok(value) => Ok((key, value)),
            Err(refusal) => Err(refusal.within(key)),
        }
    }

    fn key(&mut self, key: &Value) -> Result<ScriptKey, Refusal> {
        let refused = || Refusal::from(Refused::Key(key.type_name()));
        match key {
            Value::Boolean(key) => Ok(ScriptKey::Boolean(*key)),
            Value::Integer(key) => Ok(ScriptKey::Integer(*key)),
            Value::Number(key) => ScriptKey::from_float(*key).ok_or_else(refused),
            Value::String(key) => self.text(key).map(ScriptKey::String),
            _ => Err(refused()),
        }
    }
}
