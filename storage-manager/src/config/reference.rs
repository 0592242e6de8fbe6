//! Texts that stand for others, and durations that may be absent.

use std::{env, time::Duration};

use serde::{Deserialize, Deserializer, de::Error};
use serde_json::Value;
use storage_core::Secret;

use super::duration;

/// A duration, where the field is there.
pub(super) fn present_duration<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Option<Duration>, D::Error> {
    duration::deserialize(deserializer).map(Some)
}

/// A text that no error quotes, or what the environment variable holds whose name is given as `${NAME}`.
pub(super) fn resolved_secret<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Secret, D::Error> {
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
    use super::*;

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
