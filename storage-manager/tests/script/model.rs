//! Random calls against a plain model: a map, and a clock that moves now and then.

use std::{collections::BTreeMap, time::Duration};

use fastrand::Rng;
use storage_manager::{
    Clock, Outcomes, Timestamp,
    script::{
        Increment, KeyValueStore, ListOptions, Number, Put, ScriptResult, ScriptTable, ScriptValue, Ttl,
    },
};

use crate::support::{World, seeded, ttl};

const KEYS: [&str; 5] = ["a", ":a", "a:b", "é", "*"];

#[derive(Debug, Clone)]
struct Expected {
    value: ScriptValue,
    until: Option<Timestamp>,
    version: u64,
}

struct Model {
    world: World,
    entries: BTreeMap<String, Expected>,
}

impl Model {
    fn now(&self) -> Timestamp {
        self.world.clock.now()
    }

    fn forget_expired(&mut self) {
        let now = self.now();
        self.entries.retain(|_, entry| entry.until.is_none_or(|until| now < until));
    }

    fn until(&self, ttl: Ttl) -> Option<Timestamp> {
        ttl.as_seconds().map(|seconds| self.now().saturating_add(Duration::from_secs_f64(seconds)))
    }

    fn write(&mut self, key: &str, value: ScriptValue, until: Option<Timestamp>) {
        self.entries.insert(key.to_owned(), Expected { value, until, version: 0 });
    }

    /// Notes the version that the store gave, which no model can foretell.
    async fn note_version(&mut self, handle: &KeyValueStore, key: &str) {
        let entry = handle.entry(key).await.unwrap().unwrap();
        let expected = self.entries.get_mut(key).unwrap();
        assert!(entry.version > expected.version);
        expected.version = entry.version;
    }

    async fn step(&mut self, handle: &KeyValueStore, random: &mut Rng) -> String {
        self.forget_expired();
        let key = random.choice(KEYS).unwrap();
        let ttl = ttl(random.choice([0.0, 0.0, 0.5, 3.0, 100.0]).unwrap());
        let value = random_value(random);
        let there = self.entries.contains_key(key);
        match random.u8(0..13) {
            0 => {
                self.world.clock.advance(Duration::from_millis(random.u64(0..2_000)));
                "advance".into()
            }
            1 | 2 => {
                handle.set(key, &value, ttl).await.unwrap();
                self.write(key, value, self.until(ttl));
                self.note_version(handle, key).await;
                format!("set {key}")
            }
            3 => {
                assert_eq!(handle.delete(key).await.unwrap(), there);
                self.entries.remove(key);
                format!("delete {key}")
            }
            4 => {
                assert_eq!(handle.add(key, &value, ttl).await.unwrap(), !there);
                if !there {
                    self.write(key, value, self.until(ttl));
                    self.note_version(handle, key).await;
                }
                format!("add {key}")
            }
            5 => {
                assert_eq!(handle.replace(key, &value, ttl).await.unwrap(), there);
                if there {
                    self.write(key, value, self.until(ttl));
                    self.note_version(handle, key).await;
                }
                format!("replace {key}")
            }
            6 => {
                assert_eq!(handle.expire(key, ttl).await.unwrap(), there);
                if there {
                    let until = self.until(ttl);
                    self.entries.get_mut(key).unwrap().until = until;
                    self.note_version(handle, key).await;
                }
                format!("expire {key}")
            }
            7 | 8 => self.incr(handle, random, key).await,
            9 => self.put(handle, random, key, value, ttl).await,
            10 => {
                let prefix = random.choice(["", "a", "*", "none"]).unwrap();
                let page =
                    handle.list(&ListOptions { prefix: prefix.into(), ..ListOptions::default() }).await;
                let listed: Vec<_> =
                    page.unwrap().entries.into_iter().map(|entry| (entry.key, entry.version)).collect();
                let matching = self.entries.iter().filter(|(key, _)| key.starts_with(prefix));
                let expected: Vec<_> = matching.map(|(key, entry)| (key.clone(), entry.version)).collect();
                assert_eq!(listed, expected);
                format!("list {prefix}")
            }
            11 if random.u8(0..10) == 0 => {
                assert_eq!(handle.clear().await.unwrap(), self.entries.len() as u64);
                self.entries.clear();
                "clear".into()
            }
            _ => {
                self.world.manager.cleanup().await.and_then(Outcomes::into_result).unwrap();
                "cleanup".into()
            }
        }
    }

    async fn incr(&mut self, handle: &KeyValueStore, random: &mut Rng, key: &str) -> String {
        let step = random_number(random);
        let init = random.bool().then(|| random_number(random));
        let ttl = init.filter(|_| random.bool()).map(|_| ttl(3.0));
        let answer = handle.incr(key, Increment { step, init, ttl, ..Increment::default() }).await;
        let before = self.entries.get(key).cloned();
        let base = before.as_ref().map_or(init, |entry| Number::try_from(&entry.value).ok());
        match base.map(|base| base.checked_add(step)) {
            Some(Ok(sum)) => {
                assert_eq!(answer.unwrap(), sum);
                let until = before.map_or_else(|| self.until(ttl.unwrap_or_default()), |entry| entry.until);
                self.write(key, sum.into(), until);
                self.note_version(handle, key).await;
            }
            _ => {
                let kind = if before.is_some() || init.is_some() { "INVALID" } else { "NOT_FOUND" };
                assert_eq!(answer.unwrap_err().kind().as_str(), kind);
            }
        }
        format!("incr {key} by {step:?} from {init:?}")
    }

    async fn put(
        &mut self,
        handle: &KeyValueStore,
        random: &mut Rng,
        key: &str,
        value: ScriptValue,
        ttl: Ttl,
    ) -> String {
        let before = self.entries.get(key).map(|entry| entry.version);
        let put = match random.u8(0..4) {
            0 => Put { ttl, ..Put::default() },
            1 => Put { ttl, only_if_absent: true, if_version: None },
            2 => Put { ttl, only_if_absent: false, if_version: before.or(Some(7)) },
            _ => Put { ttl, only_if_absent: false, if_version: Some(before.unwrap_or(7) - 1) },
        };
        let expected = match (put.only_if_absent, put.if_version, before) {
            (true, _, Some(_)) => Err("ALREADY_EXISTS"),
            (false, Some(version), before) if before != Some(version) => Err("CONFLICT"),
            _ => Ok(()),
        };
        let answer: ScriptResult<u64> = handle.put(key, &value, put).await;
        assert_eq!(answer.as_ref().map(|_| ()).map_err(|error| error.kind().as_str()), expected);
        if let Ok(version) = answer {
            self.entries.insert(key.to_owned(), Expected { value, until: self.until(ttl), version });
        }
        format!("{put:?}")
    }

    /// Everything that can be asked is answered as the model says.
    async fn check(&mut self, handle: &KeyValueStore) {
        self.forget_expired();
        for key in KEYS {
            let expected = self.entries.get(key);
            assert_eq!(handle.get(key).await.unwrap().as_ref(), expected.map(|entry| &entry.value), "{key}");
            assert_eq!(handle.has(key).await.unwrap(), expected.is_some(), "{key}");
            let left = handle.ttl(key).await.unwrap();
            let until = expected.map(|entry| entry.until.map(|until| until.saturating_since(self.now())));
            assert_eq!(
                left.map(Ttl::as_seconds),
                until.map(|left| left.map(|left| left.as_secs_f64())),
                "{key}"
            );
        }
    }
}

fn random_number(random: &mut Rng) -> Number {
    match random.u8(0..6) {
        0 => Number::Float(0.5),
        1 => Number::Integer(i64::MAX - 1),
        2 => Number::Float(f64::MAX),
        _ => Number::Integer(random.i64(-3..9)),
    }
}

fn random_value(random: &mut Rng) -> ScriptValue {
    match random.u8(0..6) {
        0 => "text".into(),
        1 => false.into(),
        2 => ScriptTable::from(vec![1, 2]).into(),
        _ => random_number(random).into(),
    }
}

async fn compare(world: World, steps: usize) {
    let mut random = seeded();
    let (handle, _unit) = world.handle();
    let mut model = Model { world, entries: BTreeMap::new() };
    let mut said = Vec::new();
    for _ in 0..steps {
        said.push(model.step(&handle, &mut random).await);
        model.check(&handle).await;
    }
    // Not all steps were of one kind.
    said.sort_unstable();
    said.dedup();
    assert!(said.len() > 50, "{said:?}");
    model.world.manager.close().await.into_result().unwrap();
}

#[tokio::test]
async fn memory_answers_as_the_model() {
    compare(World::memory(), 30_000).await;
}

#[tokio::test]
async fn fs_answers_as_the_model() {
    compare(World::fs().await, 1_500).await;
}

#[cfg(feature = "redis")]
#[tokio::test]
async fn redis_answers_as_the_model() {
    let Some(world) = World::redis().await else { return };
    compare(world, 2_000).await;
}
