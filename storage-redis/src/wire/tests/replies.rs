//! What servers answer, and what becomes of it.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use test_servers::{Answer, Fake, found, redis::Server};

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_answered_in_their_order() {
    let Some(server) = found(Server::start()) else { return };
    let wire = wire(&server.url()).await;
    let sets = (0..1_000).map(|n| set(&format!("k{n}"), &n.to_string())).collect();
    assert!(wire.call_all(sets, soon()).await.iter().all(|answer| matches!(answer, Ok(Value::Okay))));
    let gets = (0..1_000).map(|n| get(&format!("k{n}"))).collect();
    for (n, answer) in wire.call_all(gets, soon()).await.into_iter().enumerate() {
        assert_eq!(answer.unwrap(), bulk(&n.to_string()));
    }
}

#[tokio::test]
async fn payloads_larger_than_every_buffer_arrive() {
    let Some(server) = found(Server::start()) else { return };
    let wire = wire(&server.url()).await;
    let large = "x".repeat(20 << 20);
    let calls = vec![set("a", &large), set("b", "1"), get("a"), get("b")];
    let answers = wire.call_all(calls, soon()).await;
    assert!(
        matches!(answers.as_slice(), [Ok(_), Ok(_), Ok(a), Ok(b)] if *a == bulk(&large) && *b == bulk("1"))
    );
}

#[tokio::test]
async fn a_script_that_the_server_forgot_is_sent_again_with_its_source() {
    static ADD: Script = Script::new("return redis.call('INCRBY', KEYS[1], ARGV[1])");
    let Some(server) = found(Server::start()) else { return };
    let wire = wire(&server.url()).await;
    let add = || Call::script(Slot::of(b"n"), &ADD, Access::Write).key(b"n").arg("2");
    assert_eq!(wire.call(add(), soon()).await.unwrap(), Value::Int(2));
    assert_eq!(wire.call(add(), soon()).await.unwrap(), Value::Int(4));
    server.command::<Value>(&["SCRIPT", "FLUSH"]);
    let many = wire.call_all((0..10).map(|_| add()).collect(), soon()).await;
    assert!(many.iter().all(Result::is_ok), "{many:?}");
    assert_eq!(wire.call(get("n"), soon()).await.unwrap(), bulk("24"));
}

/// Each error of the server has one meaning, whatever was asked.
#[tokio::test]
async fn every_error_of_a_server_has_its_kind() {
    let cases = [
        ("LOADING Redis is loading the dataset in memory", ErrorKind::Unavailable),
        ("BUSY Redis is busy running a script", ErrorKind::Unavailable),
        ("MASTERDOWN Link with MASTER is down", ErrorKind::Unavailable),
        ("READONLY You can't write against a read only replica.", ErrorKind::ReadOnly),
        ("OOM command not allowed when used memory > 'maxmemory'.", ErrorKind::Full),
        ("NOPERM this user has no permissions to run the 'set' command", ErrorKind::PermissionDenied),
        ("NOAUTH Authentication required.", ErrorKind::Unauthenticated),
        ("WRONGTYPE Operation against a key holding the wrong kind of value", ErrorKind::Corrupted),
        ("MISCONF Redis is configured to save RDB snapshots", ErrorKind::ReadOnly),
        ("CROSSSLOT Keys in request don't hash to the same slot", ErrorKind::Internal),
        ("NOSCRIPT No matching script. Please use EVAL.", ErrorKind::Internal),
        ("ASK 0 127.0.0.1:x", ErrorKind::Unavailable),
        ("ERR wrong number of arguments", ErrorKind::Internal),
    ];
    for (text, expected) in cases {
        let fake = Fake::start(move |request| match request[0].as_slice() {
            b"SET" => Answer::error(text),
            _ => Answer::Bytes(b"+OK\r\n".to_vec()),
        })
        .await;
        let wire = wire(&fake.url()).await;
        let error = wire.call(set("k", "hunter2"), soon()).await.unwrap_err();
        assert_eq!(error.kind(), expected, "{text}");
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
}

/// Busy clusters are asked again until the deadline, not longer.
#[tokio::test]
async fn a_busy_cluster_is_asked_again_until_the_deadline() {
    for text in ["TRYAGAIN Multiple keys request during rehashing of slot", "CLUSTERDOWN The cluster is down"]
    {
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&asked);
        let fake = Fake::start(move |request| match request[0].as_slice() {
            b"GET" if counter.fetch_add(1, Ordering::SeqCst) % 4 < 3 => Answer::error(text),
            b"GET" => Answer::Bytes(b"$2\r\nOK\r\n".to_vec()),
            b"SET" => Answer::error(text),
            _ => Answer::Bytes(b"+OK\r\n".to_vec()),
        })
        .await;
        let wire = wire(&fake.url()).await;
        assert_eq!(wire.call(get("k"), soon()).await.unwrap(), bulk("OK"));
        assert_eq!(asked.load(Ordering::SeqCst), 4);
        let deadline = Instant::now() + Duration::from_millis(200);
        assert_eq!(kind(wire.call(set("k", "v"), deadline).await), ErrorKind::Unavailable);
        assert!(Instant::now() < deadline + SLACK);
    }
}

/// A server that answers garbage is out of step: nothing later on this connection may be believed.
#[tokio::test]
async fn garbage_ends_the_connection_and_no_answer_goes_to_the_wrong_call() {
    let Some(server) = found(Server::start()) else { return };
    let plain = wire(&server.url()).await;
    for n in 0..100 {
        plain.call(set(&format!("k{n}"), &n.to_string()), soon()).await.unwrap();
    }
    let turn = Arc::new(AtomicUsize::new(0));
    let fake = Fake::before(server.address(), move |request| match request[0].as_slice() {
        b"GET" => match turn.fetch_add(1, Ordering::SeqCst) % 20 {
            5 => Answer::Bytes(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
            11 => Answer::PassAndBytes(b"$3\r\nabcd\r\n".to_vec()),
            17 => Answer::PassAndClose,
            _ => Answer::Pass,
        },
        _ => Answer::Pass,
    })
    .await;
    let wire = wire(&fake.url()).await;
    let mut failed = 0;
    for _ in 0..20 {
        let gets = (0..100).map(|n| get(&format!("k{n}"))).collect();
        for (n, answer) in wire.call_all(gets, soon()).await.into_iter().enumerate() {
            match answer {
                Ok(value) => assert_eq!(value, bulk(&n.to_string())),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
                    failed += 1;
                }
            }
        }
    }
    assert!(failed < 2_000, "nothing was ever answered");
}

/// A write whose answer is lost may have been applied; it is not sent again.
#[tokio::test]
async fn a_write_whose_answer_is_lost_is_not_sent_again() {
    let Some(server) = found(Server::start()) else { return };
    for lost in [Answer::PassAndClose, Answer::Bytes(b"?\r\n".to_vec()), Answer::Close] {
        server.command::<Value>(&["SET", "n", "0"]);
        let sent = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&sent);
        let fake = Fake::before(server.address(), move |request| match request[0].as_slice() {
            b"INCR" => {
                counter.fetch_add(1, Ordering::SeqCst);
                lost.clone()
            }
            _ => Answer::Pass,
        })
        .await;
        let wire = wire(&fake.url()).await;
        assert_eq!(kind(wire.call(incr("n"), soon()).await), ErrorKind::OutcomeUnknown);
        assert_eq!(sent.load(Ordering::SeqCst), 1);
        // The next call finds a new connection.
        wire.call(get("n"), soon()).await.unwrap();
    }
}

#[tokio::test]
async fn a_closed_wire_refuses_calls_and_closes_again() {
    let Some(server) = found(Server::start()) else { return };
    let wire = wire(&server.url()).await;
    wire.close().await;
    wire.close().await;
    assert_eq!(kind(wire.call(get("k"), soon()).await), ErrorKind::Closed);
    assert_eq!(kind(wire.call(set("k", "v"), soon()).await), ErrorKind::Closed);
}

#[tokio::test]
async fn a_replica_is_left_for_the_master_that_takes_its_place() {
    let Some(server) = found(Server::start()) else { return };
    let refusals = Arc::new(AtomicUsize::new(2));
    let left = Arc::clone(&refusals);
    let fake = Fake::before(server.address(), move |request| match request[0].as_slice() {
        b"SET"
            if left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() =>
        {
            Answer::error("READONLY You can't write against a read only replica.")
        }
        _ => Answer::Pass,
    })
    .await;
    let wire = wire(&fake.url()).await;
    assert_eq!(wire.call(set("k", "v"), soon()).await.unwrap(), Value::Okay);
    refusals.store(usize::MAX, Ordering::SeqCst);
    assert_eq!(kind(wire.call(set("k", "v"), soon()).await), ErrorKind::ReadOnly);
    assert_eq!(wire.call(get("k"), soon()).await.unwrap(), bulk("v"));
}
