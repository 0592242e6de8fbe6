//! Fault 25, and every other error of a server: each has one meaning, whichever way it is met.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use storage_core::{Condition, ErrorKind, StorageProvider};
use test_servers::{Answer, Fake, found, redis::Server};

use crate::{
    stopwatch::Stopwatch,
    support::{DEADLINE, config, connect, eventually, get, is_gone, key, kind, put, recovers, refused},
};

/// Commands that carry items; the rest of a conversation passes.
fn is_about_items(request: &[Vec<u8>]) -> bool {
    [&b"GET"[..], b"MGET", b"EVALSHA", b"EVAL", b"EVALSHA_RO", b"EVAL_RO"].contains(&&request[0][..])
}

/// A server that answers `error` to everything about items for as long as it is armed.
struct Failing {
    _fake: Fake,
    armed: Arc<AtomicUsize>,
    store: Arc<Stopwatch>,
}

impl Failing {
    async fn before(server: &Server, error: &'static str) -> Self {
        let armed = Arc::new(AtomicUsize::new(0));
        let left = Arc::clone(&armed);
        let take =
            move || left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        let fake = Fake::before(server.address(), move |request| {
            if is_about_items(request) && take() { Answer::error(error) } else { Answer::Pass }
        })
        .await;
        let store = Stopwatch::over(connect(&fake.url()).await);
        Self { _fake: fake, armed, store }
    }

    /// What a load and a save come to while the server answers the error.
    async fn kinds(&self) -> (Option<ErrorKind>, Option<ErrorKind>) {
        self.armed.store(usize::MAX, Ordering::SeqCst);
        let kinds = (kind(&get(&*self.store, "a").await), kind(&put(&*self.store, "a").await));
        self.armed.store(0, Ordering::SeqCst);
        kinds
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_25_every_error_of_a_server_has_its_kind() {
    use ErrorKind::{Corrupted, Full, Internal, PermissionDenied, ReadOnly, Unauthenticated, Unavailable};
    let table = [
        ("LOADING Redis is loading the dataset in memory", Unavailable),
        (
            "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
            Unavailable,
        ),
        ("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", Unavailable),
        ("CLUSTERDOWN The cluster is down", Unavailable),
        ("TRYAGAIN Multiple keys request during rehashing of slot", Unavailable),
        ("ERR max number of clients reached", Unavailable),
        ("READONLY You can't write against a read only replica.", ReadOnly),
        (
            "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
            ReadOnly,
        ),
        ("NOREPLICAS Not enough good replicas to write.", Unavailable),
        ("OOM command not allowed when used memory > 'maxmemory'.", Full),
        ("NOPERM this user has no permissions to run the 'get' command", PermissionDenied),
        ("NOAUTH Authentication required.", Unauthenticated),
        ("WRONGPASS invalid username-password pair or user is disabled.", Unauthenticated),
        ("WRONGTYPE Operation against a key holding the wrong kind of value", Corrupted),
        ("CROSSSLOT Keys in request don't hash to the same slot", Internal),
        ("ERR something that nobody has heard of", Internal),
    ];
    let Some(server) = found(Server::start()) else { return };
    for (text, expected) in table {
        let failing = Failing::before(&server, text).await;
        put(&*failing.store, "a").await.unwrap();
        assert_eq!(failing.kinds().await, (Some(expected), Some(expected)), "{text}");
        recovers(&*failing.store).await;
        failing.store.assert_within(DEADLINE);
    }
}

/// What passes by itself within the deadline is waited for instead of reported.
#[tokio::test(flavor = "multi_thread")]
async fn fault_25_a_script_that_the_server_does_not_know_is_sent_whole_once() {
    let Some(server) = found(Server::start()) else { return };
    let failing = Failing::before(&server, "NOSCRIPT No matching script. Please use EVAL.").await;
    failing.armed.store(1, Ordering::SeqCst);
    put(&*failing.store, "a").await.unwrap();
    let (_, saved) = failing.kinds().await;
    assert!(saved.is_some(), "a server that knows no script whatever is sent is not asked for ever");
    failing.store.assert_within(DEADLINE);
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_25_a_write_whose_answer_is_cut_off_is_of_unknown_outcome_and_a_read_is_not() {
    let Some(server) = found(Server::start()) else { return };
    for (half, is_applied) in [(Answer::PassAndClose, true), (Answer::Close, false)] {
        let armed = Arc::new(AtomicUsize::new(0));
        let (take, cut) = (Arc::clone(&armed), half.clone());
        let fake = Fake::before(server.address(), move |request| {
            let hit = request[0].starts_with(b"EVAL")
                && take.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
            if hit { cut.clone() } else { Answer::Pass }
        })
        .await;
        let store = connect(&fake.url()).await;
        store.delete(key("cut"), Condition::None).await.unwrap();
        // From now on the server knows the script, so that the first thing it is sent is the last.
        put(&*store, "other").await.unwrap();
        armed.store(1, Ordering::SeqCst);
        assert_eq!(kind(&put(&*store, "cut").await), Some(ErrorKind::OutcomeUnknown));
        recovers(&*store).await;
        assert_eq!(get(&*store, "cut").await.unwrap(), is_applied);
    }
}

/// A read is sent again on a new connection: nobody needs to hear of the old one.
#[tokio::test(flavor = "multi_thread")]
async fn fault_25_a_read_whose_answer_is_cut_off_is_unavailable_at_worst() {
    let Some(server) = found(Server::start()) else { return };
    let count = AtomicUsize::new(0);
    let fake = Fake::before(server.address(), move |request| {
        let is_load = request[0] == b"GET";
        if is_load && count.fetch_add(1, Ordering::SeqCst) % 3 == 2 { Answer::Close } else { Answer::Pass }
    })
    .await;
    let store = connect(&fake.url()).await;
    put(&*store, "a").await.unwrap();
    for _ in 0..30 {
        let loaded = get(&*store, "a").await;
        assert!(matches!(loaded, Ok(true)) || kind(&loaded) == Some(ErrorKind::Unavailable), "{loaded:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_25_a_server_busy_with_a_script_is_unavailable_until_it_is_done() {
    let Some(server) = found(Server::builder().line("busy-reply-threshold 50").start()) else { return };
    let store = Stopwatch::over(connect(&server.url()).await);
    put(&*store, "a").await.unwrap();
    let mut connection = server.connect().unwrap();
    let script = std::thread::spawn(move || {
        redis::cmd("EVAL").arg("while true do end").arg(0).query::<redis::Value>(&mut connection)
    });
    eventually("the server is busy", || async { is_gone(kind(&get(&*store, "a").await)) }).await;
    let (loaded, saved) = (get(&*store, "a").await, put(&*store, "a").await);
    assert_eq!((kind(&loaded), kind(&saved)), (Some(ErrorKind::Unavailable), Some(ErrorKind::Unavailable)));
    let _ok: String = server.command(&["SCRIPT", "KILL"]);
    assert!(script.join().unwrap().is_err());
    recovers(&*store).await;
    store.assert_within(DEADLINE);
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_25_a_server_without_room_for_another_client_is_unavailable() {
    let Some(server) = found(Server::start()) else { return };
    let admin = server.connect().unwrap();
    let mut admin = admin;
    let _ok: String = redis::cmd("CONFIG").arg(&["SET", "maxclients", "1"]).query(&mut admin).unwrap();
    let error = refused(config(&server.url())).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    let _ok: String = redis::cmd("CONFIG").arg(&["SET", "maxclients", "100"]).query(&mut admin).unwrap();
    put(&*connect(&server.url()).await, "a").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_25_a_replica_is_read_only_and_without_its_master_unavailable() {
    let Some(mut master) = found(Server::start()) else { return };
    let store = connect(&master.url()).await;
    put(&*store, "a").await.unwrap();
    let line = format!("replicaof 127.0.0.1 {}", master.port());
    let Some(replica) = found(Server::builder().line(line).line("replica-serve-stale-data no").start())
    else {
        return;
    };
    eventually("the replica has the data", || async {
        replica.replication().contains("master_link_status:up")
    })
    .await;
    let store = connect(&replica.url()).await;
    assert!(get(&*store, "a").await.unwrap());
    assert_eq!(kind(&put(&*store, "a").await), Some(ErrorKind::ReadOnly));
    master.kill();
    let gone = || async { kind(&get(&*store, "a").await) == Some(ErrorKind::Unavailable) };
    eventually("the replica says that its master is gone", gone).await;
    let saved = kind(&put(&*store, "a").await);
    assert!(matches!(saved, Some(ErrorKind::Unavailable | ErrorKind::ReadOnly)), "{saved:?}");
    assert_eq!(refused(config(&replica.url())).await.kind(), ErrorKind::Unavailable);
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_25_nobody_at_the_address_and_somebody_else_at_the_address_are_told_apart() {
    let Some(mut server) = found(Server::start()) else { return };
    let address = server.url();
    server.kill();
    assert_eq!(refused(config(&address)).await.kind(), ErrorKind::Unavailable);
    let web = Fake::start(|_| Answer::BytesAndClose(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec())).await;
    let error = refused(config(&web.url())).await;
    assert!(matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Config), "{error:?}");
    let mute = Fake::start(|_| Answer::Nothing).await;
    let started = std::time::Instant::now();
    let error = refused(config(&mute.url())).await;
    assert!(matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout), "{error:?}");
    assert!(started.elapsed() < DEADLINE * 2, "{:?}", started.elapsed());
}
