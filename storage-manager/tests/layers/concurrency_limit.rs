use std::{sync::Arc, time::Duration};

use storage_manager::{ErrorKind, SaveRequest, StorageProvider, layers::ConcurrencyLimit};

use crate::support::{Scripted, key};

#[tokio::test(start_paused = true)]
async fn no_more_calls_than_allowed_reach_the_provider_and_those_that_wait_too_long_are_refused() {
    let provider = Scripted::new([]);
    provider.close_gate();
    let store = Arc::new(ConcurrencyLimit::new(provider.clone(), 2, Duration::from_secs(1)));
    let calls: Vec<_> = (0..5)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.load(key("a")).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(provider.calls(), 2);
    provider.gate.add_permits(100);
    let mut kinds = Vec::new();
    for call in calls {
        kinds.push(call.await.unwrap().err().map(|error| error.kind()));
    }
    let refused = Some(ErrorKind::RateLimited);
    assert_eq!(kinds, [None, None, refused, refused, refused]);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_gives_its_place_back() {
    let provider = Scripted::new([]);
    provider.close_gate();
    let store = ConcurrencyLimit::new(provider.clone(), 1, Duration::from_secs(1));
    for _ in 0..100 {
        let call = store.save(SaveRequest::new(key("a"), "x"));
        assert!(tokio::time::timeout(Duration::from_millis(1), call).await.is_err());
    }
    provider.gate.add_permits(1);
    store.save(SaveRequest::new(key("a"), "x")).await.unwrap();
}
