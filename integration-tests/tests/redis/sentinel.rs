//! Fault 23: the master goes, and sentinels make a replica the master.

use std::time::Duration;

use storage_core::ErrorKind;
use test_servers::{
    found,
    redis::{Sentinels, Server},
};

use crate::{
    load::Load,
    support::{DEADLINE, config, connect, eventually, get, put, refused},
};

const FAILOVERS: usize = 2;

#[tokio::test(flavor = "multi_thread")]
async fn fault_23_a_killed_master_is_replaced_under_load_and_what_the_server_lost_is_counted() {
    let Some(mut set) = found(Sentinels::start()) else { return };
    let load = Load::start_with_losses(config(&set.url())).await;
    for _ in 0..FAILOVERS {
        load.proceeds(300).await;
        let old = set.master();
        set.servers_mut()[old].kill();
        set.wait_for_another_master(old);
        println!("work went on {:?} after the new master was chosen", load.proceeds(100).await);
        set.servers_mut()[old].restart();
        set.wait_until_all_follow();
    }
    load.store.assert_within(DEADLINE);
    let tally = load.check(config(&set.url())).await;
    println!("{FAILOVERS} failovers: {} items lost or set back by the server itself", tally.lost);
    assert!(tally.failures(ErrorKind::Unavailable) + tally.failures(ErrorKind::Timeout) > 0, "{tally:?}");
}

/// Told to fail over, sentinels leave the old master alive, and demote it only seconds later: writes that it takes until then
/// are lost. Whoever does not ask the sentinels in between loses all of them.
#[tokio::test(flavor = "multi_thread")]
async fn fault_23_a_master_that_was_replaced_in_order_is_left_long_before_it_is_demoted() {
    let Some(set) = found(Sentinels::start()) else { return };
    let load = Load::start_with_losses(config(&set.url())).await;
    load.proceeds(300).await;
    let old = set.master();
    set.fail_over();
    let new = &set.servers()[set.wait_for_another_master(old)];
    // A replica takes over the effects of scripts; only a master runs them.
    let followed = eventually("the new master gets our saves", || async { runs_scripts(new) }).await;
    println!("the new master got our saves {followed:?} after it was chosen");
    assert!(followed < Duration::from_secs(4), "{followed:?}");
    load.proceeds(300).await;
    load.store.assert_within(DEADLINE);
    let tally = load.check(config(&set.url())).await;
    println!("a failover in order: {} items lost or set back by the server itself", tally.lost);
}

fn runs_scripts(server: &Server) -> bool {
    server.command::<String>(&["INFO", "commandstats"]).contains("cmdstat_evalsha:")
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_23_sentinels_may_die_as_long_as_one_is_left() {
    let Some(mut set) = found(Sentinels::start()) else { return };
    let url = set.url();
    let store = connect(&url).await;
    put(&*store, "before").await.unwrap();
    for sentinel in set.sentinels_mut().iter_mut().take(2) {
        sentinel.kill();
    }
    assert!(get(&*store, "before").await.unwrap());
    assert!(get(&*connect(&url).await, "before").await.unwrap());
    set.sentinels_mut()[2].kill();
    let error = refused(config(&url)).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert!(get(&*store, "before").await.unwrap(), "an open connection needs no sentinel");
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_23_a_service_that_the_sentinels_do_not_know_is_a_config_error() {
    let Some(set) = found(Sentinels::builder().replicas(1).start()) else { return };
    let error = refused(config(&set.url().replace("/main/", "/other/"))).await;
    assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
    assert!(error.to_string().contains("other"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_23_sentinels_and_servers_have_passwords_of_their_own() {
    let set = Sentinels::builder().replicas(1).password("one").sentinel_password("two").start();
    let Some(set) = found(set) else { return };
    let right = set.url().replace("://", "://:one@") + "?sentinel_password=two";
    put(&*connect(&right).await, "a").await.unwrap();
    for wrong in [right.replace("one@", "bad@"), right.replace("=two", "=bad"), set.url()] {
        let error = refused(config(&wrong)).await;
        assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{error:?}");
    }
}
