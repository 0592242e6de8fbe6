//! Searches for plain text in time that grows with the sum of both lengths. The interpreters' own take the product: two
//! texts of some megabytes keep a thread busy for hours, in one call that nothing interrupts.

use memchr::memmem;
use mlua::{Function, Lua, MultiValue, Result, Table, Value};

/// Replaces `string.find`.
pub(crate) fn guard(lua: &Lua, globals: &Table) -> Result<()> {
    let string: Table = globals.raw_get("string")?;
    let find: Function = string.raw_get("find")?;
    string.raw_set("find", guarded_find(lua, find)?)
}

/// Up to this product of lengths the interpreter's own search takes a few milliseconds at worst.
const SMALL: usize = 1 << 22;

fn guarded_find(lua: &Lua, own: Function) -> Result<Function> {
    lua.create_function(move |_, arguments: MultiValue| {
        let mut values = arguments.iter();
        let (text, pattern) = (values.next(), values.next());
        let (start, plain) = (values.next(), values.next());
        if let (Some(Value::String(text)), Some(Value::String(pattern))) = (text, pattern) {
            let (text, pattern) = (text.as_bytes(), pattern.as_bytes());
            let is_plain = plain.is_some_and(|plain| !matches!(plain, Value::Nil | Value::Boolean(false)));
            if is_large(&text, &pattern)
                && (is_plain || !has_specials(&pattern))
                && let Some(start) = start_of(start, text.len())
            {
                return Ok(find(&text, &pattern, start));
            }
        }
        own.call::<MultiValue>(arguments)
    })
}

fn is_large(text: &[u8], pattern: &[u8]) -> bool {
    text.len().saturating_mul(pattern.len()) > SMALL
}

/// Whether any byte of a pattern means more than itself.
fn has_specials(pattern: &[u8]) -> bool {
    pattern.iter().any(|byte| b"^$*+?.([%-".contains(byte))
}

/// Where a search starts, from 0 on; `None` for what is no whole number, and the interpreter knows best how to refuse.
fn start_of(start: Option<&Value>, length: usize) -> Option<usize> {
    match start {
        None | Some(Value::Nil) => Some(0),
        Some(Value::Integer(start)) if *start > 0 => usize::try_from(*start - 1).ok(),
        Some(Value::Integer(0)) => Some(0),
        Some(Value::Integer(back)) => {
            Some(length.saturating_sub(usize::try_from(back.unsigned_abs()).unwrap_or(usize::MAX)))
        }
        _ => None,
    }
}

/// The first and the last place of `pattern`, from 1 on, or nil.
fn find(text: &[u8], pattern: &[u8], start: usize) -> MultiValue {
    let found = text.get(start..).and_then(|rest| memmem::find(rest, pattern));
    let place = |at: usize| i64::try_from(at).map_or(Value::Nil, Value::Integer);
    match found {
        Some(at) => [place(start + at + 1), place(start + at + pattern.len())].into_iter().collect(),
        None => [Value::Nil].into_iter().collect(),
    }
}
