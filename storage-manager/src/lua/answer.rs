//! How calls take their arguments and give their answers.

use mlua::{Function, IntoLuaMulti, Lua, MultiValue, Result, Value};

use super::error::failure;
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
) -> Result<std::result::Result<MultiValue, MultiValue>> {
    let shown = match answer {
        Ok(value) => show(lua, value).and_then(|values| values.into_lua_multi(lua)),
        Err(error) => return failure(lua, &error).map(Err),
    };
    match shown {
        Ok(values) => Ok(Ok(values)),
        Err(error) => match error.downcast_ref::<ScriptError>() {
            Some(refusal) => failure(lua, refusal).map(Err),
            None => Err(error),
        },
    }
}

/// The answer of a call whose failures are its second result.
pub(crate) fn or_failure<T, R: IntoLuaMulti>(
    lua: &Lua,
    answer: ScriptResult<T>,
    show: impl FnOnce(&Lua, T) -> Result<R>,
) -> Result<MultiValue> {
    results(lua, answer, show).map(|results| results.unwrap_or_else(|failure| failure))
}

/// The answer of a call that is wrapped by [`raising`]: the error, or nil and the results.
pub(crate) fn or_raised<T, R: IntoLuaMulti>(
    lua: &Lua,
    answer: ScriptResult<T>,
    show: impl FnOnce(&Lua, T) -> Result<R>,
) -> Result<MultiValue> {
    match results(lua, answer, show)? {
        Ok(mut values) => {
            values.push_front(Value::Nil);
            Ok(values)
        }
        Err(mut failure) => {
            failure.pop_front();
            Ok(failure)
        }
    }
}

/// The function that calls `function`, whose first result is nil or a failure, and raises that.
///
/// Only a script can raise an object; what the host raises is a text to the script, without a kind.
pub(crate) fn raising(lua: &Lua, name: &str, function: Function) -> Result<Function> {
    const RAISE: &str = "
        local call, raise = ...
        local function check(failure, ...)
            if failure ~= nil then raise(failure, 0) end
            return ...
        end
        return function(...) return check(call(...)) end";
    let raise: Function = lua.globals().raw_get("error")?;
    lua.load(RAISE).set_name(format!("={name}")).call((function, raise))
}
