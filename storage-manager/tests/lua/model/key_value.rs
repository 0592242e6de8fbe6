//! Handles: a map from keys to values with an end.

use std::{collections::BTreeMap, time::Duration};

use storage_manager::{
    Timestamp,
    script::{Number, ScriptValue},
};

use super::{
    literal::{literal, random_value, text},
    script::Steps,
};

const KEYS: [&str; 5] = ["a", ":a", "a:b", "é", "*"];
/// In seconds, none first. Halves, so that sums are exact.
const TTLS: [f64; 6] = [0.0, 0.0, 0.5, 1.0, 3.0, 100.0];

struct Entry {
    value: ScriptValue,
    until: Option<Timestamp>,
    created: Timestamp,
    updated: Timestamp,
    /// Which write it was, over all scripts.
    write: usize,
}

#[derive(Default)]
pub(super) struct KeyValue {
    entries: BTreeMap<&'static str, Entry>,
    writes: usize,
    /// The first write of this script: scripts know the versions of their own writes only.
    first_write: usize,
    /// What the writes of this script wrote to.
    written: Vec<&'static str>,
    released: bool,
}

impl KeyValue {
    /// What the next script begins with.
    pub(super) fn begin(&mut self, steps: &mut Steps<'_>) {
        self.released = false;
        self.first_write = self.writes + 1;
        self.written.clear();
        steps.say("local V, h = {}, assert(require('store').get('app:cache'))");
    }

    fn forget_expired(&mut self, now: Timestamp) {
        self.entries.retain(|_, entry| entry.until.is_none_or(|until| now < until));
    }

    /// The version of a write, as a script calls it: nil if another script made it.
    fn version(&self, write: usize) -> String {
        if write >= self.first_write { format!("V[{write}]") } else { "nil".into() }
    }

    fn next_write(&mut self, key: &'static str) -> usize {
        self.writes += 1;
        self.written.push(key);
        self.writes
    }

    /// An older write of this script to `key`. (Those to other keys may have the version that `key` has now.)
    fn older_write(&self, key: &str) -> Option<usize> {
        let current = self.entries.get(key).map(|entry| entry.write);
        let mut writes = (self.first_write..).zip(&self.written);
        writes.find(|(write, written)| **written == key && Some(*write) != current).map(|(write, _)| write)
    }

    fn set(&mut self, now: Timestamp, key: &'static str, value: ScriptValue, until: Option<Timestamp>) {
        let write = self.next_write(key);
        let created = self.entries.get(key).map_or(now, |entry| entry.created);
        self.entries.insert(key, Entry { value, until, created, updated: now, write });
    }

    /// Writes one step of a script and what is to come of it.
    pub(super) fn step(&mut self, steps: &mut Steps<'_>) {
        self.forget_expired(steps.now());
        let key = steps.random.choice(KEYS).unwrap();
        let name = text(key.as_bytes());
        if self.released {
            let call = steps.random.choice(["get", "set", "has", "delete", "incr", "ttl", "clear"]).unwrap();
            return steps.write("fails", &format!("'INVALID', h:{call}({name}, 1)"));
        }
        match steps.random.u8(0..24) {
            0..=2 => self.write_always(steps, key, &name),
            3 | 4 => self.write_if(steps, key, &name),
            5..=7 => self.incr(steps, key, &name),
            8 | 9 => self.put_if(steps, key, &name),
            10 | 11 => {
                let there = self.entries.remove(key).is_some();
                steps.write("is", &format!("{{n=1, {there}}}, h:delete({name})"));
            }
            12 => self.expire(steps, key, &name),
            13..=15 => {
                let value = self.entries.get(key).map_or_else(|| "nil".into(), |entry| literal(&entry.value));
                steps.write("is", &format!("{{n=1, [1]={value}}}, h:get({name})"));
            }
            16 => {
                let call = steps.random.choice(["has", "exists"]).unwrap();
                let there = self.entries.contains_key(key);
                steps.write("is", &format!("{{n=1, {there}}}, h:{call}({name})"));
            }
            17 | 18 => {
                let left = self.entries.get(key).map(|entry| left(steps.now(), entry.until));
                let left = left.unwrap_or_else(|| "nil".into());
                steps.write("is", &format!("{{n=1, [1]={left}}}, h:ttl({name})"));
            }
            19 => self.entry(steps, key, &name),
            20 | 21 => self.list(steps),
            22 => refused(steps, &name),
            _ => self.rare(steps),
        }
    }

    fn write_always(&mut self, steps: &mut Steps<'_>, key: &'static str, name: &str) {
        let (value, (ttl, until)) = (random_value(steps.random, 2), random_ttl(steps));
        let value_text = literal(&value);
        if steps.random.bool() {
            steps.write("is", &format!("{{n=1, true}}, h:set({name}, {value_text}, {ttl})"));
            self.set(steps.now(), key, value, until);
            // The version is there to be asked for.
            let entry = format!("{{}}, nil, h:entry({name})");
            steps.write_version(self.writes, "entry", &entry);
        } else {
            self.set(steps.now(), key, value, until);
            let put = format!("h:put({name}, {value_text}, {{ ttl = {ttl} }})");
            steps.write_version(self.writes, "version", &put);
        }
    }

    /// `add` and `replace`.
    fn write_if(&mut self, steps: &mut Steps<'_>, key: &'static str, name: &str) {
        let (value, (ttl, until)) = (random_value(steps.random, 1), random_ttl(steps));
        let (call, wanted) = steps.random.choice([("add", false), ("replace", true)]).unwrap();
        let done = self.entries.contains_key(key) == wanted;
        steps.write("is", &format!("{{n=1, {done}}}, h:{call}({name}, {}, {ttl})", literal(&value)));
        if done {
            self.set(steps.now(), key, value, until);
            steps.write_version(self.writes, "entry", &format!("{{}}, nil, h:entry({name})"));
        }
    }

    fn incr(&mut self, steps: &mut Steps<'_>, key: &'static str, name: &str) {
        let step = random_number(steps.random);
        let init = steps.random.bool().then(|| random_number(steps.random));
        let ttl = init.filter(|_| steps.random.bool()).map(|_| random_ttl(steps));
        let before = self.entries.get(key);
        let number = |number: Option<Number>| literal(&number.map_or(ScriptValue::Nil, Into::into));
        let ttl_text = ttl.as_ref().map_or("nil", |(text, _)| text);
        let call = format!("h:incr({name}, {}, {}, {ttl_text})", number(Some(step)), number(init));
        let base = before.map_or(init, |entry| Number::try_from(&entry.value).ok());
        match base.map(|base| base.checked_add(step)) {
            Some(Ok(sum)) => {
                steps.write("is", &format!("{{n=1, {}}}, {call}", number(Some(sum))));
                let until = before.map_or_else(|| ttl.and_then(|(_, until)| until), |entry| entry.until);
                self.set(steps.now(), key, sum.into(), until);
                steps.write_version(self.writes, "entry", &format!("{{}}, nil, h:entry({name})"));
            }
            _ => {
                let kind = if before.is_some() || init.is_some() { "INVALID" } else { "NOT_FOUND" };
                steps.write("fails", &format!("'{kind}', {call}"));
            }
        }
    }

    /// `put` under a condition that holds or does not.
    fn put_if(&mut self, steps: &mut Steps<'_>, key: &'static str, name: &str) {
        let (value, (ttl, until)) = (random_value(steps.random, 1), random_ttl(steps));
        let current = self.entries.get(key).map(|entry| entry.write);
        let known = current.filter(|write| *write >= self.first_write);
        let (condition, refusal) = match (steps.random.u8(0..3), known, self.older_write(key)) {
            (0, Some(write), _) => (format!("if_version = V[{write}]"), None),
            (0 | 1, ..) => ("only_if_absent = true".into(), current.map(|_| "ALREADY_EXISTS")),
            // Versions are never used again, also not after the end of the entry.
            (_, _, Some(older)) => (format!("if_version = V[{older}]"), Some("CONFLICT")),
            _ => ("if_version = '7'".into(), Some("CONFLICT")),
        };
        let call = format!("h:put({name}, {}, {{ {condition}, ttl = {ttl} }})", literal(&value));
        match refusal {
            Some(kind) => steps.write("fails", &format!("'{kind}', {call}")),
            None => {
                self.set(steps.now(), key, value, until);
                steps.write_version(self.writes, "version", &call);
            }
        }
    }

    fn expire(&mut self, steps: &mut Steps<'_>, key: &'static str, name: &str) {
        let (ttl, until) = random_ttl(steps);
        let there = self.entries.contains_key(key);
        steps.write("is", &format!("{{n=1, {there}}}, h:expire({name}, {ttl})"));
        if there {
            let write = self.next_write(key);
            let entry = self.entries.get_mut(key).unwrap();
            (entry.until, entry.write, entry.updated) = (until, write, steps.now());
            steps.write_version(self.writes, "entry", &format!("{{}}, nil, h:entry({name})"));
        }
    }

    fn entry(&mut self, steps: &mut Steps<'_>, key: &'static str, name: &str) {
        let Some(entry) = self.entries.get(key) else {
            return steps.write("is", &format!("{{n=1, nil}}, h:entry({name})"));
        };
        let seconds = |at: Timestamp| at.as_micros() / 1_000_000;
        let expected = format!(
            "value = {}, ttl = {}, created_at = {}, updated_at = {}",
            literal(&entry.value),
            left(steps.now(), entry.until),
            seconds(entry.created),
            seconds(entry.updated),
        );
        steps.write("entry", &format!("{{ {expected} }}, {}, h:entry({name})", self.version(entry.write)));
    }

    fn list(&self, steps: &mut Steps<'_>) {
        let prefix = steps.random.choice(["", "a", ":", "*", "none"]).unwrap();
        let limit = steps.random.choice(["1", "2", "3", "1000", "nil"]).unwrap();
        let keys = self.entries.keys().filter(|key| key.starts_with(prefix));
        let keys: Vec<_> = keys.map(|key| text(key.as_bytes())).collect();
        let prefix = text(prefix.as_bytes());
        steps.write("lists", &format!("{{ {} }}, h, {prefix}, {limit}", keys.join(", ")));
    }

    fn rare(&mut self, steps: &mut Steps<'_>) {
        match steps.random.u8(0..4) {
            0 => {
                steps.write("is", &format!("{{n=1, {}}}, h:clear()", self.entries.len()));
                self.entries.clear();
            }
            1 => {
                steps.write("is", "{n=1, true}, h:release()");
                self.released = true;
            }
            2 => steps.write("is", "{n=1, 'store app:cache'}, tostring(h)"),
            _ => steps.write("fails", "'NOT_FOUND', require('store').get('app:unknown')"),
        }
    }
}

/// A call that has to fail, and to change nothing.
fn refused(steps: &mut Steps<'_>, name: &str) {
    let call = match steps.random.u8(0..10) {
        0 => "get('')".into(),
        1 => "get(1)".into(),
        2 => format!("set({name}, nil)"),
        3 => format!("set({name}, {{ a = {{ print }} }})"),
        4 => format!("set({name}, 1, -1)"),
        5 => format!("add({name}, 1, 0/0)"),
        6 => format!("expire({name}, 1/0)"),
        7 => format!("put({name}, 1, {{ only_if_absent = true, if_version = '1' }})"),
        8 => format!("incr({name}, 1, nil, 5)"),
        _ => "list({ limit = 0 })".into(),
    };
    steps.write("fails", &format!("'INVALID', h:{call}"));
}

/// A time to live as a script writes it, and the end that it means.
fn random_ttl(steps: &mut Steps<'_>) -> (String, Option<Timestamp>) {
    let seconds = steps.random.choice(TTLS).unwrap();
    if seconds == 0.0 {
        return (steps.random.choice(["0", "nil", "0.0"]).unwrap().into(), None);
    }
    (format!("{seconds}"), Some(steps.now().saturating_add(Duration::from_secs_f64(seconds))))
}

/// What `ttl` answers: seconds with their fraction, or the whole number 0.
fn left(now: Timestamp, until: Option<Timestamp>) -> String {
    until.map_or_else(|| "0".into(), |until| format!("{:?}", until.saturating_since(now).as_secs_f64()))
}

fn random_number(random: &mut fastrand::Rng) -> Number {
    match random.u8(0..8) {
        0 => Number::Float(0.5),
        1 => Number::Float(f64::MAX),
        2 if cfg!(feature = "lua54") => Number::Integer(random.choice([i64::MAX - 1, i64::MIN]).unwrap()),
        _ => Number::Integer(random.i64(-3..9)),
    }
}
