//! Fault 31, and who may not: missing tables, other formats, missing rights, standbys, wrong passwords, certificates.

use storage_core::{ErrorKind, Secret, StorageProvider, StorageQuery};
use storage_sql::{SqlConfig, SqlProvider, TlsConfig};
use test_servers::{Authority, found, postgres::Server};

use crate::support::{config, get, key, kind, open, patient, put, recovers, refused, shared};

#[tokio::test]
async fn fault_31_a_store_that_is_not_there_is_not_found_unless_it_may_be_created() {
    let Some(server) = shared() else { return };
    let config = patient(&server.url(), "made_once");
    let there = || server.sql("SELECT count(*) FROM pg_class WHERE relname LIKE 'made_once%'");
    let error = SqlProvider::builder(config.clone()).create(false).connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
    assert!(error.to_string().contains("made_once"), "{error}");
    assert_eq!(there(), "0");
    open(config.clone()).await.unwrap();
    let once = there();
    let store = SqlProvider::builder(config).create(false).connect().await.unwrap();
    put(&store, "a").await.unwrap();
    assert_eq!(there(), once);
}

#[tokio::test]
async fn fault_31_many_who_create_a_store_at_once_create_one() {
    let Some(server) = shared() else { return };
    let tasks: Vec<_> = (0..8).map(|_| tokio::spawn(open(patient(&server.url(), "migrated")))).collect();
    for (number, task) in tasks.into_iter().enumerate() {
        let store = task.await.unwrap().unwrap();
        put(&store, &format!("item {number}")).await.unwrap();
        assert_eq!(store.count(&StorageQuery::new()).await.unwrap(), number as u64 + 1);
    }
    assert_eq!(server.sql("SELECT count(*) FROM migrated_format"), "1");
}

#[tokio::test]
async fn fault_31_tables_of_another_format_or_of_somebody_else_are_refused_and_left_alone() {
    let Some(server) = shared() else { return };
    open(patient(&server.url(), "formats")).await.unwrap();
    for (format, advice) in [("2", "newer version"), ("0", "does not know")] {
        server.sql(&format!("UPDATE formats_format SET format = {format}"));
        let error = refused(patient(&server.url(), "formats")).await;
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains(advice) && error.to_string().contains("formats"), "{error}");
    }
    server.sql("CREATE TABLE foreign_one (key text, something text)");
    let error = refused(patient(&server.url(), "foreign_one")).await;
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("foreign_one"), "{error}");
    let columns = "SELECT count(*) FROM information_schema.columns WHERE table_name = 'foreign_one'";
    assert_eq!(server.sql(columns), "2");
    let error = refused(patient(&server.url(), "no_schema.items")).await;
    assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
}

#[tokio::test]
async fn fault_31_a_table_dropped_under_load_is_a_configuration_error_until_it_is_back() {
    let Some(server) = shared() else { return };
    let store = open(patient(&server.url(), "dropped")).await.unwrap();
    put(&store, "a").await.unwrap();
    server.sql("ALTER TABLE dropped RENAME TO dropped_away");
    for _ in 0..3 {
        assert_eq!(kind(&put(&store, "b").await), Some(ErrorKind::Config));
        assert_eq!(kind(&get(&store, "a").await), Some(ErrorKind::Config));
        assert_eq!(kind(&store.search(&StorageQuery::new()).await), Some(ErrorKind::Config));
    }
    server.sql("ALTER TABLE dropped_away RENAME TO dropped");
    recovers(&store).await;
    assert!(get(&store, "a").await.unwrap() && !get(&store, "b").await.unwrap());
}

#[tokio::test]
async fn fault_31_a_user_without_rights_is_denied_what_it_has_no_right_to() {
    let Some(server) = shared() else { return };
    open(patient(&server.url(), "guarded")).await.unwrap();
    server.sql(
        "CREATE ROLE reader LOGIN; GRANT SELECT ON guarded, guarded_format TO reader;
         REVOKE CREATE ON SCHEMA public FROM PUBLIC",
    );
    let url = server.url().replace("postgres@", "reader@");
    let store = open(patient(&url, "guarded")).await.unwrap();
    assert!(!get(&store, "a").await.unwrap());
    assert_eq!(kind(&put(&store, "a").await), Some(ErrorKind::PermissionDenied));
    assert_eq!(
        kind(&store.delete(key("a"), storage_core::Condition::None).await),
        Some(ErrorKind::PermissionDenied)
    );
    assert_eq!(kind(&store.cleanup().await), Some(ErrorKind::PermissionDenied));
    assert_eq!(refused(patient(&url, "not_yet")).await.kind(), ErrorKind::PermissionDenied);
}

#[tokio::test]
async fn fault_31_a_server_that_takes_no_writes_serves_reads_and_says_so() {
    let Some(server) = found(Server::start()) else { return };
    let writer = open(patient(&server.url(), "standby")).await.unwrap();
    put(&writer, "a").await.unwrap();
    writer.close().await.unwrap();
    server.sql("ALTER SYSTEM SET default_transaction_read_only = on");
    server.sql("SELECT pg_reload_conf()");
    let store = open(patient(&server.url(), "standby")).await.unwrap();
    assert!(get(&store, "a").await.unwrap());
    assert_eq!(kind(&put(&store, "a").await), Some(ErrorKind::ReadOnly));
    assert_eq!(kind(&store.touch(key("a"), None).await), Some(ErrorKind::ReadOnly));
    assert_eq!(kind(&store.cleanup().await), Some(ErrorKind::ReadOnly));
    assert!(!store.health().await.is_healthy());
    assert_eq!(refused(patient(&server.url(), "none_here")).await.kind(), ErrorKind::ReadOnly);
}

#[tokio::test]
async fn a_wrong_password_is_unauthenticated_and_no_text_shows_one() {
    let Some(server) = found(Server::builder().password("the-right-canary").start()) else { return };
    let with = |password: &str| server.url().replace("postgres@", &format!("postgres:{password}@"));
    let store = open(config(&with("the-right-canary"), "secrets")).await.unwrap();
    put(&store, "a").await.unwrap();
    let nowhere = format!("{}/nowhere", server.address());
    let mut texts = vec![format!("{store:?}"), format!("{:?}", config(&with("the-right-canary"), "t"))];
    for url in [with("a-wrong-canary"), server.url()] {
        let error = refused(config(&url, "secrets")).await;
        assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{error:?}");
        texts.push(format!("{error} {error:?}"));
    }
    let error = refused(config(&format!("{}?colour=canary", with("a-canary")), "secrets")).await;
    assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
    texts.push(format!("{error:?}"));
    let error = refused(config(
        &with("the-right-canary").replace(&format!("{}/postgres", server.address()), &nowhere),
        "secrets",
    ))
    .await;
    assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
    texts.push(format!("{error:?}"));
    for text in texts {
        assert!(!text.contains("canary"), "{text}");
    }
}

#[tokio::test]
async fn encrypted_connections_check_whom_they_talk_to_and_never_fall_back_to_plain_ones() {
    let authority = Authority::new();
    let builder = Server::builder().tls(&authority.issue(&["127.0.0.1"])).password("pw");
    let Some(server) = found(builder.start()) else { return };
    let url = server.url().replace("postgres@", "postgres:pw@");
    let with = |ca: Option<String>, url: &str| SqlConfig {
        tls: Some(TlsConfig { ca, ..TlsConfig::default() }),
        ..patient(url, "encrypted")
    };
    let store = open(with(Some(authority.pem()), &url)).await.unwrap();
    put(&store, "a").await.unwrap();
    let encrypted = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
        WHERE application_name = 'storage-sql'";
    assert_eq!(server.sql(encrypted), "t");
    // Somebody else's authority, another name than that in the certificate, and no encryption at all.
    let stranger = with(Some(Authority::new().pem()), &url);
    let elsewhere = with(Some(authority.pem()), &url.replace("127.0.0.1", "localhost"));
    let system = patient(&format!("{url}?sslmode=require"), "encrypted");
    for (config, kind) in [
        (stranger, ErrorKind::Config),
        (elsewhere, ErrorKind::Config),
        (system, ErrorKind::Config),
        (patient(&url, "encrypted"), ErrorKind::Unauthenticated),
        (with(None, &format!("{url}?sslmode=disable")), ErrorKind::Config),
    ] {
        let error = refused(config).await;
        assert_eq!(error.kind(), kind, "{error:?}");
    }
    let Some(plain) = shared() else { return };
    let error = refused(with(Some(authority.pem()), &plain.url())).await;
    assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
}

#[tokio::test]
async fn a_server_without_free_connections_is_unavailable() {
    let builder = Server::builder().setting("max_connections = 6").setting("max_wal_senders = 0");
    let Some(server) = found(builder.setting("superuser_reserved_connections = 2").start()) else { return };
    server.sql("CREATE ROLE app LOGIN; GRANT ALL ON SCHEMA public TO app");
    let url = server.url().replace("postgres@", "app@");
    let mut greedy = patient(&url, "crowded");
    greedy.pool_size = 4;
    let first = open(greedy).await.unwrap();
    let tasks: Vec<_> = (0..16)
        .map(|number| {
            let store = first.clone();
            tokio::spawn(async move {
                put(&store, &format!("item {number}")).await.unwrap();
                store.search(&StorageQuery::new()).await.unwrap();
                get(&store, "item 1").await.unwrap()
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(server.sql("SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'"), "4");
    let error = refused(SqlConfig { url: Secret::new(url.clone()), ..config(&url, "crowded") }).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    first.close().await.unwrap();
    assert_eq!(server.sql("SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'"), "0");
    put(&open(config(&url, "crowded")).await.unwrap(), "later").await.unwrap();
}
