//! What holds on every kind of store alike: in memory, in files, on a server.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use fastrand::Rng;
use storage_manager::{
    lua::{
        ScriptVm, from_lua, install_agent_modules, install_key_value_module,
        mlua::{self, Lua, Table, Value},
        to_lua,
    },
    script::{
        AllowAll, KeyValueStores, ScriptKey, ScriptLimits, ScriptRegistry, ScriptStore, ScriptTable,
        ScriptValue, ValuePath, encode,
    },
};

use crate::{
    model::literal::{random_value, text},
    support::{Host, finish, seeded},
    values::as_the_interpreter_knows_it,
};

/// Narrow enough that random values exceed them now and then.
const LIMITS: ScriptLimits = ScriptLimits { depth: 4, nodes: 25, bytes: 90 };

const NARROWER: ScriptLimits = ScriptLimits { nodes: 20, bytes: 70, ..LIMITS };

/// Puts each case wherever a script can put a value, and tells what came of it.
const PUT_AND_GET: &str = "
    for number, case in ipairs(cases) do
        for name, place in pairs(places) do
            local err = place.put(case.value)
            report(number, name, err and err:kind(), err and err:message(), place.get())
        end
    end";
const AGENT: &str = "
    local function place(put, get)
        return {
            put = function(value) local ok, err = pcall(put, 'k', value) return not ok and err or nil end,
            get = function() return (get('k')) end,
        }
    end
    local places = {
        own = place(store.put, store.get),
        global = place(store.put_global, store.get_global),
        registry = place(registry.put, registry.get),
    }";
const KEY_VALUE: &str = "
    local handle = assert(require('store').get('app:limited'))
    local places = {
        set = {
            put = function(value) return (select(2, handle:set('k', value))) end,
            get = function() return (handle:get('k')) end,
        },
        put = {
            put = function(value) return (select(2, handle:put('k2', value, { ttl = 3600 }))) end,
            get = function() local entry = handle:entry('k2') return entry and entry.value end,
        },
    }";

/// A value, and what has to come of putting it.
#[derive(Clone)]
enum Case {
    Kept(ScriptValue),
    /// Refused with exactly this message.
    Refused(String),
    /// Refused somewhere, as too much: whatever the walk meets first.
    TooMuch,
}

#[tokio::test]
async fn any_value_of_a_script_comes_back_or_is_refused_with_its_place_and_changes_nothing() {
    let mut random = seeded();
    for host in Host::on_every_store().await {
        let store = ScriptStore::builder(&host.manager).ident("m".parse().unwrap()).limits(LIMITS).build();
        let registry = ScriptRegistry::new(&host.manager).with_limits(LIMITS);
        let stores = KeyValueStores::with_limits(&host.manager, AllowAll, LIMITS);
        stores.register_routed("app:limited").unwrap();
        for round in 0..4 {
            let vm = host.sandbox().vm().unwrap();
            let places = if round % 2 == 0 {
                install_agent_modules(vm.lua(), &store, &registry).unwrap();
                AGENT
            } else {
                install_key_value_module(vm.lua(), stores.unit_of_work()).unwrap();
                KEY_VALUE
            };
            put_and_get(&host, vm, places, &mut random).await;
        }
    }
}

async fn put_and_get(host: &Host, vm: ScriptVm, places: &str, random: &mut Rng) {
    let cases = offer_cases(vm.lua(), random);
    let reports = collect_reports(vm.lua());
    finish(vm, &format!("{places}\n{PUT_AND_GET}")).await;
    let mut stored: BTreeMap<String, ScriptValue> = BTreeMap::new();
    let (mut kept, mut refused) = (0, 0);
    for Report { case, place, kind, message, found } in reports.lock().unwrap().drain(..) {
        let at = format!("{} {place}", host.name);
        match (cases.get(case - 1).unwrap(), message) {
            (Case::Kept(value), None) => {
                stored.insert(place.clone(), value.clone());
                kept += 1;
            }
            (Case::Refused(expected), Some(message)) => {
                assert_eq!((kind.as_deref(), &message), (Some("INVALID"), expected), "{at}");
                refused += 1;
            }
            (Case::TooMuch, Some(message)) => {
                assert_eq!(kind.as_deref(), Some("INVALID"), "{at}: {message}");
                assert!(message.starts_with("value") && message.contains(": more than"), "{at}: {message}");
                refused += 1;
            }
            (Case::Kept(value), Some(message)) => panic!("{at}: {message}: {value:?}"),
            (_, None) => panic!("{at}: case {case} was stored: {found:?}"),
        }
        // What the last case before the first kept one of this machine left is not known here.
        if let Some(stored) = stored.get(&place) {
            assert_eq!(&as_the_interpreter_knows_it(found), stored, "{at}");
        }
    }
    assert!(kept > 40 && refused > 40, "{kept} kept, {refused} refused");
}

/// Gives the machine a global `cases`, and says what has to come of each.
fn offer_cases(lua: &Lua, random: &mut Rng) -> Vec<Case> {
    let (list, mut cases) = (lua.create_table().unwrap(), Vec::new());
    for _ in 0..200 {
        let value = as_the_interpreter_knows_it(random_value(random, 4));
        let inside = to_lua(lua, &value).unwrap();
        let (inside, case) = match encode(&value, LIMITS) {
            // With room for what is added, or that would be refused as too much.
            Ok(_) if encode(&value, NARROWER).is_ok() && random.u8(0..3) == 0 => {
                spoil(lua, random, &value, inside)
            }
            Ok(_) => (inside, Case::Kept(value)),
            Err(_) => (inside, Case::TooMuch),
        };
        let offered = lua.create_table().unwrap();
        offered.set("value", inside).unwrap();
        list.push(offered).unwrap();
        cases.push(case);
    }
    lua.globals().set("cases", list).unwrap();
    cases
}

/// Puts something that no store takes somewhere into a value.
fn spoil(lua: &Lua, random: &mut Rng, value: &ScriptValue, inside: Value) -> (Value, Case) {
    let (ScriptValue::Table(table), Value::Table(place)) = (value, &inside) else {
        let function = lua.create_function(|_, ()| Ok(())).unwrap();
        let refusal = "value: a function cannot be stored".to_owned();
        return (Value::Function(function), Case::Refused(refusal));
    };
    let (path, what) = spoil_table(lua, random, table, place);
    let refusal = Case::Refused(format!("{path}: a {what}"));
    (inside, refusal)
}

fn spoil_table(lua: &Lua, random: &mut Rng, table: &ScriptTable, place: &Table) -> (ValuePath, &'static str) {
    let inner = table.iter().find_map(|(key, value)| Some((key, value.as_table()?.clone())));
    if let Some((key, inner)) = inner
        && random.bool()
    {
        let place: Table = place.get(key_inside(lua, &key)).unwrap();
        let (path, what) = spoil_table(lua, random, &inner, &place);
        return (path.within(key), what);
    }
    let spoilt = |value: Value, what| {
        place.set("spoilt", value).unwrap();
        (ValuePath::new().within("spoilt".into()), what)
    };
    match random.u8(0..5) {
        0 => {
            let function = lua.create_function(|_, ()| Ok(())).unwrap();
            spoilt(Value::Function(function), "function cannot be stored")
        }
        1 => {
            let function = lua.create_function(|_, ()| Ok(())).unwrap();
            spoilt(Value::Thread(lua.create_thread(function).unwrap()), "thread cannot be stored")
        }
        2 => spoilt(Value::UserData(lua.create_any_userdata(1).unwrap()), "userdata cannot be stored"),
        3 => spoilt(Value::Table(place.clone()), "table within itself cannot be stored"),
        _ => {
            place.set(lua.create_table().unwrap(), 1).unwrap();
            (ValuePath::new(), "table cannot be stored as a key")
        }
    }
}

fn key_inside(lua: &Lua, key: &ScriptKey) -> Value {
    let value = match key.clone() {
        ScriptKey::Boolean(key) => key.into(),
        ScriptKey::Integer(key) => key.into(),
        ScriptKey::Float(key) => key.get().into(),
        ScriptKey::String(key) => key.into(),
    };
    to_lua(lua, &value).unwrap()
}

struct Report {
    case: usize,
    place: String,
    kind: Option<String>,
    message: Option<String>,
    found: ScriptValue,
}

/// Gives the machine a global `report`.
fn collect_reports(lua: &Lua) -> Arc<Mutex<Vec<Report>>> {
    let reports: Arc<Mutex<Vec<Report>>> = Arc::default();
    let collected = Arc::clone(&reports);
    let report =
        lua.create_function(
            move |_,
                  (case, place, kind, message, found): (
                usize,
                String,
                Option<String>,
                Option<String>,
                Value,
            )| {
                let found = from_lua(&found, ScriptLimits::default()).map_err(mlua::Error::external)?;
                collected.lock().unwrap().push(Report { case, place, kind, message, found });
                Ok(())
            },
        );
    lua.globals().set("report", report.unwrap()).unwrap();
    reports
}

/// Few letters and short words make the same texts over and over, cut in different places.
fn random_word(random: &mut Rng) -> String {
    const LETTERS: [&str; 8] = ["a", "b", ":", "%", "3A", "25", "%3A", "é"];
    (0..random.usize(1..5)).filter_map(|_| random.choice(LETTERS)).collect()
}

/// What scripts write under one scope, identity and key is read there and nowhere else.
#[tokio::test]
async fn scopes_identities_and_keys_of_scripts_never_meet() {
    let mut random = seeded();
    for host in Host::on_every_store().await {
        let idents: Vec<String> = (0..40).map(|_| random_word(&mut random)).collect();
        let mut written: BTreeMap<(String, String), u32> = BTreeMap::new();
        for (number, ident) in (0..).zip(&idents) {
            let mut source = String::new();
            for step in 0..12 {
                let (scope, module) = match random.u8(0..6) {
                    0 => ("global".to_owned(), "store.put_global"),
                    1 => ("registry".to_owned(), "registry.put"),
                    _ => (format!("own {ident}"), "store.put"),
                };
                let (key, value) = (random_word(&mut random), number * 100 + step);
                source.push_str(&format!("{module}({}, {value})\n", text(key.as_bytes())));
                written.insert((scope, key), value);
            }
            finish(host.agent(Some(ident)), &source).await;
        }
        for ident in &idents {
            let own = format!("own {ident}");
            let mut source = String::new();
            for ((scope, key), value) in &written {
                let module = match scope.as_str() {
                    "global" => "store.get_global",
                    "registry" => "registry.get",
                    scope if scope == own => "store.get",
                    _ => continue,
                };
                source.push_str(&format!("assert({module}({}) == {value})\n", text(key.as_bytes())));
            }
            finish(host.agent(Some(ident)), &source).await;
        }
        let items = host.manager.usage().await.unwrap().total().items;
        assert_eq!(items, written.len() as u64, "{}", host.name);
    }
}
