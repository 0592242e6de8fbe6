//! Clusters and sentinels.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, Ordering},
};

use test_servers::{
    Answer, Fake, found,
    redis::{Cluster, Sentinels, Server},
};

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_found_from_one_of_its_nodes() {
    let Some(cluster) = found(Cluster::start()) else { return };
    let wire = wire(&format!("redis+cluster://{}", cluster.addresses()[1])).await;
    let sets = (0..300).map(|n| set(&format!("k{n}"), &n.to_string())).collect();
    assert!(wire.call_all(sets, soon()).await.iter().all(Result::is_ok));
    let gets = (0..300).map(|n| get(&format!("k{n}"))).collect();
    for (n, answer) in wire.call_all(gets, soon()).await.into_iter().enumerate() {
        assert_eq!(answer.unwrap(), bulk(&n.to_string()));
    }
    for node in cluster.nodes() {
        assert!(node.command::<u64>(&["DBSIZE"]) > 50, "a node holds nothing");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn modes_that_do_not_fit_the_server_are_named() {
    let (Some(cluster), Some(server)) = (found(Cluster::start()), found(Server::start())) else { return };
    assert_eq!(
        kind(Wire::connect(&config(&format!("redis://{}", cluster.addresses()[0]))).await),
        ErrorKind::Config
    );
    let alone = config(&format!("redis+cluster://{}", server.address()));
    assert_eq!(kind(Wire::connect(&alone).await), ErrorKind::Config);
}

/// A master that was replaced while it was down takes itself for the master when it is back, until another member tells it.
#[tokio::test(flavor = "multi_thread")]
async fn a_view_of_the_cluster_that_is_older_than_the_last_is_not_believed() {
    let Some(cluster) = found(Cluster::builder().masters(1).start()) else { return };
    let (is_unaware, port) = (Arc::new(AtomicBool::new(false)), Arc::new(OnceLock::new()));
    let member = Fake::before(cluster.addresses()[0].clone(), {
        let (is_unaware, port) = (Arc::clone(&is_unaware), Arc::clone(&port));
        move |request| {
            if !is_unaware.load(Ordering::SeqCst) {
                return Answer::Pass;
            }
            let port = port.get().expect("it is known before the first request");
            match request.last().map(Vec::as_slice) {
                Some(b"INFO") => Answer::Bytes(b"$23\r\ncluster_current_epoch:0\r\n".to_vec()),
                Some(b"SLOTS") => Answer::Bytes(
                    format!("*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$0\r\n\r\n:{port}\r\n").into_bytes(),
                ),
                Some(b"k") => Answer::Bytes(b"$-1\r\n".to_vec()),
                _ => Answer::Pass,
            }
        }
    })
    .await;
    port.set(member.address().rsplit(':').next().unwrap().to_owned()).unwrap();
    let wire = wire(&format!("redis+cluster://{}", member.address())).await;
    wire.call(set("k", "v"), soon()).await.unwrap();
    is_unaware.store(true, Ordering::SeqCst);
    for _ in 0..20 {
        // A connection that ends makes the wire look where its node is now.
        cluster.nodes()[0].command::<u64>(&["CLIENT", "KILL", "TYPE", "normal"]);
        assert_eq!(wire.call(get("k"), soon()).await.unwrap(), bulk("v"));
    }
}

/// A slot moves key by key while it is written and read: nothing is lost, nothing fails.
#[tokio::test(flavor = "multi_thread")]
async fn a_slot_may_move_under_load() {
    let Some(cluster) = found(Cluster::start()) else { return };
    let wire = wire(&cluster.url()).await;
    let keys: Vec<String> = (0..200).map(|n| format!("{{moving}}{n}")).collect();
    for key in &keys {
        wire.call(set(key, "0"), soon()).await.unwrap();
    }
    let load = tokio::spawn({
        let (wire, keys) = (wire.clone(), keys.clone());
        async move {
            for round in 1..=30_i64 {
                for answer in wire.call_all(keys.iter().map(|key| incr(key)).collect(), soon()).await {
                    assert_eq!(answer.unwrap(), Value::Int(round));
                }
            }
        }
    });
    tokio::task::spawn_blocking(move || {
        move_slot(&cluster, Slot::of(b"{moving}"), &keys);
        cluster
    })
    .await
    .unwrap();
    load.await.unwrap();
}

fn move_slot(cluster: &Cluster, slot: Slot, keys: &[String]) {
    let slot = slot.number().to_string();
    let holds = |node: &&Server| node.command::<u64>(&["CLUSTER", "COUNTKEYSINSLOT", &slot]) > 0;
    let from = cluster.nodes().iter().find(holds).unwrap();
    let to = cluster.nodes().iter().find(|node| !holds(node)).unwrap();
    let (from_id, to_id) = (Cluster::id_of(from), Cluster::id_of(to));
    to.command::<Value>(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]);
    from.command::<Value>(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id]);
    let port = to.port().to_string();
    for key in keys {
        from.command::<Value>(&["MIGRATE", "127.0.0.1", &port, key, "0", "5000"]);
    }
    for node in [to, from] {
        node.command::<Value>(&["CLUSTER", "SETSLOT", &slot, "NODE", &to_id]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_of_a_cluster_takes_over() {
    let Some(mut cluster) = found(Cluster::builder().replicas(1).start()) else { return };
    let wire = wire(&cluster.url()).await;
    let keys: Vec<String> = (0..100).map(|n| format!("k{n}")).collect();
    wire.call_all(keys.iter().map(|key| set(key, "v")).collect(), soon()).await;
    cluster.nodes_mut()[0].kill();
    let end = Instant::now() + Duration::from_secs(40);
    loop {
        let sets = keys.iter().map(|key| set(key, "w")).collect();
        let answers = wire.call_all(sets, Instant::now() + Duration::from_secs(2)).await;
        for error in answers.iter().filter_map(|answer| answer.as_ref().err()) {
            let expected = [ErrorKind::Unavailable, ErrorKind::OutcomeUnknown, ErrorKind::Timeout];
            assert!(expected.contains(&error.kind()), "{error:?}");
        }
        if answers.iter().all(Result::is_ok) {
            break;
        }
        assert!(Instant::now() < end, "nobody took over");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_lead_to_the_master_and_to_the_next_one() {
    let server = Sentinels::builder().password("p1").sentinel_password("p2").start();
    let Some(mut sentinels) = found(server) else { return };
    let (addresses, service) = (sentinels.addresses().join(","), Sentinels::SERVICE);
    let url = |password: &str, query: &str| {
        config(&format!("redis+sentinel://:{password}@{addresses}/{service}?{query}"))
    };
    assert_eq!(kind(Wire::connect(&url("p1", "")).await), ErrorKind::Unauthenticated);
    assert_eq!(kind(Wire::connect(&url("x", "sentinel_password=p2")).await), ErrorKind::Unauthenticated);
    let unknown =
        RedisConfig::from_url(&format!("redis+sentinel://:p1@{addresses}/nobody?sentinel_password=p2"))
            .unwrap();
    assert_eq!(kind(Wire::connect(&unknown).await), ErrorKind::Config);
    let wire = Wire::connect(&url("p1", "sentinel_password=p2")).await.unwrap();
    wire.call(set("k", "v"), soon()).await.unwrap();
    let old = sentinels.master();
    sentinels.servers_mut()[old].kill();
    assert_eq!(kind(wire.call(set("k", "lost"), soon()).await), ErrorKind::Unavailable);
    eventually("the next master is found", async || wire.call(set("k", "w"), soon()).await.is_ok()).await;
    assert_ne!(sentinels.master(), old);
    // The old master comes back as a replica, and nobody writes to it.
    sentinels.servers_mut()[old].restart();
    assert_eq!(wire.call(get("k"), soon()).await.unwrap(), bulk("w"));
}
