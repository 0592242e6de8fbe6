//! Servers that stop, hang and vanish, and networks that do.

use test_servers::{Answer, Direction, Fake, Network, Proxy, found, redis::Server};

use super::*;

const SHORT: Duration = Duration::from_millis(300);

async fn timed<T>(deadline: Instant, call: impl Future<Output = T>) -> T {
    let result = call.await;
    let late = Instant::now().saturating_duration_since(deadline);
    assert!(late <= SLACK, "{late:?} after the deadline");
    result
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_outlives_its_deadline_while_the_server_is_stopped() {
    let Some(server) = found(Server::start()) else { return };
    let wire = wire(&server.url()).await;
    server.pause();
    let deadline = Instant::now() + SHORT;
    let calls = (0..200).map(|n| if n % 2 == 0 { get("k") } else { set("k", "v") }).collect();
    for (n, answer) in timed(deadline, wire.call_all(calls, deadline)).await.into_iter().enumerate() {
        let expected = if n % 2 == 0 { ErrorKind::Timeout } else { ErrorKind::OutcomeUnknown };
        assert_eq!(kind(answer), expected);
    }
    server.resume();
    assert!(wire.call(set("k", "w"), soon()).await.is_ok());
    assert_eq!(wire.call(get("k"), soon()).await.unwrap(), bulk("w"));
}

/// What the socket would not take was not sent, and the error says so.
#[tokio::test(flavor = "multi_thread")]
async fn what_never_left_is_known_not_to_be_applied() {
    let Some(server) = found(Server::start()) else { return };
    let wire = wire(&server.url()).await;
    server.pause();
    let deadline = Instant::now() + SHORT;
    let large = "x".repeat(32 << 20);
    let calls = vec![set("big", &large), set("late", "v")];
    let kinds: Vec<_> = timed(deadline, wire.call_all(calls, deadline)).await.into_iter().map(kind).collect();
    assert_eq!(kinds, [ErrorKind::OutcomeUnknown, ErrorKind::Timeout]);
    server.resume();
    eventually("the server answers", async || wire.call(get("late"), soon()).await.is_ok()).await;
    assert_eq!(wire.call(get("late"), soon()).await.unwrap(), Value::Nil);
}

#[tokio::test]
async fn a_silent_connection_is_given_up_and_replaced() {
    let Some(server) = found(Server::start()) else { return };
    let proxy = Proxy::start(server.address()).await;
    let config = RedisConfig { response_timeout: SHORT, ..config(&proxy.url()) };
    let wire = Wire::connect(&config).await.unwrap();
    for network in [Network::Dead, Network::Deaf(Direction::ToServer), Network::Deaf(Direction::ToClient)] {
        proxy.set(network);
        let started = Instant::now();
        assert_eq!(kind(wire.call(incr("n"), soon()).await), ErrorKind::OutcomeUnknown);
        assert!(started.elapsed() < SHORT + SLACK, "{:?}", started.elapsed());
        proxy.set(Network::Good);
        proxy.cut();
        eventually("calls are answered again", async || wire.call(get("n"), soon()).await.is_ok()).await;
    }
}

#[tokio::test]
async fn a_server_that_comes_back_is_used_again() {
    let Some(mut server) = found(Server::start()) else { return };
    let wire = wire(&server.url()).await;
    for _ in 0..3 {
        server.kill();
        let started = Instant::now();
        let error = wire.call(set("k", "v"), soon()).await.unwrap_err();
        assert!([ErrorKind::Unavailable, ErrorKind::OutcomeUnknown].contains(&error.kind()), "{error:?}");
        assert_eq!(kind(wire.call(set("k", "v"), soon()).await), ErrorKind::Unavailable);
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
        server.restart();
        eventually("the server is used again", async || wire.call(set("k", "v"), soon()).await.is_ok()).await;
    }
}

#[tokio::test]
async fn a_reset_connection_loses_no_read() {
    let Some(server) = found(Server::start()) else { return };
    let proxy = Proxy::start(server.address()).await;
    let wire = wire(&proxy.url()).await;
    for bytes in 0..200 {
        proxy.cut_after(Direction::ToClient, bytes);
        wire.call(get("k"), soon()).await.unwrap();
    }
    assert!(proxy.accepted() > 1, "nothing was ever cut");
}

/// Cut at every byte: an acknowledged write is there, an unacknowledged one at most once.
#[tokio::test]
async fn a_write_is_never_applied_twice() {
    let Some(server) = found(Server::start()) else { return };
    for direction in [Direction::ToServer, Direction::ToClient] {
        server.command::<Value>(&["SET", "n", "0"]);
        let proxy = Proxy::start(server.address()).await;
        // Every cut costs a pause before the next attempt to connect.
        let reconnect = ReconnectConfig { min: Duration::from_millis(1), max: Duration::from_millis(5) };
        let wire = Wire::connect(&RedisConfig { reconnect, ..config(&proxy.url()) }).await.unwrap();
        let (mut acknowledged, mut unknown) = (0, 0);
        for bytes in 0..60 {
            proxy.cut_after(direction, bytes);
            match wire.call(incr("n"), soon()).await {
                Ok(_) => acknowledged += 1,
                Err(error) if error.kind() == ErrorKind::OutcomeUnknown => unknown += 1,
                Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}"),
            }
        }
        let applied: i64 = server.command(&["GET", "n"]);
        assert!(
            (acknowledged..=acknowledged + unknown).contains(&applied),
            "{acknowledged} + {unknown}: {applied}"
        );
        assert!(unknown > 0, "nothing was ever cut");
    }
}

#[tokio::test]
async fn bytes_may_come_one_by_one() {
    let Some(server) = found(Server::start()) else { return };
    let proxy = Proxy::start(server.address()).await;
    proxy.set(Network::ByteWise);
    let wire = wire(&proxy.url()).await;
    wire.call(set("k", "some value"), soon()).await.unwrap();
    let answers = wire.call_all((0..10).map(|_| get("k")).collect(), soon()).await;
    assert!(answers.into_iter().all(|answer| answer.unwrap() == bulk("some value")));
}

/// Callers that went away keep no place, and their answers go to nobody else.
#[tokio::test(flavor = "multi_thread")]
async fn dropped_calls_leave_nothing() {
    let Some(server) = found(Server::start()) else { return };
    let config = RedisConfig { max_in_flight: 8, ..config(&server.url()) };
    let wire = Wire::connect(&config).await.unwrap();
    for n in 0..100 {
        wire.call(set(&format!("k{n}"), &n.to_string()), soon()).await.unwrap();
    }
    for n in 0..2_000_u64 {
        let call = wire.call(get("k1"), soon());
        drop(tokio::time::timeout(Duration::from_micros(n % 200), call).await);
        let key = n % 100;
        assert_eq!(wire.call(get(&format!("k{key}")), soon()).await.unwrap(), bulk(&key.to_string()));
    }
    eventually("all places are free", async || wire.shared.permits.available_permits() == 8).await;
}

#[tokio::test]
async fn calls_beyond_the_limit_wait_and_then_are_refused() {
    let fake = Fake::start(|request| match request[0].as_slice() {
        b"GET" => Answer::Nothing,
        _ => Answer::Bytes(b"+OK\r\n".to_vec()),
    })
    .await;
    let config = RedisConfig { max_in_flight: 2, ..config(&fake.url()) };
    let wire = Wire::connect(&config).await.unwrap();
    let held: Vec<_> = (0..2)
        .map(|_| {
            tokio::spawn({
                let wire = wire.clone();
                async move { wire.call(get("k"), soon()).await }
            })
        })
        .collect();
    eventually("both places are taken", async || wire.shared.permits.available_permits() == 0).await;
    let deadline = Instant::now() + SHORT;
    assert_eq!(kind(timed(deadline, wire.call(get("k"), deadline)).await), ErrorKind::Unavailable);
    for call in held {
        call.abort();
    }
}

#[tokio::test]
async fn a_hanging_connect_ends_with_its_deadline() {
    // Nobody accepts: the system makes the connection, and nothing is ever answered.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!(
        "redis://{}/?connect_timeout_ms=200&operation_timeout_ms=500",
        listener.local_addr().unwrap()
    );
    let started = Instant::now();
    assert_eq!(kind(Wire::connect(&config(&url)).await), ErrorKind::Unavailable);
    assert!(started.elapsed() < Duration::from_millis(500) + SLACK, "{:?}", started.elapsed());
}
