//! Where the items are: the URL of a store.

use std::{
    fmt,
    path::{Path, PathBuf},
};

#[cfg(feature = "redis")]
use storage_manager::RedisConfig;
#[cfg(feature = "sql")]
use storage_manager::SqlConfig;

use crate::{error::Failure, store::Store};

/// The place that `--store` names.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A directory of the embedded store.
    Fs(PathBuf),
    /// The memory of this process.
    Memory,
    /// Servers of Redis or Valkey.
    #[cfg(feature = "redis")]
    Redis(Box<RedisConfig>),
    /// A SQL database.
    #[cfg(feature = "sql")]
    Sql(Box<SqlConfig>),
}

/// Whether a command may make a store where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Create,
    Existing,
}

impl Target {
    /// The place that `url` names. URLs of other tools may hold passwords: no message repeats more than the scheme.
    ///
    /// # Errors
    /// A scheme that is not known, or a URL that names no place.
    pub(crate) fn parse(url: &str) -> Result<Self, Failure> {
        match url.split_once(':') {
            Some(("fs", dir)) if dir.starts_with("//") && !dir.starts_with("///") => Err(Failure::usage(
                "a store URL has no host: write fs:DIR, such as fs:./data or fs:/srv/data",
            )),
            Some(("fs", "")) => {
                Err(Failure::usage("the store URL names no directory: write fs:DIR, such as fs:./data"))
            }
            Some(("fs", dir)) => Ok(Self::Fs(dir.into())),
            Some(("memory", "")) => Ok(Self::Memory),
            Some(("memory", _)) => Err(Failure::usage("nothing can follow in the store URL memory:")),
            #[cfg(feature = "redis")]
            Some((scheme, _)) if is_redis(scheme) => RedisConfig::from_url(url)
                .map(|config| Self::Redis(Box::new(config)))
                .map_err(|error| Failure::usage(error.message())),
            #[cfg(feature = "sql")]
            Some(("postgres" | "postgresql" | "mysql" | "mariadb" | "sqlite", _)) => SqlConfig::from_url(url)
                .map(|config| Self::Sql(Box::new(config)))
                .map_err(|error| Failure::usage(error.message())),
            Some((scheme, _)) if is_scheme(scheme) => {
                Err(Failure::usage(format!("store URLs with the scheme {scheme}: are not known; {KNOWN}")))
            }
            _ => Err(Failure::usage(format!("the store URL has no scheme; {KNOWN}"))),
        }
    }

    pub(crate) const fn is_memory(&self) -> bool {
        matches!(self, Self::Memory)
    }

    /// The directory of the store, if it has one.
    pub(crate) fn dir(&self) -> Option<&Path> {
        match self {
            Self::Fs(dir) => Some(dir),
            _ => None,
        }
    }

    /// Opens the store for `work` and closes it properly behind it, also when the work failed.
    pub(crate) async fn with<T>(
        &self,
        access: Access,
        work: impl AsyncFnOnce(&Store) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let store = self.open(access).await?;
        let answer = work(&store).await;
        let closed = store.close().await;
        // The failure of the work comes first: a store that fails to close afterwards rarely says more.
        let answer = answer?;
        closed?;
        Ok(answer)
    }

    async fn open(&self, access: Access) -> Result<Store, Failure> {
        match self {
            Self::Memory => Ok(Store::memory()?),
            Self::Fs(dir) => {
                if access == Access::Existing {
                    check_exists(dir)?;
                }
                Ok(Store::fs(dir).await?)
            }
            #[cfg(feature = "redis")]
            Self::Redis(config) => match Store::redis(config, access == Access::Create).await? {
                Some(store) => Ok(store),
                None => Err(no_store(&self)),
            },
            #[cfg(feature = "sql")]
            Self::Sql(config) => match Store::sql(config, access == Access::Create).await? {
                Some(store) => Ok(store),
                None => Err(no_store(&self)),
            },
        }
    }
}

/// Reading commands make no store: an empty answer from a mistyped directory would look like lost data.
fn check_exists(dir: &Path) -> Result<(), Failure> {
    match dir.try_exists() {
        Ok(true) => Ok(()),
        Ok(false) => Err(no_store(&dir.display())),
        Err(error) => Err(Failure::io(format!("{} cannot be reached", dir.display()), &error)),
    }
}

fn no_store(place: &dyn fmt::Display) -> Failure {
    Failure::no_store(format!("there is no store at {place}"))
        .with_hint("`save` or `demo` makes one; --store or $STORAGE_URL names another place")
}

const KNOWN: &str = "fs:DIR (a directory), memory: (gone when the command ends), redis://HOST (also rediss:, \
                     redis+cluster:, redis+sentinel:), postgres://HOST/DATABASE, mysql://HOST/DATABASE and sqlite:FILE \
                     are known, as far as this program was built with them";

#[cfg(feature = "redis")]
fn is_redis(scheme: &str) -> bool {
    let plain = scheme.strip_prefix("rediss").or_else(|| scheme.strip_prefix("redis"));
    matches!(plain, Some("" | "+cluster" | "+sentinel"))
}

fn is_scheme(text: &str) -> bool {
    (1..=20).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
}

/// The URL.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fs(dir) => write!(f, "fs:{}", dir.display()),
            Self::Memory => f.write_str("memory:"),
            #[cfg(feature = "redis")]
            Self::Redis(config) => write!(f, "{config}"),
            #[cfg(feature = "sql")]
            Self::Sql(config) => write!(f, "{config}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "redis")]
    #[test]
    fn urls_of_servers_are_shown_without_their_passwords() {
        for url in [
            "redis://app:canary@db:6379/1",
            "rediss://app:canary@db",
            "redis+cluster://:canary@a,b:7000",
            "redis+sentinel://app:canary@a,b/main?sentinel_password=canary",
        ] {
            let target = Target::parse(url).unwrap();
            assert!(!format!("{target} {target:?}").contains("canary"), "{target}");
        }
        assert!(Target::parse("redis+clutser://a").is_err());
    }

    #[cfg(feature = "sql")]
    #[test]
    fn urls_of_databases_are_shown_without_their_passwords() {
        for (url, shown) in [
            ("postgres://app:canary@db:5432/shop?pool_size=2", "postgres://db:5432/shop"),
            ("mysql://app:canary@db/shop", "mysql://db/shop"),
            ("sqlite:data.db", "sqlite:data.db"),
        ] {
            let target = Target::parse(url).unwrap();
            assert_eq!(target.to_string(), shown);
            assert!(!format!("{target:?}").contains("canary"), "{target:?}");
        }
        assert!(Target::parse("sqlite:").is_err());
    }

    #[test]
    fn urls_name_a_directory_or_memory() {
        for (url, target) in [
            ("memory:", Target::Memory),
            ("fs:data", Target::Fs("data".into())),
            ("fs:./a:b", Target::Fs("./a:b".into())),
            ("fs:/srv/data", Target::Fs("/srv/data".into())),
            ("fs:///srv/data", Target::Fs("///srv/data".into())),
        ] {
            assert_eq!(Target::parse(url).unwrap(), target, "{url}");
            assert_eq!(target.to_string(), url);
        }
    }
}
