//! What a provider can be told, with its defaults.

use std::{fmt, time::Duration};

use serde::Deserialize;
use storage_core::{ErrorKind, MAX_PAYLOAD_BYTES, Result, Secret};

use crate::{error::failure, url};

/// How the servers are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Mode {
    /// One server, at the first of the nodes.
    #[default]
    Single,
    /// The nodes are sentinels, which know the master of a service.
    Sentinel,
    /// The nodes are some members of a cluster, which know the others.
    Cluster,
}

/// How sentinels are asked.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SentinelConfig {
    /// The name of the service whose master is used.
    pub service: String,
    /// User name at the sentinels; theirs are not those of the servers. Default: none.
    pub username: Option<String>,
    /// Password at the sentinels. Default: none.
    pub password: Option<Secret>,
}

/// How connections are encrypted. Each text is the name of a file in PEM form, or its content.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// The authorities that may have signed the server's certificate. Default: those the operating system trusts.
    pub ca: Option<String>,
    /// The client's own certificate, with those between it and its authority. Needs `key`. Default: none.
    pub certificate: Option<String>,
    /// The private key of `certificate`. Default: none.
    pub key: Option<Secret>,
}

/// How long to wait before connecting again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReconnectConfig {
    /// The wait after a first failure; it doubles with each further one. Default: 50 milliseconds.
    #[serde(rename = "min_ms", with = "millis")]
    pub min: Duration,
    /// The longest wait. Default: 1 second.
    #[serde(rename = "max_ms", with = "millis")]
    pub max: Duration,
}

impl Default for ReconnectConfig {
    fn default() -> Self {
        Self { min: Duration::from_millis(50), max: Duration::from_secs(1) }
    }
}

/// What a provider can be told. Every field has a default.
///
/// In a configuration file durations are numbers of milliseconds with the suffix `_ms`, sizes are numbers of bytes, and
/// unknown fields are refused.
///
/// ```
/// use storage_redis::{Mode, RedisConfig};
///
/// let config = RedisConfig::from_url("rediss+cluster://app:secret@a:6379,b:6379/?buckets=64")?;
/// assert_eq!(config.mode, Mode::Cluster);
/// assert_eq!(config.nodes, ["a:6379", "b:6379"]);
/// assert!(!format!("{config:?}").contains("secret"));
/// # Ok::<(), storage_core::StorageError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RedisConfig {
    /// Everything about the servers in one text, see [`from_url`](Self::from_url), instead of the fields it sets.
    /// Default: none.
    pub url: Option<Secret>,
    /// `host:port` of the server, of the sentinels, or of some members of the cluster. IPv6 addresses stand in brackets;
    /// the port is 6379, for sentinels 26379, where it is left out. Default: `127.0.0.1`.
    pub nodes: Vec<String>,
    /// How the servers are found. Default: [`Mode::Single`].
    pub mode: Mode,
    /// How sentinels are asked, in that mode.
    pub sentinel: SentinelConfig,
    /// Encrypts the connections, those to sentinels too. Default: none, they are plain.
    pub tls: Option<TlsConfig>,
    /// User name. Default: none, which is the server's default user.
    pub username: Option<String>,
    /// Password. Default: none.
    pub password: Option<Secret>,
    /// Number of the database; a cluster has only number 0. Default: 0.
    pub database: u32,
    /// What all keys begin with, so that others can use the same database: 1 to 128 bytes without braces and control
    /// characters. Default: `storage`.
    pub prefix: String,
    /// Number of parts the items are spread over, 1 to 1,024. It is stored with the data and cannot be changed later.
    /// Default: 32.
    pub buckets: u16,
    /// Longest time for one connection to be made and signed in. Default: 2 seconds.
    #[serde(rename = "connect_timeout_ms", with = "millis")]
    pub connect_timeout: Duration,
    /// Longest silence of a server that owes answers, after which the connection is given up. Default: 3 seconds.
    #[serde(rename = "response_timeout_ms", with = "millis")]
    pub response_timeout: Duration,
    /// Longest time that one call may take. Default: 10 seconds.
    #[serde(rename = "operation_timeout_ms", with = "millis")]
    pub operation_timeout: Duration,
    /// How long to wait before connecting again.
    pub reconnect: ReconnectConfig,
    /// Connections to each server, 1 to 64. Calls share them. Default: 1; with hundreds of tasks on many cores, 2 to 4.
    pub connections: u16,
    /// Most commands under way at a time; further ones wait. Default: 4,096.
    pub max_in_flight: u32,
    /// Whether items can be searched, counted and cleaned up. Without it saves are cheaper. Stored with the data and
    /// cannot be changed later. Default: true.
    pub indexing: bool,
    /// Largest payload in bytes. Default: 64 MiB; at most 256 MiB.
    pub max_payload: u64,
    /// Time that the server keeps an expired item beyond its deadline, so that clocks may differ. Default: 60 seconds.
    #[serde(rename = "expiry_grace_ms", with = "millis")]
    pub expiry_grace: Duration,
    /// How often expired items are removed in the background. They are invisible at once in any case. Default: never.
    #[serde(rename = "cleanup_interval_ms", with = "optional_millis")]
    pub cleanup_interval: Option<Duration>,
}

impl Default for RedisConfig {
    fn default() -> Self {
        Self {
            url: None,
            nodes: Vec::new(),
            mode: Mode::Single,
            sentinel: SentinelConfig::default(),
            tls: None,
            username: None,
            password: None,
            database: 0,
            prefix: "storage".to_owned(),
            buckets: 32,
            connect_timeout: Duration::from_secs(2),
            response_timeout: Duration::from_secs(3),
            operation_timeout: Duration::from_secs(10),
            reconnect: ReconnectConfig::default(),
            connections: 1,
            max_in_flight: 4_096,
            indexing: true,
            max_payload: MAX_PAYLOAD_BYTES,
            expiry_grace: Duration::from_secs(60),
            cleanup_interval: None,
        }
    }
}

impl RedisConfig {
    /// The settings that `url` stands for; what it does not say has its default.
    ///
    /// | form | mode |
    /// |---|---|
    /// | `redis://[user[:password]@][host[:port]][/database]` | one server |
    /// | `redis+cluster://[user[:password]@]host[:port],…[/]` | a cluster |
    /// | `redis+sentinel://[user[:password]@]host[:port],…/service[/database]` | sentinels |
    ///
    /// `rediss` in place of `redis` encrypts. User name and password are percent-decoded; IPv6 addresses stand in
    /// brackets. After `?` follow, joined by `&`: `prefix`, `buckets`, `indexing`, `connections`, `max_in_flight`,
    /// `max_payload`, `connect_timeout_ms`, `response_timeout_ms`, `operation_timeout_ms`, `expiry_grace_ms`,
    /// `cleanup_interval_ms`, `sentinel_username`, `sentinel_password`, and the file names `ca`, `certificate` and `key`.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if it cannot be read, or names a setting that does not exist. The text of the error never
    /// holds the password.
    pub fn from_url(url: &str) -> Result<Self> {
        Self { url: Some(Secret::new(url)), ..Self::default() }.resolved()
    }

    /// Checks that every field is within its limits.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] naming the field and its limits.
    pub fn validate(&self) -> Result<()> {
        self.resolved().map(drop)
    }

    /// The same settings with the URL spelled out, checked, and at least one node.
    pub(crate) fn resolved(&self) -> Result<Self> {
        let mut config = self.clone();
        if let Some(url) = config.url.take() {
            config.refuse_what_a_url_says()?;
            url::apply(&mut config, url.expose())?;
        }
        if config.nodes.is_empty() {
            config.nodes.push("127.0.0.1".to_owned());
        }
        config.check()?;
        Ok(config)
    }

    fn refuse_what_a_url_says(&self) -> Result<()> {
        let twice = [
            ("nodes", !self.nodes.is_empty()),
            ("username", self.username.is_some()),
            ("password", self.password.is_some()),
        ];
        match twice.iter().find(|(_, given)| *given) {
            Some((field, _)) => refuse(format!("{field} and url are both given, and a url says it too")),
            None => Ok(()),
        }
    }

    fn check(&self) -> Result<()> {
        within("buckets", u64::from(self.buckets), 1, 1_024)?;
        within("connections", u64::from(self.connections), 1, 64)?;
        within("max_in_flight", u64::from(self.max_in_flight), 1, 1_000_000)?;
        within("max_payload", self.max_payload, 0, 256 * 1_024 * 1_024)?;
        for (field, value) in [
            ("connect_timeout", self.connect_timeout),
            ("response_timeout", self.response_timeout),
            ("operation_timeout", self.operation_timeout),
            ("reconnect.min", self.reconnect.min),
            ("cleanup_interval", self.cleanup_interval.unwrap_or(Duration::MAX)),
        ] {
            positive(field, value)?;
        }
        if self.reconnect.min > self.reconnect.max {
            return refuse("reconnect.min is longer than reconnect.max");
        }
        self.check_prefix()?;
        self.check_mode()?;
        self.check_tls()
    }

    fn check_prefix(&self) -> Result<()> {
        let plain = !self.prefix.chars().any(|letter| letter.is_control() || letter == '{' || letter == '}');
        if plain && (1..=128).contains(&self.prefix.len()) {
            return Ok(());
        }
        refuse("prefix must be 1 to 128 bytes without braces and control characters")
    }

    fn check_mode(&self) -> Result<()> {
        match self.mode {
            Mode::Cluster if self.database != 0 => {
                refuse("database must be 0 in a cluster, which has no other")
            }
            Mode::Sentinel if self.sentinel.service.is_empty() => {
                refuse("sentinel.service is empty, and sentinels are asked by its name")
            }
            Mode::Single if self.nodes.len() > 1 => {
                refuse("nodes names several servers, which mode single does not use: is it a cluster?")
            }
            _ if self.username.is_some() && self.password.is_none() => {
                refuse("username is given without a password")
            }
            _ => Ok(()),
        }
    }

    fn check_tls(&self) -> Result<()> {
        match &self.tls {
            Some(tls) if tls.certificate.is_some() != tls.key.is_some() => {
                refuse("tls.certificate and tls.key belong together, and only one is given")
            }
            _ => Ok(()),
        }
    }
}

fn refuse<T>(message: impl Into<std::borrow::Cow<'static, str>>) -> Result<T> {
    Err(failure(ErrorKind::Config, message))
}

fn within(field: &str, value: u64, min: u64, max: u64) -> Result<()> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    refuse(format!("{field} is {value}, it must be {min} to {max}"))
}

fn positive(field: &str, value: Duration) -> Result<()> {
    if value.is_zero() {
        return refuse(format!("{field} is zero"));
    }
    Ok(())
}

mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer};

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}

mod optional_millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer};

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(deserializer)?.map(Duration::from_millis))
    }
}

/// The URL of the servers, without user and password: for people, who want to see where their items are.
impl fmt::Display for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What cannot be resolved is shown as far as the fields say.
        let config = self.resolved().unwrap_or_else(|_| Self { url: None, ..self.clone() });
        f.write_str(if config.tls.is_some() { "rediss" } else { "redis" })?;
        f.write_str(match config.mode {
            Mode::Single => "://",
            Mode::Sentinel => "+sentinel://",
            Mode::Cluster => "+cluster://",
        })?;
        write!(f, "{}/", config.nodes.join(","))?;
        if config.mode == Mode::Sentinel {
            write!(f, "{}/", config.sentinel.service)?;
        }
        if config.database != 0 {
            write!(f, "{}", config.database)?;
        }
        if config.prefix != Self::default().prefix {
            write!(f, "?prefix={}", config.prefix)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_is_shown_without_who_one_is() {
        for (url, shown) in [
            ("redis://app:canary@db:7000/2?prefix=shop", "redis://db:7000/2?prefix=shop"),
            ("rediss+cluster://:canary@a,b:7000", "rediss+cluster://a,b:7000/"),
            ("redis+sentinel://a/main?sentinel_password=canary", "redis+sentinel://a/main/"),
        ] {
            let config = RedisConfig::from_url(url).unwrap();
            assert_eq!(config.to_string(), shown);
            assert_eq!(RedisConfig::from_url(&config.to_string()).unwrap().to_string(), shown);
        }
    }

    #[test]
    fn the_defaults_are_valid() {
        assert!(RedisConfig::default().validate().is_ok());
    }

    #[test]
    fn values_outside_their_limits_are_named() {
        let base = RedisConfig::default;
        let tls = TlsConfig { certificate: Some("c".into()), ..TlsConfig::default() };
        let late = ReconnectConfig { min: Duration::from_secs(9), ..ReconnectConfig::default() };
        let bad = [
            ("buckets", RedisConfig { buckets: 0, ..base() }),
            ("buckets", RedisConfig { buckets: 1_025, ..base() }),
            ("connections", RedisConfig { connections: 0, ..base() }),
            ("max_in_flight", RedisConfig { max_in_flight: 0, ..base() }),
            ("max_payload", RedisConfig { max_payload: u64::MAX, ..base() }),
            ("operation_timeout", RedisConfig { operation_timeout: Duration::ZERO, ..base() }),
            ("cleanup_interval", RedisConfig { cleanup_interval: Some(Duration::ZERO), ..base() }),
            ("reconnect.min", RedisConfig { reconnect: late, ..base() }),
            ("prefix", RedisConfig { prefix: "a{b".into(), ..base() }),
            ("prefix", RedisConfig { prefix: String::new(), ..base() }),
            ("database", RedisConfig { mode: Mode::Cluster, database: 1, ..base() }),
            ("sentinel.service", RedisConfig { mode: Mode::Sentinel, ..base() }),
            ("nodes", RedisConfig { nodes: vec!["a".into(), "b".into()], ..base() }),
            ("username", RedisConfig { username: Some("u".into()), ..base() }),
            ("tls.certificate", RedisConfig { tls: Some(tls), ..base() }),
            ("nodes", RedisConfig { nodes: vec!["a".into()], url: Some(Secret::new("redis://b")), ..base() }),
        ];
        for (field, config) in bad {
            let error = config.validate().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(error.message().contains(field), "{field}: {error}");
        }
    }

    #[test]
    fn a_configuration_file_says_milliseconds_and_nothing_unknown() {
        let json = r#"{"mode": "sentinel", "nodes": ["s"], "sentinel": {"service": "m", "password": "p1"},
            "password": "p2", "operation_timeout_ms": 250, "reconnect": {"min_ms": 5}, "tls": {"ca": "ca.pem"}}"#;
        let config: RedisConfig = serde_json::from_str(json).unwrap();
        assert_eq!(config.operation_timeout, Duration::from_millis(250));
        assert_eq!(config.reconnect.min, Duration::from_millis(5));
        assert!(config.validate().is_ok());
        let shown = format!("{config:?}");
        assert!(!shown.contains("p1") && !shown.contains("p2"), "{shown}");
        assert!(serde_json::from_str::<RedisConfig>(r#"{"colour": 1}"#).is_err());
    }
}
