//! What calls on handles answer, as scripts see it.

use mlua::{IntoLua, Lua, Result, Table, Value};

use crate::{
    lua::convert::to_lua,
    script::{Entry, KeyEntry, KeyPage, Number, ScriptValue, StoreInfo, Ttl},
};

/// An answer that scripts can see.
pub(super) trait Show {
    fn show(self, lua: &Lua) -> Result<Value>;
}

/// The version of an entry: text, because numbers may not hold all of them.
pub(super) struct Version(pub(super) u64);

impl Show for Version {
    fn show(self, lua: &Lua) -> Result<Value> {
        self.0.to_string().into_lua(lua)
    }
}

impl Show for bool {
    fn show(self, _: &Lua) -> Result<Value> {
        Ok(Value::Boolean(self))
    }
}

impl Show for u64 {
    fn show(self, lua: &Lua) -> Result<Value> {
        self.into_lua(lua)
    }
}

impl Show for ScriptValue {
    fn show(self, lua: &Lua) -> Result<Value> {
        to_lua(lua, &self)
    }
}

impl Show for Number {
    fn show(self, lua: &Lua) -> Result<Value> {
        ScriptValue::from(self).show(lua)
    }
}

impl Show for Ttl {
    /// Seconds; 0 is without end, as `set` takes it.
    fn show(self, _: &Lua) -> Result<Value> {
        Ok(self.as_seconds().map_or(Value::Integer(0), Value::Number))
    }
}

/// What is not there is nil.
impl<T: Show> Show for Option<T> {
    fn show(self, lua: &Lua) -> Result<Value> {
        self.map_or(Ok(Value::Nil), |value| value.show(lua))
    }
}

impl Show for Entry {
    fn show(self, lua: &Lua) -> Result<Value> {
        let table = known(lua, self.version, self.ttl, self.size)?;
        table.raw_set("value", self.value.show(lua)?)?;
        table.raw_set("created_at", seconds(self.created_at.as_micros()))?;
        table.raw_set("updated_at", seconds(self.updated_at.as_micros()))?;
        Ok(Value::Table(table))
    }
}

impl Show for KeyEntry {
    fn show(self, lua: &Lua) -> Result<Value> {
        let table = known(lua, self.version, self.ttl, self.size)?;
        table.raw_set("key", self.key)?;
        Ok(Value::Table(table))
    }
}

fn known(lua: &Lua, version: u64, ttl: Ttl, size: u64) -> Result<Table> {
    let table = lua.create_table()?;
    table.raw_set("version", Version(version).show(lua)?)?;
    table.raw_set("ttl", ttl.show(lua)?)?;
    table.raw_set("size", size)?;
    Ok(table)
}

/// `{items, cursor, has_more}`. The last page has no cursor: one that starts again from the beginning would make a loop of
/// every walk.
impl Show for KeyPage {
    fn show(self, lua: &Lua) -> Result<Value> {
        let page = lua.create_table()?;
        let items = lua.create_table_with_capacity(self.entries.len(), 0)?;
        for entry in self.entries {
            items.raw_push(entry.show(lua)?)?;
        }
        page.raw_set("items", items)?;
        page.raw_set("has_more", self.cursor.is_some())?;
        page.raw_set("cursor", self.cursor)?;
        Ok(Value::Table(page))
    }
}

impl Show for StoreInfo {
    fn show(self, lua: &Lua) -> Result<Value> {
        let info = lua.create_table()?;
        info.raw_set("id", self.id)?;
        info.raw_set("backend", self.backend)?;
        info.raw_set("durable", self.durable)?;
        info.raw_set("shared", self.shared)?;
        info.raw_set("max_key_bytes", self.max_key_bytes)?;
        info.raw_set("max_value_bytes", self.max_value_bytes)?;
        Ok(Value::Table(info))
    }
}

/// Seconds since the Unix epoch, UTC, cut towards the past.
const fn seconds(micros: i64) -> i64 {
    micros.div_euclid(1_000_000)
}
