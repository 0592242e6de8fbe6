//! Where the items are: the URL of a store, and the store while it is open.

use std::{
    fmt,
    ops::Deref,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use storage_manager::{
    ManagerProvider, ProviderInfo, StorageMonitor, StorageProvider, UnifiedStorageManager,
    fs::{Damaged, FsConfig, FsProvider},
    memory::{MemoryConfig, MemoryProvider},
    prometheus::PrometheusExporter,
};

use crate::{
    commands::verify::{Damage, Verified},
    error::Failure,
    output::human,
};

/// The place that `--store` names.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A directory of the embedded store.
    Fs(PathBuf),
    /// The memory of this process.
    Memory,
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
        const KNOWN: &str = "fs:DIR (a directory) and memory: (gone when the command ends) are known";
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
            Self::Memory => None,
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
            Self::Memory => Store::memory(),
            Self::Fs(dir) => {
                if access == Access::Existing {
                    check_exists(dir)?;
                }
                Store::fs(dir).await
            }
        }
    }
}

/// Reading commands make no store: an empty answer from a mistyped directory would look like lost data.
fn check_exists(dir: &Path) -> Result<(), Failure> {
    match dir.try_exists() {
        Ok(true) => Ok(()),
        Ok(false) => Err(Failure::no_store(format!("there is no store at {}", dir.display()))
            .with_hint("`save` or `demo` makes one; --store or $STORAGE_URL names another place")),
        Err(error) => Err(Failure::io(format!("{} cannot be reached", dir.display()), &error)),
    }
}

fn is_scheme(text: &str) -> bool {
    (1..=20).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
}

/// The URL, as it can be given to `--store` in a shell.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fs(dir) => f.write_str(&human::shell_word(&format!("fs:{}", dir.display()))),
            Self::Memory => f.write_str("memory:"),
        }
    }
}

/// Longest wait for one call. A person who waits can interrupt at any time, and a large cleanup may take minutes.
const PATIENCE: Duration = Duration::from_secs(600);

/// An open store: a manager with one provider for every content type. As a provider it is routed and measured.
#[derive(Debug)]
pub(crate) struct Store {
    routed: ManagerProvider,
    manager: UnifiedStorageManager,
    exporter: PrometheusExporter,
    /// The provider below.
    provider: Arc<dyn StorageProvider>,
    /// The same, if it has a directory.
    fs: Option<FsProvider>,
}

impl Store {
    fn memory() -> Result<Self, Failure> {
        // The items are those of one command: nobody else could make room.
        let config = MemoryConfig { max_entries: 0, ..MemoryConfig::default() };
        Self::new(MemoryProvider::new(config), None)
    }

    async fn fs(dir: &Path) -> Result<Self, Failure> {
        let config = FsConfig { operation_timeout: PATIENCE, ..FsConfig::default() };
        let provider = FsProvider::builder(dir).config(config).open().await?;
        Self::new(provider.clone(), Some(provider))
    }

    fn new(provider: impl StorageProvider, fs: Option<FsProvider>) -> Result<Self, Failure> {
        let provider: Arc<dyn StorageProvider> = Arc::new(provider);
        let exporter = PrometheusExporter::new();
        let manager = UnifiedStorageManager::builder()
            .fallback(Arc::clone(&provider))
            .monitor(StorageMonitor::with_recorder(exporter.recorder()))
            .deadline(PATIENCE)
            .build()?;
        Ok(Self { routed: manager.as_provider(), manager, exporter, provider, fs })
    }

    /// The provider below.
    pub(crate) fn info(&self) -> ProviderInfo {
        self.provider.info()
    }

    /// Gives a content type a route of its own, and by that a label of its own in the metrics.
    pub(crate) fn add_route(&self, content_type: &str) -> Result<(), Failure> {
        Ok(self.manager.register_provider(content_type, Arc::clone(&self.provider))?)
    }

    /// The metrics of all calls so far, as Prometheus reads them.
    pub(crate) fn metrics(&self) -> String {
        self.exporter.render()
    }

    /// Reads everything back, where there is something that could be damaged.
    pub(crate) async fn verify(&self) -> Result<Verified, Failure> {
        let Some(fs) = &self.fs else { return Ok(Verified { intact: 0, damaged: Vec::new() }) };
        let report = fs.verify().await?;
        let damage = |Damaged { content_type, key, what, .. }| Damage { content_type, key, what };
        Ok(Verified { intact: report.intact, damaged: report.damaged.into_iter().map(damage).collect() })
    }
}

impl Deref for Store {
    type Target = dyn StorageProvider;

    fn deref(&self) -> &Self::Target {
        &self.routed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        }
    }

    #[test]
    fn a_target_is_shown_as_a_shell_takes_it() {
        assert_eq!(Target::Fs("./storage-data".into()).to_string(), "fs:./storage-data");
        assert_eq!(Target::Fs("my store".into()).to_string(), "'fs:my store'");
    }
}
