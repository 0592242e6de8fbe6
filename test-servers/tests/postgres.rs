//! The PostgreSQL servers that tests are given do what the tests rely on.

use std::path::Path;

use test_servers::{Authority, found, postgres::Server};

#[test]
fn a_server_keeps_its_data_when_it_crashes_and_when_it_ends_in_order() {
    let Some(mut server) = found(Server::start()) else { return };
    server.sql("CREATE TABLE kept (n int)");
    server.sql("INSERT INTO kept VALUES (1)");
    server.kill();
    assert!(server.try_sql("SELECT 1").is_err());
    server.start_again();
    server.sql("INSERT INTO kept VALUES (2)");
    server.shut_down();
    server.start_again();
    assert_eq!(server.sql("SELECT count(*), max(n) FROM kept"), "2|2");
}

#[test]
fn a_server_ends_with_its_handle_and_leaves_no_files() {
    let Some(server) = found(Server::start()) else { return };
    let directory = server.sql("SHOW data_directory");
    assert!(Path::new(&directory).is_dir());
    drop(server);
    assert!(!Path::new(&directory).exists());
}

#[test]
fn the_order_of_a_server_is_that_of_a_language_unless_asked_otherwise() {
    let Some(server) = found(Server::start()) else { return };
    let smaller = |collation: &str| server.sql(&format!("SELECT 'a' < 'B' {collation}"));
    assert_eq!(smaller(""), "t");
    assert_eq!(smaller("COLLATE \"C\""), "f");
}

#[test]
fn a_server_with_a_certificate_takes_a_password_over_tls() {
    let authority = Authority::new();
    let certificate = authority.issue(&["127.0.0.1"]);
    let Some(server) = found(Server::builder().tls(&certificate).password("it's secret").start()) else {
        return;
    };
    assert_eq!(server.sql("SHOW ssl"), "on");
    assert_eq!(server.sql("SELECT rolpassword LIKE 'SCRAM%' FROM pg_authid WHERE rolname = 'postgres'"), "t");
}
