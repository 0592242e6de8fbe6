//! Fault 48: passwords stay out of errors, `Debug` and logs, down to the finest level.

use std::error::Error;

use storage_core::{StorageError, StorageProvider};
use storage_redis::{RedisConfig, RedisProvider, Secret, TlsConfig};
use test_servers::{Authority, found, redis::Server};

use crate::{
    logs::Logs,
    support::{config, get, put, refused},
};

const CANARY: &str = "S3CR3T-7f3a9c";

/// Everything that an error can be made to say.
fn texts(error: &StorageError) -> String {
    let mut text = format!("{error} {error:?} {error:#?}");
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(" {error} {error:?}");
        cause = error.source();
    }
    text
}

fn with_canary(server: &Server) -> RedisConfig {
    RedisConfig { username: Some("app".into()), password: Some(Secret::new(CANARY)), ..config(&server.url()) }
}

#[tokio::test]
async fn fault_48_a_password_is_in_no_log_error_or_debug_while_servers_refuse_vanish_and_return() {
    let rules = format!("on >{CANARY} ~storage:* &* +@all");
    let Some(mut server) = found(Server::builder().user("app", &rules).start()) else { return };
    let logs = Logs::collect();
    let config = with_canary(&server);
    let mut said = format!("{config:?} {config:#?}");
    let store = RedisProvider::connect(config).await.unwrap();
    put(&store, "a").await.unwrap();
    said += &format!("{store:?} {:?}", store.info());
    let _ok: String = server.command(&["ACL", "SETUSER", "app", "resetkeys"]);
    said += &texts(&get(&store, "a").await.unwrap_err());
    let _one: u64 = server.command(&["ACL", "DELUSER", "app"]);
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    said += &texts(&put(&store, "a").await.unwrap_err());
    said += &texts(&refused(with_canary(&server)).await);
    server.kill();
    said += &texts(&put(&store, "a").await.unwrap_err());
    said += &texts(&refused(with_canary(&server)).await);
    said += &format!("{store:?} {:?}", store.health().await);
    assert!(!said.contains(CANARY), "{said}");
    assert!(!logs.text().contains(CANARY), "{}", logs.text());
}

#[tokio::test]
async fn fault_48_a_url_that_cannot_be_read_is_refused_without_its_password() {
    let logs = Logs::collect();
    let urls = [
        format!("redis://app:{CANARY}@localhost:notaport/0"),
        format!("redis://app:{CANARY}@localhost:6379/notanumber"),
        format!("redis://app:{CANARY}@[::1/0"),
        format!("http://app:{CANARY}@localhost/"),
        format!("redis://app:{CANARY}@localhost/0?colour={CANARY}"),
        format!("redis://app:{CANARY}@localhost/0?buckets=x"),
        format!("redis://app:{CANARY}%zz@localhost/0"),
        format!("redis+sentinel://app:{CANARY}@localhost/"),
        CANARY.to_owned(),
        format!("redis://:{CANARY}"),
    ];
    for url in urls {
        if let Err(error) = RedisConfig::from_url(&url) {
            assert!(!texts(&error).contains(CANARY), "{}", texts(&error));
        }
        let config = RedisConfig { url: Some(Secret::new(url.clone())), ..RedisConfig::default() };
        assert!(!format!("{config:?}").contains(CANARY));
        if let Err(error) = config.validate() {
            assert!(!texts(&error).contains(CANARY), "{}", texts(&error));
        }
    }
    assert!(!logs.text().contains(CANARY));
}

#[tokio::test]
async fn fault_48_a_private_key_is_in_no_error_or_debug() {
    let Some(server) = found(Server::start()) else { return };
    let key = format!("-----BEGIN PRIVATE KEY-----\n{CANARY}\n-----END PRIVATE KEY-----\n");
    let certificate = Authority::new().issue(&["client"]).pem;
    let tls =
        TlsConfig { certificate: Some(certificate), key: Some(Secret::new(key)), ..TlsConfig::default() };
    let config = RedisConfig { tls: Some(tls), ..config(&server.url()) };
    assert!(!format!("{config:?}").contains(CANARY));
    let error = refused(config).await;
    assert!(!texts(&error).contains(CANARY), "{}", texts(&error));
}

/// The proof that the collector would have seen it.
#[tokio::test]
async fn a_password_that_is_logged_is_caught() {
    let logs = Logs::collect();
    tokio::spawn(async { tracing::trace!(password = CANARY, "signing in") }).await.unwrap();
    assert!(logs.text().contains(CANARY));
}
