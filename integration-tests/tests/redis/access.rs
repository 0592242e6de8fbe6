//! Fault 26: wrong passwords, missing rights, and rights that are taken away while we work.

use std::{cell::Cell, time::Duration};

use storage_core::{ErrorKind, StorageProvider};
use storage_redis::{RedisConfig, Secret};
use test_servers::{found, redis::Server};

use crate::support::{config, connect, eventually, get, kind, put, recovers, refused};

const RULES: &str = "on >secret ~storage:* &* +@all -@admin -@dangerous";

fn with_app() -> Option<Server> {
    found(Server::builder().password("of-the-default-user").user("app", RULES).start())
}

fn app(server: &Server) -> RedisConfig {
    RedisConfig {
        username: Some("app".into()),
        password: Some(Secret::new("secret")),
        ..config(&server.url())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_26_a_wrong_password_a_missing_one_and_an_unknown_user_are_unauthenticated() {
    let Some(server) = with_app() else { return };
    let wrong = RedisConfig { password: Some(Secret::new("wrong-S3CR3T")), ..app(&server) };
    let unknown = RedisConfig { username: Some("nobody".into()), ..app(&server) };
    for config in [wrong, unknown, config(&server.url())] {
        let error = refused(config).await;
        assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{error:?}");
        assert!(!format!("{error:?} {error}").contains("S3CR3T"), "{error:?}");
    }
    let store = storage_redis::RedisProvider::connect(app(&server)).await.unwrap();
    put(&store, "a").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_26_a_user_without_rights_to_our_keys_or_commands_is_denied() {
    for rules in ["on >secret ~other:* &* +@all", "on >secret ~storage:* &* +@all -@scripting -@write"] {
        let Some(server) = found(Server::builder().user("app", rules).start()) else { return };
        let error = refused(app(&server)).await;
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{rules}: {error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_26_rights_taken_away_midway_are_denied_and_given_back_are_used() {
    let Some(server) = with_app() else { return };
    let store = storage_redis::RedisProvider::connect(app(&server)).await.unwrap();
    put(&store, "a").await.unwrap();
    let _ok: String = server.command(&["ACL", "SETUSER", "app", "resetkeys", "~other:*"]);
    for _ in 0..3 {
        assert_eq!(kind(&get(&store, "a").await), Some(ErrorKind::PermissionDenied));
        assert_eq!(kind(&put(&store, "a").await), Some(ErrorKind::PermissionDenied));
    }
    assert!(!store.health().await.is_healthy());
    let _ok: String = server.command(&["ACL", "SETUSER", "app", "~storage:*"]);
    recovers(&store).await;
}

/// A user that is deleted loses its connections, and must not come back for ever in a tight loop.
#[tokio::test(flavor = "multi_thread")]
async fn fault_26_a_user_deleted_midway_is_unauthenticated_and_the_server_is_not_stormed() {
    let Some(server) = with_app() else { return };
    let store = storage_redis::RedisProvider::connect(app(&server)).await.unwrap();
    put(&store, "a").await.unwrap();
    let _one: u64 = server.command(&["ACL", "DELUSER", "app"]);
    let before = connections(&server);
    // The first calls may still be handed to the connection that just ended.
    eventually("the end of the connection is noticed", || async {
        kind(&get(&store, "a").await) == Some(ErrorKind::Unauthenticated)
    })
    .await;
    for _ in 0..20 {
        let (loaded, saved) = (get(&store, "a").await, put(&store, "a").await);
        let kinds = (kind(&loaded), kind(&saved));
        assert_eq!(kinds, (Some(ErrorKind::Unauthenticated), Some(ErrorKind::Unauthenticated)));
    }
    // Nothing connects unless a call waits: soon only the connections are counted over which this is asked.
    let last = Cell::new(before);
    eventually("nobody connects any more", || async {
        tokio::time::sleep(Duration::from_millis(150)).await;
        let count = connections(&server);
        last.replace(count) + 1 == count
    })
    .await;
    let attempts = last.get() - before;
    assert!(attempts < 60, "{attempts} connections");
    let mut words = vec!["ACL", "SETUSER", "app"];
    words.extend(RULES.split(' '));
    let _ok: String = server.command(&words);
    recovers(&store).await;
}

fn connections(server: &Server) -> u64 {
    let info: String = server.command(&["INFO", "stats"]);
    info.lines()
        .find_map(|line| line.strip_prefix("total_connections_received:"))
        .unwrap()
        .trim()
        .parse()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_26_a_password_set_midway_is_asked_for_at_the_next_connection() {
    let Some(server) = found(Server::start()) else { return };
    let store = connect(&server.url()).await;
    put(&*store, "a").await.unwrap();
    let _ok: String = server.command(&["CONFIG", "SET", "requirepass", "new"]);
    let _all: u64 = server.command(&["CLIENT", "KILL", "USER", "default"]);
    // The first calls may still be handed to the connection that just ended.
    eventually("the end of the connection is noticed", || async {
        kind(&get(&*store, "a").await) == Some(ErrorKind::Unauthenticated)
    })
    .await;
    assert_eq!(kind(&put(&*store, "a").await), Some(ErrorKind::Unauthenticated));
    let _ok: String = server.command(&["CONFIG", "SET", "requirepass", ""]);
    recovers(&*store).await;
}
