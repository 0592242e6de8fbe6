//! Handles of key-value stores.

use mlua::{
    Lua, MetaMethod, MultiValue, Result, Table, UserData, UserDataFields, UserDataMethods, UserDataRef,
};

use super::{
    arguments::Arguments,
    show::{Show, Version},
};
use crate::{
    lua::answer::or_failure,
    script::{Entry, KeyPage, KeyValueStore, Number, ScriptResult, ScriptValue, StoreInfo, Ttl},
};

/// A handle in the hands of a script.
///
/// Methods take a clone of the store, which is the same handle, before they wait: a call that waits keeps no other call
/// out, and no `release`.
pub(super) struct Handle(KeyValueStore);

impl Handle {
    pub(super) const fn new(store: KeyValueStore) -> Self {
        Self(store)
    }
}

/// Where the machine keeps the methods of handles.
const METHODS: &str = "storage-manager: methods of handles";

/// Makes the methods, which all handles of the machine share.
///
/// The machine itself would make them with the first handle: too late, because the sandbox takes away what async functions
/// are made with before the script starts.
pub(super) fn prepare(lua: &Lua) -> Result<()> {
    let methods = lua.create_table()?;
    let add = Methods { lua, table: &methods };
    add.method("get", get)?;
    add.method("entry", entry)?;
    add.method("set", set)?;
    add.method("add", add_new)?;
    add.method("replace", replace)?;
    add.method("put", put)?;
    add.method("incr", incr)?;
    add.method("has", has)?;
    add.method("exists", has)?;
    add.method("delete", delete)?;
    add.method("ttl", ttl)?;
    add.method("expire", expire)?;
    add.method("list", list)?;
    add.method("clear", clear)?;
    add.method("info", info)?;
    let release = lua.create_function(|_, this: UserDataRef<Handle>| Ok(this.0.release()))?;
    methods.raw_set("release", release)?;
    #[cfg(feature = "luau")]
    methods.set_readonly(true);
    lua.set_named_registry_value(METHODS, methods)
}

impl UserData for Handle {
    fn add_fields<F: UserDataFields<Self>>(fields: &mut F) {
        fields.add_meta_field_with(MetaMethod::Index, |lua| lua.named_registry_value::<Table>(METHODS));
    }

    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        // Also where a script leaves a `local handle <close>` by an error, or is stopped. Luau has no <close>.
        #[cfg(feature = "lua54")]
        methods.add_meta_method(MetaMethod::Close, |_, this, _: MultiValue| {
            this.0.release();
            Ok(())
        });
        methods.add_meta_method(MetaMethod::ToString, |_, this, ()| Ok(name(&this.0)));
    }
}

fn name(store: &KeyValueStore) -> String {
    let state = if store.is_released() { " (released)" } else { "" };
    format!("store {}{state}", store.id())
}

struct Methods<'a> {
    lua: &'a Lua,
    table: &'a Table,
}

impl Methods<'_> {
    /// Adds a method whose failures are its second result.
    fn method<F, T>(&self, name: &str, call: fn(KeyValueStore, Arguments) -> F) -> Result<()>
    where
        F: Future<Output = ScriptResult<T>> + Send + 'static,
        T: Show + 'static,
    {
        let method = move |lua: Lua, (this, arguments): (UserDataRef<Handle>, MultiValue)| {
            let answer = call(this.0.clone(), Arguments::new(this.0.limits(), arguments));
            async move { or_failure(&lua, answer.await, |lua, value| value.show(lua)) }
        };
        self.table.raw_set(name, self.lua.create_async_function(method)?)
    }
}

async fn get(store: KeyValueStore, arguments: Arguments) -> ScriptResult<Option<ScriptValue>> {
    store.get(&arguments.key()?).await
}

async fn entry(store: KeyValueStore, arguments: Arguments) -> ScriptResult<Option<Entry>> {
    store.entry(&arguments.key()?).await
}

async fn set(store: KeyValueStore, arguments: Arguments) -> ScriptResult<bool> {
    let (key, value) = (arguments.key()?, arguments.value(1)?);
    store.set(&key, &value, arguments.ttl(2)?).await.map(|()| true)
}

async fn add_new(store: KeyValueStore, arguments: Arguments) -> ScriptResult<bool> {
    let (key, value) = (arguments.key()?, arguments.value(1)?);
    store.add(&key, &value, arguments.ttl(2)?).await
}

async fn replace(store: KeyValueStore, arguments: Arguments) -> ScriptResult<bool> {
    let (key, value) = (arguments.key()?, arguments.value(1)?);
    store.replace(&key, &value, arguments.ttl(2)?).await
}

async fn put(store: KeyValueStore, arguments: Arguments) -> ScriptResult<Version> {
    let (key, value) = (arguments.key()?, arguments.value(1)?);
    store.put(&key, &value, arguments.put_options(2)?).await.map(Version)
}

async fn incr(store: KeyValueStore, arguments: Arguments) -> ScriptResult<Number> {
    store.incr(&arguments.key()?, arguments.increment()?).await
}

async fn has(store: KeyValueStore, arguments: Arguments) -> ScriptResult<bool> {
    store.has(&arguments.key()?).await
}

async fn delete(store: KeyValueStore, arguments: Arguments) -> ScriptResult<bool> {
    store.delete(&arguments.key()?).await
}

async fn ttl(store: KeyValueStore, arguments: Arguments) -> ScriptResult<Option<Ttl>> {
    store.ttl(&arguments.key()?).await
}

async fn expire(store: KeyValueStore, arguments: Arguments) -> ScriptResult<bool> {
    store.expire(&arguments.key()?, arguments.ttl(1)?).await
}

async fn list(store: KeyValueStore, arguments: Arguments) -> ScriptResult<KeyPage> {
    store.list(&arguments.list_options(0)?).await
}

async fn clear(store: KeyValueStore, _: Arguments) -> ScriptResult<u64> {
    store.clear().await
}

async fn info(store: KeyValueStore, _: Arguments) -> ScriptResult<StoreInfo> {
    store.info()
}
