//! Errors as scripts see them: objects with a kind, a message, and whether it is worth to try again.

use mlua::{Error, Lua, MetaMethod, Result, Table, UserData, UserDataMethods, Value};

use crate::script::ScriptError;

/// The kinds that scripts know, whether or not a store ever answers with them.
const KINDS: [&str; 11] = [
    "ALREADY_EXISTS",
    "CANCELED",
    "CONFLICT",
    "INTERNAL",
    "INVALID",
    "NOT_FOUND",
    "PERMISSION_DENIED",
    "RATE_LIMITED",
    "TIMEOUT",
    "UNAVAILABLE",
    "UNKNOWN",
];

/// An error in the hands of a script.
#[derive(Debug, Clone)]
pub(crate) struct ErrorObject {
    kind: &'static str,
    message: String,
    retryable: bool,
}

impl From<&ScriptError> for ErrorObject {
    fn from(error: &ScriptError) -> Self {
        Self {
            kind: error.kind().as_str(),
            message: error.message().to_owned(),
            retryable: error.is_retryable(),
        }
    }
}

impl UserData for ErrorObject {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_method("kind", |_, this, ()| Ok(this.kind));
        methods.add_method("message", |lua, this, ()| lua.create_string(&this.message));
        methods.add_method("retryable", |_, this, ()| Ok(this.retryable));
        methods.add_meta_method(MetaMethod::ToString, |lua, this, ()| lua.create_string(&this.message));
        methods.add_meta_function(MetaMethod::Concat, |lua, (left, right): (Value, Value)| {
            lua.create_string([text(lua, left)?, text(lua, right)?].concat())
        });
    }
}

/// One side of `..`: scripts put errors into messages as they put text and numbers.
fn text(lua: &Lua, value: Value) -> Result<Vec<u8>> {
    if let Value::UserData(object) = &value
        && let Ok(object) = object.borrow::<ErrorObject>()
    {
        return Ok(object.message.clone().into_bytes());
    }
    let kind = value.type_name();
    let text = lua.coerce_string(value)?;
    let text =
        text.ok_or_else(|| Error::runtime(format!("attempt to concatenate an error with a {kind}")))?;
    Ok(text.as_bytes().to_vec())
}

/// The error as a script sees it.
pub(crate) fn error_object(lua: &Lua, error: &ScriptError) -> Result<Value> {
    lua.create_userdata(ErrorObject::from(error)).map(Value::UserData)
}

/// The module `errors`: the names of all kinds, and `new(kind, message)`.
pub(crate) fn module(lua: &Lua) -> Result<Table> {
    let module = lua.create_table()?;
    for kind in KINDS {
        module.raw_set(kind, kind)?;
    }
    module
        .raw_set("new", lua.create_function(|_, (kind, message): (String, String)| new(&kind, message))?)?;
    Ok(module)
}

fn new(kind: &str, message: String) -> Result<ErrorObject> {
    let kind = KINDS.into_iter().find(|known| *known == kind).ok_or_else(|| {
        Error::runtime(format!("errors.new: there is no kind {kind:?}; the kinds are {}", KINDS.join(", ")))
    })?;
    Ok(ErrorObject { kind, message, retryable: false })
}
