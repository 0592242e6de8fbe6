//! The globals `store` and `registry`.

use mlua::{Lua, MultiValue, Result, Table, Value};

use super::{
    answer::{self, Results, or_refused, raising},
    convert::{from_lua, to_lua},
    modules::{self, StoreModule},
};
use crate::script::{
    Ident, ScriptError, ScriptLimits, ScriptRegistry, ScriptResult, ScriptStore, ScriptValue, Stamped,
};

/// Gives scripts the globals `store` and `registry`, as their documents describe them: `put`, `get`, `delete`, and for
/// `store` the same with `_global` behind. Failures are raised, as objects with `kind()`, `message()` and `retryable()`.
///
/// The namespace of `store` is that of `store`'s identity. Scripts see it as `EXEC_IDENT`; assigning to that moves nothing.
///
/// # Errors
/// The machine is out of memory, or has the other module that is called `store`
/// ([`install_key_value_module`](super::install_key_value_module)).
pub fn install_agent_modules(lua: &Lua, store: &ScriptStore, registry: &ScriptRegistry) -> Result<()> {
    modules::claim(lua, StoreModule::Agent)?;
    let globals = lua.globals();
    globals.raw_set("EXEC_IDENT", store.ident().map(Ident::as_str))?;
    let own = module(lua, "store", &Own(store.clone()))?;
    add_calls(&own, lua, "store", "_global", &Global(store.clone()))?;
    globals.raw_set("store", own)?;
    globals.raw_set("registry", module(lua, "registry", registry)?)
}

fn module(lua: &Lua, name: &str, place: &impl Place) -> Result<Table> {
    let module = lua.create_table()?;
    add_calls(&module, lua, name, "", place)?;
    Ok(module)
}

/// A place where values are kept under keys.
trait Place: Clone + Send + Sync + 'static {
    fn limits(&self) -> ScriptLimits;
    fn put(&self, key: &str, value: &ScriptValue) -> impl Future<Output = ScriptResult<()>> + Send;
    fn get(&self, key: &str) -> impl Future<Output = ScriptResult<Option<Stamped>>> + Send;
    fn delete(&self, key: &str) -> impl Future<Output = ScriptResult<()>> + Send;
}

/// The script's own keys.
#[derive(Clone)]
struct Own(ScriptStore);

impl Place for Own {
    fn limits(&self) -> ScriptLimits {
        self.0.limits()
    }

    fn put(&self, key: &str, value: &ScriptValue) -> impl Future<Output = ScriptResult<()>> + Send {
        self.0.put(key, value)
    }

    fn get(&self, key: &str) -> impl Future<Output = ScriptResult<Option<Stamped>>> + Send {
        self.0.get(key)
    }

    fn delete(&self, key: &str) -> impl Future<Output = ScriptResult<()>> + Send {
        self.0.delete(key)
    }
}

/// The keys that all scripts share.
#[derive(Clone)]
struct Global(ScriptStore);

impl Place for Global {
    fn limits(&self) -> ScriptLimits {
        self.0.limits()
    }

    fn put(&self, key: &str, value: &ScriptValue) -> impl Future<Output = ScriptResult<()>> + Send {
        self.0.put_global(key, value)
    }

    fn get(&self, key: &str) -> impl Future<Output = ScriptResult<Option<Stamped>>> + Send {
        self.0.get_global(key)
    }

    fn delete(&self, key: &str) -> impl Future<Output = ScriptResult<()>> + Send {
        self.0.delete_global(key)
    }
}

impl Place for ScriptRegistry {
    fn limits(&self) -> ScriptLimits {
        self.limits()
    }

    fn put(&self, key: &str, value: &ScriptValue) -> impl Future<Output = ScriptResult<()>> + Send {
        self.put(key, value)
    }

    fn get(&self, key: &str) -> impl Future<Output = ScriptResult<Option<Stamped>>> + Send {
        self.get(key)
    }

    fn delete(&self, key: &str) -> impl Future<Output = ScriptResult<()>> + Send {
        self.delete(key)
    }
}

/// Adds `put`, `get` and `delete` with `suffix` behind their names.
fn add_calls(module: &Table, lua: &Lua, name: &str, suffix: &str, place: &impl Place) -> Result<()> {
    let add = |call: &str, results, function| {
        module.raw_set(format!("{call}{suffix}"), raising(lua, name, results, function)?)
    };
    let put = place.clone();
    let put = lua.create_async_function(move |lua, arguments: MultiValue| {
        let place = put.clone();
        async move { or_refused(&lua, self::put(place, arguments).await, |_, ()| Ok(())) }
    })?;
    add("put", Results::None, put)?;
    let get = place.clone();
    let get = lua.create_async_function(move |lua, key: Value| {
        let place = get.clone();
        async move { or_refused(&lua, self::get(place, key).await, stamped) }
    })?;
    add("get", Results::Two, get)?;
    let delete = place.clone();
    let delete = lua.create_async_function(move |lua, key: Value| {
        let place = delete.clone();
        async move { or_refused(&lua, self::delete(place, key).await, |_, ()| Ok(())) }
    })?;
    add("delete", Results::None, delete)
}

async fn put(place: impl Place, arguments: MultiValue) -> ScriptResult<()> {
    // An explicit nil is a value; one that is missing is a mistake.
    let (Some(key), Some(value)) = (arguments.front(), arguments.get(1)) else {
        return Err(ScriptError::invalid("put needs a key and a value"));
    };
    place.put(&answer::key(key)?, &from_lua(value, place.limits())?).await
}

async fn get(place: impl Place, key: Value) -> ScriptResult<Option<Stamped>> {
    place.get(&answer::key(&key)?).await
}

async fn delete(place: impl Place, key: Value) -> ScriptResult<()> {
    place.delete(&answer::key(&key)?).await
}

/// The value and its time: two results, also where nothing is.
fn stamped(lua: &Lua, found: Option<Stamped>) -> Result<(Value, Value)> {
    match found {
        Some(Stamped { value, timestamp }) => Ok((to_lua(lua, &value)?, Value::Integer(timestamp))),
        None => Ok((Value::Nil, Value::Nil)),
    }
}
