//! Configuration files: what every field means, and what is said of a bad one.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests state what they expect by panicking"
)]

use std::{fs, time::Duration};

use storage_manager::{
    ErrorKind, ManualClock, UnifiedStorageManager,
    config::{Config, StoreKind},
    script::{
        AccessPolicy, AccessRequest, Action, AllowAll, Attributes, KeyValueStores, ScriptErrorKind, Ttl,
    },
};

fn yaml(text: &str) -> Config {
    Config::from_yaml(text).unwrap()
}

/// What is said of a bad file; the kind is always the same.
fn refusal(text: &str) -> String {
    let error = Config::from_yaml(text).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    error.message().to_owned()
}

fn memory(config: &Config, n: usize) -> (u64, Duration) {
    match &config.stores[n].kind {
        StoreKind::Memory(store) => (store.max_size, store.cleanup_interval),
        other => panic!("{other:?}"),
    }
}

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn a_memory_store_reads_as_the_document_shows_it() {
    let config = yaml(
        "
- name: sessions
  kind: store.memory
  max_size: 500
  cleanup_interval: \"10m\"
  lifecycle:
    auto_start: true
",
    );
    assert_eq!(config.stores[0].id, "sessions");
    assert!(config.stores[0].auto_start);
    assert_eq!(memory(&config, 0), (500, 10 * MINUTE));
}

#[test]
fn what_is_absent_has_its_default_and_zero_is_zero() {
    let config = yaml("[{name: a, kind: store.memory}]");
    assert_eq!(memory(&config, 0), (10_000, 5 * MINUTE));
    let config = yaml("[{name: a, kind: store.memory, max_size: 0, cleanup_interval: 0}]");
    assert_eq!(memory(&config, 0), (0, Duration::ZERO));
    for zero in ["\"0\"", "0s", "\"0m\""] {
        let config = yaml(&format!("[{{name: a, kind: store.memory, cleanup_interval: {zero}}}]"));
        assert_eq!(memory(&config, 0), (10_000, Duration::ZERO), "{zero}");
    }
}

#[test]
fn toml_says_the_same() {
    let config = Config::from_toml(
        r#"
namespace = "app"

[[entries]]
name = "cache"
kind = "store.memory"
max_size = 0
cleanup_interval = "90s"
lifecycle.auto_start = false

[[entries]]
name = "state"
kind = "store.fs"
path = "data/state"
"#,
    )
    .unwrap();
    assert_eq!((&*config.stores[0].id, config.stores[0].auto_start), ("app:cache", false));
    assert_eq!(memory(&config, 0), (0, Duration::from_secs(90)));
    let StoreKind::Fs(state) = &config.stores[1].kind else { panic!("{config:?}") };
    assert_eq!(
        (state.path.to_str(), state.cleanup_interval, state.buffered),
        (Some("data/state"), Duration::ZERO, false)
    );
    assert!(Config::from_toml("entries = 3").unwrap_err().message().starts_with("entries: invalid type"));
    assert!(Config::from_toml("a = 1\na = 2\n").unwrap_err().message().contains("line 2"));
}

#[test]
fn files_are_read_by_their_ending() {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("a.yaml", "[{name: a, kind: store.memory}]"),
        ("a.yml", "entries: [{name: a, kind: store.memory}]"),
        ("a.toml", "[[entries]]\nname = 'a'\nkind = 'store.memory'"),
    ] {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        assert_eq!(Config::from_file(&path).unwrap().stores.len(), 1, "{name}");
    }
    fs::write(dir.path().join("a.json"), "[]").unwrap();
    for (name, why) in [("a.json", "must end in .yaml"), ("missing.yaml", "cannot be read")] {
        let error = Config::from_file(dir.path().join(name)).unwrap_err();
        assert!(error.message().contains(why) && error.message().contains(name), "{error}");
        assert_eq!(error.kind(), ErrorKind::Config);
    }
}

#[test]
fn every_bad_field_is_named_by_its_path() {
    for (text, path, why) in [
        ("[{kind: store.memory}]", "[0].name:", "missing"),
        ("[{name: a}]", "[0].kind:", "missing"),
        ("[{name: 7, kind: store.memory}]", "[0].name:", "expected a string"),
        ("[{name: '', kind: store.memory}]", "[0].name:", "empty"),
        ("[{name: 'a b', kind: store.memory}]", "[0].name:", "' '"),
        ("[{name: a, kind: store.magic}]", "[0].kind:", "\"store.magic\""),
        ("[{name: a, kind: store.memory, max_size: -1}]", "[0].max_size:", "-1"),
        ("[{name: a, kind: store.memory, max_size: ten}]", "[0].max_size:", "ten"),
        ("[{name: a, kind: store.memory, max_size: 1.5}]", "[0].max_size:", "1.5"),
        ("[{name: a, kind: store.memory, max_size: }]", "[0].max_size:", "null"),
        ("[{name: a, kind: store.memory, max_sizes: 1}]", "[0].max_sizes:", "unknown field"),
        ("[{name: a, kind: store.memory, cleanup_interval: soon}]", "[0].cleanup_interval:", "soon"),
        ("[{name: a, kind: store.memory, cleanup_interval: -5}]", "[0].cleanup_interval:", "-5"),
        ("[{name: a, kind: store.memory, cleanup_interval: }]", "[0].cleanup_interval:", "null"),
        ("[{name: a, kind: store.memory, lifecycle: 1}]", "[0].lifecycle:", "invalid type"),
        ("[{name: a, kind: store.memory, lifecycle: {auto_start: 2}}]", "[0].lifecycle.auto_start:", "2"),
        ("[{name: a, kind: store.memory, lifecycle: {start: true}}]", "[0].lifecycle.start:", "unknown"),
        ("[{name: a, kind: store.fs}]", "[0]", "missing field `path`"),
        ("[{name: a, kind: store.fs, path: ''}]", "[0].path:", "empty"),
        ("[{name: a, kind: store.fs, path: d, max_payload: 9999999999}]", "[0].max_payload:", "at most"),
        ("[{name: a, kind: store.fs, path: d, durability: maybe}]", "[0].durability:", "maybe"),
        #[cfg(not(feature = "redis"))]
        ("[{name: a, kind: store.redis, url: x}]", "[0].kind:", "feature `redis`"),
        #[cfg(feature = "redis")]
        ("[{name: a, kind: store.redis, url: x}]", "[0].url:", "redis://"),
        #[cfg(not(feature = "sql"))]
        ("[{name: a, kind: store.sql, database: app:db}]", "[0].kind:", "feature"),
        #[cfg(not(feature = "sql"))]
        ("databases: {a: 'sqlite:a'}", "databases:", "feature"),
        #[cfg(feature = "sql")]
        ("[{name: a, kind: store.sql, database: app:db, table_name: t}]", "[0].database:", "databases"),
        #[cfg(feature = "sql")]
        ("databases: {a: b}", "databases.a:", "sqlite:"),
        ("entries: [{name: a, kind: store.memory}, 3]", "entries[1]:", "must be a mapping"),
        ("entries: [{name: a, kind: store.memory, max_size: x}]", "entries[0].max_size:", "x"),
        (
            "[{name: a, kind: store.memory}, {name: a, kind: store.memory}]",
            "[1].name:",
            "there already, at [0]",
        ),
        (
            "[{name: a, kind: store.fs, path: d}, {name: b, kind: store.fs, path: d}]",
            "[1].path:",
            "has this directory already",
        ),
        ("stores: []", "stores:", "unknown field"),
        ("namespace: [a]", "namespace:", "invalid type"),
        (
            "policy: [{effect: allow, actions: '*', resources: '*'}, {effect: maybe}]",
            "policy[1].effect:",
            "maybe",
        ),
        ("policy: [{effect: deny, actions: store.key.gett, resources: '*'}]", "policy[0]:", "no action"),
        ("3", "the file must be", "list of entries"),
    ] {
        let message = refusal(text);
        assert!(message.starts_with(path) && message.contains(why), "{text}\n{message}");
    }
}

#[test]
fn what_is_no_yaml_is_refused_without_quoting_it() {
    for bad in ["[{name: S3CR3T", "a: S3CR3T\na: 2", "- S3CR3T\n  x: [", "S3CR3T: *nowhere"] {
        let message = refusal(bad);
        assert!(message.contains("not YAML") && !message.contains("S3CR3T"), "{message}");
    }
    // Nine levels of nine references: a gigabyte, were it unfolded.
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..10 {
        let references = vec![format!("*a{}", n - 1); 9].join(", ");
        bomb.push_str(&format!("a{n}: &a{n} [{references}]\n"));
    }
    assert!(refusal(&bomb).contains("not YAML"));
    assert!(refusal(&"[".repeat(100_000)).contains("not YAML"));
}

#[test]
fn an_empty_file_is_no_stores() {
    for text in ["", "[]", "entries: []", "# nothing yet\n"] {
        assert!(yaml(text).stores.is_empty(), "{text:?}");
    }
}

#[test]
fn a_policy_comes_with_the_stores() {
    let config = yaml(
        "
policy:
  - {effect: allow, actions: 'store.*', resources: 'app:*'}
  - {effect: deny, actions: 'store.key.*', resources: '*', attributes: {key: ['secret:*']}}
",
    );
    let policy = config.policy.unwrap();
    let allows = |resource, key| {
        let attributes = Attributes { key: Some(key), ..Attributes::default() };
        policy.allows(&AccessRequest { action: Action::KeyGet, resource, attributes })
    };
    assert!(allows("app:cache", "x") && !allows("app:cache", "secret:x") && !allows("other", "x"));
}

fn stores() -> KeyValueStores {
    let manager = UnifiedStorageManager::builder().clock(ManualClock::default().shared()).build().unwrap();
    KeyValueStores::new(&manager, AllowAll)
}

#[tokio::test]
async fn stores_start_as_the_file_says() {
    let dir = tempfile::tempdir().unwrap();
    let config = yaml(&format!(
        "
namespace: app
entries:
  - {{name: small, kind: store.memory, max_size: 1}}
  - {{name: disk, kind: store.fs, path: '{}'}}
  - {{name: later, kind: store.memory, lifecycle: {{auto_start: false}}}}
",
        dir.path().display()
    ));
    let stores = stores();
    config.start(&stores).await.unwrap();
    assert_eq!(stores.ids(), ["app:disk", "app:later", "app:small"]);

    let unit = stores.unit_of_work();
    let small = unit.acquire("app:small").unwrap();
    small.set("a", &1.into(), Ttl::NONE).await.unwrap();
    let full = small.set("b", &1.into(), Ttl::NONE).await.unwrap_err();
    assert_eq!((full.kind(), full.is_retryable()), (ScriptErrorKind::Unavailable, true));
    small.set("a", &2.into(), Ttl::NONE).await.unwrap();

    assert!(unit.acquire("app:disk").unwrap().info().unwrap().durable);
    let not_yet = unit.acquire("app:later").unwrap_err();
    assert_eq!((not_yet.kind(), not_yet.is_retryable()), (ScriptErrorKind::Unavailable, false));
    config.stores[2].start(&stores).await.unwrap();
    unit.acquire("app:later").unwrap().set("a", &1.into(), Ttl::NONE).await.unwrap();
    assert!(config.stores[2].start(&stores).await.is_err(), "it is started already");
    stores.manager().close().await.into_result().unwrap();
}

#[tokio::test]
async fn stores_that_were_opened_before_a_failure_are_closed_again() {
    let dir = tempfile::tempdir().unwrap();
    let (first, file) = (dir.path().join("first"), dir.path().join("file"));
    fs::write(&file, "in the way").unwrap();
    let config = yaml(&format!(
        "[{{name: a, kind: store.fs, path: '{}'}}, {{name: b, kind: store.fs, path: '{}'}}]",
        first.display(),
        file.display()
    ));
    let stores = stores();
    assert_eq!(config.start(&stores).await.unwrap_err().kind(), ErrorKind::Config);
    assert!(stores.ids().is_empty());
    // Its directory is free.
    config.stores[0].start(&stores).await.unwrap();
    stores.manager().close().await.into_result().unwrap();
}

/// A store on a server is there for whoever starts it next, under its own prefix, and says nothing of the password.
#[cfg(feature = "redis")]
#[tokio::test]
async fn redis_stores_start_and_survive() {
    use test_servers::{found, redis::Server};

    let Some(server) = found(Server::builder().password("canary").start()) else { return };
    let address = server.address();
    let text = format!(
        "
namespace: app
entries:
  - {{name: sessions, kind: store.redis, url: 'redis://:canary@{address}', prefix: shop, cleanup_interval: 5m}}
  - {{name: cache, kind: store.redis, url: 'redis://:canary@{address}', prefix: shop}}
"
    );
    let config = yaml(&text);
    for run in 1..=2 {
        let stores = stores();
        config.start(&stores).await.unwrap();
        let unit = stores.unit_of_work();
        let (sessions, cache) = (unit.acquire("app:sessions").unwrap(), unit.acquire("app:cache").unwrap());
        assert_eq!(sessions.get("k").await.unwrap(), (run == 2).then(|| 1.into()));
        sessions.set("k", &1.into(), Ttl::NONE).await.unwrap();
        assert_eq!(cache.get("k").await.unwrap(), None, "stores of one server share nothing");
        assert!(sessions.info().unwrap().durable);
        stores.manager().close().await.into_result().unwrap();
    }
    let keys: Vec<String> = server.command(&["KEYS", "*"]);
    assert!(!keys.is_empty() && keys.iter().all(|key| key.starts_with("shop")), "{keys:?}");

    let wrong = yaml(&text.replace("canary", "canary2"));
    let error = wrong.start(&stores()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthenticated);
    for shown in [format!("{error:?} {error}"), format!("{wrong:?}")] {
        assert!(!shown.contains("canary"), "{shown}");
    }
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn a_store_in_a_plain_table_is_used_by_scripts_and_never_made() {
    let directory = tempfile::tempdir().unwrap();
    let text = format!(
        "namespace: app\ndatabases: {{db: 'sqlite:{}/app.db'}}\n\
         entries: [{{name: cache, kind: store.sql, database: app:db, table_name: kv_store, cleanup_interval: 10m}}]",
        directory.path().display()
    );
    let config = Config::from_yaml(&text).unwrap();
    let manager = UnifiedStorageManager::builder().build().unwrap();
    let stores = KeyValueStores::new(&manager, AllowAll);
    // Neither the file nor the table is made by itself.
    assert_eq!(config.start(&stores).await.unwrap_err().kind(), ErrorKind::NotFound);
    let full = text.replace("table_name: kv_store", "table_name: other, schema: full");
    let made = Config::from_yaml(&full).unwrap().stores[0]
        .open(storage_manager::SystemClock::shared())
        .await
        .unwrap();
    made.close().await.unwrap();
    let missing = config.start(&stores).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::Config);
    assert!(missing.message().contains("CREATE TABLE \"kv_store\""), "{missing}");
    let table = rusqlite::Connection::open(directory.path().join("app.db")).unwrap();
    let ddl = "CREATE TABLE kv_store (key VARCHAR(255) PRIMARY KEY, value BLOB NOT NULL, expires_at BIGINT)";
    table.execute_batch(ddl).unwrap();

    config.start(&stores).await.unwrap();
    let unit = stores.unit_of_work();
    let cache = unit.acquire("app:cache").unwrap();
    cache.set("greeting", &"hello".into(), Ttl::from_seconds(60.0).unwrap()).await.unwrap();
    assert_eq!(cache.get("greeting").await.unwrap(), Some("hello".into()));
    assert!(cache.has("greeting").await.unwrap());
    assert!(!cache.has("other").await.unwrap());
    let rows = "SELECT count(*) FROM kv_store WHERE key = 'greeting' AND expires_at > 0";
    assert_eq!(table.query_row(rows, (), |row| row.get::<_, i64>(0)).unwrap(), 1);
    assert!(cache.delete("greeting").await.unwrap());
    assert_eq!(cache.get("greeting").await.unwrap(), None);
    manager.close().await.into_result().unwrap();
}
