//! `store.sql`: what its fields say, as the settings of the provider.

use std::{collections::BTreeMap, time::Duration};

use serde::Deserialize;
use serde_json::Value;
use storage_core::{Result, StorageError};
use storage_sql::{Schema, Secret, SqlConfig};

use super::{
    document::{present, refuse, typed},
    reference::{present_duration, resolved_secret},
};

/// The databases of a file: the URL of each, by its name.
#[derive(Debug, Default)]
pub(super) struct Databases(BTreeMap<String, Secret>);

/// A URL that no error quotes, or what the environment variable holds whose name is given as `${NAME}`.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
struct Url(#[serde(deserialize_with = "resolved_secret")] Secret);

impl Databases {
    /// Reads the section `databases`. A name without the namespace of the file belongs to it, as those of stores do.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](storage_core::ErrorKind::Config) naming the field that does not fit, and nothing of the URL.
    pub(super) fn read(namespace: Option<&str>, section: Option<Value>) -> Result<Self> {
        let Some(section) = section else { return Ok(Self::default()) };
        let urls: BTreeMap<String, Url> = typed("databases", section)?;
        let mut databases = BTreeMap::new();
        for (name, Url(url)) in urls {
            SqlConfig::from_url(url.expose())
                .map_err(|error| refuse(&format!("databases.{name}"), error.message()))?;
            let id = within(namespace, &name);
            if databases.insert(id, url).is_some() {
                return Err(refuse(&format!("databases.{name}"), "a database of this name is there already"));
            }
        }
        Ok(Self(databases))
    }

    fn find(&self, namespace: Option<&str>, reference: &str) -> Option<&Secret> {
        self.0.get(reference).or_else(|| self.0.get(&within(namespace, reference)))
    }
}

fn within(namespace: Option<&str>, name: &str) -> String {
    match namespace {
        Some(namespace) if !name.starts_with(&format!("{namespace}:")) => format!("{namespace}:{name}"),
        _ => name.to_owned(),
    }
}

/// The fields as they are written. Those that are absent are as the URL says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    database: String,
    table_name: String,
    #[serde(default, deserialize_with = "present")]
    id_column_name: Option<String>,
    #[serde(default, deserialize_with = "present")]
    payload_column_name: Option<String>,
    #[serde(default, deserialize_with = "present")]
    expire_column_name: Option<String>,
    #[serde(default = "plain")]
    schema: Schema,
    #[serde(default, deserialize_with = "present")]
    content_type: Option<String>,
    #[serde(default, deserialize_with = "present")]
    encoding: Option<String>,
    #[serde(default, deserialize_with = "present_duration")]
    cleanup_interval: Option<Duration>,
    #[serde(default, deserialize_with = "present_duration")]
    operation_timeout: Option<Duration>,
    #[serde(default, deserialize_with = "present")]
    max_payload: Option<u64>,
}

const fn plain() -> Schema {
    Schema::Plain
}

/// The settings that `fields` stand for, for the store `id`.
///
/// # Errors
/// [`ErrorKind::Config`](storage_core::ErrorKind::Config) naming the path of the field that does not fit, and nothing of
/// the URL.
pub(super) fn settings(
    path: &str,
    id: &str,
    namespace: Option<&str>,
    databases: &Databases,
    fields: Value,
) -> Result<SqlConfig> {
    let fields: Fields = typed(path, fields)?;
    let at = |field: &str, why: &str| refuse(&format!("{path}.{field}"), why);
    let url = databases.find(namespace, &fields.database).ok_or_else(|| {
        let why = "no such database is described under `databases`, a mapping from names to URLs";
        at("database", why)
    })?;
    let mut config = SqlConfig::from_url(url.expose()).map_err(|error| at("database", error.message()))?;
    // What the URL says is sound, so that each refusal is about the field before it.
    let check = |config: &SqlConfig, field: &str| {
        config.validate().map_err(|error: StorageError| at(field, error.message()))
    };
    config.schema = fields.schema;
    config.table_name = fields.table_name;
    check(&config, "table_name")?;
    if let Some(column) = fields.id_column_name {
        config.id_column_name = column;
        check(&config, "id_column_name")?;
    }
    if let Some(column) = fields.payload_column_name {
        config.payload_column_name = column;
        check(&config, "payload_column_name")?;
    }
    if let Some(column) = fields.expire_column_name {
        config.expire_column_name = column;
        check(&config, "expire_column_name")?;
    }
    if let Some(interval) = fields.cleanup_interval {
        config.cleanup_interval = Some(interval).filter(|interval| !interval.is_zero());
    }
    if let Some(timeout) = fields.operation_timeout {
        config.operation_timeout = timeout;
        check(&config, "operation_timeout")?;
    }
    if let Some(max_payload) = fields.max_payload {
        config.max_payload = max_payload;
        check(&config, "max_payload")?;
    }
    of_scripts(&mut config, id);
    if let Some(content_type) = fields.content_type {
        config.content_type = content_type;
        check(&config, "content_type")?;
    }
    if let Some(encoding) = fields.encoding {
        config.encoding = encoding;
        check(&config, "encoding")?;
    }
    Ok(config)
}

/// A plain table has no column for what all its items have in common: they are those that scripts keep in the store.
#[cfg(feature = "script")]
fn of_scripts(config: &mut SqlConfig, id: &str) {
    config.content_type = crate::script::KeyValueStores::content_type(id);
    crate::script::ENCODING.clone_into(&mut config.encoding);
}

#[cfg(not(feature = "script"))]
const fn of_scripts(_: &mut SqlConfig, _: &str) {}

#[cfg(test)]
mod tests {
    use storage_core::ErrorKind;

    use super::*;

    fn read(databases: &str, text: &str) -> Result<SqlConfig> {
        let databases = serde_saphyr::from_str(databases).unwrap();
        let databases = Databases::read(Some("app"), Some(databases))?;
        settings("[0]", "app:cache", Some("app"), &databases, serde_saphyr::from_str(text).unwrap())
    }

    const POSTGRES: &str = "{'app:postgres': 'postgres://u:canary@h/d?pool_size=3&table_name=other'}";

    #[test]
    fn a_reference_names_a_database_with_or_without_the_namespace() {
        for databases in [POSTGRES, "{postgres: 'postgres://u:canary@h/d?pool_size=3'}"] {
            for reference in ["app:postgres", "postgres"] {
                let config =
                    read(databases, &format!("{{database: {reference}, table_name: kv_store}}")).unwrap();
                assert_eq!((config.table_name.as_str(), config.pool_size), ("kv_store", 3));
                assert_eq!(config.schema, Schema::Plain);
                assert_eq!(config.to_string(), "postgres://h/d");
            }
        }
    }

    #[test]
    fn fields_beat_the_url() {
        let config = read(
            POSTGRES,
            "{database: postgres, table_name: s.kv, id_column_name: k, payload_column_name: v, expire_column_name: e,
              cleanup_interval: 10m, operation_timeout: 250ms, max_payload: 9, content_type: note, encoding: json}",
        );
        let config = config.unwrap();
        let names = [
            &config.table_name,
            &config.id_column_name,
            &config.payload_column_name,
            &config.expire_column_name,
        ];
        assert_eq!(names, ["s.kv", "k", "v", "e"]);
        assert_eq!(config.cleanup_interval, Some(Duration::from_secs(600)));
        assert_eq!(config.operation_timeout, Duration::from_millis(250));
        assert_eq!(
            (config.max_payload, config.content_type.as_str(), config.encoding.as_str()),
            (9, "note", "json")
        );
        let full =
            read(POSTGRES, "{database: postgres, table_name: t, schema: full, cleanup_interval: 0}").unwrap();
        assert_eq!((full.schema, full.cleanup_interval), (Schema::Full, None));
    }

    #[test]
    fn every_bad_field_is_named_and_no_secret_is_shown() {
        for (databases, text, field, why) in [
            (POSTGRES, "{table_name: t}", "[0].database:", "it is missing"),
            (POSTGRES, "{database: postgres}", "[0].table_name:", "it is missing"),
            (POSTGRES, "{database: other, table_name: t}", "[0].database:", "databases"),
            (POSTGRES, "{database: postgres, table_name: 't; --'}", "[0].table_name:", "letter"),
            (
                POSTGRES,
                "{database: postgres, table_name: t, id_column_name: ''}",
                "[0].id_column_name:",
                "letter",
            ),
            (
                POSTGRES,
                "{database: postgres, table_name: t, id_column_name: value}",
                "[0].id_column_name:",
                "three",
            ),
            (POSTGRES, "{database: postgres, table_name: t, schema: some}", "[0].schema:", "some"),
            (POSTGRES, "{database: postgres, table_name: t, colour: red}", "[0].colour:", "unknown field"),
            (
                POSTGRES,
                "{database: postgres, table_name: t, operation_timeout: 0}",
                "[0].operation_timeout:",
                "zero",
            ),
            ("{a: 'http://u:canary@h'}", "{}", "databases.a:", "postgres://"),
            ("{a: [canary]}", "{}", "databases.a:", "must be a text"),
            ("{a: 'sqlite:a', 'app:a': 'sqlite:b'}", "{}", "databases.app:a:", "there already"),
        ] {
            let error = read(databases, text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            let message = error.message();
            let message = message.replace("databases.a: a database", "databases.app:a: a database");
            assert!(message.starts_with(field) && message.contains(why), "{databases} {text}\n{message}");
            assert!(!format!("{error:?}").contains("canary"), "{error:?}");
        }
    }
}
