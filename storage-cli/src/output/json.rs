//! The JSON documents of items.

use std::str;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Serialize;
use serde_json::value::RawValue;
use storage_manager::{
    Encoding, StorageItem, StorageMetadata,
    script::{self, ScriptLimits, ScriptValue},
};

use crate::error::Failure;

/// An item: `{data, metadata}`.
#[derive(Debug, Serialize)]
pub(crate) struct Document<'a> {
    data: Data<'a>,
    metadata: &'a StorageMetadata,
}

/// Data as JSON: the value itself for JSON and for what scripts stored, else text, else base64.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Data<'a> {
    Value(Box<RawValue>),
    Script(ScriptValue),
    Text(&'a str),
    Bytes { base64: String },
}

impl<'a> Document<'a> {
    /// The document of an item.
    ///
    /// # Errors
    /// The item is stored as JSON or as a script's value, but its data is none.
    pub(crate) fn new(item: &'a StorageItem) -> Result<Self, Failure> {
        let metadata = &*item.metadata;
        let data = if metadata.encoding == Encoding::JSON {
            Data::Value(value(&item.data).ok_or_else(|| not_json(metadata))?)
        } else if let Some(value) = script_value(item)? {
            Data::Script(value)
        } else {
            match str::from_utf8(&item.data) {
                Ok(text) => Data::Text(text),
                Err(_) => Data::Bytes { base64: STANDARD.encode(&item.data) },
            }
        };
        Ok(Self { data, metadata })
    }
}

/// The value of an item that a script stored; `None` for any other item.
///
/// # Errors
/// The item is stored as a script's value, but its data is none.
pub(crate) fn script_value(item: &StorageItem) -> Result<Option<ScriptValue>, Failure> {
    // A script may have been allowed more than others are; what is stored can be shown.
    const LIMITS: ScriptLimits =
        ScriptLimits { depth: ScriptLimits::MOST_DEPTH, nodes: usize::MAX, bytes: usize::MAX };
    if item.metadata.encoding.as_str() != script::ENCODING {
        return Ok(None);
    }
    Ok(Some(script::decode_item(item, LIMITS)?))
}

/// A document as JSON on one line.
pub(crate) fn text(document: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string(document)
        .map_err(|error| Failure::io("the answer cannot be written as JSON", &error.into()))
}

/// Whether these bytes are one JSON value.
///
/// # Errors
/// What is wrong, and where.
pub(crate) fn check(data: &[u8]) -> Result<(), serde_json::Error> {
    serde_json::from_slice::<serde::de::IgnoredAny>(data).map(|_| ())
}

/// The JSON value in `data` on one line, with its numbers and the order of its fields untouched.
fn value(data: &[u8]) -> Option<Box<RawValue>> {
    check(data).ok()?;
    RawValue::from_string(without_space(str::from_utf8(data).ok()?)).ok()
}

/// Valid JSON without the white space between its tokens.
fn without_space(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let (mut in_string, mut escaped) = (false, false);
    for c in json.chars() {
        if in_string || !c.is_ascii_whitespace() {
            out.push(c);
        }
        if !escaped && c == '"' {
            in_string = !in_string;
        }
        escaped = in_string && !escaped && c == '\\';
    }
    out
}

fn not_json(metadata: &StorageMetadata) -> Failure {
    let failure = Failure::serialization("the item is stored with encoding json, but its data is not JSON")
        .with_hint("load it without --json to get the bytes as they are");
    match metadata.item_key() {
        Ok(key) => failure.with_key(key),
        Err(_) => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_lose_their_white_space_and_nothing_else() {
        for (json, compact) in [
            ("{ \"b\" : [ 1 , 2.50 ] ,\n \"a\":\t\"x \\\" y\\\\\" }", r#"{"b":[1,2.50],"a":"x \" y\\"}"#),
            (" 123456789012345678901234567890 ", "123456789012345678901234567890"),
            (r#"{"a":1,"a":2}"#, r#"{"a":1,"a":2}"#),
            (r#""\\" "#, r#""\\""#),
        ] {
            assert_eq!(value(json.as_bytes()).unwrap().get(), compact);
        }
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for bad in [&b""[..], b"{", b"1 2", b"nul", b"\"\xff\"", "[".repeat(1_000_000).as_bytes()] {
            assert!(value(bad).is_none());
        }
    }
}
