//! What a URL says about the servers.

use std::time::Duration;

use storage_core::{ErrorKind, Result, Secret};

use crate::{
    config::{Mode, RedisConfig, TlsConfig},
    error::failure,
};

/// Takes over into `config` what `url` says. No error shows more of the URL than its scheme and the names in its query.
pub(crate) fn apply(config: &mut RedisConfig, url: &str) -> Result<()> {
    let (scheme, rest) =
        url.split_once("://").ok_or_else(|| refused("url has no scheme such as redis://"))?;
    apply_scheme(config, scheme)?;
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    // Such an `@` ends a password with an unescaped `/` or `?`, and what would be read as names belongs to it.
    if path.contains('@') || query.contains('@') {
        return Err(refused("url has an @ after the hosts: in it / is written %2F, ? is %3F and @ is %40"));
    }
    // An unescaped `@` in a password is forgiven: hosts have none.
    let (credentials, hosts) = match authority.rsplit_once('@') {
        Some((credentials, hosts)) => (Some(credentials), hosts),
        None => (None, authority),
    };
    if let Some(credentials) = credentials {
        apply_credentials(config, credentials)?;
    }
    config.nodes = hosts.split(',').filter(|host| !host.is_empty()).map(str::to_owned).collect();
    apply_path(config, path)?;
    query.split('&').filter(|pair| !pair.is_empty()).try_for_each(|pair| apply_setting(config, pair))
}

fn apply_scheme(config: &mut RedisConfig, scheme: &str) -> Result<()> {
    let (base, mode) = scheme.split_once('+').unwrap_or((scheme, ""));
    config.mode = match mode {
        "" => Mode::Single,
        "cluster" => Mode::Cluster,
        "sentinel" => Mode::Sentinel,
        "unix" => return Err(refused("url names a Unix socket, and only TCP is spoken")),
        _ => return Err(unknown_scheme()),
    };
    match base {
        "redis" => Ok(()),
        "rediss" => {
            config.tls.get_or_insert_with(TlsConfig::default);
            Ok(())
        }
        "unix" => Err(refused("url names a Unix socket, and only TCP is spoken")),
        _ => Err(unknown_scheme()),
    }
}

fn unknown_scheme() -> storage_core::StorageError {
    refused("url must begin with redis://, redis+cluster:// or redis+sentinel://, or with rediss for TLS")
}

fn apply_credentials(config: &mut RedisConfig, credentials: &str) -> Result<()> {
    let (user, password) = match credentials.split_once(':') {
        Some((user, password)) => (user, Some(password)),
        None => (credentials, None),
    };
    if !user.is_empty() {
        config.username = Some(decoded("the user name in url", user)?);
    }
    config.password = match password {
        Some(password) => Some(Secret::new(decoded("the password in url", password)?)),
        None => None,
    };
    Ok(())
}

fn apply_path(config: &mut RedisConfig, path: &str) -> Result<()> {
    let mut parts = path.split('/').filter(|part| !part.is_empty());
    if config.mode == Mode::Sentinel {
        let service = parts.next().ok_or_else(|| refused("url names no service after the sentinels"))?;
        config.sentinel.service = decoded("the service in url", service)?;
    }
    if let Some(database) = parts.next() {
        config.database = number("the database in url", database)?;
    }
    match parts.next() {
        Some(_) => Err(refused("url goes on after the number of the database")),
        None => Ok(()),
    }
}

fn apply_setting(config: &mut RedisConfig, pair: &str) -> Result<()> {
    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
    let value = &decoded(name, value)?;
    match name {
        "prefix" => config.prefix.clone_from(value),
        "buckets" => config.buckets = number(name, value)?,
        "indexing" => config.indexing = boolean(name, value)?,
        "connections" => config.connections = number(name, value)?,
        "max_in_flight" => config.max_in_flight = number(name, value)?,
        "max_payload" => config.max_payload = number(name, value)?,
        "connect_timeout_ms" => config.connect_timeout = millis(name, value)?,
        "response_timeout_ms" => config.response_timeout = millis(name, value)?,
        "operation_timeout_ms" => config.operation_timeout = millis(name, value)?,
        "expiry_grace_ms" => config.expiry_grace = millis(name, value)?,
        "cleanup_interval_ms" => config.cleanup_interval = Some(millis(name, value)?),
        "sentinel_username" => config.sentinel.username = Some(value.clone()),
        "sentinel_password" => config.sentinel.password = Some(Secret::new(value)),
        "ca" => encrypted(config, name)?.ca = Some(value.clone()),
        "certificate" => encrypted(config, name)?.certificate = Some(value.clone()),
        "key" => encrypted(config, name)?.key = Some(Secret::new(value)),
        _ => return Err(refused(format!("url has a setting that does not exist: {name:?}"))),
    }
    Ok(())
}

fn encrypted<'a>(config: &'a mut RedisConfig, name: &str) -> Result<&'a mut TlsConfig> {
    let message = format!("{name} in url concerns TLS, which rediss:// asks for");
    config.tls.as_mut().ok_or_else(|| refused(message))
}

fn number<T: std::str::FromStr>(what: &str, text: &str) -> Result<T> {
    text.parse().map_err(|_| refused(format!("{what} is not a number, or too large")))
}

fn millis(what: &str, text: &str) -> Result<Duration> {
    number(what, text).map(Duration::from_millis)
}

fn boolean(what: &str, text: &str) -> Result<bool> {
    text.parse().map_err(|_| refused(format!("{what} is neither true nor false")))
}

fn decoded(what: &str, text: &str) -> Result<String> {
    let bytes =
        unescaped(text.as_bytes()).ok_or_else(|| refused(format!("{what} has a % that is no escape")))?;
    String::from_utf8(bytes).map_err(|_| refused(format!("{what} is not UTF-8")))
}

/// `None` where a `%` is not followed by two hexadecimal digits.
fn unescaped(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first == b'%' {
            let (digits, after) = rest.split_at_checked(2)?;
            bytes.push(digits.iter().try_fold(0, |value, &digit| {
                Some(value * 16 + u8::try_from(char::from(digit).to_digit(16)?).ok()?)
            })?);
            rest = after;
        } else {
            bytes.push(first);
        }
    }
    Some(bytes)
}

fn refused(message: impl Into<std::borrow::Cow<'static, str>>) -> storage_core::StorageError {
    failure(ErrorKind::Config, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> RedisConfig {
        RedisConfig::from_url(url).unwrap()
    }

    #[test]
    fn one_server() {
        let config = parse("redis://app:p%40ss%2F%3a@[::1]:7000/3?prefix=app&operation_timeout_ms=250");
        assert_eq!(config.nodes, ["[::1]:7000"]);
        assert_eq!(config.username.as_deref(), Some("app"));
        assert_eq!(config.password.as_ref().map(Secret::expose), Some("p@ss/:"));
        assert_eq!((config.database, config.prefix.as_str()), (3, "app"));
        assert_eq!(config.operation_timeout, Duration::from_millis(250));
        assert_eq!(config.tls, None);
        assert_eq!(parse("redis://").nodes, ["127.0.0.1"]);
        assert_eq!(parse("redis://:p@h").username, None);
    }

    #[test]
    fn clusters_and_sentinels() {
        let config = parse("rediss+cluster://a:1,b:2/?ca=%2Fca.pem");
        assert_eq!((config.mode, config.nodes.len()), (Mode::Cluster, 2));
        assert_eq!(config.tls.unwrap().ca.as_deref(), Some("/ca.pem"));
        let config = parse("redis+sentinel://:p@a,b/main/2?sentinel_password=q");
        assert_eq!((config.mode, config.database), (Mode::Sentinel, 2));
        assert_eq!(config.sentinel.service, "main");
        assert_eq!(config.sentinel.password.as_ref().map(Secret::expose), Some("q"));
    }

    #[test]
    fn what_cannot_be_read_is_refused_without_showing_the_password() {
        let bad = [
            "hunter2",
            "http://u:hunter2@h",
            "redis+unix:///hunter2",
            "unix:///hunter2",
            "redis://u:hunter2%zz@h",
            "redis://u:hunter2%f@h",
            "redis://u:hunter2@h/x",
            "redis://u:hunter2@h/1/2",
            "redis://u:hunter2@h?colour=hunter2",
            "redis://u:hunter2@h?buckets=hunter2",
            "redis://u:hunter2@h?ca=hunter2",
            "redis+sentinel://u:hunter2@h",
            "redis+cluster://u:hunter2@h/1",
            "redis://u:x?hunter2&y@h",
            "redis+sentinel://u:x/hunter2@h/service",
        ];
        for url in bad {
            let error = RedisConfig::from_url(url).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{url}");
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        }
    }
}
