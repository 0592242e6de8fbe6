//! The globals that a script finds: a list of what is allowed, so that what a later interpreter adds is not.

use mlua::{Error, Function, Lua, LuaString, Result, Table, Value};

use super::{deadline::Deadline, print, sandbox::PrintSink, strings};

/// What stays of the base library, as `print` replaced.
const BASE: &[&str] = &[
    "_G",
    "_VERSION",
    "assert",
    "error",
    "getmetatable",
    "ipairs",
    "next",
    "pairs",
    "pcall",
    "print",
    "rawequal",
    "rawget",
    "rawlen",
    "rawset",
    "select",
    "setmetatable",
    "tonumber",
    "tostring",
    "type",
    "xpcall",
    // The interpreter's own until the script starts: see `seal`.
    "coroutine",
    // Luau only.
    "typeof",
    "unpack",
];

/// What stays of the libraries; `*` is everything.
const LIBRARIES: &[(&str, &[&str])] = &[
    ("math", &["*"]),
    ("os", &["clock", "date", "difftime", "time"]),
    ("string", STRING),
    ("table", &["*"]),
    ("utf8", &["*"]),
    // Luau only.
    ("bit32", &["*"]),
    ("buffer", &["*"]),
    ("vector", &["*"]),
];

/// All but `dump`, which makes bytecode.
const STRING: &[&str] = &[
    "byte", "char", "find", "format", "gmatch", "gsub", "len", "lower", "match", "pack", "packsize", "rep",
    "reverse", "split", "sub", "unpack", "upper",
];

/// Leaves only what is allowed, and puts `print` and the functions that need a guard in their places.
pub(crate) fn restrict(lua: &Lua, sink: PrintSink) -> Result<()> {
    let globals = lua.globals();
    keep(&globals, |name| BASE.contains(&name) || LIBRARIES.iter().any(|(library, _)| *library == name))?;
    for (library, names) in LIBRARIES {
        if let Value::Table(library) = globals.raw_get(*library)? {
            keep(&library, |name| names.contains(&"*") || names.contains(&name))?;
        }
    }
    globals.raw_set("print", print::function(lua, sink)?)?;
    guard_metatables(lua, &globals)?;
    strings::guard(lua, &globals)?;
    guard_libraries(lua)
}

/// Called when everything is installed: on Luau, libraries become read-only, and globals of the script its own.
#[cfg(feature = "luau")]
pub(crate) fn seal(lua: &Lua) -> Result<()> {
    guard_coroutines(lua)?;
    lua.sandbox(true)
}

/// Called when everything is installed.
#[cfg(feature = "lua54")]
pub(crate) fn seal(lua: &Lua) -> Result<()> {
    guard_coroutines(lua)
}

/// Coroutines of scripts would take a call that waits for a store for a yield. The interpreter looks its own library up
/// whenever the host makes an async function, which is over now.
fn guard_coroutines(lua: &Lua) -> Result<()> {
    const COROUTINE: &str = include_str!("guards/coroutine.lua");
    let check_time = lua.create_function(|lua, ()| match Deadline::of(lua) {
        Some(deadline) => deadline.check().map(|_| ()),
        None => Ok(()),
    })?;
    let library: Table = lua.load(COROUTINE).set_name("=sandbox").call((Lua::poll_pending(), check_time))?;
    lua.globals().raw_set("coroutine", library)
}

fn keep(table: &Table, is_allowed: impl Fn(&str) -> bool) -> Result<()> {
    let mut strange = Vec::new();
    table.for_each(|key: Value, _: Value| {
        let allowed =
            matches!(&key, Value::String(name) if name.to_str().is_ok_and(|name| is_allowed(&name)));
        if !allowed {
            strange.push(key);
        }
        Ok(())
    })?;
    strange.into_iter().try_for_each(|key| table.raw_set(key, Value::Nil))
}

/// Scripts neither see the metatable that all strings share, nor (on Lua 5.4) get finalizers: those run at any time, also
/// when the script is over, and no deadline reaches them.
fn guard_metatables(lua: &Lua, globals: &Table) -> Result<()> {
    if let Some(strings) = lua.type_metatable::<LuaString>() {
        strings.raw_set("__metatable", false)?;
        lua.set_type_metatable::<LuaString>(Some(strings));
    }
    if cfg!(feature = "luau") {
        return Ok(());
    }
    let set: Function = globals.raw_get("setmetatable")?;
    let guarded = lua.create_function(move |_, (table, metatable): (Value, Value)| {
        if let Value::Table(metatable) = &metatable
            && metatable.raw_get::<Value>("__gc")? != Value::Nil
        {
            return Err(Error::runtime("setmetatable: __gc is not available to scripts"));
        }
        set.call::<Value>((table, metatable))
    })?;
    globals.raw_set("setmetatable", guarded)
}

/// Replaces what takes its time in one call; see the files for the reasons.
fn guard_libraries(lua: &Lua) -> Result<()> {
    #[cfg(feature = "lua54")]
    const GUARDS: &str = include_str!("guards/lua54.lua");
    #[cfg(feature = "luau")]
    const GUARDS: &str = include_str!("guards/luau.lua");
    lua.load(GUARDS).set_name("=sandbox").exec()
}
