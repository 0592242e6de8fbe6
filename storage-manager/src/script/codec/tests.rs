use fastrand::Rng;
use storage_core::{Bytes, Codec, Encoding, ErrorKind};

use super::*;
use crate::script::{ScriptErrorKind, ScriptKey, ScriptLimits, ScriptTable, ScriptValue};

const LIMITS: ScriptLimits = ScriptLimits { depth: 128, nodes: 1_000_000, bytes: 16 << 20 };

fn bytes(value: &ScriptValue) -> Bytes {
    encode(value, LIMITS).unwrap()
}

fn read(data: impl Into<Bytes>) -> Result<ScriptValue, ErrorKind> {
    decode(&data.into(), LIMITS).map_err(|error| error.kind())
}

fn table<K: Into<ScriptKey>, V: Into<ScriptValue>>(pairs: impl IntoIterator<Item = (K, V)>) -> ScriptValue {
    ScriptTable::from_iter(pairs).into()
}

/// Tables within each other, `depth` of them.
fn nested(depth: usize) -> ScriptValue {
    (0..depth).fold(ScriptValue::Nil, |inner, _| {
        let mut table = ScriptTable::new();
        table.insert("in", inner);
        table.into()
    })
}

fn edge_values() -> Vec<ScriptValue> {
    let mut values: Vec<ScriptValue> = vec![ScriptValue::Nil, true.into(), false.into()];
    for integer in [0, 1, 63, 64, -1, 127, 128, -64, -65, 1 << 53, (1 << 53) + 1, i64::MAX, i64::MIN] {
        values.push(ScriptValue::Integer(integer));
    }
    let odd_nan = f64::from_bits(0xfff8_0000_0000_1234);
    for float in [0.0, -0.0, 1.0, 0.1, f64::NAN, odd_nan, f64::INFINITY, f64::NEG_INFINITY, 5e-324, f64::MAX]
    {
        values.push(float.into());
    }
    for length in [0, 1, 63, 127, 128, 129, 300, 20_000] {
        values.push(Bytes::from(vec![0xff; length]).into());
    }
    values.push("é\0\n".into());
    values.push(ScriptTable::new().into());
    values.push(ScriptTable::from((1..=300).collect::<Vec<i32>>()).into());
    values.push(table([(1, 1), (3, 3), (i32::MAX, 4), (-1, 5), (0, 6)]));
    let mut mixed = ScriptTable::from(vec!["a", "b"]);
    mixed.insert("10", 1);
    mixed.insert(10, 2);
    mixed.insert(true, 3);
    mixed.insert(ScriptKey::from_float(0.5).unwrap(), 4);
    mixed.insert(ScriptKey::from_float(f64::NEG_INFINITY).unwrap(), 5);
    mixed.insert(Bytes::from_static(b"\xff\0"), 6);
    values.push(mixed.into());
    values
}

fn random_value(random: &mut Rng, depth: usize) -> ScriptValue {
    match random.u8(0..if depth == 0 { 5 } else { 8 }) {
        0 => random.bool().into(),
        1 => (random.i64(..) >> random.u32(0..64)).into(),
        2 => f64::from_bits(random.u64(..)).into(),
        3 => random_bytes(random).into(),
        4 => random.choice(edge_values()).unwrap_or_default(),
        _ => {
            let mut table = ScriptTable::new();
            for _ in 0..random.usize(0..6) {
                let key = random_key(random);
                let value = random_value(random, depth - 1);
                if random.bool() { table.push(value) } else { table.insert(key, value) }
            }
            table.into()
        }
    }
}

fn random_key(random: &mut Rng) -> ScriptKey {
    match random.u8(0..4) {
        0 => random.bool().into(),
        1 => random.i64(-2..8).into(),
        2 => ScriptKey::from_float(f64::from_bits(random.u64(..))).unwrap_or(ScriptKey::Integer(7)),
        _ => random_bytes(random).into(),
    }
}

fn random_bytes(random: &mut Rng) -> Bytes {
    (0..random.usize(0..200)).map(|_| random.u8(..)).collect()
}

/// Runs with a new seed each time; `SEED=…` replays one.
fn seeded() -> Rng {
    let seed =
        std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    println!("SEED={seed}");
    Rng::with_seed(seed)
}

#[test]
fn edge_values_come_back_as_they_were() {
    for value in edge_values() {
        assert_eq!(read(bytes(&value)).unwrap(), value);
    }
}

#[test]
fn random_values_come_back_as_they_were() {
    let mut random = seeded();
    for _ in 0..20_000 {
        let value = random_value(&mut random, 4);
        assert_eq!(read(bytes(&value)).unwrap(), value);
    }
}

/// Damage either is noticed or gives a value whose own form is exactly the damaged bytes: there is no second form of
/// anything in which bytes could hide.
#[test]
fn damaged_bytes_are_refused_or_are_another_value() {
    let mut random = seeded();
    let mut refused = 0;
    for _ in 0..100_000 {
        let mut data = bytes(&random_value(&mut random, 3)).to_vec();
        let at = random.usize(1..data.len());
        match random.u8(0..4) {
            0 => data[at] ^= 1 << random.u32(0..8),
            1 => data.truncate(at),
            2 => data.push(random.u8(..)),
            _ => data[at] = random.u8(..),
        }
        match read(data.clone()) {
            Ok(value) => assert_eq!(bytes(&value), data),
            Err(kind) => {
                assert_eq!(kind, ErrorKind::Corrupted);
                refused += 1;
            }
        }
    }
    assert!(refused > 20_000, "hardly any damage was noticed: {refused}");
}

#[test]
fn every_second_form_is_damage() {
    for (bad, what) in [
        (&[][..], "nothing at all"),
        (&[0], "version 0"),
        (&[1], "no value"),
        (&[1, 0, 0], "bytes behind"),
        (&[1, 7], "an unknown kind"),
        (&[1, 0x3f], "an unknown kind"),
        (&[1, 3, 0x02], "a small integer in the long form"),
        (&[1, 3, 0x80, 0x00], "a varint with a zero in its highest place"),
        (&[1, 3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02], "a varint beyond 64 bits"),
        (&[1, 5, 1, b'a'], "a short string in the long form"),
        (&[1, 0x85, b'a'], "a string that ends early"),
        (&[1, 4, 0, 0, 0], "a float that ends early"),
        (&[1, 6, 1, 0], "a table that ends early"),
        (&[1, 6, 1, 0, 0], "nil in a sequence"),
        (&[1, 6, 0, 1, 0x81, b'a', 0], "nil in a table"),
        (&[1, 6, 0, 1, 0, 0x40], "nil as a key"),
        (&[1, 6, 0, 1, 6, 0, 0, 0x40], "a table as a key"),
        (&[1, 6, 0, 1, 0x41, 0x40], "the key 1 beside an empty sequence"),
        (&[1, 6, 0, 2, 0x82, b'a', b'b', 1, 0x81, b'c', 1, 0], "bytes behind"),
        (&[1, 6, 0, 2, 0x81, b'b', 1, 0x81, b'a', 1], "keys out of order"),
        (&[1, 6, 0, 2, 0x81, b'a', 1, 0x81, b'a', 1], "a key twice"),
        (&[1, 6, 0, 1, 4, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 1], "the key 1.0"),
        (&[1, 6, 0, 1, 4, 0, 0, 0, 0, 0, 0, 0xf8, 0x7f, 1], "NaN as a key"),
    ] {
        assert_eq!(read(bad.to_vec()), Err(ErrorKind::Corrupted), "{what}");
    }
    assert_eq!(read(vec![2, 0]), Err(ErrorKind::Serialization), "a newer version");
}

#[test]
fn bombs_are_refused_before_they_take_memory() {
    // Lengths of four thousand million members and bytes, with nothing behind them.
    let huge = [0xff, 0xff, 0xff, 0xff, 0x0f];
    for start in [&[1, 6][..], &[1, 6, 0], &[1, 5]] {
        assert_eq!(read([start, &huge].concat()), Err(ErrorKind::Corrupted));
    }
    // A million tables within each other.
    let deep: Vec<u8> = [1].into_iter().chain([6, 1, 0].into_iter().cycle().take(3_000_000)).collect();
    assert_eq!(read(deep), Err(ErrorKind::Invalid));
    let small = ScriptLimits { depth: 2, nodes: 10, bytes: 100 };
    let many = bytes(&ScriptTable::from(vec![1; 20]).into());
    assert_eq!(decode(&many, small).unwrap_err().kind(), ErrorKind::Invalid);
    let long = bytes(&"x".repeat(200).into());
    assert_eq!(decode(&long, small).unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn what_exceeds_a_limit_is_named_by_its_path() {
    let small = ScriptLimits { depth: 2, nodes: 10, bytes: 100 };
    let refusal = |value: &ScriptValue, limits| {
        let error = encode(value, limits).unwrap_err();
        assert_eq!((error.kind(), error.is_retryable()), (ScriptErrorKind::Invalid, false));
        error.message().to_owned()
    };
    assert_eq!(
        refusal(&nested(3), small),
        "value.in.in: more than 2 tables within each other cannot be stored"
    );
    let twelve = table([("list", ScriptTable::from(vec![1; 12]))]);
    assert_eq!(refusal(&twelve, small), "value.list[9]: more than 10 values cannot be stored");
    let long = table([("a b", "x".repeat(100))]);
    assert_eq!(refusal(&long, small), "value[\"a b\"]: more than 100 bytes cannot be stored");
    assert!(encode(&nested(128), LIMITS).is_ok());
    assert!(refusal(&nested(129), LIMITS).contains("more than 128 tables"));
    // No setting allows more than what can be read on any stack.
    assert!(refusal(&nested(129), ScriptLimits { depth: usize::MAX, ..LIMITS }).contains("more than 128"));
}

#[test]
fn the_form_of_version_one_stays_as_it_is() {
    let mut value = ScriptTable::from(vec![1, 100]);
    value.insert("k", -0.5);
    value.insert(true, "é");
    let form =
        [1, 6, 2, 2, 0x41, 3, 0xc8, 1, 2, 0x82, 0xc3, 0xa9, 0x81, b'k', 4, 0, 0, 0, 0, 0, 0, 0xe0, 0xbf];
    assert_eq!(&bytes(&value.clone().into())[..], form);
    assert_eq!(read(form.to_vec()), Ok(value.into()));
}

#[test]
fn values_are_json_where_json_can_hold_them() {
    let json = |value: &ScriptValue| serde_json::to_string(value).unwrap();
    let mut mixed = ScriptTable::from(vec![1]);
    mixed.insert("x", 2);
    for (value, text) in [
        (ScriptValue::Nil, "null"),
        (1.into(), "1"),
        (1.0.into(), "1.0"),
        (ScriptValue::from(-0.0), "-0.0"),
        (i64::MIN.into(), "-9223372036854775808"),
        ("é\"".into(), r#""é\"""#),
        (ScriptTable::from(vec![1, 2]).into(), "[1,2]"),
        (ScriptTable::new().into(), "{}"),
        (table([("b", 1), ("a", 2)]), r#"{"a":2,"b":1}"#),
        (f64::NAN.into(), r#"{"$float":"nan"}"#),
        (f64::NEG_INFINITY.into(), r#"{"$float":"-inf"}"#),
        (f64::from_bits(0xfff8_0000_0000_0000).into(), r#"{"$float":"nan:fff8000000000000"}"#),
        (Bytes::from_static(b"\xff").into(), r#"{"$bytes":"/w=="}"#),
        (mixed.into(), r#"{"$table":[[1,1],["x",2]]}"#),
        (table([(2, 1)]), r#"{"$table":[[2,1]]}"#),
        (table([("$bytes", "/w==")]), r#"{"$table":[["$bytes","/w=="]]}"#),
        (table([("$bytes", 1), ("b", 2)]), r#"{"$bytes":1,"b":2}"#),
    ] {
        assert_eq!(json(&value), text);
    }
}

#[test]
fn no_two_values_read_alike_as_json() {
    let mut random = seeded();
    let mut seen = std::collections::HashMap::new();
    for _ in 0..20_000 {
        let value = random_value(&mut random, 3);
        let text = serde_json::to_string(&value).unwrap();
        let before = seen.entry(text).or_insert_with(|| value.clone());
        assert_eq!(*before, value);
    }
}

#[test]
fn what_hosts_store_is_read() {
    let json = r#"{"n": [1, null, 2.0], "big": 18446744073709551615, "none": null, "é": "x"}"#;
    let value: ScriptValue = Codec::Json.decode(&Encoding::JSON, json.as_bytes()).unwrap();
    let members = value.as_table().unwrap();
    assert_eq!(members.get("n"), Some(&table([(1, ScriptValue::Integer(1)), (3, 2.0.into())])));
    assert_eq!(members.get("big"), Some(&ScriptValue::Float(18_446_744_073_709_551_615.0)));
    assert_eq!((members.get("none"), members.len()), (None, 3));
    let packed = Codec::MessagePack.encode(&(1, "a", [true])).unwrap();
    let value: ScriptValue = Codec::MessagePack.decode(&Encoding::MESSAGE_PACK, &packed).unwrap();
    assert_eq!(value.as_table().unwrap().sequence().len(), 3);
}
