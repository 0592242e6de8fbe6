//! Which modules a machine has, and `require`.

use mlua::{Error, Function, Lua, Result, Table, Value};

/// The two modules that their documents call `store`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StoreModule {
    Agent,
    KeyValue,
}

/// Makes `module` the one that is called `store` in this machine: two of one name would be mistaken for each other.
///
/// # Errors
/// The machine has one.
pub(crate) fn claim(lua: &Lua, module: StoreModule) -> Result<()> {
    if lua.app_data_ref::<StoreModule>().is_some() {
        return Err(Error::runtime("the machine has a module that is called `store`"));
    }
    lua.set_app_data(module);
    Ok(())
}

/// Lets scripts `require` a module; names that are not known go to the `require` that there was, if any.
pub(crate) fn provide(lua: &Lua, name: &str, module: Table) -> Result<()> {
    let globals = lua.globals();
    let previous: Option<Function> = globals.raw_get("require")?;
    let name = name.to_owned();
    let require = lua.create_function(move |_, wanted: Value| {
        if matches!(&wanted, Value::String(wanted) if wanted.as_bytes() == name.as_bytes()) {
            return Ok(Value::Table(module.clone()));
        }
        match &previous {
            Some(previous) => previous.call(wanted),
            None => Err(Error::runtime(format!("require: there is no module {}", wanted.to_string()?))),
        }
    })?;
    globals.raw_set("require", require)
}
