use std::time::Duration;

use storage_manager::{
    Condition, ErrorKind, SaveRequest, StorageError, StorageProvider,
    layers::{Retry, RetryConfig},
};
use tokio::time::Instant;

use crate::support::{
    Scripted,
    Step::{AppliedThenFails, Fails},
    key,
};

fn retrying(provider: &Scripted) -> Retry<Scripted> {
    Retry::new(provider.clone(), RetryConfig::default())
}

#[tokio::test(start_paused = true)]
async fn a_passing_failure_is_not_seen_by_the_caller() {
    let provider = Scripted::new([
        Fails(ErrorKind::Unavailable),
        Fails(ErrorKind::Timeout),
        Fails(ErrorKind::RateLimited),
    ]);
    let store = retrying(&provider);
    store.save(SaveRequest::new(key("a"), "x")).await.unwrap();
    assert_eq!(provider.calls(), 4);
}

#[tokio::test(start_paused = true)]
async fn the_last_failure_is_the_answer_when_the_attempts_are_used_up() {
    let provider = Scripted::new([Fails(ErrorKind::Unavailable); 9]);
    let error = retrying(&provider).load(key("a")).await.unwrap_err();
    assert_eq!((error.kind(), error.key()), (ErrorKind::Unavailable, Some("a")));
    assert_eq!(provider.calls(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_would_come_again_is_answered_at_once() {
    for kind in [ErrorKind::PermissionDenied, ErrorKind::Corrupted, ErrorKind::Full, ErrorKind::Closed] {
        let provider = Scripted::new([Fails(kind)]);
        assert_eq!(retrying(&provider).load(key("a")).await.unwrap_err().kind(), kind);
        assert_eq!(provider.calls(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_of_unknown_outcome_is_sent_again_only_under_a_condition() {
    let provider = Scripted::new([Fails(ErrorKind::OutcomeUnknown)]);
    let error = retrying(&provider).save(SaveRequest::new(key("a"), "x")).await.unwrap_err();
    assert_eq!((error.kind(), provider.calls()), (ErrorKind::OutcomeUnknown, 1));

    let provider = Scripted::new([Fails(ErrorKind::OutcomeUnknown)]);
    let request = SaveRequest::new(key("a"), "x").condition(Condition::Absent);
    retrying(&provider).save(request).await.unwrap();
    assert_eq!(provider.calls(), 2);

    let provider = Scripted::new([Fails(ErrorKind::OutcomeUnknown)]);
    let error = retrying(&provider).delete(key("a"), Condition::Version(1)).await.unwrap_err();
    assert_eq!((error.kind(), provider.calls()), (ErrorKind::OutcomeUnknown, 1));
}

/// The lock that a first attempt took must not look as if somebody else had it.
#[tokio::test(start_paused = true)]
async fn a_conflict_with_our_own_first_attempt_is_an_unknown_outcome_and_not_a_lost_race() {
    let provider = Scripted::new([AppliedThenFails(ErrorKind::OutcomeUnknown)]);
    let request = SaveRequest::new(key("lock"), "mine").condition(Condition::Absent);
    let error = retrying(&provider).save(request).await.unwrap_err();
    assert_eq!((error.kind(), provider.calls()), (ErrorKind::OutcomeUnknown, 2));
}

#[tokio::test(start_paused = true)]
async fn no_attempt_begins_behind_the_deadline() {
    let provider = Scripted::new([Fails(ErrorKind::Unavailable); 1_000]);
    let config = RetryConfig {
        attempts: 1_000,
        min_delay: Duration::from_millis(100),
        deadline: Duration::from_secs(3),
        spare: 1_000,
        ..RetryConfig::default()
    };
    let started = Instant::now();
    Retry::new(provider.clone(), config).load(key("a")).await.unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    assert!(provider.calls() > 2);
}

#[tokio::test(start_paused = true)]
async fn retries_stay_in_proportion_to_calls_while_everything_fails() {
    let provider = Scripted::new(vec![Fails(ErrorKind::Unavailable); 100_000]);
    let config = RetryConfig { budget: 0.1, spare: 1, ..RetryConfig::default() };
    let store = Retry::new(provider.clone(), config);
    for _ in 0..1_000 {
        store.load(key("a")).await.unwrap_err();
    }
    let retries = provider.calls() - 1_000;
    assert!((50..=300).contains(&retries), "{retries} retries for 1,000 calls");
}

#[tokio::test(start_paused = true)]
async fn of_a_batch_only_the_failed_parts_are_sent_again() {
    let provider = Scripted::new([Fails(ErrorKind::Unavailable), Fails(ErrorKind::Invalid)]);
    let store = retrying(&provider);
    let keys = ["a", "b", "c"];
    let requests = keys.map(|name| SaveRequest::new(key(name), name));
    let answers = store.save_many(requests.to_vec()).await;
    let kinds = answers.iter().map(|answer| answer.as_ref().err().map(StorageError::kind));
    assert_eq!(kinds.collect::<Vec<_>>(), [None, Some(ErrorKind::Invalid), None]);
    assert_eq!(provider.calls(), 4);
}

/// Sent in one batch, the second save would be applied first and the repeated first one would win.
#[tokio::test(start_paused = true)]
async fn saves_of_one_key_in_a_batch_stay_in_order_when_the_first_is_sent_again() {
    let provider = Scripted::new([Fails(ErrorKind::Unavailable)]);
    let store = retrying(&provider);
    let answers = store
        .save_many(vec![SaveRequest::new(key("a"), "first"), SaveRequest::new(key("a"), "second")])
        .await;
    assert_eq!(answers[0].as_ref().unwrap().data, "first");
    assert_eq!(answers[1].as_ref().unwrap().data, "second");
    assert_eq!(store.load(key("a")).await.unwrap().unwrap().data, "second");
}
