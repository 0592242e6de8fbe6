//! The file as a whole.

use std::{collections::HashMap, fs, path::Path};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use storage_core::{ErrorKind, Result, StorageError};

use super::kinds::{Context, StoreKind};
#[cfg(feature = "script")]
use crate::script::RulePolicy;

/// What a configuration file says, checked.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Config {
    /// The stores, in the order of the file.
    pub stores: Vec<StoreEntry>,
    /// Which calls of scripts are allowed; `None` if the file says nothing of it.
    #[cfg(feature = "script")]
    pub policy: Option<RulePolicy>,
}

/// A store of a configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreEntry {
    /// What the store is acquired by: its name, behind the namespace of the file if there is one.
    pub id: String,
    /// Whether it is opened with the others.
    pub auto_start: bool,
    /// What it is.
    pub kind: StoreKind,
}

impl Config {
    /// Reads YAML.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] naming the line of what is no YAML (a key that is there twice is none), or the path of the
    /// field that is missing, unknown or bad.
    pub fn from_yaml(text: &str) -> Result<Self> {
        // Lines of the file may hold secrets, so that errors quote none.
        let options = serde_saphyr::options! { with_snippet: false };
        let value: Value = serde_saphyr::from_str_with_options(text, options)
            .map_err(|error| refuse("", &format!("the file is not YAML: {error}")))?;
        Self::from_value(value)
    }

    /// Reads TOML: entries are tables `[[entries]]`.
    ///
    /// # Errors
    /// As [`from_yaml`](Self::from_yaml).
    pub fn from_toml(text: &str) -> Result<Self> {
        let value: Value = toml::from_str(text).map_err(|error: toml::de::Error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            refuse("", &format!("the file is not TOML: {} (line {line})", error.message()))
        })?;
        Self::from_value(value)
    }

    /// Reads a file whose name ends in `.yaml`, `.yml` or `.toml`.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if it cannot be read or has another ending; otherwise as [`from_yaml`](Self::from_yaml). All
    /// name the file.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let of_file = |error: StorageError| refuse("", &format!("{}: {}", path.display(), error.message()));
        let text = fs::read_to_string(path)
            .map_err(|error| of_file(refuse("", "it cannot be read")).with_source(error))?;
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("yaml" | "yml") => Self::from_yaml(&text).map_err(of_file),
            Some("toml") => Self::from_toml(&text).map_err(of_file),
            _ => Err(of_file(refuse("", "the name must end in .yaml, .yml or .toml"))),
        }
    }

    fn from_value(value: Value) -> Result<Self> {
        let (document, at) = match value {
            Value::Array(entries) => (Document { entries, ..Document::default() }, ""),
            document @ Value::Object(_) => (typed("", document)?, "entries"),
            Value::Null => (Document::default(), ""),
            _ => return Err(refuse("", "the file must be a list of entries, or a mapping with `entries`")),
        };
        let namespace = document.namespace.as_deref();
        #[cfg(feature = "sql")]
        let databases = &super::sql::Databases::read(namespace, document.databases)?;
        #[cfg(not(feature = "sql"))]
        if document.databases.is_some() {
            let why = "this build has no SQL; it needs one of the features `postgres`, `sqlite` and `mysql`";
            return Err(refuse("databases", why));
        }
        let file = File {
            namespace,
            #[cfg(feature = "sql")]
            databases,
        };
        let entries = (0..).zip(document.entries);
        let stores = entries.map(|(n, entry)| StoreEntry::from_value(&format!("{at}[{n}]"), file, entry));
        let stores: Vec<_> = stores.collect::<Result<_>>()?;
        check_distinct(at, &stores)?;
        #[cfg(feature = "script")]
        let policy = document.policy.map(|rules| typed("policy", rules)).transpose()?;
        #[cfg(not(feature = "script"))]
        if document.policy.is_some() {
            return Err(refuse("policy", "this build has no scripts; it needs the feature `script`"));
        }
        Ok(Self {
            stores,
            #[cfg(feature = "script")]
            policy,
        })
    }
}

/// The file before its entries are looked at.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Document {
    #[serde(deserialize_with = "present")]
    namespace: Option<String>,
    entries: Vec<Value>,
    databases: Option<Value>,
    policy: Option<Value>,
}

/// A field that may be absent, but not empty.
pub(super) fn present<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> std::result::Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Lifecycle {
    auto_start: bool,
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self { auto_start: true }
    }
}

/// What the entries of a file have in common.
#[derive(Debug, Clone, Copy)]
struct File<'a> {
    namespace: Option<&'a str>,
    #[cfg(feature = "sql")]
    databases: &'a super::sql::Databases,
}

impl StoreEntry {
    fn from_value(path: &str, file: File<'_>, entry: Value) -> Result<Self> {
        let Value::Object(mut fields) = entry else {
            return Err(refuse(path, "an entry must be a mapping with a name and a kind"));
        };
        let name: String = required(path, &mut fields, "name")?;
        let id = file.namespace.map_or_else(|| name.clone(), |namespace| format!("{namespace}:{name}"));
        check_id(&id).map_err(|why| refuse(&within(path, "name"), &why))?;
        let kind: String = required(path, &mut fields, "kind")?;
        let lifecycle: Lifecycle = match fields.remove("lifecycle") {
            Some(lifecycle) => typed(&within(path, "lifecycle"), lifecycle)?,
            None => Lifecycle::default(),
        };
        let context = Context {
            id: &id,
            namespace: file.namespace,
            #[cfg(feature = "sql")]
            databases: file.databases,
        };
        let kind = StoreKind::from_fields(path, &kind, context, Value::Object(fields))?;
        Ok(Self { id, auto_start: lifecycle.auto_start, kind })
    }
}

fn required<T: DeserializeOwned>(path: &str, fields: &mut Map<String, Value>, name: &str) -> Result<T> {
    match fields.remove(name) {
        Some(value) => typed(&within(path, name), value),
        None => Err(refuse(&within(path, name), "it is missing")),
    }
}

/// Ids are parts of content types.
fn check_id(id: &str) -> std::result::Result<(), String> {
    const MOST: usize = 200;
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._+-/:".contains(c);
    if id.is_empty() {
        return Err("it is empty".into());
    }
    if id.len() > MOST {
        return Err(format!("the id has {} bytes, at most {MOST} are allowed", id.len()));
    }
    match id.chars().find(|c| !allowed(*c)) {
        Some(c) => {
            Err(format!("it holds the character {c:?}, allowed are ASCII letters, digits and . _ + - / :"))
        }
        None => Ok(()),
    }
}

fn check_distinct(at: &str, stores: &[StoreEntry]) -> Result<()> {
    let (mut ids, mut directories) = (HashMap::new(), HashMap::new());
    for (n, store) in stores.iter().enumerate() {
        if let Some(first) = ids.insert(&store.id, n) {
            let path = format!("{at}[{n}].name");
            return Err(refuse(
                &path,
                &format!("the store {:?} is there already, at {at}[{first}]", store.id),
            ));
        }
        if let StoreKind::Fs(fs) = &store.kind
            && let Some(first) = directories.insert(&fs.path, n)
        {
            let path = format!("{at}[{n}].path");
            return Err(refuse(&path, &format!("the store at {at}[{first}] has this directory already")));
        }
    }
    Ok(())
}

/// The value as a `T`.
///
/// # Errors
/// [`ErrorKind::Config`] naming the path of the field that does not fit.
pub(super) fn typed<T: DeserializeOwned>(path: &str, value: Value) -> Result<T> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let inner = match error.path().to_string() {
            root if root == "." => String::new(),
            inner => inner,
        };
        refuse(&within(path, &inner), &error.inner().to_string())
    })
}

fn within(path: &str, field: &str) -> String {
    match (path, field) {
        ("", field) => field.to_owned(),
        (path, "") => path.to_owned(),
        (path, field) if field.starts_with('[') => format!("{path}{field}"),
        (path, field) => format!("{path}.{field}"),
    }
}

/// The refusal of what stands at `path`.
pub(super) fn refuse(path: &str, why: &str) -> StorageError {
    let message = if path.is_empty() { why.to_owned() } else { format!("{path}: {why}") };
    StorageError::new(ErrorKind::Config, message)
}
