//! Cleanup, health, close and the sweeper.
#![expect(clippy::unwrap_used, reason = "tests state what they expect by panicking")]

mod support;

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use storage_manager::{ErrorKind, Health, ManualClock, StorageProvider, StorageQuery, UnifiedStorageManager};
use support::{Mood, Puppet, memory};

const MINUTE: Duration = Duration::from_secs(60);

fn pair(clock: &ManualClock) -> (Arc<Puppet>, Arc<Puppet>) {
    (Puppet::new("good", clock), Puppet::new("odd", clock))
}

fn over(good: &Arc<Puppet>, odd: &Arc<Puppet>, clock: &ManualClock) -> UnifiedStorageManager {
    UnifiedStorageManager::builder()
        .register("good", Arc::clone(good))
        .register("odd", Arc::clone(odd))
        .clock(clock.shared())
        .deadline(MINUTE)
        .build()
        .unwrap()
}

#[tokio::test]
async fn cleanup_reports_each_provider() {
    let clock = ManualClock::default();
    let (good, odd) = pair(&clock);
    let manager = over(&good, &odd, &clock);
    manager.save("k", 1, "good").ttl(MINUTE).await.unwrap();
    manager.save("k", 1, "odd").ttl(MINUTE).await.unwrap();
    manager.save("l", 1, "odd").ttl(MINUTE).await.unwrap();
    clock.advance(MINUTE);
    let reports = manager.cleanup().await.unwrap().into_result().unwrap();
    assert_eq!(reports.iter().map(|report| report.expired).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(manager.cleanup().await.unwrap().into_result().unwrap()[1].expired, 0);
}

#[tokio::test(start_paused = true)]
async fn one_provider_that_fails_hangs_or_panics_stops_no_other() {
    for (mood, kind) in [
        (Mood::Failing(ErrorKind::Unavailable), ErrorKind::Unavailable),
        (Mood::Hanging, ErrorKind::Timeout),
        (Mood::Panicking, ErrorKind::Internal),
    ] {
        let clock = ManualClock::default();
        let (good, odd) = pair(&clock);
        let manager = over(&good, &odd, &clock);
        odd.be(mood);
        let outcomes = manager.cleanup().await.unwrap();
        assert!(outcomes.providers[0].result.is_ok());
        let failures: Vec<_> =
            outcomes.failures().map(|(who, error)| (who.routes.clone(), error.kind())).collect();
        assert_eq!(failures, [(vec!["odd".to_owned()], kind)]);
        assert_eq!(outcomes.into_result().unwrap_err().kind(), ErrorKind::Partial);

        let outcomes = manager.close().await;
        assert!(outcomes.providers[0].result.is_ok(), "{mood:?}");
        let error = outcomes.providers[1].result.as_ref().unwrap_err();
        assert_eq!((error.kind(), error.provider(), error.operation()), (kind, Some("odd"), Some("close")));
        assert_eq!(good.closes.load(Ordering::SeqCst), 1);

        // It gets another chance, and one that closed already does not mind.
        odd.be(Mood::Fine);
        assert!(manager.close().await.into_result().is_ok());
    }
}

#[tokio::test]
async fn the_only_provider_fails_under_its_own_kind() {
    let clock = ManualClock::default();
    let puppet = Puppet::new("puppet", &clock);
    puppet.be(Mood::Failing(ErrorKind::ReadOnly));
    let manager = UnifiedStorageManager::builder().fallback(puppet).build().unwrap();
    assert_eq!(manager.cleanup().await.unwrap().into_result().unwrap_err().kind(), ErrorKind::ReadOnly);
}

#[tokio::test(start_paused = true)]
async fn health_tells_who_answers() {
    let clock = ManualClock::default();
    let (good, odd) = pair(&clock);
    let manager = over(&good, &odd, &clock);
    for mood in [Mood::Failing(ErrorKind::Unavailable), Mood::Hanging, Mood::Panicking] {
        odd.be(mood);
        let health = manager.health().await.unwrap().into_result().unwrap();
        assert_eq!(health[0], Health::Healthy);
        assert!(matches!(&health[1], Health::Unhealthy(_)), "{health:?}");
        let Health::Degraded(why) = manager.as_provider().health().await else { panic!("one of two works") };
        assert!(why.contains("odd"), "{why}");
    }
}

#[tokio::test]
async fn after_close_every_call_of_every_clone_is_closed() {
    let clock = ManualClock::default();
    let manager = UnifiedStorageManager::builder().fallback(memory(&clock)).build().unwrap();
    let clone = manager.clone();
    let query = StorageQuery::new();
    let mut before = clone.search::<u8>(query.clone());
    assert!(manager.close().await.into_result().is_ok());
    assert!(manager.close().await.into_result().is_ok());
    let errors = [
        clone.save("k", 1, "t").await.unwrap_err(),
        clone.save_bytes("k", "1", "t").await.unwrap_err(),
        clone.load::<u8>("k", "t").await.unwrap_err(),
        clone.delete("k", "t").await.unwrap_err(),
        clone.touch("k", "t", MINUTE).await.unwrap_err(),
        clone.save_many([clone.save("k", 1, "t")]).await.remove(0).unwrap_err(),
        clone.load_many::<u8>(&[("k", "t")]).await.remove(0).unwrap_err(),
        clone.delete_many(&[("k", "t")]).await.remove(0).unwrap_err(),
        clone.search_page(&query).await.unwrap_err(),
        clone.search::<u8>(query.clone()).next().await.unwrap().unwrap_err(),
        before.next().await.unwrap().unwrap_err(),
        clone.count(&query).await.unwrap_err(),
        clone.usage().await.unwrap_err(),
        clone.health().await.unwrap_err(),
        clone.cleanup().await.unwrap_err(),
        clone.provider_for("t").unwrap_err(),
        clone.register_provider("u", memory(&clock)).unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    }
}

fn swept(puppet: &Puppet) -> u64 {
    puppet.cleanups.load(Ordering::SeqCst)
}

#[tokio::test(start_paused = true)]
async fn the_sweeper_cleans_up_at_intervals_and_survives_failures() {
    let clock = ManualClock::default();
    let puppet = Puppet::new("puppet", &clock);
    let manager = UnifiedStorageManager::builder()
        .fallback(puppet.clone())
        .sweep_every(MINUTE)
        .deadline(MINUTE / 2)
        .build();
    let manager = manager.unwrap();
    tokio::time::sleep(MINUTE / 2).await;
    assert_eq!(swept(&puppet), 0);
    tokio::time::sleep(MINUTE).await;
    assert_eq!(swept(&puppet), 1);
    for mood in [Mood::Failing(ErrorKind::Unavailable), Mood::Hanging, Mood::Panicking, Mood::Fine] {
        puppet.be(mood);
        let before = swept(&puppet);
        tokio::time::sleep(MINUTE * 3).await;
        assert!(swept(&puppet) > before, "{mood:?}");
    }
    drop(manager);
}

#[tokio::test(start_paused = true)]
async fn the_sweeper_stops_at_close_and_with_the_last_handle() {
    let clock = ManualClock::default();
    let alive = |puppet: &Arc<Puppet>| Arc::strong_count(puppet) > 1;
    for close in [true, false] {
        let puppet = Puppet::new("puppet", &clock);
        let manager =
            UnifiedStorageManager::builder().fallback(puppet.clone()).sweep_every(MINUTE).build().unwrap();
        tokio::time::sleep(MINUTE + MINUTE / 2).await;
        let other = manager.clone();
        drop(manager);
        tokio::time::sleep(MINUTE).await;
        assert_eq!(swept(&puppet), 2, "one handle is left");
        // In the middle of a cleanup that would never end.
        puppet.be(Mood::Hanging);
        tokio::time::sleep(MINUTE).await;
        assert_eq!(swept(&puppet), 3);
        if close {
            puppet.be(Mood::Fine);
            let _ = other.close().await;
        }
        drop(other);
        // The task is gone and with it what it held, without another tick.
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        assert!(!alive(&puppet), "close: {close}");
        tokio::time::sleep(MINUTE * 5).await;
        assert_eq!(swept(&puppet), 3);
    }
}

#[test]
fn settings_that_cannot_be_are_refused() {
    let build = UnifiedStorageManager::builder;
    let clock = ManualClock::default();
    for bad in [build().sweep_every(MINUTE), build().deadline(Duration::ZERO)] {
        let error = bad.fallback(memory(&clock)).build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let error = runtime.block_on(async { build().sweep_every(Duration::ZERO).build().unwrap_err() });
    assert_eq!(error.kind(), ErrorKind::Config);
}

#[tokio::test(start_paused = true)]
async fn an_interval_beyond_the_clock_never_sweeps() {
    let clock = ManualClock::default();
    let puppet = Puppet::new("puppet", &clock);
    let manager =
        UnifiedStorageManager::builder().fallback(puppet.clone()).sweep_every(Duration::MAX).build().unwrap();
    tokio::time::sleep(MINUTE).await;
    assert_eq!(swept(&puppet), 0);
    drop(manager);
}
