//! Fault 27: certificates that do not fit, and plain text where there should be none.

use storage_core::{ErrorKind, StorageProvider};
use storage_redis::{RedisConfig, RedisProvider, Secret, TlsConfig};
use test_servers::{Authority, Certificate, found, redis::Server};

use crate::support::{config, get, put, recovers, refused};

const HOST: &str = "127.0.0.1";

fn trusting(server: &Server, authority: &Authority) -> RedisConfig {
    let tls = TlsConfig { ca: Some(authority.pem()), ..TlsConfig::default() };
    RedisConfig { tls: Some(tls), ..config(&format!("rediss://{}/0", server.tls_address())) }
}

fn showing(config: RedisConfig, certificate: &Certificate) -> RedisConfig {
    let tls = config.tls.clone().unwrap_or_default();
    let (certificate, key) = (certificate.pem.clone(), Secret::new(certificate.key.clone()));
    let tls = TlsConfig { certificate: Some(certificate), key: Some(key), ..tls };
    RedisConfig { tls: Some(tls), ..config }
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_27_a_good_certificate_is_trusted_and_survives_a_restart() {
    let authority = Authority::new();
    let certificate = authority.issue(&[HOST]);
    let Some(mut server) = found(Server::builder().append_only().tls(&certificate).start()) else { return };
    let store = RedisProvider::connect(trusting(&server, &authority)).await.unwrap();
    put(&store, "a").await.unwrap();
    server.restart();
    recovers(&store).await;
    assert!(get(&store, "a").await.unwrap());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, authority.pem()).unwrap();
    let url = format!("rediss://{}/0?ca={}", server.tls_address(), file.display());
    assert!(get(&RedisProvider::connect(config(&url)).await.unwrap(), "a").await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_27_a_certificate_that_does_not_fit_is_a_config_error_and_never_a_fallback_to_plain_text() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let cases = [
        ("of another authority", theirs.issue(&[HOST])),
        ("expired", ours.issue_expired(&[HOST])),
        ("of another host", ours.issue(&["example.org", "127.0.0.2"])),
    ];
    for (what, certificate) in cases {
        let Some(server) = found(Server::builder().tls(&certificate).start()) else { return };
        let error = refused(trusting(&server, &ours)).await;
        assert_eq!(error.kind(), ErrorKind::Config, "{what}: {error:?}");
        let keys: u64 = server.command(&["DBSIZE"]);
        assert_eq!(keys, 0, "{what}: something was written");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_27_the_authorities_of_the_system_do_not_vouch_for_a_stranger() {
    let certificate = Authority::new().issue(&[HOST]);
    let Some(server) = found(Server::builder().tls(&certificate).start()) else { return };
    let error = refused(config(&format!("rediss://{}/0", server.tls_address()))).await;
    assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_27_plain_text_to_a_tls_port_and_the_reverse_are_config_errors() {
    let authority = Authority::new();
    let Some(server) = found(Server::builder().tls(&authority.issue(&[HOST])).start()) else { return };
    let error = refused(config(&format!("redis://{}/0", server.tls_address()))).await;
    assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
    let encrypted = format!("rediss://{}/0", server.address());
    let error = refused(RedisConfig { tls: trusting(&server, &authority).tls, ..config(&encrypted) }).await;
    assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_27_a_server_that_asks_for_a_certificate_is_shown_the_right_one() {
    let (authority, clients, strangers) = (Authority::new(), Authority::new(), Authority::new());
    let server = Server::builder().mutual_tls(&authority.issue(&[HOST]), &clients).start();
    let Some(server) = found(server) else { return };
    let nothing = trusting(&server, &authority);
    let wrong = showing(nothing.clone(), &strangers.issue(&["client"]));
    for config in [nothing.clone(), wrong] {
        let error = refused(config).await;
        assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
    }
    let right = showing(nothing, &clients.issue(&["client"]));
    let store = RedisProvider::connect(right).await.unwrap();
    put(&store, "a").await.unwrap();
    assert!(store.health().await.is_healthy());
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_27_certificates_that_cannot_be_read_are_config_errors_that_name_the_setting() {
    let authority = Authority::new();
    let Some(server) = found(Server::builder().tls(&authority.issue(&[HOST])).start()) else { return };
    let good = trusting(&server, &authority);
    let missing = TlsConfig { ca: Some("/no/such/file.pem".into()), ..TlsConfig::default() };
    let rubbish = TlsConfig {
        ca: Some("-----BEGIN CERTIFICATE-----\nrubbish\n-----END CERTIFICATE-----".into()),
        ..TlsConfig::default()
    };
    for tls in [missing, rubbish] {
        let error = refused(RedisConfig { tls: Some(tls), ..good.clone() }).await;
        assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
        assert!(error.to_string().contains("ca"), "{error}");
    }
}
