//! Values as a script writes them.

use storage_manager::script::{ScriptKey, ScriptTable, ScriptValue};

/// The text that is `value` in Lua.
pub(super) fn literal(value: &ScriptValue) -> String {
    match value {
        ScriptValue::Nil => "nil".into(),
        ScriptValue::Boolean(value) => value.to_string(),
        ScriptValue::Integer(value) => integer(*value),
        ScriptValue::Float(value) => float(*value),
        ScriptValue::String(bytes) => text(bytes),
        ScriptValue::Table(table) => {
            let pairs = table.iter().map(|(key, value)| format!("[{}]={}", key_text(&key), literal(value)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(","))
        }
    }
}

fn key_text(key: &ScriptKey) -> String {
    match key {
        ScriptKey::Boolean(key) => key.to_string(),
        ScriptKey::Integer(key) => integer(*key),
        ScriptKey::Float(key) => float(key.get()),
        ScriptKey::String(key) => text(key),
    }
}

fn integer(value: i64) -> String {
    // The least integer is no numeral: its digits without the sign are one too many.
    if value == i64::MIN { "math.mininteger".into() } else { value.to_string() }
}

fn float(value: f64) -> String {
    match value {
        value if value.is_nan() => "(0/0)".into(),
        f64::INFINITY => "(1/0)".into(),
        f64::NEG_INFINITY => "(-1/0)".into(),
        value => format!("({value:?})"),
    }
}

/// Every byte but letters and digits as its number: right in any dialect.
pub(crate) fn text(bytes: &[u8]) -> String {
    let mut text = String::from('"');
    for byte in bytes {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' => text.push(char::from(*byte)),
            byte => text.push_str(&format!("\\{byte:03}")),
        }
    }
    text + "\""
}

/// A value that the interpreter can hold exactly. (Luau has one type of numbers, and holds integers up to 2^53.)
pub(crate) fn random_value(random: &mut fastrand::Rng, depth: u32) -> ScriptValue {
    match random.u32(0..if depth == 0 { 9 } else { 12 }) {
        0 => random.bool().into(),
        1..=3 => random.i64(-3..100).into(),
        4 => random_float(random).into(),
        5 => exact(random.i64(..) >> random.u32(0..64)).into(),
        6 => "text".into(),
        7 => "".into(),
        8 => ScriptValue::String((0..random.usize(0..12)).map(|_| random.u8(..)).collect::<Vec<_>>().into()),
        _ => random_table(random, depth - 1).into(),
    }
}

fn random_table(random: &mut fastrand::Rng, depth: u32) -> ScriptTable {
    let mut table = ScriptTable::new();
    for _ in 0..random.usize(0..4) {
        let value = random_value(random, depth);
        match random.u32(0..5) {
            0 => table.insert(random.bool(), value),
            1 => table.insert(random.i64(-2..6), value),
            2 => table.insert(ScriptKey::from_float(random.f64() + 0.25).unwrap(), value),
            3 => table.insert(random.choice(["a", "b c", "é"]).unwrap(), value),
            _ => table.push(value),
        }
    }
    table
}

fn random_float(random: &mut fastrand::Rng) -> f64 {
    random
        .choice([0.5, -0.25, -0.0, 0.1, 5e-324, f64::MAX, f64::INFINITY, f64::NEG_INFINITY, f64::NAN])
        .unwrap()
}

const fn exact(integer: i64) -> i64 {
    if cfg!(feature = "luau") { integer >> 11 } else { integer }
}
