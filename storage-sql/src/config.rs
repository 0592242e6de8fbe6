//! What a provider can be told, with its defaults.

use std::{fmt, time::Duration};

use serde::Deserialize;
use storage_core::{Encoding, ErrorKind, ItemKey, MAX_PAYLOAD_BYTES, Result, Secret};

use crate::{
    error::failure,
    identifier::{Identifier, TableName},
    url::{self, Target},
};

const MIB: u64 = 1_024 * 1_024;

/// Whose tables the items are kept in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Schema {
    /// Tables of this provider, with everything the contract has: tags, versions, conditions, search in every order.
    #[default]
    Full,
    /// A table that is there already, with a column of keys, one of values and one of deadlines.
    Plain,
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

/// What a provider can be told. Only `url` has no default.
///
/// In a configuration file durations are numbers of milliseconds with the suffix `_ms`, sizes are numbers of bytes, and
/// unknown fields are refused.
///
/// ```
/// use storage_sql::SqlConfig;
///
/// let config = SqlConfig::from_url("postgres://app:secret@db.internal/shop?pool_size=16")?;
/// assert_eq!(config.pool_size, 16);
/// assert!(!format!("{config:?}").contains("secret"));
/// assert_eq!(config.to_string(), "postgres://db.internal/shop");
/// # Ok::<(), storage_core::StorageError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SqlConfig {
    /// Which database, see [`from_url`](Self::from_url). Settings that it holds beat the fields. It may hold a password and is
    /// never shown.
    pub url: Secret,
    /// Whose tables. Default: [`Schema::Full`].
    #[serde(default)]
    pub schema: Schema,
    /// The table of the items, perhaps with its schema before it, as in `reports.entries`. Further tables of the full
    /// schema are called after it. Default: `storage_items`.
    #[serde(default = "defaults::table_name")]
    pub table_name: String,
    /// The column of the keys of a plain table. Default: `key`.
    #[serde(default = "defaults::id_column_name")]
    pub id_column_name: String,
    /// The column of the values of a plain table. Default: `value`.
    #[serde(default = "defaults::payload_column_name")]
    pub payload_column_name: String,
    /// The column of the deadlines of a plain table. Default: `expires_at`.
    #[serde(default = "defaults::expire_column_name")]
    pub expire_column_name: String,
    /// The one content type that a plain table holds. Default: `value`.
    #[serde(default = "defaults::content_type")]
    pub content_type: String,
    /// The name of the encoding that all values of a plain table have. Default: `raw`.
    #[serde(default = "defaults::encoding")]
    pub encoding: String,
    /// Most connections, 1 to 256. On SQLite those for reading, beside the one that writes. Default: 8.
    #[serde(default = "defaults::pool_size")]
    pub pool_size: u16,
    /// Encrypts the connections to a server. Default: as the URL says.
    #[serde(default)]
    pub tls: Option<TlsConfig>,
    /// Longest time for one connection to be made and signed in. Default: 2 seconds.
    #[serde(default = "defaults::connect_timeout", rename = "connect_timeout_ms", with = "millis")]
    pub connect_timeout: Duration,
    /// Longest wait for a lock that somebody else holds: on a row, or on the whole file of SQLite. Default: 5 seconds.
    #[serde(default = "defaults::lock_timeout", rename = "lock_timeout_ms", with = "millis")]
    pub lock_timeout: Duration,
    /// Longest time that one call may take. Default: 10 seconds.
    #[serde(default = "defaults::operation_timeout", rename = "operation_timeout_ms", with = "millis")]
    pub operation_timeout: Duration,
    /// Largest payload in bytes. Default: 64 MiB; at most 256 MiB.
    #[serde(default = "defaults::max_payload")]
    pub max_payload: u64,
    /// Most bytes of payload that wait to be written; further saves wait for room. Default: 32 MiB; 1 MiB to 2 GiB.
    #[serde(default = "defaults::queue_bytes")]
    pub queue_bytes: u64,
    /// How often expired items are removed in the background. They are invisible at once in any case. Default: never.
    #[serde(default, rename = "cleanup_interval_ms", with = "optional_millis")]
    pub cleanup_interval: Option<Duration>,
}

impl SqlConfig {
    /// The default settings for the database at `url`, without looking at it.
    pub(crate) fn with_url(url: Secret) -> Self {
        Self {
            url,
            schema: Schema::Full,
            table_name: defaults::table_name(),
            id_column_name: defaults::id_column_name(),
            payload_column_name: defaults::payload_column_name(),
            expire_column_name: defaults::expire_column_name(),
            content_type: defaults::content_type(),
            encoding: defaults::encoding(),
            pool_size: defaults::pool_size(),
            tls: None,
            connect_timeout: defaults::connect_timeout(),
            lock_timeout: defaults::lock_timeout(),
            operation_timeout: defaults::operation_timeout(),
            max_payload: defaults::max_payload(),
            queue_bytes: defaults::queue_bytes(),
            cleanup_interval: None,
        }
    }

    /// The settings that `url` stands for; what it does not say has its default.
    ///
    /// | form | database |
    /// |---|---|
    /// | `postgres://[user[:password]@]host[:port][/database]`, also `postgresql` | PostgreSQL |
    /// | `mysql://[user[:password]@]host[:port]/database`, also `mariadb` | MySQL, MariaDB |
    /// | `sqlite:FILE` | SQLite; the name of the file is relative to the working directory unless it begins with `/` |
    ///
    /// User name, password and file name are percent-decoded. After `?` follow, joined by `&`: `schema`, `table_name`,
    /// `id_column_name`, `payload_column_name`, `expire_column_name`, `content_type`, `encoding`, `pool_size`, `max_payload`,
    /// `queue_bytes`, `connect_timeout_ms`, `lock_timeout_ms`, `operation_timeout_ms`, `cleanup_interval_ms`, and the file
    /// names `ca`, `certificate` and `key`. Everything else is the driver's own: for PostgreSQL `sslmode`,
    /// `application_name` and so on.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if it cannot be read, or names a setting that does not exist. The text of the error never
    /// holds the password.
    pub fn from_url(url: &str) -> Result<Self> {
        // The settings are fields from here on, so that who changes a field afterwards changes something.
        Ok(Self { url: url::without_settings(url), ..Self::with_url(Secret::new(url)).resolved()?.0 })
    }

    /// Checks that every field is within its limits.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] naming the field and its limits.
    pub fn validate(&self) -> Result<()> {
        self.resolved().map(drop)
    }

    /// The same settings with what the URL says taken over, checked, and the database it names.
    pub(crate) fn resolved(&self) -> Result<(Self, Target)> {
        let mut config = self.clone();
        let target = url::apply(&mut config, self.url.expose())?;
        config.check()?;
        Ok((config, target))
    }

    /// The table of the items.
    pub(crate) fn table(&self) -> Result<TableName> {
        TableName::new("table_name", &self.table_name)
    }

    /// The columns of a plain table: keys, values, deadlines.
    pub(crate) fn columns(&self) -> Result<[Identifier; 3]> {
        Ok([
            Identifier::new("id_column_name", &self.id_column_name)?,
            Identifier::new("payload_column_name", &self.payload_column_name)?,
            Identifier::new("expire_column_name", &self.expire_column_name)?,
        ])
    }

    /// The encoding of all values of a plain table.
    pub(crate) fn encoding(&self) -> Result<Encoding> {
        Encoding::new(&self.encoding)
            .map_err(|error| failure(ErrorKind::Config, format!("encoding: {}", error.message())))
    }

    fn check(&self) -> Result<()> {
        within("pool_size", u64::from(self.pool_size), 1, 256)?;
        within("max_payload", self.max_payload, 0, 256 * MIB)?;
        within("queue_bytes", self.queue_bytes, MIB, 2 * 1_024 * MIB)?;
        for (field, value) in [
            ("connect_timeout_ms", self.connect_timeout),
            ("lock_timeout_ms", self.lock_timeout),
            ("operation_timeout_ms", self.operation_timeout),
            ("cleanup_interval_ms", self.cleanup_interval.unwrap_or(Duration::MAX)),
        ] {
            if value.is_zero() {
                return refuse(format!("{field} is zero"));
            }
        }
        self.check_names()?;
        match &self.tls {
            Some(tls) if tls.certificate.is_some() != tls.key.is_some() => {
                refuse("tls.certificate and tls.key belong together, and only one is given")
            }
            _ => Ok(()),
        }
    }

    fn check_names(&self) -> Result<()> {
        let table = self.table()?;
        // The names of indexes and further tables begin with it, and must not be cut.
        const LONGEST_OF_FULL: usize = 40;
        if self.schema == Schema::Full && table.table.as_str().len() > LONGEST_OF_FULL {
            return refuse(format!(
                "table_name has more than {LONGEST_OF_FULL} bytes, which leaves no room for the names of its indexes"
            ));
        }
        let [keys, values, deadlines] = self.columns()?;
        let same = |a: &Identifier, b: &Identifier| a.as_str().eq_ignore_ascii_case(b.as_str());
        if same(&keys, &values) || same(&keys, &deadlines) || same(&values, &deadlines) {
            return refuse(
                "id_column_name, payload_column_name and expire_column_name must be three different columns",
            );
        }
        self.encoding()?;
        ItemKey::new(&self.content_type, "k")
            .map(drop)
            .map_err(|error| failure(ErrorKind::Config, format!("content_type: {}", error.message())))
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

mod defaults {
    use std::time::Duration;

    pub(super) fn table_name() -> String {
        "storage_items".to_owned()
    }

    pub(super) fn id_column_name() -> String {
        "key".to_owned()
    }

    pub(super) fn payload_column_name() -> String {
        "value".to_owned()
    }

    pub(super) fn expire_column_name() -> String {
        "expires_at".to_owned()
    }

    pub(super) fn content_type() -> String {
        "value".to_owned()
    }

    pub(super) fn encoding() -> String {
        "raw".to_owned()
    }

    pub(super) const fn pool_size() -> u16 {
        8
    }

    pub(super) const fn connect_timeout() -> Duration {
        Duration::from_secs(2)
    }

    pub(super) const fn lock_timeout() -> Duration {
        Duration::from_secs(5)
    }

    pub(super) const fn operation_timeout() -> Duration {
        Duration::from_secs(10)
    }

    pub(super) const fn max_payload() -> u64 {
        super::MAX_PAYLOAD_BYTES
    }

    pub(super) const fn queue_bytes() -> u64 {
        32 * super::MIB
    }
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

/// Where the database is, without user, password and settings: for people, who want to see where their items are.
impl fmt::Display for SqlConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&url::shown(self.url.expose()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> SqlConfig {
        SqlConfig::with_url(Secret::new("sqlite:data.db"))
    }

    #[test]
    fn each_limit_is_checked_and_named() {
        let same = || "key".to_owned();
        let bad = [
            ("pool_size", SqlConfig { pool_size: 0, ..base() }),
            ("max_payload", SqlConfig { max_payload: u64::MAX, ..base() }),
            ("queue_bytes", SqlConfig { queue_bytes: 1, ..base() }),
            ("operation_timeout_ms", SqlConfig { operation_timeout: Duration::ZERO, ..base() }),
            ("cleanup_interval_ms", SqlConfig { cleanup_interval: Some(Duration::ZERO), ..base() }),
            ("table_name", SqlConfig { table_name: "a b".into(), ..base() }),
            ("table_name", SqlConfig { table_name: "t".repeat(41), ..base() }),
            ("id_column_name", SqlConfig { id_column_name: "\"".into(), ..base() }),
            ("payload_column_name", SqlConfig { payload_column_name: same(), ..base() }),
            ("expire_column_name", SqlConfig { expire_column_name: "select".into(), ..base() }),
            ("encoding", SqlConfig { encoding: "a b".into(), ..base() }),
            ("content_type", SqlConfig { content_type: "a b".into(), ..base() }),
            (
                "tls.key",
                SqlConfig {
                    tls: Some(TlsConfig { key: Some(Secret::new("k")), ..TlsConfig::default() }),
                    ..base()
                },
            ),
        ];
        for (field, config) in bad {
            let error = config.validate().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(error.message().contains(field), "{field}: {error}");
        }
        assert!(base().validate().is_ok());
    }

    #[test]
    fn a_configuration_file_says_milliseconds_and_nothing_unknown() {
        let json = r#"{"url": "postgres://u:p1@h/d", "schema": "plain", "table_name": "app.entries",
            "operation_timeout_ms": 250, "tls": {"ca": "ca.pem"}}"#;
        let config: SqlConfig = serde_json::from_str(json).unwrap();
        assert_eq!((config.schema, config.operation_timeout), (Schema::Plain, Duration::from_millis(250)));
        assert_eq!(config.pool_size, 8);
        assert!(config.validate().is_ok());
        assert!(!format!("{config:?}").contains("p1"));
        assert!(serde_json::from_str::<SqlConfig>(r#"{"url": "sqlite:a", "colour": 1}"#).is_err());
    }
}
