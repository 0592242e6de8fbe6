//! How calls take their arguments and give their answers.

use mlua::{Function, IntoLuaMulti, Lua, MultiValue, Result, Value};

use super::error::error_object;
use crate::script::{ScriptError, ScriptResult, key_text};

/// A key as a script gave it. Numbers are not taken for text: `store.get(1)` and `store.get("1")` would be one key.
pub(crate) fn key(value: &Value) -> ScriptResult<String> {
    text("the key", value)
}

/// An argument that has to be text.
pub(crate) fn text(name: &str, value: &Value) -> ScriptResult<String> {
    match value {
        Value::String(text) => Ok(key_text(&text.as_bytes())?.to_owned()),
        other => Err(ScriptError::invalid(format!("{name} must be a string, it is a {}", kind(other)))),
    }
}

/// What a script calls the type of a value.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Integer(_) | Value::Number(_) => "number",
        other => other.type_name(),
    }
}

/// The results of a call, made by `show`: or the failure of the call, or that of a result that the interpreter cannot hold.
fn results<T, R: IntoLuaMulti>(
    lua: &Lua,
    answer: ScriptResult<T>,
    show: impl FnOnce(&Lua, T) -> Result<R>,
) -> Result<std::result::Result<R, Value>> {
    let error = match answer {
        Err(error) => return error_object(lua, &error).map(Err),
        Ok(value) => match show(lua, value) {
            Ok(results) => return Ok(Ok(results)),
            Err(error) => error,
        },
    };
    match error.downcast_ref::<ScriptError>() {
        Some(refusal) => error_object(lua, refusal).map(Err),
        None => Err(error),
    }
}

/// The answer of a call whose failures are its second result.
pub(crate) fn or_failure<T, R: IntoLuaMulti>(
    lua: &Lua,
    answer: ScriptResult<T>,
    show: impl FnOnce(&Lua, T) -> Result<R>,
) -> Result<MultiValue> {
    match results(lua, answer, show)? {
        Ok(results) => results.into_lua_multi(lua),
        Err(failure) => (Value::Nil, failure).into_lua_multi(lua),
    }
}

/// What the first result is of a call that failed; its second one is the error. No value of a script is this.
const REFUSED: Value = Value::NULL;

/// The answer of a call that is wrapped by [`raising`]. (Up to two results take a shorter way than more.)
pub(crate) fn or_refused<T, R: IntoLuaMulti>(
    lua: &Lua,
    answer: ScriptResult<T>,
    show: impl FnOnce(&Lua, T) -> Result<R>,
) -> Result<MultiValue> {
    match results(lua, answer, show)? {
        Ok(results) => results.into_lua_multi(lua),
        Err(failure) => (REFUSED, failure).into_lua_multi(lua),
    }
}

/// The function that calls `call` and raises its failures.
///
/// Only a script can raise an object; what the host raises is a text to the script, without a kind.
pub(crate) fn raising(lua: &Lua, name: &str, results: Results, call: Function) -> Result<Function> {
    const NONE: &str = "
        local call, refused, raise = ...
        return function(...)
            local first, failure = call(...)
            if first == refused then raise(failure, 0) end
        end";
    const TWO: &str = "
        local call, refused, raise = ...
        return function(...)
            local first, second = call(...)
            if first == refused then raise(second, 0) end
            return first, second
        end";
    let source = match results {
        Results::None => NONE,
        Results::Two => TWO,
    };
    let raise: Function = lua.globals().raw_get("error")?;
    lua.load(source).set_name(format!("={name}")).call((call, REFUSED, raise))
}

/// How many results a call has that does not fail.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Results {
    None,
    Two,
}
