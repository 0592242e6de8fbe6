//! Values as scripts know them.

use storage_core::Bytes;

use super::ScriptTable;

/// A value of a script: what Lua calls nil, boolean, integer, float, string and table.
///
/// Integers and floats stay apart (`1` is not `1.0`), strings are bytes of any kind, and a float equals another one if
/// all their bits are the same: NaN equals itself, and `0.0` is not `-0.0`. So a value that was stored and read back
/// equals what it was.
///
/// ```
/// use storage_manager::script::{ScriptTable, ScriptValue};
///
/// let table = ScriptTable::from_iter([("timeout", ScriptValue::from(30)), ("alert", true.into())]);
/// assert_eq!(table.get("timeout"), Some(&ScriptValue::Integer(30)));
/// assert_ne!(ScriptValue::from(1), ScriptValue::from(1.0));
/// ```
#[derive(Debug, Clone, Default)]
pub enum ScriptValue {
    /// No value.
    #[default]
    Nil,
    /// `true` or `false`.
    Boolean(bool),
    /// A whole number of 64 bits.
    Integer(i64),
    /// A number with a fraction; also NaN, the infinities and `-0.0`.
    Float(f64),
    /// Bytes, not necessarily UTF-8.
    String(Bytes),
    /// Pairs of keys and values.
    Table(ScriptTable),
}

impl ScriptValue {
    /// The value without any content: `nil`, `boolean`, `number`, `string` or `table`, as `type` calls it in Lua.
    pub const fn type_name(&self) -> &'static str {
        match self {
            Self::Nil => "nil",
            Self::Boolean(_) => "boolean",
            Self::Integer(_) | Self::Float(_) => "number",
            Self::String(_) => "string",
            Self::Table(_) => "table",
        }
    }

    /// Whether this is nil.
    pub const fn is_nil(&self) -> bool {
        matches!(self, Self::Nil)
    }

    /// The table, if it is one.
    pub const fn as_table(&self) -> Option<&ScriptTable> {
        match self {
            Self::Table(table) => Some(table),
            _ => None,
        }
    }

    /// The text, if this is a string of UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(bytes) => str::from_utf8(bytes).ok(),
            _ => None,
        }
    }
}

impl PartialEq for ScriptValue {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Nil, Self::Nil) => true,
            (Self::Boolean(a), Self::Boolean(b)) => a == b,
            (Self::Integer(a), Self::Integer(b)) => a == b,
            (Self::Float(a), Self::Float(b)) => a.to_bits() == b.to_bits(),
            (Self::String(a), Self::String(b)) => a == b,
            (Self::Table(a), Self::Table(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for ScriptValue {}

impl From<bool> for ScriptValue {
    fn from(value: bool) -> Self {
        Self::Boolean(value)
    }
}

impl From<i64> for ScriptValue {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<i32> for ScriptValue {
    fn from(value: i32) -> Self {
        Self::Integer(value.into())
    }
}

impl From<f64> for ScriptValue {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl From<&str> for ScriptValue {
    fn from(value: &str) -> Self {
        Self::String(Bytes::copy_from_slice(value.as_bytes()))
    }
}

impl From<String> for ScriptValue {
    fn from(value: String) -> Self {
        Self::String(value.into())
    }
}

impl From<Bytes> for ScriptValue {
    fn from(value: Bytes) -> Self {
        Self::String(value)
    }
}

impl From<ScriptTable> for ScriptValue {
    fn from(value: ScriptTable) -> Self {
        Self::Table(value)
    }
}

impl<T: Into<Self>> From<Option<T>> for ScriptValue {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Nil, Into::into)
    }
}
