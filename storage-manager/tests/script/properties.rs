//! Random values and names, on every kind of store.

use std::collections::HashMap;

use fastrand::Rng;
use storage_manager::script::{
    Ident, ScriptKey, ScriptLimits, ScriptRegistry, ScriptResult, ScriptStore, ScriptTable, ScriptValue,
    Stamped,
};

use crate::support::{World, seeded};

#[tokio::test]
async fn any_value_comes_back_or_is_refused_with_its_path_and_changes_nothing() {
    World::each(|world| async move {
        let mut random = seeded();
        let limits = ScriptLimits { depth: 3, nodes: 60, bytes: 2_000 };
        let store = ScriptStore::builder(&world.manager).limits(limits).build();
        store.put_global("k", &ScriptValue::Nil).await.unwrap();
        let (mut before, mut stored, mut refused) = (ScriptValue::Nil, 0, 0);
        for _ in 0..400 {
            let value = random_value(&mut random, 4);
            match store.put_global("k", &value).await {
                Ok(()) => (before, stored) = (value, stored + 1),
                Err(error) => {
                    assert_eq!(error.kind().as_str(), "INVALID", "{error}");
                    assert!(error.message().starts_with("value"), "{error}");
                    refused += 1;
                }
            }
            let found = store.get_global("k").await.unwrap().unwrap().value;
            assert_eq!(found, before, "{}", world.name);
        }
        assert!(stored > 50 && refused > 20, "{stored} stored, {refused} refused");
    })
    .await;
}

fn random_value(random: &mut Rng, depth: usize) -> ScriptValue {
    match random.u8(0..if depth == 0 { 5 } else { 9 }) {
        0 => ScriptValue::Nil,
        1 => random.bool().into(),
        2 => (random.i64(..) >> random.u32(0..64)).into(),
        3 => f64::from_bits(random.u64(..)).into(),
        4 => ScriptValue::String(random_bytes(random).into()),
        _ => random_table(random, depth - 1).into(),
    }
}

fn random_table(random: &mut Rng, depth: usize) -> ScriptTable {
    let mut table = ScriptTable::new();
    for _ in 0..random.usize(0..6) {
        let value = random_value(random, depth);
        match random.u8(0..5) {
            0 => table.insert(random.bool(), value),
            1 => table.insert(random.i64(-2..8), value),
            2 => table.insert(ScriptKey::from_float(random.f64()).unwrap(), value),
            3 => table.insert(bytes::Bytes::from(random_bytes(random)), value),
            _ => table.push(value),
        }
    }
    table
}

fn random_bytes(random: &mut Rng) -> Vec<u8> {
    (0..random.usize(0..100)).map(|_| random.u8(..)).collect()
}

/// Whose key it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Scope {
    Own(String),
    Global,
    Registry,
}

impl Scope {
    /// Few letters and short words make the same texts over and over, cut in different places.
    fn random(random: &mut Rng) -> Self {
        match random.u8(0..6) {
            0 => Self::Global,
            1 => Self::Registry,
            _ => Self::Own(random_word(random)),
        }
    }

    fn store(&self, world: &World) -> ScriptStore {
        let builder = ScriptStore::builder(&world.manager);
        match self {
            Self::Own(ident) => builder.ident(ident.parse::<Ident>().unwrap()).build(),
            Self::Global | Self::Registry => builder.build(),
        }
    }

    async fn put(&self, world: &World, key: &str, value: &ScriptValue) -> ScriptResult<()> {
        match self {
            Self::Own(_) => self.store(world).put(key, value).await,
            Self::Global => self.store(world).put_global(key, value).await,
            Self::Registry => ScriptRegistry::new(&world.manager).put(key, value).await,
        }
    }

    async fn get(&self, world: &World, key: &str) -> ScriptResult<Option<Stamped>> {
        match self {
            Self::Own(_) => self.store(world).get(key).await,
            Self::Global => self.store(world).get_global(key).await,
            Self::Registry => ScriptRegistry::new(&world.manager).get(key).await,
        }
    }
}

fn random_word(random: &mut Rng) -> String {
    const LETTERS: [&str; 8] = ["a", "b", ":", "%", "3A", "25", "%3A", "é"];
    (0..random.usize(1..5)).filter_map(|_| random.choice(LETTERS)).collect()
}

/// What is written under one scope and key is read there and nowhere else.
#[tokio::test]
async fn scopes_identities_and_keys_never_meet() {
    World::each(|world| async move {
        let mut random = seeded();
        let mut written = HashMap::new();
        for n in 0..600 {
            let (scope, key) = (Scope::random(&mut random), random_word(&mut random));
            scope.put(&world, &key, &n.into()).await.unwrap();
            written.insert((scope, key), n);
        }
        assert!(written.len() > 200, "the words are too few to mean anything: {}", written.len());
        for ((scope, key), n) in &written {
            let found = scope.get(&world, key).await.unwrap().map(|found| found.value);
            assert_eq!(found, Some((*n).into()), "{}: {scope:?} {key:?}", world.name);
        }
        let items = world.manager.usage().await.unwrap().total().items;
        assert_eq!(items, written.len() as u64, "{}", world.name);
    })
    .await;
}
