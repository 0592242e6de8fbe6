use std::time::Duration;

use storage_manager::{
    Clock, ManualClock, MemoryConfig, MemoryProvider, SaveRequest, StorageProvider, layers::TtlPolicy,
};

use crate::support::key;

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

fn store(clock: &ManualClock) -> TtlPolicy<MemoryProvider> {
    let config = MemoryConfig { cleanup_interval: Duration::ZERO, ..MemoryConfig::default() };
    TtlPolicy::new(MemoryProvider::with_clock(config, clock.shared())).clock(clock.shared())
}

#[tokio::test]
async fn an_item_without_a_deadline_gets_one_and_a_far_one_is_brought_nearer() {
    let clock = ManualClock::default();
    let now = clock.now();
    let at = |ttl: Duration| Some(now.saturating_add(ttl));
    let both = store(&clock).default_ttl(HOUR).max_ttl(DAY);
    let only_default = store(&clock).default_ttl(2 * DAY);
    let only_max = store(&clock).max_ttl(DAY);
    let neither = store(&clock);
    let inverted = store(&clock).default_ttl(DAY).max_ttl(HOUR);
    for (name, store, wanted, given) in [
        ("both", &both, None, at(HOUR)),
        ("both", &both, at(HOUR / 2), at(HOUR / 2)),
        ("both", &both, at(3 * DAY), at(DAY)),
        ("only a default", &only_default, None, at(2 * DAY)),
        ("only a default", &only_default, at(9 * DAY), at(9 * DAY)),
        ("only a maximum", &only_max, None, at(DAY)),
        ("neither", &neither, None, None),
        ("a default above the maximum", &inverted, None, at(HOUR)),
    ] {
        let saved = store.save(SaveRequest::new(key("a"), "x").expires_at(wanted)).await.unwrap();
        assert_eq!(saved.metadata.expires_at, given, "{name}: saved for {wanted:?}");
        let batch = store.save_many(vec![SaveRequest::new(key("b"), "x").expires_at(wanted)]).await;
        assert_eq!(batch[0].as_ref().unwrap().metadata.expires_at, given, "{name}: saved for {wanted:?}");
        let touched = store.touch(key("a"), wanted).await.unwrap().unwrap();
        assert_eq!(touched.expires_at, given, "{name}: touched for {wanted:?}");
    }
}
