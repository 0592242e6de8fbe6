//! What a server refuses, and what is refused before it is asked.

use std::fs;

use storage_core::{Bytes, ErrorKind, Health, ItemKey, SaveRequest, Secret, StorageProvider as _};
use storage_sql::{SqlConfig, SqlProvider, TlsConfig};
use test_servers::{Authority, mariadb::Server};

use super::{
    open,
    support::{self, key, load, save},
};

async fn refused(config: SqlConfig) -> ErrorKind {
    let error = SqlProvider::connect(config).await.unwrap_err();
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains("storage-password") && !shown.contains("wrong-password"), "{shown}");
    error.kind()
}

#[tokio::test]
async fn each_refusal_of_a_server_has_its_kind() {
    let server = Server::start().unwrap();
    let at = |url: &str| support::mysql::at(url, "refused");
    assert_eq!(refused(at(&server.url_as("storage", "wrong-password"))).await, ErrorKind::Unauthenticated);
    assert_eq!(refused(at(&format!("{}_not", server.url()))).await, ErrorKind::PermissionDenied);
    assert_eq!(refused(at(&format!("mysql://u:p@{}", server.address()))).await, ErrorKind::Config);
    assert_eq!(refused(at("mysql://u:p@127.0.0.1:1/d")).await, ErrorKind::Unavailable);
    server.execute("CREATE USER reader IDENTIFIED BY 'pw'; GRANT SELECT ON storage.* TO reader");
    assert_eq!(refused(at(&server.url_as("reader", "pw"))).await, ErrorKind::PermissionDenied);

    let store = open(support::mysql::on(&server, "refused")).await;
    save(&store, "a", "data").await.unwrap();
    let reader = open(at(&server.url_as("reader", "pw"))).await;
    assert_eq!(load(&reader, "a").await.unwrap().as_deref(), Some("data"));
    assert_eq!(save(&reader, "a", "other").await.unwrap_err().kind(), ErrorKind::PermissionDenied);

    server.execute("SET GLOBAL read_only = 1");
    assert_eq!(save(&store, "a", "other").await.unwrap_err().kind(), ErrorKind::ReadOnly);
    assert!(matches!(store.health().await, Health::Degraded(_)));
    server.execute("SET GLOBAL read_only = 0");
    assert_eq!(store.health().await, Health::Healthy);

    server.execute("RENAME TABLE refused TO elsewhere");
    assert_eq!(load(&store, "a").await.unwrap_err().kind(), ErrorKind::Config);
    assert_eq!(save(&store, "a", "other").await.unwrap_err().kind(), ErrorKind::Config);
    server.execute("RENAME TABLE elsewhere TO refused");
    assert_eq!(load(&store, "a").await.unwrap().as_deref(), Some("data"));
    store.close().await.unwrap();
}

#[tokio::test]
async fn tables_that_are_no_store_of_this_version_are_left_alone() {
    let server = Server::start().unwrap();
    let config = support::mysql::on(&server, "other");
    let missing = SqlProvider::builder(config.clone()).create(false).connect().await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    server.execute("CREATE TABLE stranger (a INT)");
    assert_eq!(refused(support::mysql::on(&server, "stranger")).await, ErrorKind::Config);

    open(config.clone()).await.close().await.unwrap();
    server.execute("UPDATE other_format SET format = 99");
    let newer = SqlProvider::connect(config.clone()).await.unwrap_err();
    assert_eq!(newer.kind(), ErrorKind::Config);
    assert!(newer.message().contains("99"), "{newer}");

    // A program that was stopped in the middle of creating the tables leaves this behind.
    server.execute("UPDATE other_format SET format = 0; DROP TABLE other_marks");
    let store = open(config).await;
    save(&store, "a", "data").await.unwrap();
    store.close().await.unwrap();
}

#[tokio::test]
async fn what_does_not_fit_into_a_packet_is_too_large_before_it_is_sent() {
    let server = Server::builder().line("max-allowed-packet=1M").start().unwrap();
    let store = open(support::mysql::on(&server, "small")).await;
    let max = store.info().capabilities.max_payload;
    assert!(max > 512 * 1_024 && max < 1_024 * 1_024, "{max}");
    let name = "k".repeat(1_024);
    let kind = "t".repeat(255);
    let request = |size: u64| {
        let data = Bytes::from(vec![0xff_u8; size as usize]);
        let mut request = SaveRequest::new(ItemKey::new(&kind, &name).unwrap(), data);
        for number in 0..64 {
            request = request.tag(format!("{number:0>128}"), "\"".repeat(1_024));
        }
        request
    };
    let error = store.save(request(max + 1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge { size: max + 1, max });
    let item = store.save(request(max)).await.unwrap();
    assert_eq!(store.load(ItemKey::new(&kind, &name).unwrap()).await.unwrap(), Some(item));
    // Together they fit into no packet.
    let names: Vec<_> = (0..8).map(|number| format!("key {number}")).collect();
    let requests = names.iter().map(|name| SaveRequest::new(key(name), vec![1_u8; 400_000]));
    assert!(store.save_many(requests.collect()).await.iter().all(Result::is_ok));
    let keys: Vec<_> = names.iter().map(|name| key(name)).collect();
    assert!(store.load_many(&keys).await.iter().all(|item| item.as_ref().unwrap().is_some()));
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_server_of_another_authority_is_refused_and_one_of_ours_is_not() {
    let authority = Authority::new();
    let certificate = authority.issue(&["127.0.0.1"]);
    let server = Server::builder().tls(&certificate).start().unwrap();
    server.execute("ALTER USER storage REQUIRE SSL");
    let config = support::mysql::on(&server, "encrypted");
    assert_eq!(refused(config.clone()).await, ErrorKind::Unauthenticated);
    let with = |ca: &str| SqlConfig {
        tls: Some(TlsConfig { ca: Some(ca.to_owned()), ..TlsConfig::default() }),
        ..config.clone()
    };
    assert_eq!(refused(with(&Authority::new().pem())).await, ErrorKind::Config);
    let file = server.directory().join("ca.pem");
    fs::write(&file, authority.pem()).unwrap();
    let store = open(with(&file.display().to_string())).await;
    save(&store, "a", "data").await.unwrap();
    store.close().await.unwrap();
    let plain = Server::start().unwrap();
    let config = SqlConfig { url: Secret::new(plain.url()), ..with(&authority.pem()) };
    assert_eq!(refused(config).await, ErrorKind::Config);
}

#[tokio::test]
async fn damage_of_a_row_is_named_and_the_others_stay_readable() {
    let server = Server::start().unwrap();
    let store = open(support::mysql::on(&server, "damaged")).await;
    for name in ["a", "b", "c", "d"] {
        save(&store, name, "data").await.unwrap();
    }
    server.execute("UPDATE damaged SET data = 'date' WHERE `key` = 'a'");
    server.execute("UPDATE damaged SET expires_at = 9223372036854775 WHERE `key` = 'b'");
    server.execute("UPDATE damaged SET tags = '{' WHERE `key` = 'c'");
    for name in ["a", "b", "c"] {
        let error = load(&store, name).await.unwrap_err();
        assert_eq!((error.kind(), error.key()), (ErrorKind::Corrupted, Some(name)), "{error:?}");
    }
    assert_eq!(load(&store, "d").await.unwrap().as_deref(), Some("data"));
    let answers = store.load_many(&[key("a"), key("d")]).await;
    assert!(answers[0].is_err() && answers[1].is_ok());
    let report = store.verify().await.unwrap();
    assert_eq!(report.intact, 1);
    assert_eq!(
        report.damaged.iter().filter_map(|damaged| damaged.key.as_deref()).collect::<Vec<_>>(),
        ["a", "b", "c"]
    );
    for name in ["a", "b", "c"] {
        assert!(store.delete(key(name), storage_core::Condition::None).await.unwrap());
    }
    assert!(store.verify().await.unwrap().is_clean());
    store.close().await.unwrap();
}
