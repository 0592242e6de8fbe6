//! Fault 19: the network is slow, cut, deaf in one direction, or brings what nobody sent.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use storage_core::{ErrorKind, StorageProvider};
use test_servers::{Answer, Direction, Fake, Network, Proxy, found, redis::Server};

use crate::{
    load::Load,
    stopwatch::Stopwatch,
    support::{
        DEADLINE, config, connect, eventually, get, is_gone, kind, names, put, put_all, recovers, seed,
    },
};

#[tokio::test(flavor = "multi_thread")]
async fn fault_19_byte_by_byte_everything_works() {
    let Some(server) = found(Server::start()) else { return };
    let proxy = Proxy::start(server.address()).await;
    proxy.set(Network::ByteWise);
    let load = Load::start(config(&proxy.url())).await;
    load.proceeds(500).await;
    load.store.assert_within(DEADLINE);
    let tally = load.check(config(&proxy.url())).await;
    assert!(tally.failed.is_empty(), "{tally:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_19_a_network_slower_than_the_deadline_costs_the_deadline_and_no_more() {
    let Some(server) = found(Server::start()) else { return };
    let proxy = Proxy::start(server.address()).await;
    let load = Load::start(config(&proxy.url())).await;
    for delay in [50, 350, 800] {
        proxy.set(Network::Slow(Duration::from_millis(delay)));
        load.runs_for(1_200).await;
    }
    proxy.set(Network::Good);
    load.proceeds(200).await;
    // What the network still held has arrived by then, so that nothing changes during the comparison.
    load.runs_for(1_500).await;
    load.store.assert_within(DEADLINE);
    load.check(config(&server.url())).await;
}

/// The cut comes after any number of bytes: within a length, a record, an error, between two answers.
#[tokio::test(flavor = "multi_thread")]
async fn fault_19_connections_cut_after_any_byte_lose_nothing_acknowledged_and_match_no_answer_wrongly() {
    let Some(server) = found(Server::start()) else { return };
    let proxy = Proxy::start(server.address()).await;
    let load = Load::start(config(&proxy.url())).await;
    let mut rng = fastrand::Rng::with_seed(seed());
    for direction in [Direction::ToClient, Direction::ToServer].repeat(25) {
        load.proceeds(20).await;
        proxy.cut_after(direction, rng.u32(0..3_000));
        load.runs_for(rng.u64(0..30)).await;
    }
    load.proceeds(200).await;
    load.store.assert_within(DEADLINE);
    let connections = proxy.accepted();
    let tally = load.check(config(&server.url())).await;
    assert!(tally.failures(ErrorKind::OutcomeUnknown) > 0 && connections > 25, "{connections} {tally:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_19_a_half_open_connection_is_noticed_and_replaced() {
    let Some(server) = found(Server::start()) else { return };
    let proxy = Proxy::start(server.address()).await;
    let store = Stopwatch::over(connect(&proxy.url()).await);
    for network in [Network::Dead, Network::Deaf(Direction::ToServer), Network::Deaf(Direction::ToClient)] {
        put(&*store, "before").await.unwrap();
        proxy.set(network);
        let saved = put(&*store, "during").await;
        assert!(is_gone(kind(&saved)), "{network:?}: {saved:?}");
        let loaded = get(&*store, "before").await;
        assert!(matches!(kind(&loaded), Some(ErrorKind::Timeout | ErrorKind::Unavailable)), "{loaded:?}");
        store.assert_within(DEADLINE);
        proxy.set(Network::Good);
        println!("{network:?}: recovered after {:?}", recovers(&*store).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_19_connections_that_are_reset_are_replaced() {
    let Some(server) = found(Server::start()) else { return };
    let proxy = Proxy::start(server.address()).await;
    let load = Load::start(config(&proxy.url())).await;
    for _ in 0..5 {
        load.proceeds(100).await;
        proxy.set(Network::Reset);
        load.runs_for(100).await;
        proxy.set(Network::Good);
    }
    load.proceeds(100).await;
    load.store.assert_within(DEADLINE);
    load.check(config(&server.url())).await;
}

/// Answers are swallowed for a moment, again and again: an answer that comes after that is not that of an earlier call.
#[tokio::test(flavor = "multi_thread")]
async fn fault_19_swallowed_answers_never_shift_the_ones_behind_them() {
    let Some(server) = found(Server::start()) else { return };
    let proxy = Proxy::start(server.address()).await;
    let (store, reads) = (connect(&proxy.url()).await, Reads::default());
    let readers = reads.start(&store, &names(64)).await;
    for _ in 0..6 {
        reads.proceed(500).await;
        proxy.set(Network::Deaf(Direction::ToClient));
        tokio::time::sleep(Duration::from_millis(700)).await;
        proxy.set(Network::Good);
    }
    reads.proceed(500).await;
    reads.stop(readers).await;
}

/// An answer that belongs to no call, an answer of the wrong type, a length that lies, and plain rubbish.
#[tokio::test(flavor = "multi_thread")]
async fn fault_19_garbage_ends_the_connection_and_is_never_taken_for_an_answer() {
    let garbage: [&[u8]; 8] = [
        b":1\r\n",
        b"+OK\r\n",
        b"*2\r\n:1\r\n:2\r\n",
        b"$-7\r\n",
        b"$999999999999\r\n",
        b"*99999999999\r\n",
        b"\0\0\0\0HTTP/1.1 400 Bad Request\r\n\r\n",
        b"@@@@@@@@\r\n",
    ];
    let Some(server) = found(Server::start()) else { return };
    for bytes in garbage {
        for extra in [false, true] {
            read_through_garbage(&server, bytes, extra).await;
        }
    }
}

/// The protocol cannot tell such an answer from the right one. The record can: it says whose it is.
#[tokio::test(flavor = "multi_thread")]
async fn fault_19_a_stray_answer_of_the_right_type_never_shows_another_item() {
    let Some(server) = found(Server::start()) else { return };
    let store = connect(&server.url()).await;
    put_all(&*store, &names(64)).await;
    let armed = Arc::new(AtomicBool::new(false));
    let strikes = Arc::clone(&armed);
    let fake = Fake::before(server.address(), move |request| {
        let is_hit = request[0] == b"GET" && strikes.swap(false, Ordering::Relaxed);
        if is_hit { Answer::PassAndBytes(b"$5\r\nhello\r\n".to_vec()) } else { Answer::Pass }
    })
    .await;
    let store = connect(&fake.url()).await;
    for _ in 0..20 {
        armed.store(true, Ordering::Relaxed);
        for name in names(64) {
            // `get` compares what it finds with the key.
            let kind = kind(&get(&*store, &name).await);
            let expected = [None, Some(ErrorKind::Corrupted), Some(ErrorKind::Unavailable)];
            assert!(expected.contains(&kind), "{kind:?}");
        }
    }
}

/// Reads while one answer in two hundred is followed by garbage, or is garbage itself.
async fn read_through_garbage(server: &Server, garbage: &'static [u8], extra: bool) {
    let (answers, spoiled) = (AtomicU64::new(0), Arc::new(AtomicU64::new(0)));
    let count = Arc::clone(&spoiled);
    let fake = Fake::before(server.address(), move |request| {
        if request[0] != b"GET" || answers.fetch_add(1, Ordering::Relaxed) % 200 != 199 {
            return Answer::Pass;
        }
        count.fetch_add(1, Ordering::Relaxed);
        if extra { Answer::PassAndBytes(garbage.to_vec()) } else { Answer::Bytes(garbage.to_vec()) }
    })
    .await;
    let (store, reads) = (connect(&fake.url()).await, Reads::default());
    let readers = reads.start(&store, &names(64)).await;
    reads.proceed(1_000).await;
    reads.stop(readers).await;
    recovers(&*store).await;
    assert!(spoiled.load(Ordering::Relaxed) >= 2, "nothing was spoiled: does a load still begin with GET?");
}

/// Many tasks that read items which follow from their keys.
#[derive(Debug, Clone, Default)]
struct Reads {
    good: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl Reads {
    async fn start(&self, store: &Arc<impl StorageProvider>, names: &[String]) -> tokio::task::JoinSet<()> {
        put_all(&**store, names).await;
        let mut readers = tokio::task::JoinSet::new();
        for name in names {
            readers.spawn(self.clone().read(Arc::clone(store), name.clone()));
        }
        readers
    }

    async fn read(self, store: Arc<impl StorageProvider>, name: String) {
        while !self.stop.load(Ordering::Relaxed) {
            match get(&*store, &name).await {
                Ok(true) => drop(self.good.fetch_add(1, Ordering::Relaxed)),
                Ok(false) => panic!("{name} is there and was not found"),
                Err(error) => {
                    assert!(matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout), "{error:?}");
                }
            }
        }
    }

    /// Waits until so many more reads went well.
    async fn proceed(&self, reads: u64) {
        let goal = self.good.load(Ordering::Relaxed) + reads;
        eventually("reads go on", || async { self.good.load(Ordering::Relaxed) >= goal }).await;
    }

    async fn stop(&self, mut readers: tokio::task::JoinSet<()>) {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = readers.join_next().await {
            ended.unwrap();
        }
    }
}
