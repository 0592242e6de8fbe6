//! Passwords, users, databases and certificates.

use storage_core::Secret;
use test_servers::{Authority, found, redis::Server};

use super::*;
use crate::config::TlsConfig;

async fn refusal(config: &RedisConfig) -> ErrorKind {
    let error = Wire::connect(config).await.unwrap_err();
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    error.kind()
}

#[tokio::test]
async fn passwords_and_users_are_checked_by_the_server() {
    let server = Server::builder().password("hunter2").user("app", "on >hunter2-app ~* +@all").start();
    let Some(server) = found(server) else { return };
    let url = |login: &str| config(&format!("redis://{login}{}", server.address()));
    assert!(Wire::connect(&url(":hunter2@")).await.is_ok());
    assert!(Wire::connect(&url("app:hunter2-app@")).await.is_ok());
    for login in ["", ":hunter2-wrong@", "app:hunter2@", "nobody:hunter2@"] {
        assert_eq!(refusal(&url(login)).await, ErrorKind::Unauthenticated, "{login}");
    }
    let Some(open) = found(Server::start()) else { return };
    let useless = config(&format!("redis://:hunter2@{}", open.address()));
    assert_eq!(refusal(&useless).await, ErrorKind::Unauthenticated);
}

#[tokio::test]
async fn a_user_with_few_rights_can_connect_and_is_told_what_it_may_not() {
    let rules = "on >hunter2 ~mine:* +get +set";
    let Some(server) = found(Server::builder().user("app", rules).start()) else { return };
    let wire = wire(&format!("redis://app:hunter2@{}", server.address())).await;
    assert!(wire.call(set("mine:k", "v"), soon()).await.is_ok());
    assert_eq!(kind(wire.call(set("other", "v"), soon()).await), ErrorKind::PermissionDenied);
    assert_eq!(kind(wire.call(incr("mine:k"), soon()).await), ErrorKind::PermissionDenied);
}

#[tokio::test]
async fn a_user_that_is_removed_is_told_so_and_not_tried_for_ever() {
    let Some(server) = found(Server::builder().user("app", "on >hunter2 ~* +@all").start()) else { return };
    let wire = wire(&format!("redis://app:hunter2@{}", server.address())).await;
    server.command::<Value>(&["ACL", "DELUSER", "app"]);
    eventually("the user is refused", async || {
        wire.call(get("k"), soon()).await.is_err_and(|error| error.kind() == ErrorKind::Unauthenticated)
    })
    .await;
    server.command::<Value>(&["ACL", "SETUSER", "app", "on", ">hunter2", "~*", "+@all"]);
    eventually("the user is let in again", async || wire.call(get("k"), soon()).await.is_ok()).await;
}

#[tokio::test]
async fn databases_are_apart() {
    let Some(server) = found(Server::start()) else { return };
    let (one, two) = (format!("redis://{}/1", server.address()), format!("redis://{}/2", server.address()));
    wire(&one).await.call(set("k", "v"), soon()).await.unwrap();
    assert_eq!(wire(&two).await.call(get("k"), soon()).await.unwrap(), Value::Nil);
    assert_eq!(wire(&one).await.call(get("k"), soon()).await.unwrap(), bulk("v"));
    assert_eq!(refusal(&config(&format!("redis://{}/99", server.address()))).await, ErrorKind::Config);
}

fn encrypted(address: &str, tls: TlsConfig) -> RedisConfig {
    RedisConfig {
        tls: Some(tls),
        connect_timeout: Duration::from_secs(1),
        ..config(&format!("redis://{address}"))
    }
}

fn trusting(authority: &Authority) -> TlsConfig {
    TlsConfig { ca: Some(authority.pem()), ..TlsConfig::default() }
}

#[tokio::test]
async fn tls_checks_authority_host_and_date() {
    let authority = Authority::new();
    let certificate = authority.issue(&["127.0.0.1"]);
    let Some(server) = found(Server::builder().tls(&certificate).start()) else { return };
    let wire = Wire::connect(&encrypted(&server.tls_address(), trusting(&authority))).await.unwrap();
    wire.call(set("k", "v"), soon()).await.unwrap();
    let large = "x".repeat(4 << 20);
    wire.call(set("large", &large), soon()).await.unwrap();
    assert_eq!(wire.call(get("large"), soon()).await.unwrap(), bulk(&large));

    let stranger = encrypted(&server.tls_address(), trusting(&Authority::new()));
    assert_eq!(refusal(&stranger).await, ErrorKind::Config);
    let system = encrypted(&server.tls_address(), TlsConfig::default());
    assert_eq!(refusal(&system).await, ErrorKind::Config);
    for wrong in [authority.issue(&["elsewhere.example"]), authority.issue_expired(&["127.0.0.1"])] {
        let Some(server) = found(Server::builder().tls(&wrong).start()) else { return };
        let config = encrypted(&server.tls_address(), trusting(&authority));
        assert_eq!(refusal(&config).await, ErrorKind::Config);
    }
}

#[tokio::test]
async fn a_client_certificate_is_shown_where_it_is_asked_for() {
    let authority = Authority::new();
    let server = Server::builder().mutual_tls(&authority.issue(&["127.0.0.1"]), &authority).start();
    let Some(server) = found(server) else { return };
    let with = |certificate: test_servers::Certificate| {
        let (certificate, key) = (Some(certificate.pem), Some(Secret::new(certificate.key)));
        encrypted(&server.tls_address(), TlsConfig { certificate, key, ..trusting(&authority) })
    };
    assert!(Wire::connect(&with(authority.issue(&["client"]))).await.is_ok());
    assert_eq!(refusal(&with(Authority::new().issue(&["client"]))).await, ErrorKind::Config);
    assert_eq!(refusal(&encrypted(&server.tls_address(), trusting(&authority))).await, ErrorKind::Config);
}

/// Neither is ever tried in place of the other.
#[tokio::test]
async fn plain_and_encrypted_ports_are_told_apart() {
    let authority = Authority::new();
    let Some(server) = found(Server::builder().tls(&authority.issue(&["127.0.0.1"])).start()) else { return };
    assert_eq!(refusal(&encrypted(&server.address(), trusting(&authority))).await, ErrorKind::Config);
    assert_eq!(refusal(&config(&format!("redis://{}", server.tls_address()))).await, ErrorKind::Config);
}
