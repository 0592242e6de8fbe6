//! One file per item, written so that it survives a power cut: temporary name, fsync, rename, fsync of the directory.

use std::{
    fs::{self, File},
    io::Write,
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
};

use storage_core::{ItemKey, SaveRequest};

use crate::maps::Store;

/// A directory of items, without indexes. Blocking work goes to the runtime's pool, as services do it.
pub(crate) struct Files {
    directory: PathBuf,
    next: AtomicU64,
}

impl Files {
    /// Items in `directory`, which exists.
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self { directory, next: AtomicU64::new(0) }
    }

    fn path(&self, key: ItemKey<'_>) -> PathBuf {
        self.directory.join(key.key().replace(':', "_"))
    }
}

impl Store for Files {
    async fn save(&self, request: SaveRequest<'_>) {
        let path = self.path(request.key);
        let directory = self.directory.clone();
        let temporary = directory.join(format!("tmp-{}", self.next.fetch_add(1, Ordering::Relaxed)));
        let data = request.data.clone();
        let write = move || -> std::io::Result<()> {
            let mut file = File::create(&temporary)?;
            file.write_all(&data)?;
            file.sync_data()?;
            fs::rename(&temporary, &path)?;
            File::open(&directory)?.sync_all()
        };
        tokio::task::spawn_blocking(write).await.expect("the pool runs it").expect("the file is written");
    }

    async fn load(&self, key: ItemKey<'_>) -> bool {
        fs::read(self.path(key)).is_ok()
    }
}
