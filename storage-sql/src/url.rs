//! What a URL says about the database and the provider.

use std::{path::PathBuf, time::Duration};

use percent_encoding::percent_decode_str;
use storage_core::{ErrorKind, Result, Secret, StorageError};

use crate::{
    config::{Schema, SqlConfig, TlsConfig},
    error::failure,
};

/// Which database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    Sqlite(PathBuf),
    /// The URL for the driver: `postgres://…`, without the settings that are ours.
    Postgres(Secret),
    /// The URL for the driver: `mysql://…`, without the settings that are ours.
    Mysql(Secret),
}

/// Takes over into `config` what `url` says of it, and answers which database it names. No error shows more of the URL than
/// its scheme and the names of its settings.
pub(crate) fn apply(config: &mut SqlConfig, url: &str) -> Result<Target> {
    let (scheme, rest) = url.split_once(':').ok_or_else(no_scheme)?;
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    // Such an `@` ends a password with an unescaped `?`, and what would be read as names belongs to it.
    if query.contains('@') {
        return Err(refused("url has an @ after a ?: in a password ? is written %3F and @ is %40"));
    }
    let foreign = apply_settings(config, query)?;
    match scheme {
        "sqlite" => sqlite(place, &foreign),
        "postgres" | "postgresql" => Ok(Target::Postgres(for_driver("postgres", place, &foreign)?)),
        "mysql" | "mariadb" => Ok(Target::Mysql(for_driver("mysql", place, &foreign)?)),
        _ => Err(no_scheme()),
    }
}

/// The URL without user, password and settings.
pub(crate) fn shown(url: &str) -> String {
    let (scheme, rest) = url.split_once(':').unwrap_or(("", ""));
    let place = rest.split_once('?').map_or(rest, |(place, _)| place);
    match (scheme, place.strip_prefix("//")) {
        ("sqlite", _) => format!("sqlite:{place}"),
        (_, Some(authority)) => {
            let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
            format!("{scheme}://{host}")
        }
        _ => "an unreadable URL".to_owned(),
    }
}

/// The URL without the settings that are ours.
pub(crate) fn without_settings(url: &str) -> Secret {
    let (place, query) = url.split_once('?').unwrap_or((url, ""));
    let name = |pair: &str| pair.split('=').next().unwrap_or_default().to_owned();
    let foreign: Vec<_> = query.split('&').filter(|pair| !pair.is_empty() && !is_ours(&name(pair))).collect();
    let question = if foreign.is_empty() { "" } else { "?" };
    Secret::new(format!("{place}{question}{}", foreign.join("&")))
}

fn sqlite(place: &str, foreign: &[&str]) -> Result<Target> {
    if let Some(name) = foreign.first() {
        let name = name.split('=').next().unwrap_or_default();
        return Err(refused(format!("url has a setting that does not exist: {name:?}")));
    }
    let path = decoded("the file in url", place.strip_prefix("//").unwrap_or(place))?;
    match path.as_str() {
        "" => Err(refused("url names no file after sqlite:")),
        ":memory:" => {
            Err(refused("url names a database in memory, which the provider for memory does better"))
        }
        path => Ok(Target::Sqlite(PathBuf::from(path))),
    }
}

fn for_driver(scheme: &str, place: &str, foreign: &[&str]) -> Result<Secret> {
    if !place.starts_with("//") {
        return Err(refused(format!("url must go on with // after {scheme}:")));
    }
    let question = if foreign.is_empty() { "" } else { "?" };
    Ok(Secret::new(format!("{scheme}:{place}{question}{}", foreign.join("&"))))
}

/// Takes over the settings that are ours and answers the others.
fn apply_settings<'a>(config: &mut SqlConfig, query: &'a str) -> Result<Vec<&'a str>> {
    let mut foreign = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if !apply_setting(config, name, &decoded(name, value)?)? {
            foreign.push(pair);
        }
    }
    Ok(foreign)
}

/// Whether the setting is one of ours.
fn apply_setting(config: &mut SqlConfig, name: &str, value: &str) -> Result<bool> {
    match name {
        "schema" => config.schema = schema(value)?,
        "table_name" => value.clone_into(&mut config.table_name),
        "id_column_name" => value.clone_into(&mut config.id_column_name),
        "payload_column_name" => value.clone_into(&mut config.payload_column_name),
        "expire_column_name" => value.clone_into(&mut config.expire_column_name),
        "content_type" => value.clone_into(&mut config.content_type),
        "encoding" => value.clone_into(&mut config.encoding),
        "pool_size" => config.pool_size = number(name, value)?,
        "max_payload" => config.max_payload = number(name, value)?,
        "queue_bytes" => config.queue_bytes = number(name, value)?,
        "connect_timeout_ms" => config.connect_timeout = millis(name, value)?,
        "lock_timeout_ms" => config.lock_timeout = millis(name, value)?,
        "operation_timeout_ms" => config.operation_timeout = millis(name, value)?,
        "cleanup_interval_ms" => config.cleanup_interval = Some(millis(name, value)?),
        "ca" => tls(config).ca = Some(value.to_owned()),
        "certificate" => tls(config).certificate = Some(value.to_owned()),
        "key" => tls(config).key = Some(Secret::new(value)),
        _ => return Ok(false),
    }
    Ok(true)
}

/// Whether a setting of this name is one of ours, whatever its value.
fn is_ours(name: &str) -> bool {
    let mut scratch = SqlConfig::with_url(Secret::new(""));
    // A value that does not fit is refused, which a foreign setting never is.
    !matches!(apply_setting(&mut scratch, name, ""), Ok(false))
}

fn tls(config: &mut SqlConfig) -> &mut TlsConfig {
    config.tls.get_or_insert_default()
}

fn schema(value: &str) -> Result<Schema> {
    match value {
        "full" => Ok(Schema::Full),
        "plain" => Ok(Schema::Plain),
        _ => Err(refused("schema in url is neither full nor plain")),
    }
}

fn number<T: std::str::FromStr>(name: &str, value: &str) -> Result<T> {
    value.parse().map_err(|_| refused(format!("{name} in url is not a number, or too large")))
}

fn millis(name: &str, value: &str) -> Result<Duration> {
    number(name, value).map(Duration::from_millis)
}

fn decoded(what: &str, text: &str) -> Result<String> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(Into::into).map_err(|_| refused(format!("{what} is not UTF-8")))
}

fn no_scheme() -> StorageError {
    refused("url must begin with postgres://, mysql:// or sqlite:")
}

fn refused(message: impl Into<std::borrow::Cow<'static, str>>) -> StorageError {
    failure(ErrorKind::Config, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identifier::Identifier;

    fn target(url: &str) -> Target {
        SqlConfig::with_url(Secret::new(url)).resolved().unwrap().1
    }

    #[test]
    fn each_scheme_names_its_database() {
        for (url, path) in [
            ("sqlite:data.db", "data.db"),
            ("sqlite:/var/data.db", "/var/data.db"),
            ("sqlite:///var/data.db", "/var/data.db"),
            ("sqlite:a%3Fb%20c.db?pool_size=2", "a?b c.db"),
        ] {
            assert_eq!(target(url), Target::Sqlite(path.into()), "{url}");
        }
        let postgres = Target::Postgres(Secret::new("postgres://u:p%40@h:1/d?sslmode=require&options=x"));
        assert_eq!(
            target("postgresql://u:p%40@h:1/d?sslmode=require&table_name=t&options=x&pool_size=3"),
            postgres
        );
        assert_eq!(target("mariadb://u@h/d"), Target::Mysql(Secret::new("mysql://u@h/d")));
    }

    #[test]
    fn settings_are_taken_over() {
        let url = "sqlite:a?schema=plain&table_name=app.kv&id_column_name=k&payload_column_name=v\
                   &expire_column_name=e&content_type=note&pool_size=3&max_payload=9&queue_bytes=1048576\
                   &connect_timeout_ms=1&lock_timeout_ms=2&operation_timeout_ms=3&cleanup_interval_ms=4";
        let config = SqlConfig::from_url(url).unwrap();
        assert_eq!((config.schema, config.table_name.as_str()), (Schema::Plain, "app.kv"));
        assert_eq!(config.columns().unwrap().each_ref().map(Identifier::as_str), ["k", "v", "e"]);
        assert_eq!((config.content_type.as_str(), config.pool_size), ("note", 3));
        assert_eq!((config.max_payload, config.queue_bytes), (9, 1_048_576));
        let times = [config.connect_timeout, config.lock_timeout, config.operation_timeout];
        assert_eq!(times, [1, 2, 3].map(Duration::from_millis));
        assert_eq!(config.cleanup_interval, Some(Duration::from_millis(4)));
    }

    #[test]
    fn what_cannot_be_read_is_refused_without_showing_the_password() {
        let bad = [
            "hunter2",
            "http://u:hunter2@h",
            "postgres:hunter2",
            "sqlite:",
            "sqlite::memory:",
            "sqlite:a?colour=hunter2",
            "postgres://u:hunter2?&x@h/d",
            "postgres://u:hunter2@h/d?pool_size=hunter2",
            "postgres://u:hunter2@h/d?schema=hunter2",
            "mysql://u:hunter2@h/d?table_name=a;hunter2",
        ];
        for url in bad {
            let error = SqlConfig::from_url(url).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{url}");
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        }
    }

    #[test]
    fn the_url_is_shown_without_who_one_is() {
        for (url, expected) in [
            ("postgres://app:canary@db:5/shop?pool_size=2", "postgres://db:5/shop"),
            ("mysql://db/shop", "mysql://db/shop"),
            ("sqlite:data.db?pool_size=2", "sqlite:data.db"),
            ("canary", "an unreadable URL"),
        ] {
            assert_eq!(shown(url), expected);
        }
    }
}
