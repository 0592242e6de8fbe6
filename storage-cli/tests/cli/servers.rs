//! Stores on a server.

use test_servers::{found, redis::Server};

use crate::sandbox::Sandbox;

#[test]
fn a_store_in_redis_is_used_as_any_other() {
    let Some(server) = found(Server::start()) else { return };
    let (sandbox, url) = (Sandbox::new(), server.url());
    let run = |arguments: &[&str]| sandbox.run(&[&["--store", &url], arguments].concat());
    let none = run(&["load", "note", "a"]);
    assert_eq!(none.status, 1, "{none:?}");
    assert_eq!(server.command::<i64>(&["DBSIZE"]), 0, "a command that reads makes no store");

    assert_eq!(run(&["save", "note", "a", "hello", "--tag", "lang=en"]).status, 0);
    assert_eq!(run(&["load", "note", "a"]).out, "hello");
    assert!(run(&["search", "--tag", "lang=en"]).out.contains("lang=en"));
    assert_eq!(run(&["count"]).out.trim(), "1");
    assert!(run(&["verify"]).out.starts_with("1 item is intact"));
    assert_eq!(run(&["save", "note", "a", "again", "--if-absent"]).status, 3);
    assert_eq!(run(&["delete", "note", "a"]).status, 0);
    assert_eq!(run(&["count"]).out.trim(), "0");
}

#[cfg(feature = "sqlite")]
#[test]
fn a_store_in_a_file_of_sqlite_is_used_as_any_other() {
    let sandbox = Sandbox::new();
    let run = |arguments: &[&str]| sandbox.run(&[&["--store", "sqlite:items.db"], arguments].concat());
    let none = run(&["load", "note", "a"]);
    assert_eq!(none.status, 1, "{none:?}");
    assert!(!sandbox.path("items.db").exists(), "a command that reads makes no store");

    assert_eq!(run(&["save", "note", "a", "hello", "--tag", "lang=en"]).status, 0);
    assert_eq!(run(&["load", "note", "a"]).out, "hello");
    assert!(run(&["search", "--tag", "lang=en"]).out.contains("lang=en"));
    assert_eq!(run(&["count"]).out.trim(), "1");
    assert!(run(&["verify"]).out.starts_with("1 item is intact"));
    assert_eq!(run(&["save", "note", "a", "again", "--if-absent"]).status, 3);
    assert_eq!(run(&["delete", "note", "a"]).status, 0);
    assert_eq!(run(&["count"]).out.trim(), "0");
    assert_eq!(run(&["cleanup"]).status, 0);
}

#[cfg(feature = "sql")]
#[test]
fn the_password_of_a_database_is_never_shown() {
    let sandbox = Sandbox::new();
    for url in
        ["postgres://app:canary@127.0.0.1:1/d", "mysql://app:canary@127.0.0.1:1/d", "sqlite:a?x=canary"]
    {
        let failed = sandbox.run(&["--store", url, "count"]);
        assert_ne!(failed.status, 0);
        assert!(!format!("{failed:?}").replace(url, "").contains("canary"), "{failed:?}");
    }
}
