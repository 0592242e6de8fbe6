//! Values that go into the storage come back as they were, or are refused with the place.

use storage_manager::{
    lua::{from_lua, install_agent_modules, install_key_value_module, mlua::Lua, to_lua},
    script::{AllowAll, KeyValueStores, ScriptKey, ScriptLimits, ScriptRegistry, ScriptStore, ScriptValue},
};

use crate::support::{Host, finish, seeded};

#[tokio::test]
async fn what_cannot_be_stored_is_refused_with_its_place_and_nothing_is_written() {
    Host::new()
        .run_agent(
            r##"
            local cycle = { child = {} }
            cycle.child.parent = cycle
            local deep = {}
            for _ = 1, 200 do deep = { deep } end
            local text = ("x"):rep(10000000)
            local many = {}
            for i = 1, 100 do many[i] = many[i - 1] and { many[i - 1], many[i - 1] } or { 1 } end
            for message, value in pairs({
                ["value: a function cannot be stored"] = print,
                ["value.a[2].b: a function cannot be stored"] = { a = { 1, { b = print } } },
                ["value.child.parent: a table within itself cannot be stored"] = cycle,
                ["value: a table cannot be stored as a key"] = { [{}] = 1 },
                ["tables within each other cannot be stored"] = deep,
                ["cannot be stored"] = many[100],
                ["more than 16777216 bytes"] = { text, text },
            }) do
                local ok, err = pcall(store.put, "a", value)
                assert(not ok and err:kind() == "INVALID", message)
                assert(err:message():find(message, 1, true), err:message())
            end
            assert(select(2, store.get("a")) == nil)"##,
        )
        .await;
}

#[tokio::test]
async fn numbers_bytes_and_shapes_are_exact() {
    Host::new()
        .run_agent(
            r#"
            local function same(value) store.put("a", value) return (store.get("a")) end
            local nan = same(0 / 0)
            assert(nan ~= nan)
            assert(same(1 / 0) == 1 / 0 and same(-1 / 0) == -1 / 0)
            assert(1 / same(-0.0) == -1 / 0)
            assert(same(0.1) == 0.1 and same(5e-324) == 5e-324)
            assert(same("") == "" and same("\0\255\n") == "\0\255\n")
            assert(type(same({})) == "table" and next(same({})) == nil)
            local mixed = same({ 1, 2, x = 3, [5] = 5, [-1] = -1, [0.5] = "half", [false] = 0 })
            assert(mixed[1] == 1 and mixed[2] == 2 and mixed.x == 3 and mixed[5] == 5)
            assert(mixed[-1] == -1 and mixed[0.5] == "half" and mixed[false] == 0 and mixed[3] == nil)
            local different = same({ [10] = "number", ["10"] = "text" })
            assert(different[10] == "number" and different["10"] == "text")
            local shared = { 1 }
            local copies = same({ shared, shared })
            assert(copies[1] ~= copies[2] and copies[1][1] == 1 and copies[2][1] == 1)
            local guarded = setmetatable({ a = 1 }, { __index = function() error("not asked") end,
                __pairs = function() error("not asked") end, __len = function() error("not asked") end })
            assert(same(guarded).a == 1 and getmetatable(same(guarded)) == nil)
            if math.type then
                assert(same(math.maxinteger) == math.maxinteger and same(math.mininteger) == math.mininteger)
                assert(math.type(same(3)) == "integer" and math.type(same(3.0)) == "float")
            end"#,
        )
        .await;
}

/// The binding converted within the default limits, so that narrower ones were noticed late and wider ones never.
#[tokio::test]
async fn the_limits_of_a_store_are_those_of_its_scripts() {
    let host = Host::new();
    let default = ScriptLimits::default();
    let narrow = ScriptLimits { depth: 2, nodes: 10, bytes: 1_000 };
    let wide = ScriptLimits { nodes: default.nodes + 1_000, bytes: default.bytes * 2, ..default };
    let source = r#"
        local many, long = {}, ("x"):rep(17000000)
        for i = 1, 1000001 do many[i] = 1 end
        for message, value in pairs({
            ["value[1][1]: more than 2 tables"] = { { {} } },
            ["value[10]: more than 10 values"] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 },
            ["value: more than 1000 bytes"] = ("x"):rep(1001),
        }) do
            for _, put in pairs(NARROW) do
                local err = put(value)
                assert(err and err:kind() == "INVALID", message)
                assert(err:message():find(message, 1, true), err:message())
            end
        end
        for _, put in pairs(NARROW) do assert(put({ { 1, 2, 3 } }) == nil) end
        for name, put in pairs(WIDE) do
            assert(put(long) == nil)
            assert(name ~= 1 and name ~= "set" or put(many) == nil)
        end"#;
    for (name, limits) in [("NARROW", narrow), ("WIDE", wide)] {
        let store = ScriptStore::builder(&host.manager).limits(limits).build();
        let registry = ScriptRegistry::new(&host.manager).with_limits(limits);
        let stores = KeyValueStores::with_limits(&host.manager, AllowAll, limits);
        stores.register_routed("app:limited").unwrap();
        assert_eq!([store.limits(), registry.limits(), stores.limits()], [limits; 3]);
        let sandbox = host.sandbox().memory_limit(256 << 20);
        let source = source.replace(name, "PUTS").replace("NARROW", "{}").replace("WIDE", "{}");

        let vm = sandbox.vm().unwrap();
        install_agent_modules(vm.lua(), &store, &registry).unwrap();
        let puts = "
            local function raised(call)
                return function(value) local _, err = pcall(call, 'a', value) return err end
            end
            local PUTS = { raised(store.put), raised(store.put_global), raised(registry.put) }";
        finish(vm, &format!("{puts}\n{source}")).await;

        let vm = sandbox.vm().unwrap();
        install_key_value_module(vm.lua(), stores.unit_of_work()).unwrap();
        let puts = "
            local handle = require('store').get('app:limited')
            local PUTS = {}
            for _, name in ipairs({ 'set', 'put', 'add', 'replace' }) do
                PUTS[name] = function(value)
                    if name == 'add' then handle:delete('a') end
                    return (select(2, handle[name](handle, 'a', value)))
                end
            end";
        finish(vm, &format!("{puts}\n{source}")).await;
    }
}

/// Random trees from a seed, so that a failure can be replayed.
fn random_value(random: &mut fastrand::Rng, depth: u32) -> ScriptValue {
    let kinds = if depth == 0 { 6 } else { 8 };
    match random.u32(0..kinds) {
        0 => ScriptValue::Boolean(random.bool()),
        1 => ScriptValue::Integer(random.i64(-(1 << 53)..1 << 53)),
        2 => ScriptValue::Float(f64::from_bits(random.u64(..))),
        3 => ScriptValue::Float(
            random.choice([-0.0, f64::INFINITY, f64::NEG_INFINITY, 1e300, 5e-324, 0.1]).unwrap(),
        ),
        4 => ScriptValue::from(random.alphanumeric().to_string().repeat(random.usize(0..200))),
        5 => ScriptValue::String((0..random.usize(0..20)).map(|_| random.u8(..)).collect::<Vec<_>>().into()),
        _ => {
            let pairs =
                (0..random.usize(0..8)).map(|_| (random_key(random), random_value(random, depth - 1)));
            ScriptValue::Table(pairs.collect())
        }
    }
}

fn random_key(random: &mut fastrand::Rng) -> ScriptKey {
    match random.u32(0..4) {
        0 => ScriptKey::Boolean(random.bool()),
        1 => ScriptKey::Integer(random.i64(-3..8)),
        2 => ScriptKey::from_float(random.f64() + 0.25).unwrap(),
        _ => ScriptKey::String(vec![random.u8(..); random.usize(0..5)].into()),
    }
}

/// Luau has one type of numbers: what is whole comes back as an integer, and NaN without the bits that only we can see.
pub(crate) fn as_the_interpreter_knows_it(value: ScriptValue) -> ScriptValue {
    match value {
        ScriptValue::Float(float) if float.is_nan() => ScriptValue::Float(f64::NAN),
        #[cfg(feature = "luau")]
        ScriptValue::Float(float) => match ScriptKey::from_float(float) {
            Some(ScriptKey::Integer(whole)) if (whole as f64).to_bits() == float.to_bits() => {
                ScriptValue::Integer(whole)
            }
            _ => ScriptValue::Float(float),
        },
        ScriptValue::Table(table) => ScriptValue::Table(
            table.iter().map(|(key, value)| (key, as_the_interpreter_knows_it(value.clone()))).collect(),
        ),
        other => other,
    }
}

#[test]
fn any_tree_goes_into_the_interpreter_and_comes_back() {
    let (mut random, lua) = (seeded(), Lua::new());
    for _ in 0..20_000 {
        let value = as_the_interpreter_knows_it(random_value(&mut random, 4));
        let inside = to_lua(&lua, &value).unwrap();
        let back = from_lua(&inside, ScriptLimits::default()).unwrap();
        assert_eq!(as_the_interpreter_knows_it(back), value);
    }
}

#[cfg(feature = "luau")]
#[tokio::test]
async fn an_integer_that_luau_cannot_hold_is_an_error_and_no_other_number() {
    let host = Host::new();
    let store = host.store(Some("monitor-cpu"));
    store.put("a", &((1_i64 << 53) + 1).into()).await.unwrap();
    store.put("b", &i64::MIN.into()).await.unwrap();
    host.run_agent(
        r#"
        local ok, err = pcall(store.get, "a")
        assert(not ok and err:kind() == "INTERNAL" and err:message():find("9007199254740993"))
        assert(store.get("b") == -2 ^ 63)"#,
    )
    .await;
}
