//! The module that scripts get by `require("store")`.

mod arguments;
mod handle;
mod show;

use std::sync::{Arc, Weak};

use mlua::{Function, Lua, Result, Value};

use super::{
    answer::{or_failure, text},
    error,
    modules::{self, StoreModule},
};
use crate::script::{KeyValueStore, ScriptError, ScriptResult, UnitOfWork};

use handle::Handle;

/// Gives scripts the module `store` by `require("store")`, with the function `get(id)` for handles, and `errors`, both as a
/// global and by `require("errors")`.
///
/// The handles belong to `unit`, which ends with the script: when a [`ScriptVm`](super::ScriptVm) has run, or is dropped, and
/// when [`release_handles`] is called. Failures are second results, as objects with `kind()`, `message()` and
/// `retryable()`.
///
/// # Errors
/// The machine is out of memory, or has the other module that is called `store`
/// ([`install_agent_modules`](super::install_agent_modules)).
pub fn install_key_value_module(lua: &Lua, unit: UnitOfWork) -> Result<()> {
    modules::claim(lua, StoreModule::KeyValue)?;
    handle::prepare(lua)?;
    let unit = Arc::new(unit);
    let module = lua.create_table()?;
    module.raw_set("get", get(lua, Arc::downgrade(&unit))?)?;
    lua.set_app_data(Unit { _unit: unit });
    modules::provide(lua, "store", module)?;
    let errors = error::module(lua)?;
    lua.globals().raw_set("errors", &errors)?;
    modules::provide(lua, "errors", errors)
}

/// Releases all handles that scripts of this machine hold, and ends their unit of work: no more can be had.
///
/// For hosts that run scripts without a [`Sandbox`](super::Sandbox), at the end of a unit of work that is not the end of the
/// machine.
pub fn release_handles(lua: &Lua) {
    drop(lua.remove_app_data::<Unit>());
}

/// The unit of work of the scripts of a machine. Functions of the machine only know of it: values that a host keeps from a
/// script do not keep it from ending.
struct Unit {
    _unit: Arc<UnitOfWork>,
}

fn get(lua: &Lua, unit: Weak<UnitOfWork>) -> Result<Function> {
    lua.create_function(move |lua, id: Value| {
        or_failure(lua, acquire(&unit, &id), |lua, store| lua.create_userdata(Handle::new(store)))
    })
}

fn acquire(unit: &Weak<UnitOfWork>, id: &Value) -> ScriptResult<KeyValueStore> {
    let unit = unit.upgrade().ok_or_else(|| ScriptError::invalid("the unit of work has ended"))?;
    unit.acquire(&text("the id of a store", id)?)
}
