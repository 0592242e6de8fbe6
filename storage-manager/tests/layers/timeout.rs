use std::time::Duration;

use storage_manager::{Condition, ErrorKind, SaveRequest, StorageProvider, layers::Timeout};
use tokio::time::Instant;

use crate::support::{Scripted, Step::Hangs, key};

#[tokio::test(start_paused = true)]
async fn a_call_that_hangs_is_ended_in_time_and_a_write_says_that_its_outcome_is_unknown() {
    let store = Timeout::new(Scripted::new([Hangs; 6]), Duration::from_secs(1));
    let started = Instant::now();
    let keys = [key("a"), key("b")];
    assert_eq!(store.load(keys[0]).await.unwrap_err().kind(), ErrorKind::Timeout);
    let error = store.save(SaveRequest::new(keys[0], "x")).await.unwrap_err();
    assert_eq!(error.provider(), Some("memory"));
    assert_eq!(
        (error.kind(), error.operation(), error.key()),
        (ErrorKind::OutcomeUnknown, Some("save"), Some("a"))
    );
    assert_eq!(store.delete(keys[0], Condition::None).await.unwrap_err().kind(), ErrorKind::OutcomeUnknown);
    let loaded = store.load_many(&keys).await;
    assert!(loaded.iter().all(|answer| answer.as_ref().unwrap_err().kind() == ErrorKind::Timeout));
    let deleted = store.delete_many(&keys).await;
    assert_eq!(deleted[1].as_ref().unwrap_err().key(), Some("b"));
    assert_eq!(started.elapsed().as_secs(), 5);
}
