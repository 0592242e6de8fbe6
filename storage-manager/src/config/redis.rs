//! `store.redis`: what its fields say, as the settings of the provider.

use std::{env, time::Duration};

use serde::{Deserialize, Deserializer, de::Error};
use serde_json::Value;
use storage_core::{Result, StorageError};
use storage_redis::{RedisConfig, Secret};

use super::{
    document::{present, refuse, typed},
    duration,
};

/// The fields as they are written. Those that are absent are as the URL says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    #[serde(deserialize_with = "secret")]
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

fn present_duration<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Option<Duration>, D::Error> {
    duration::deserialize(deserializer).map(Some)
}

/// A text that no error quotes, or what the environment variable holds whose name is given as `${NAME}`.
fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Secret, D::Error> {
    let Value::String(text) = Value::deserialize(deserializer)? else {
        return Err(D::Error::custom("it must be a text"));
    };
    resolved(text, |name| env::var(name).ok()).map(Secret::new).map_err(D::Error::custom)
}

fn resolved(text: String, variable: impl Fn(&str) -> Option<String>) -> std::result::Result<String, String> {
    if !text.contains("${") {
        return Ok(text);
    }
    let name = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
    match name {
        Some(name) if is_name(name) => variable(name)
            .ok_or_else(|| format!("the environment variable {name} is not set, or is no UTF-8")),
        _ => Err("${NAME} stands for all of the text, NAME being ASCII letters, digits and _".to_owned()),
    }
}

/// Anything else may be a part of a password, which is not to be shown.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
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
            ("{}", "[0].url:", "it is missing"),
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

    #[test]
    fn a_reference_is_what_the_environment_says() {
        let environment = |name: &str| (name == "REDIS_URL").then(|| "redis://:canary@h".to_owned());
        let read = |text: &str| resolved(text.to_owned(), environment);
        assert_eq!(read("${REDIS_URL}").as_deref(), Ok("redis://:canary@h"));
        assert_eq!(read("redis://:p$1@h").as_deref(), Ok("redis://:p$1@h"));
        assert!(read("${OTHER}").unwrap_err().contains("OTHER is not set"));
        for bad in ["${}", "${REDIS_URL", "x${REDIS_URL}", "${REDIS_URL}x", "${A}${B}", "${A B}"] {
            assert!(read(bad).unwrap_err().contains("all of the text"), "{bad}");
        }
    }
}
