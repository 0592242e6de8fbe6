//! `store.redis`: what its fields say, as the settings of the provider.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use storage_core::{Result, StorageError};
use storage_redis::{RedisConfig, Secret};

use super::{
    document::{present, refuse, typed},
    reference::{present_duration, resolved_secret},
};

/// The fields as they are written. Those that are absent are as the URL says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    #[serde(deserialize_with = "resolved_secret")]
    url: Secret,
    #[serde(default, deserialize_with = "present")]
    prefix: Option<String>,
    #[serde(default, deserialize_with = "present_duration")]
    cleanup_interval: Option<Duration>,
    #[serde(default, deserialize_with = "present_duration")]
    operation_timeout: Option<Duration>,
    #[serde(default, deserialize_with = "present")]
    max_payload: Option<u64>,
}

/// The settings that `fields` stand for.
///
/// # Errors
/// [`ErrorKind::Config`](storage_core::ErrorKind::Config) naming the path of the field that does not fit, and nothing of
/// the URL.
pub(super) fn settings(path: &str, fields: Value) -> Result<RedisConfig> {
    let Fields { url, prefix, cleanup_interval, operation_timeout, max_payload } = typed(path, fields)?;
    let at = |field: &str, error: &StorageError| refuse(&format!("{path}.{field}"), error.message());
    let mut config = RedisConfig::from_url(url.expose()).map_err(|error| at("url", &error))?;
    // What the URL says is sound, so that each refusal is about the field before it.
    if let Some(prefix) = prefix {
        config.prefix = prefix;
        config.validate().map_err(|error| at("prefix", &error))?;
    }
    if let Some(interval) = cleanup_interval {
        config.cleanup_interval = Some(interval).filter(|interval| !interval.is_zero());
    }
    if let Some(timeout) = operation_timeout {
        config.operation_timeout = timeout;
        config.validate().map_err(|error| at("operation_timeout", &error))?;
    }
    if let Some(max_payload) = max_payload {
        config.max_payload = max_payload;
        config.validate().map_err(|error| at("max_payload", &error))?;
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use storage_core::ErrorKind;

    use super::*;

    fn read(text: &str) -> Result<RedisConfig> {
        settings("[0]", serde_saphyr::from_str(text).unwrap())
    }

    #[test]
    fn fields_beat_the_url() {
        let url = "redis://app:canary@db:7000/2?prefix=u&cleanup_interval_ms=5&max_payload=9";
        let config = read(&format!("{{url: '{url}'}}")).unwrap();
        assert_eq!(config, RedisConfig::from_url(url).unwrap());
        let fields = "prefix: app, cleanup_interval: 5m, operation_timeout: 250ms, max_payload: 1000";
        let config = read(&format!("{{url: '{url}', {fields}}}")).unwrap();
        assert_eq!((config.prefix.as_str(), config.max_payload, config.database), ("app", 1_000, 2));
        assert_eq!(config.cleanup_interval, Some(Duration::from_secs(300)));
        assert_eq!(config.operation_timeout, Duration::from_millis(250));
        let never = read(&format!("{{url: '{url}', cleanup_interval: 0}}")).unwrap();
        assert_eq!(never.cleanup_interval, None);
    }

    #[test]
    fn every_bad_field_is_named_and_no_secret_is_shown() {
        for (text, field, why) in [
            ("{}", "[0]:", "missing field `url`"),
            ("{url: }", "[0].url:", "must be a text"),
            ("{url: 1234567}", "[0].url:", "must be a text"),
            ("{url: ['redis://:canary@h']}", "[0].url:", "must be a text"),
            ("{url: 'canary'}", "[0].url:", "redis://"),
            ("{url: 'redis://u:canary@h?colour=canary'}", "[0].url:", "colour"),
            ("{url: 'redis://u:canary@a,b'}", "[0].url:", "nodes"),
            ("{url: 'redis://u:${canary}@h'}", "[0].url:", "all of the text"),
            ("{url: '${can:ary@h}'}", "[0].url:", "all of the text"),
            ("{url: 'redis://:canary@h', prefix: 'a{b'}", "[0].prefix:", "braces"),
            ("{url: 'redis://:canary@h', prefix: ''}", "[0].prefix:", "1 to 128"),
            ("{url: 'redis://:canary@h', prefix: }", "[0].prefix:", "null"),
            ("{url: 'redis://:canary@h', operation_timeout: 0}", "[0].operation_timeout:", "zero"),
            ("{url: 'redis://:canary@h', cleanup_interval: soon}", "[0].cleanup_interval:", "soon"),
            ("{url: 'redis://:canary@h', max_payload: 268435457}", "[0].max_payload:", "268435456"),
            ("{url: 'redis://:canary@h', max_payload: -1}", "[0].max_payload:", "-1"),
            ("{url: 'redis://:canary@h', max_size: 5}", "[0].max_size:", "unknown field"),
        ] {
            let error = read(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            let message = error.message();
            assert!(message.starts_with(field) && message.contains(why), "{text}\n{message}");
            let shown = format!("{error:?}");
            assert!(!shown.contains("canary") && !shown.contains("1234567"), "{text}\n{shown}");
        }
    }

    #[test]
    fn the_settings_are_printed_without_the_secret() {
        let config = read("{url: 'redis+sentinel://u:canary@h/main?sentinel_password=canary'}").unwrap();
        assert!(!format!("{config:?} {config}").contains("canary"), "{config:?}");
    }
}
