//! The example configurations of services are what the provider takes.

use storage_redis::{Mode, RedisConfig};

#[test]
fn the_examples_are_valid() {
    for (text, mode) in [
        (include_str!("../config/one-node.toml"), Mode::Single),
        (include_str!("../config/sentinel.toml"), Mode::Sentinel),
        (include_str!("../config/cluster.toml"), Mode::Cluster),
    ] {
        let config: RedisConfig = toml::from_str(text).unwrap();
        config.validate().unwrap();
        assert_eq!((config.mode, config.prefix.as_str()), (mode, "shop"));
    }
}
