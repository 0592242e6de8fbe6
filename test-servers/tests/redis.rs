//! The servers that tests are given do what the tests rely on.

use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use test_servers::{
    Authority, found,
    redis::{Cluster, Sentinels, Server},
};

#[test]
fn a_killed_server_starts_again_on_its_port_with_its_data() {
    let Some(mut server) = found(Server::builder().append_only().start()) else { return };
    let address = server.address();
    let _ok: String = server.command(&["SET", "a", "1"]);
    server.kill();
    assert!(server.try_command(&["PING"]).is_err());
    server.restart();
    assert_eq!(server.command::<String>(&["GET", "a"]), "1");
    assert_eq!(server.address(), address);
}

#[test]
fn a_paused_server_accepts_and_does_not_answer_until_it_is_resumed() {
    let Some(server) = found(Server::start()) else { return };
    server.pause();
    let mut connection = std::net::TcpStream::connect(server.address()).unwrap();
    connection.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    std::io::Write::write_all(&mut connection, b"PING\r\n").unwrap();
    let mut byte = [0];
    assert!(std::io::Read::read(&mut connection, &mut byte).is_err());
    server.resume();
    connection.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    std::io::Read::read_exact(&mut connection, &mut byte).unwrap();
    assert_eq!(&byte, b"+");
}

#[test]
fn the_tests_reach_a_server_that_locks_everybody_else_out() {
    let Some(server) = found(Server::builder().password("secret").user("app", "on >pw ~x:* +get").start())
    else {
        return;
    };
    assert_eq!(server.command::<String>(&["PING"]), "PONG");
    let users: Vec<String> = server.command(&["ACL", "LIST"]);
    assert!(users.iter().any(|user| user.starts_with("user app on")), "{users:?}");
}

#[test]
fn a_server_that_cannot_be_had_says_why() {
    let why = Server::builder().program("no-such-server").start().unwrap_err();
    assert_eq!(why.to_string(), "no-such-server is not installed");
}

#[test]
#[should_panic(expected = "no-such-directive")]
fn a_server_that_is_installed_and_does_not_start_is_a_failure() {
    if found(Server::start()).is_some() {
        let _never = Server::builder().line("no-such-directive").start();
    } else {
        panic!("no-such-directive cannot be tried out");
    }
}

#[test]
fn a_cluster_serves_all_slots_and_its_replicas_follow() {
    let Some(cluster) = found(Cluster::builder().replicas(1).start()) else { return };
    let info: String = cluster.nodes()[5].command(&["CLUSTER", "INFO"]);
    assert!(info.contains("cluster_slots_ok:16384"), "{info}");
    assert!(cluster.nodes()[5].command::<String>(&["INFO", "replication"]).contains("role:slave"));
}

#[test]
fn sentinels_replace_a_master_that_was_killed() {
    let Some(mut set) = found(Sentinels::start()) else { return };
    let old = set.master();
    set.servers_mut()[old].kill();
    set.wait_for_another_master(old);
    set.servers_mut()[old].restart();
    eventually(|| set.servers()[old].replication().contains("role:slave"));
    // On a machine that stalls, the sentinels may have chosen once more meanwhile: which of the others it is does not matter.
    assert_ne!(set.master(), old);
}

#[test]
fn sentinels_know_the_passwords_of_the_others() {
    let set = Sentinels::builder().replicas(1).password("one").sentinel_password("two").start();
    let Some(set) = found(set) else { return };
    assert_eq!(set.master(), 0);
}

#[test]
fn a_server_shows_its_certificate_on_a_port_of_its_own() {
    let authority = Authority::new();
    let certificate = authority.issue(&["127.0.0.1"]);
    let Some(server) = found(Server::builder().tls(&certificate).start()) else { return };
    let trusted = server.directory().join("trusted.crt");
    fs::write(&trusted, authority.pem()).unwrap();
    let (_, port) = server.tls_address().split_once(':').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let output = Command::new("redis-cli")
        .args(["--tls", "-p", &port, "--cacert"])
        .args([trusted.as_os_str(), "PING".as_ref()])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "PONG\n");
}

const ROLE: &str = "TEST_SERVERS_START_ONE_AND_WAIT";

/// Not a test of its own: the process that the next test kills.
#[test]
fn a_process_that_is_killed() {
    if env::var_os(ROLE).is_none() {
        return;
    }
    let server = Server::start().unwrap();
    println!("\nserver {} {}", server.address(), server.directory().display());
    thread::sleep(Duration::from_secs(60));
}

#[test]
fn a_server_ends_with_its_process_even_if_that_is_killed() {
    if found(Server::start()).is_none() {
        return;
    }
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["a_process_that_is_killed", "--exact", "--nocapture"])
        .env(ROLE, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let line = lines.into_iter().find(|line| line.starts_with("server ")).unwrap();
    let mut words = line.split(' ').skip(1);
    let (address, directory) = (words.next().unwrap(), words.next().unwrap());
    child.kill().unwrap();
    child.wait().unwrap();
    eventually(|| std::net::TcpStream::connect(address).is_err() && !Path::new(directory).exists());
}

#[test]
fn a_server_that_is_no_longer_held_leaves_nothing_behind() {
    let Some(server) = found(Server::start()) else { return };
    let directory = server.directory().to_owned();
    assert!(fs::exists(&directory).unwrap());
    drop(server);
    assert!(!fs::exists(&directory).unwrap());
}

fn eventually(done: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < deadline, "within 20 s");
        thread::sleep(Duration::from_millis(10));
    }
}
