use std::time::Duration;

use storage_manager::{
    ErrorKind, StorageProvider,
    layers::{CircuitBreaker, CircuitBreakerConfig, CircuitState},
};

use crate::support::{
    Scripted,
    Step::{Fails, Hangs},
    key,
};

fn broken_after(calls: usize, provider: &Scripted) -> CircuitBreaker<Scripted> {
    let config =
        CircuitBreakerConfig { window: calls, failures: 0.5, open: Duration::from_secs(5), probes: 2 };
    CircuitBreaker::new(provider.clone(), config)
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_keeps_failing_is_left_alone_and_taken_back_after_probes() {
    let provider = Scripted::new([Fails(ErrorKind::Unavailable); 4]);
    let store = broken_after(4, &provider);
    for _ in 0..4 {
        assert_eq!(store.state(), CircuitState::Closed);
        store.load(key("a")).await.unwrap_err();
    }
    assert_eq!(store.state(), CircuitState::Open);
    let error = store.load(key("a")).await.unwrap_err();
    assert_eq!((error.kind(), error.key()), (ErrorKind::Unavailable, Some("a")));
    assert!(store.load_many(&[key("a"), key("b")]).await.iter().all(Result::is_err));
    assert!(!store.health().await.is_healthy());
    assert_eq!(provider.calls(), 4, "an open breaker does not ask");

    tokio::time::sleep(Duration::from_secs(5)).await;
    store.load(key("a")).await.unwrap();
    assert_eq!(store.state(), CircuitState::HalfOpen);
    store.load(key("a")).await.unwrap();
    assert_eq!(store.state(), CircuitState::Closed);
    assert!(store.health().await.is_healthy());
}

#[tokio::test(start_paused = true)]
async fn a_failing_probe_opens_it_again() {
    let provider = Scripted::new([Fails(ErrorKind::Timeout); 3]);
    let store = broken_after(2, &provider);
    store.load(key("a")).await.unwrap_err();
    store.load(key("a")).await.unwrap_err();
    tokio::time::sleep(Duration::from_secs(5)).await;
    store.load(key("a")).await.unwrap_err();
    assert_eq!(store.state(), CircuitState::Open);
    assert_eq!(provider.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn probes_are_few_at_a_time_and_a_dropped_one_gives_its_place_back() {
    let provider =
        Scripted::new([Fails(ErrorKind::Unavailable), Fails(ErrorKind::Unavailable), Hangs, Hangs]);
    let store = broken_after(2, &provider);
    store.load(key("a")).await.unwrap_err();
    store.load(key("a")).await.unwrap_err();
    tokio::time::sleep(Duration::from_secs(5)).await;
    {
        let probes = [store.load(key("a")), store.load(key("a"))];
        let [first, second] = probes.map(|probe| tokio::time::timeout(Duration::from_secs(1), probe));
        let third = async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            store.load(key("a")).await
        };
        let (first, second, third) = tokio::join!(first, second, third);
        assert!(first.is_err() && second.is_err(), "both probes hang");
        assert_eq!(third.unwrap_err().kind(), ErrorKind::Unavailable);
        assert_eq!(provider.calls(), 4);
    }
    store.load(key("a")).await.unwrap();
    store.load(key("a")).await.unwrap();
    assert_eq!(store.state(), CircuitState::Closed);
}

#[tokio::test(start_paused = true)]
async fn errors_of_the_callers_making_never_open_it() {
    let provider = Scripted::new([Fails(ErrorKind::Invalid); 100]);
    let store = broken_after(4, &provider);
    for _ in 0..100 {
        store.load(key("a")).await.unwrap_err();
    }
    assert_eq!(store.state(), CircuitState::Closed);
}
