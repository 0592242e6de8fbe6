//! `store` and `registry`: maps from keys to values and the second in which they were put.

use std::collections::BTreeMap;

use storage_manager::script::ScriptValue;

use super::{
    literal::{literal, random_value, text},
    script::Steps,
};

/// Joined by colons, these meet each other in many ways.
const KEYS: [&str; 6] = ["a", "b", ":a", "a:b", "b:a", "%3Aa"];
/// The identities of scripts; one has none.
pub(super) const IDENTS: [Option<&str>; 5] = [None, Some("a"), Some("a:b"), Some("%3Aa"), Some("a%3Ab")];

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    /// The keys of a script.
    Own(&'static str),
    Global,
    Registry,
}

/// A value, and the second of its put.
type Stamped = (ScriptValue, i64);

#[derive(Default)]
pub(super) struct Agent {
    values: BTreeMap<(Place, &'static str), Stamped>,
}

impl Agent {
    /// Writes one step of a script of `ident` and what is to come of it.
    pub(super) fn step(&mut self, steps: &mut Steps<'_>, ident: Option<&'static str>) {
        let (suffix, place) = match steps.random.u8(0..4) {
            0 | 1 => ("", ident.map_or(Place::Global, Place::Own)),
            2 => ("_global", Place::Global),
            _ => ("", Place::Registry),
        };
        let module = if place == Place::Registry { "registry" } else { "store" };
        let name = steps.random.choice(KEYS).unwrap();
        let (call, key, at) =
            (|verb: &str| format!("{module}.{verb}{suffix}"), text(name.as_bytes()), (place, name));
        match steps.random.u8(0..12) {
            0..=3 => {
                let value = match steps.random.u8(0..8) {
                    0 => ScriptValue::Nil,
                    _ => random_value(steps.random, 2),
                };
                steps.write("is", &format!("{{n=0}}, {}({key}, {})", call("put"), literal(&value)));
                let second = steps.now().as_micros() / 1_000_000;
                self.values.insert(at, (value, second));
            }
            4..=8 => {
                let (value, second) = match self.values.get(&at) {
                    Some((value, second)) => (literal(value), second.to_string()),
                    None => ("nil".into(), "nil".into()),
                };
                steps.write("is", &format!("{{n=2, [1]={value}, [2]={second}}}, {}({key})", call("get")));
            }
            9 | 10 => {
                steps.write("is", &format!("{{n=0}}, {}({key})", call("delete")));
                self.values.remove(&at);
            }
            _ => refused(steps, &call, &key),
        }
    }
}

/// A call that has to fail, and to change nothing.
fn refused(steps: &mut Steps<'_>, call: &impl Fn(&str) -> String, key: &str) {
    let arguments = match steps.random.u8(0..7) {
        0 => format!("{}, '', 1", call("put")),
        1 => format!("{}, {key}, print", call("put")),
        2 => format!("{}, {key}, {{ {{ print }} }}", call("put")),
        3 => format!("{}, {key}", call("put")),
        4 => format!("{}, 'a\\n'", call("delete")),
        5 => format!("{}, 1", call("get")),
        _ => call("get"),
    };
    steps.write("raises", &format!("'INVALID', {arguments}"));
}
