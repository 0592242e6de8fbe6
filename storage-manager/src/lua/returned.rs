//! What a script returns to its host.

use mlua::{Function, Lua, MultiValue, Result, Value};

use super::convert::Walk;
use crate::script::{ScriptError, ScriptLimits, ScriptResult, ScriptValue};

/// The most values that are taken. More of them are counted, and stay in the memory that is the script's.
const MOST: usize = 64;

/// The function that calls a script, and returns how many values it returned before the values themselves.
pub(crate) fn few(lua: &Lua) -> Result<Function> {
    const FEW: &str = "
        local select, most = select, ...
        local function few(...)
            local count = select('#', ...)
            if count > most then return count end
            return count, ...
        end
        return function(script, ...) return few(script(...)) end";
    lua.load(FEW).set_name("=sandbox").call(MOST)
}

/// The values behind their number, which share the default limits.
pub(crate) fn take(mut values: MultiValue) -> ScriptResult<Vec<ScriptValue>> {
    if let Some(Value::Integer(count)) = values.pop_front()
        && usize::try_from(count).is_ok_and(|count| count > MOST)
    {
        return Err(ScriptError::invalid(format!(
            "the script returned {count} values, at most {MOST} are taken"
        )));
    }
    let mut walk = Walk::new(ScriptLimits::default());
    (1_i64..).zip(&values).map(|(number, value)| walk.member(number.into(), value)).collect()
}
