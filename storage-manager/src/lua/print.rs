//! `print`, to where the host wants it.

use mlua::{Error, Function, Lua, LuaString, Result, Value, Variadic};

use super::sandbox::PrintSink;

/// A `print` that joins its arguments by tabs and gives the line to `sink`.
pub(crate) fn function(lua: &Lua, sink: PrintSink) -> Result<Function> {
    // The function and not the global: a script may put something else there.
    let tostring: Function = lua.globals().raw_get("tostring")?;
    let print = lua.create_function(move |_, values: Variadic<Value>| {
        let line = line(&tostring, &values)?;
        sink(&line).map_err(|error| Error::runtime(format!("print: {error}")))
    })?;
    few(lua, print)
}

/// `print` for so few values that handing them over takes no time: nothing interrupts that.
fn few(lua: &Lua, print: Function) -> Result<Function> {
    const FEW: &str = "
        local print, select, error = ...
        return function(...)
            if select('#', ...) > 1000 then error('print: more than 1000 values', 2) end
            return print(...)
        end";
    let globals = lua.globals();
    let (select, error): (Function, Function) = (globals.raw_get("select")?, globals.raw_get("error")?);
    lua.load(FEW).set_name("=sandbox").call((print, select, error))
}

/// The most bytes of one line. They are the host's memory, which the limit of the script does not count.
const MOST_LINE: usize = 1 << 20;

fn line(tostring: &Function, values: &[Value]) -> Result<Vec<u8>> {
    let mut line = Vec::new();
    for (at, value) in values.iter().enumerate() {
        if at > 0 {
            line.push(b'\t');
        }
        match value {
            Value::String(text) => append(&mut line, text)?,
            other => append(&mut line, &tostring.call(other)?)?,
        }
    }
    Ok(line)
}

fn append(line: &mut Vec<u8>, text: &LuaString) -> Result<()> {
    let bytes = text.as_bytes();
    if line.len() + bytes.len() > MOST_LINE {
        return Err(Error::runtime(format!("print: a line of more than {MOST_LINE} bytes")));
    }
    line.extend_from_slice(&bytes);
    Ok(())
}
