//! The MariaDB servers that tests are given do what the tests rely on.

use std::{fs, io::Read as _, net::TcpStream, process::Command, time::Duration};

use test_servers::{
    Authority, found,
    mariadb::{Place, Server},
};

#[test]
fn a_killed_mariadb_starts_again_on_its_port_with_its_data() {
    let Some(mut server) = found(Server::start()) else { return };
    let address = server.address();
    server.execute("CREATE TABLE a (b INT); INSERT INTO a VALUES (1)");
    server.kill();
    assert!(server.try_execute("SELECT 1").is_err());
    server.restart();
    assert_eq!(server.execute("SELECT b FROM a"), "1");
    assert_eq!(server.address(), address);
    server.shut_down();
    server.restart();
    assert_eq!(server.execute("SELECT b FROM a"), "1");
}

#[test]
fn a_paused_mariadb_accepts_and_does_not_answer_until_it_is_resumed() {
    let Some(server) = found(Server::start()) else { return };
    server.pause();
    let mut connection = TcpStream::connect(server.address()).unwrap();
    connection.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    assert!(connection.read_exact(&mut [0]).is_err());
    server.resume();
    connection.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    connection.read_exact(&mut [0]).unwrap();
}

#[test]
fn the_user_of_the_tests_owns_its_database_and_nothing_else() {
    let Some(server) = found(Server::start()) else { return };
    let client = |statement: &str| {
        let (user, password) = server
            .url()
            .split_once("//")
            .unwrap()
            .1
            .split_once('@')
            .unwrap()
            .0
            .split_once(':')
            .map(|(user, password)| (user.to_owned(), password.to_owned()))
            .unwrap();
        Command::new("mariadb")
            .args(["--no-defaults", "--protocol=tcp", "--host=127.0.0.1", "-N", "-B", "storage"])
            .arg(format!("--port={}", server.port()))
            .args([
                format!("--user={user}"),
                format!("--password={password}"),
                format!("--execute={statement}"),
            ])
            .output()
            .unwrap()
    };
    assert!(client("CREATE TABLE a (b INT); DROP TABLE a").status.success());
    assert!(!client("SELECT * FROM mysql.user").status.success());
}

#[test]
fn mariadb_offers_tls_with_the_certificate_that_it_is_given() {
    let authority = Authority::new();
    let certificate = authority.issue(&["127.0.0.1"]);
    let Some(server) = found(Server::builder().tls(&certificate).start()) else { return };
    let trusted = server.directory().join("trusted.crt");
    fs::write(&trusted, authority.pem()).unwrap();
    let output = Command::new("mariadb")
        .args(["--no-defaults", "--protocol=tcp", "--host=127.0.0.1", "-N", "-B", "--user=storage"])
        .args([format!("--port={}", server.port()), "--password=storage-password".to_owned()])
        .args([format!("--ssl-ca={}", trusted.display()), "--ssl-verify-server-cert".to_owned()])
        .arg("--execute=SHOW STATUS LIKE 'Ssl_cipher'")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.starts_with("Ssl_cipher\tTLS"), "{said} {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_mariadb_that_cannot_be_had_says_why() {
    let why = Server::builder().program("no-such-mariadb").start().unwrap_err();
    assert_eq!(why.to_string(), "no-such-mariadb is not installed");
}

#[test]
#[should_panic(expected = "no-such-setting")]
fn a_mariadb_that_is_installed_and_does_not_start_is_a_failure() {
    if found(Server::start()).is_some() {
        let _never = Server::builder().line("no-such-setting=1").start();
    } else {
        panic!("no-such-setting cannot be tried out");
    }
}

#[test]
fn a_mariadb_that_is_no_longer_held_leaves_nothing_behind() {
    let Some(place) = found(Place::mysql()) else { return };
    let Place::Server(server) = place else { return };
    let directory = server.directory().to_owned();
    assert!(fs::exists(&directory).unwrap());
    drop(server);
    assert!(!fs::exists(&directory).unwrap());
}
