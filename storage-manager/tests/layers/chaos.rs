use storage_manager::{
    ErrorKind, SaveRequest, StorageProvider,
    layers::{Chaos, ChaosConfig},
};

use crate::support::{key, memory};

async fn decisions(seed: u64) -> Vec<Option<ErrorKind>> {
    let config = ChaosConfig { seed, failures: 0.3, lost_answers: 0.3, ..ChaosConfig::default() };
    let store = Chaos::new(memory(), config);
    let mut kinds = Vec::new();
    for _ in 0..100 {
        kinds.push(store.save(SaveRequest::new(key("a"), "x")).await.err().map(|error| error.kind()));
    }
    kinds
}

#[tokio::test]
async fn the_same_seed_gives_the_same_faults() {
    assert_eq!(decisions(1).await, decisions(1).await);
    assert_ne!(decisions(1).await, decisions(2).await);
    let kinds = decisions(1).await;
    for kind in [None, Some(ErrorKind::Unavailable), Some(ErrorKind::OutcomeUnknown)] {
        assert!(kinds.contains(&kind), "{kind:?}");
    }
}

#[tokio::test]
async fn a_failure_is_not_applied_and_a_lost_answer_is() {
    for (failures, lost_answers, applied) in [(1.0, 0.0, false), (0.0, 1.0, true)] {
        let config = ChaosConfig { failures, lost_answers, ..ChaosConfig::default() };
        let store = Chaos::new(memory(), config);
        store.save(SaveRequest::new(key("a"), "x")).await.unwrap_err();
        let batch = store.save_many(vec![SaveRequest::new(key("b"), "x")]).await;
        assert!(batch[0].is_err());
        for name in ["a", "b"] {
            assert_eq!(store.inner().load(key(name)).await.unwrap().is_some(), applied, "{name}");
        }
    }
}
