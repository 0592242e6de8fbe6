//! Values through serde: as JSON where JSON can hold them exactly, tagged elsewhere; and from JSON or MessagePack.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
    ser::{SerializeMap, SerializeSeq},
};
use storage_core::Bytes;

use crate::script::{ScriptKey, ScriptTable, ScriptValue};

/// Every value has a readable form, and no two values have the same.
///
/// What JSON holds exactly is what it is: sequences are arrays, tables with keys of UTF-8 alone are objects, an empty
/// table is `{}`. Everything else is an object with one member whose name starts with `$`: `{"$float": "nan"}` (also
/// `inf`, `-inf`, and the bits of other NaNs), `{"$bytes": "<base64>"}`, and `{"$table": [[key, value], …]}` for mixed
/// and sparse tables, for tables with other keys, and for those that look like one of these.
impl Serialize for ScriptValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Nil => serializer.serialize_unit(),
            Self::Boolean(value) => serializer.serialize_bool(*value),
            Self::Integer(value) => serializer.serialize_i64(*value),
            Self::Float(value) => float(*value, serializer),
            Self::String(value) => string(value, serializer),
            Self::Table(table) => table.serialize(serializer),
        }
    }
}

impl Serialize for ScriptKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Boolean(key) => serializer.serialize_bool(*key),
            Self::Integer(key) => serializer.serialize_i64(*key),
            Self::Float(key) => float(key.get(), serializer),
            Self::String(key) => string(key, serializer),
        }
    }
}

impl Serialize for ScriptTable {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.rest().len() == 0 && !self.is_empty() {
            return serializer.collect_seq(self.sequence());
        }
        match names(self) {
            Some(pairs) if !looks_tagged(&pairs) => serializer.collect_map(pairs),
            _ => tagged(serializer, "$table", &Pairs(self)),
        }
    }
}

/// All pairs with their keys as text, if they are all text.
fn names(table: &ScriptTable) -> Option<Vec<(&str, &ScriptValue)>> {
    if !table.sequence().is_empty() {
        return None;
    }
    let pairs = table.rest().map(|(key, value)| match key {
        ScriptKey::String(key) => Some((str::from_utf8(key).ok()?, value)),
        _ => None,
    });
    pairs.collect()
}

fn looks_tagged(pairs: &[(&str, &ScriptValue)]) -> bool {
    matches!(pairs, [(name, _)] if name.starts_with('$'))
}

struct Pairs<'a>(&'a ScriptTable);

impl Serialize for Pairs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut pairs = serializer.serialize_seq(Some(self.0.len()))?;
        for pair in self.0.iter() {
            pairs.serialize_element(&pair)?;
        }
        pairs.end()
    }
}

fn float<S: Serializer>(value: f64, serializer: S) -> Result<S::Ok, S::Error> {
    if value.is_finite() {
        return serializer.serialize_f64(value);
    }
    let name = match value {
        f64::INFINITY => "inf".to_owned(),
        f64::NEG_INFINITY => "-inf".to_owned(),
        nan if nan.to_bits() == f64::NAN.to_bits() => "nan".to_owned(),
        nan => format!("nan:{:016x}", nan.to_bits()),
    };
    tagged(serializer, "$float", &name)
}

fn string<S: Serializer>(value: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    match str::from_utf8(value) {
        Ok(text) => serializer.serialize_str(text),
        Err(_) => tagged(serializer, "$bytes", &STANDARD.encode(value)),
    }
}

fn tagged<S: Serializer, T: Serialize>(
    serializer: S,
    tag: &'static str,
    value: &T,
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(1))?;
    map.serialize_entry(tag, value)?;
    map.end()
}

/// What a host stored as JSON or MessagePack. Tags are not looked for: `{"$bytes": …}` is a table.
///
/// Whole numbers beyond 64 bits with a sign become floats, as they do in Lua.
impl<'de> Deserialize<'de> for ScriptValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = ScriptValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value that scripts know")
    }

    fn visit_unit<E: Error>(self) -> Result<ScriptValue, E> {
        Ok(ScriptValue::Nil)
    }

    fn visit_none<E: Error>(self) -> Result<ScriptValue, E> {
        Ok(ScriptValue::Nil)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<ScriptValue, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<ScriptValue, E> {
        Ok(ScriptValue::Boolean(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<ScriptValue, E> {
        Ok(ScriptValue::Integer(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<ScriptValue, E> {
        #[expect(clippy::cast_precision_loss, reason = "the nearest float, as Lua reads such a numeral")]
        Ok(i64::try_from(value).map_or(ScriptValue::Float(value as f64), ScriptValue::Integer))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<ScriptValue, E> {
        Ok(ScriptValue::Float(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<ScriptValue, E> {
        Ok(value.into())
    }

    fn visit_string<E: Error>(self, value: String) -> Result<ScriptValue, E> {
        Ok(value.into())
    }

    fn visit_bytes<E: Error>(self, value: &[u8]) -> Result<ScriptValue, E> {
        Ok(Bytes::copy_from_slice(value).into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<ScriptValue, A::Error> {
        let mut table = ScriptTable::new();
        let mut number: i64 = 0;
        while let Some(value) = values.next_element::<ScriptValue>()? {
            number += 1;
            table.insert(number, value);
        }
        Ok(table.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut pairs: A) -> Result<ScriptValue, A::Error> {
        let mut table = ScriptTable::new();
        while let Some((key, value)) = pairs.next_entry::<ScriptValue, ScriptValue>()? {
            let key = match key {
                ScriptValue::Boolean(key) => Some(ScriptKey::Boolean(key)),
                ScriptValue::Integer(key) => Some(ScriptKey::Integer(key)),
                ScriptValue::Float(key) => ScriptKey::from_float(key),
                ScriptValue::String(key) => Some(ScriptKey::String(key)),
                ScriptValue::Nil | ScriptValue::Table(_) => None,
            };
            let key = key.ok_or_else(|| A::Error::custom("a key that no table of a script takes"))?;
            table.insert(key, value);
        }
        Ok(table.into())
    }
}
