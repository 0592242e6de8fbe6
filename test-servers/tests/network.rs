//! The bad network and the fake server do what the tests rely on.

#![expect(clippy::unwrap_used, reason = "tests state what they expect by panicking")]

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use test_servers::{Answer, Direction, Fake, Network, Proxy, found, redis::Server};

/// A client that waits for at most 200 ms; the runtime has other threads for what it talks to.
struct Client(TcpStream);

impl Client {
    fn connect(address: String) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        Self(stream)
    }

    /// What comes back for a request, up to `size` bytes.
    fn ask(&mut self, size: usize) -> Result<String, std::io::ErrorKind> {
        self.0.write_all(b"*1\r\n$4\r\nPING\r\n").map_err(|error| error.kind())?;
        self.read(size)
    }

    fn read(&mut self, size: usize) -> Result<String, std::io::ErrorKind> {
        let mut answer = vec![0; size];
        self.0.read_exact(&mut answer).map_err(|error| error.kind())?;
        Ok(String::from_utf8(answer).unwrap())
    }
}

const PONG: &str = "+PONG\r\n";

fn is_silence(kind: std::io::ErrorKind) -> bool {
    matches!(kind, std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_network_and_a_byte_wise_one_carry_everything() {
    let Some(server) = found(Server::start()) else { return };
    let proxy = Proxy::start(server.address()).await;
    let mut client = Client::connect(proxy.address());
    assert_eq!(client.ask(7).unwrap(), PONG);
    proxy.set(Network::ByteWise);
    assert_eq!(client.ask(7).unwrap(), PONG);
    assert_eq!(proxy.accepted(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_network_takes_its_time_in_both_directions() {
    let Some(server) = found(Server::start()) else { return };
    let proxy = Proxy::start(server.address()).await;
    proxy.set(Network::Slow(Duration::from_millis(40)));
    let started = Instant::now();
    assert_eq!(Client::connect(proxy.address()).ask(7).unwrap(), PONG);
    assert!(started.elapsed() >= Duration::from_millis(80));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deaf_network_swallows_what_comes() {
    let Some(server) = found(Server::start()) else { return };
    let proxy = Proxy::start(server.address()).await;
    let mut client = Client::connect(proxy.address());
    for network in [Network::Dead, Network::Deaf(Direction::ToServer), Network::Deaf(Direction::ToClient)] {
        proxy.set(network);
        assert!(is_silence(client.ask(7).unwrap_err()));
    }
    proxy.set(Network::Good);
    assert_eq!(client.ask(7).unwrap(), PONG);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_cut_once_after_the_bytes_that_were_allowed() {
    let Some(server) = found(Server::start()) else { return };
    let proxy = Proxy::start(server.address()).await;
    for size in 0..7 {
        let mut client = Client::connect(proxy.address());
        proxy.cut_after(Direction::ToClient, size as u32);
        assert_eq!(client.ask(size).unwrap(), PONG[..size]);
        assert!(!is_silence(client.read(1).unwrap_err()));
    }
    assert_eq!(Client::connect(proxy.address()).ask(7).unwrap(), PONG);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_resets_ends_old_and_new_connections() {
    let Some(server) = found(Server::start()) else { return };
    let proxy = Proxy::start(server.address()).await;
    let mut client = Client::connect(proxy.address());
    assert_eq!(client.ask(7).unwrap(), PONG);
    proxy.set(Network::Reset);
    assert_eq!(client.read(1).unwrap_err(), std::io::ErrorKind::ConnectionReset);
    assert_eq!(Client::connect(proxy.address()).read(1).unwrap_err(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fake_answers_as_it_is_told() {
    let fake = Fake::start(|request| match request {
        [name] if name == b"PING" => Answer::error("BUSY no time"),
        _ => Answer::Close,
    })
    .await;
    assert_eq!(Client::connect(fake.address()).ask(15).unwrap(), "-BUSY no time\r\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fake_passes_on_what_is_not_its_own() {
    let Some(server) = found(Server::start()) else { return };
    let fake = Fake::before(server.address(), |request| match request {
        [name] if name == b"PING" => Answer::PassAndBytes(b":1\r\n".to_vec()),
        [name, ..] if name == b"FLUSHALL" => Answer::Nothing,
        _ => Answer::Pass,
    })
    .await;
    let _ok: String = server.command(&["SET", "a", "1"]);
    let mut client = Client::connect(fake.address());
    client.0.write_all(b"*1\r\n$8\r\nFLUSHALL\r\n*2\r\n$3\r\nGET\r\n$1\r\na\r\n*3\r\n$6\r\nCONFIG\r\n$3\r\nGET\r\n$4\r\nport\r\n").unwrap();
    assert_eq!(client.read(7).unwrap(), "$1\r\n1\r\n");
    assert!(client.read(14).unwrap().starts_with("*2\r\n$4\r\nport"));
    let mut client = Client::connect(fake.address());
    assert_eq!(client.ask(11).unwrap(), "+PONG\r\n:1\r\n");
}
