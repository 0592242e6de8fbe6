//! Who may do what: decided on each part of a call by itself.

use std::sync::Mutex;

use storage_manager::script::{
    AccessPolicy, AccessRequest, Action, Attributes, Ident, Increment, ListOptions, Number, Put, RulePolicy,
    ScriptRegistry, ScriptStore, Ttl,
};

use crate::support::{World, kind};

fn rules(json: &str) -> Result<RulePolicy, String> {
    serde_json::from_str(json).map_err(|error| error.to_string())
}

fn request<'a>(action: Action, resource: &'a str, key: Option<&'a str>) -> AccessRequest<'a> {
    AccessRequest { action, resource, attributes: Attributes { key, ..Attributes::default() } }
}

#[test]
fn a_call_is_allowed_if_a_rule_allows_it_and_none_denies_it() {
    let policy = rules(
        r#"[
        {"effect": "deny", "actions": "store.key.delete", "resources": "app:cache", "attributes": {"key": "keep:*"}},
        {"effect": "allow", "actions": ["store.get", "store.key.*"], "resources": ["app:*"]},
        {"effect": "deny", "actions": "*", "resources": "app:secret"},
        {"effect": "allow", "actions": "store.key.get", "resources": "lit\\*eral"},
        {"effect": "allow", "actions": "store.key.get", "resources": "by-ident",
         "attributes": {"ident": ["a", "b"], "key": "x?"}}
    ]"#,
    )
    .unwrap();
    for (action, resource, key, allowed) in [
        (Action::StoreGet, "app:cache", None, true),
        (Action::KeyGet, "app:cache", Some("keep:1"), true),
        (Action::KeyDelete, "app:cache", Some("keep:1"), false),
        (Action::KeyDelete, "app:cache", Some("keep"), true),
        (Action::KeyDelete, "app:cache", Some("other:keep:1"), true),
        (Action::KeyDelete, "app:other", Some("keep:1"), true),
        (Action::StoreInfo, "app:cache", None, false),
        (Action::StoreClear, "app:cache", None, false),
        (Action::KeyGet, "app:secret", Some("x"), false),
        (Action::StoreGet, "app:secret", None, false),
        (Action::StoreGet, "application", None, false),
        (Action::KeyGet, "lit*eral", Some("x"), true),
        (Action::KeyGet, "literal", Some("x"), false),
        (Action::KeyGet, "lit-x-eral", Some("x"), false),
        (Action::KeyGet, "by-ident", Some("x1"), false),
        (Action::AgentStoreGet, "store", Some("x"), false),
    ] {
        assert_eq!(policy.allows(&request(action, resource, key)), allowed, "{action} {resource} {key:?}");
    }
    for (ident, key, allowed) in [("a", "x1", true), ("b", "x1", true), ("c", "x1", false), ("a", "x", false)]
    {
        let attributes = Attributes { key: Some(key), ident: Some(ident), ..Attributes::default() };
        let request = AccessRequest { action: Action::KeyGet, resource: "by-ident", attributes };
        assert_eq!(policy.allows(&request), allowed, "{ident} {key}");
    }
    assert!(!RulePolicy::default().allows(&request(Action::StoreGet, "app:cache", None)));
}

/// Joined into one text, the store `a` with the key `b:c` was the store `a:b` with the key `c`.
#[test]
fn the_parts_of_a_call_are_never_joined() {
    let policy = rules(
        r#"[{"effect": "allow", "actions": "store.key.get", "resources": "a:b", "attributes": {"key": "c"}}]"#,
    )
    .unwrap();
    assert!(policy.allows(&request(Action::KeyGet, "a:b", Some("c"))));
    assert!(!policy.allows(&request(Action::KeyGet, "a", Some("b:c"))));
    assert!(!policy.allows(&request(Action::KeyGet, "a:b:c", None)));
}

#[test]
fn rules_that_cannot_mean_what_they_say_are_refused() {
    for (bad, why) in [
        (r#"[{"effect": "allow", "actions": "*"}]"#, "resources"),
        (r#"[{"effect": "maybe", "actions": "*", "resources": "*"}]"#, "maybe"),
        (r#"[{"effect": "deny", "actions": "store.key.gett", "resources": "*"}]"#, "matches no action"),
        (r#"[{"effect": "deny", "actions": ["*", "store.keys.*"], "resources": "*"}]"#, "pattern 2"),
        (r#"[{"effect": "deny", "actions": [], "resources": "*"}]"#, "actions is empty"),
        (r#"[{"effect": "deny", "actions": "*", "resources": "[a"}]"#, "resources: pattern"),
        (r#"[{"effect": "deny", "actions": "*", "resources": ""}]"#, "is empty"),
        (r#"[{"effect": "deny", "actions": "*", "resources": "*", "when": {}}]"#, "when"),
        (r#"[{"effect": "deny", "actions": "*", "resources": "*", "attributes": {"kye": "x"}}]"#, "kye"),
        (
            r#"[{"effect": "deny", "actions": "*", "resources": "*", "attributes": {"key": []}}]"#,
            "attributes.key",
        ),
        (r#"[{"effect": "deny", "actions": 3, "resources": "*"}]"#, "pattern or a list of patterns"),
    ] {
        let message = rules(bad).unwrap_err();
        assert!(message.contains(why), "{bad}\n{message}");
    }
}

#[test]
fn actions_have_the_names_of_the_document() {
    let names: Vec<_> = Action::ALL.iter().map(|action| action.as_str()).collect();
    for name in ["store.get", "store.key.get", "store.key.set", "store.key.delete", "store.key.has"] {
        assert!(names.contains(&name), "{name}");
    }
    let mut distinct = names.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), names.len());
}

/// Writes down what is asked, and allows what is not named.
#[derive(Debug, Default)]
struct Witness {
    asked: Mutex<Vec<String>>,
    denied: Option<Action>,
}

impl AccessPolicy for Witness {
    fn allows(&self, request: &AccessRequest<'_>) -> bool {
        let attributes = Attributes::NAMES
            .iter()
            .filter_map(|name| request.attributes.get(name).map(|value| format!(" {name}={value}")));
        let line = format!("{} {}{}", request.action, request.resource, attributes.collect::<String>());
        self.asked.lock().unwrap().push(line);
        self.denied != Some(request.action)
    }
}

#[tokio::test]
async fn every_call_asks_with_its_parts() {
    let world = World::memory();
    let witness = std::sync::Arc::new(Witness::default());
    let stores = world.stores_with(std::sync::Arc::clone(&witness));
    let asked = || std::mem::take(&mut *witness.asked.lock().unwrap()).join(", ");
    let ident: Ident = "job".parse().unwrap();
    let unit = stores.unit_of_work().with_ident(ident.clone());
    let handle = unit.acquire("app:cache").unwrap();
    assert_eq!(asked(), "store.get app:cache ident=job");
    let _ = unit.acquire("unknown");
    assert_eq!(asked(), "store.get unknown ident=job");
    let one = Increment { init: Some(Number::Integer(0)), ..Increment::default() };
    handle.set("k", &1.into(), Ttl::NONE).await.unwrap();
    assert_eq!(asked(), "store.key.set app:cache key=k ident=job");
    handle.get("k").await.unwrap();
    assert_eq!(asked(), "store.key.get app:cache key=k ident=job");
    handle.has("k").await.unwrap();
    assert_eq!(asked(), "store.key.has app:cache key=k ident=job");
    handle.delete("k").await.unwrap();
    assert_eq!(asked(), "store.key.delete app:cache key=k ident=job");
    handle.incr("k", one).await.unwrap();
    assert_eq!(asked(), "store.key.get app:cache key=k ident=job, store.key.set app:cache key=k ident=job");
    handle.put("k", &1.into(), Put::default()).await.unwrap();
    handle.add("k", &1.into(), Ttl::NONE).await.unwrap();
    handle.replace("k", &1.into(), Ttl::NONE).await.unwrap();
    handle.expire("k", Ttl::NONE).await.unwrap();
    assert_eq!(asked(), ["store.key.set app:cache key=k ident=job"; 4].join(", "));
    handle.ttl("k").await.unwrap();
    handle.entry("k").await.unwrap();
    assert_eq!(asked(), ["store.key.get app:cache key=k ident=job"; 2].join(", "));
    handle.exists("k").await.unwrap();
    assert_eq!(asked(), "store.key.has app:cache key=k ident=job");
    handle.info().unwrap();
    assert_eq!(asked(), "store.info app:cache ident=job");
    handle.list(&ListOptions { prefix: "k".into(), ..ListOptions::default() }).await.unwrap();
    assert_eq!(
        asked(),
        "store.key.list app:cache prefix=k ident=job, store.key.has app:cache key=k ident=job"
    );
    handle.clear().await.unwrap();
    assert_eq!(asked(), "store.clear app:cache ident=job, store.key.delete app:cache key=k ident=job");

    let store = ScriptStore::builder(&world.manager).ident(ident.clone()).policy(witness.clone()).build();
    store.put("k", &1.into()).await.unwrap();
    store.get("k").await.unwrap();
    store.delete("k").await.unwrap();
    let own =
        ["put", "get", "delete"].map(|verb| format!("agent.store.{verb} store key=k ident=job scope=own"));
    assert_eq!(asked(), own.join(", "));
    store.get_global("k").await.unwrap();
    assert_eq!(asked(), "agent.store.get store key=k ident=job scope=global");
    let nobody = ScriptStore::builder(&world.manager).policy(witness.clone()).build();
    nobody.get("k").await.unwrap();
    assert_eq!(asked(), "agent.store.get store key=k scope=global");
    let registry = ScriptRegistry::new(&world.manager).with_ident(ident).with_policy(witness.clone());
    registry.put("k", &1.into()).await.unwrap();
    assert_eq!(asked(), "agent.registry.put registry key=k ident=job");
}

#[tokio::test]
async fn what_is_denied_does_not_happen() {
    let denied = ("PERMISSION_DENIED", false);
    for action in Action::ALL {
        let world = World::memory();
        let (free, _unit) = world.handle();
        free.set("k", &1.into(), Ttl::NONE).await.unwrap();
        let witness = std::sync::Arc::new(Witness { denied: Some(action), ..Witness::default() });
        let unit = world.stores_with(witness.clone()).unit_of_work();
        let handle = match unit.acquire("app:cache") {
            Ok(handle) => handle,
            error => {
                assert_eq!(action, Action::StoreGet);
                assert_eq!(kind(error), denied);
                // Nothing is learnt of what exists.
                assert_eq!(kind(unit.acquire("unknown")), denied);
                continue;
            }
        };
        let version = free.entry("k").await.unwrap().unwrap().version;
        let registry = ScriptRegistry::new(&world.manager).with_policy(witness.clone());
        let store = ScriptStore::builder(&world.manager).policy(witness.clone()).build();
        match action {
            Action::StoreGet => unreachable!("it could not be acquired"),
            Action::StoreInfo => assert_eq!(kind(handle.info()), denied),
            Action::StoreClear => assert_eq!(kind(handle.clear().await), denied),
            Action::KeyGet => {
                assert_eq!(kind(handle.get("k").await), denied);
                assert_eq!(kind(handle.entry("k").await), denied);
                assert_eq!(kind(handle.ttl("k").await), denied);
                assert_eq!(kind(handle.incr("k", Increment::default()).await), denied);
            }
            Action::KeySet => {
                assert_eq!(kind(handle.set("k", &2.into(), Ttl::NONE).await), denied);
                assert_eq!(kind(handle.put("k", &2.into(), Put::default()).await), denied);
                assert_eq!(kind(handle.add("n", &2.into(), Ttl::NONE).await), denied);
                assert_eq!(kind(handle.replace("k", &2.into(), Ttl::NONE).await), denied);
                assert_eq!(kind(handle.incr("k", Increment::default()).await), denied);
                assert_eq!(kind(handle.expire("k", Ttl::NONE).await), denied);
            }
            Action::KeyDelete => {
                assert_eq!(kind(handle.delete("k").await), denied);
                assert_eq!(handle.clear().await.unwrap(), 0, "what may not be deleted is not cleared");
            }
            Action::KeyHas => {
                assert_eq!(kind(handle.has("k").await), denied);
                assert_eq!(kind(handle.exists("k").await), denied);
                let page = handle.list(&ListOptions::default()).await.unwrap();
                assert!(page.entries.is_empty(), "what may not be asked for is not listed");
            }
            Action::KeyList => assert_eq!(kind(handle.list(&ListOptions::default()).await), denied),
            Action::AgentStoreGet => assert_eq!(kind(store.get("k").await), denied),
            Action::AgentStorePut => assert_eq!(kind(store.put_global("k", &1.into()).await), denied),
            Action::AgentStoreDelete => assert_eq!(kind(store.delete("k").await), denied),
            Action::AgentRegistryGet => assert_eq!(kind(registry.get("k").await), denied),
            Action::AgentRegistryPut => assert_eq!(kind(registry.put("k", &1.into()).await), denied),
            Action::AgentRegistryDelete => assert_eq!(kind(registry.delete("k").await), denied),
            other => panic!("{other} is not tried"),
        }
        let entry = free.entry("k").await.unwrap().unwrap();
        assert_eq!((entry.value, entry.version), (1.into(), version), "{action}");
        assert_eq!(world.manager.usage().await.unwrap().total().items, 1, "{action}");
    }
}
