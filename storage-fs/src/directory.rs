//! The directory of a store: what lies where, whose it is, and who holds it.
//!
//! ```text
//! FORMAT    names this format and holds the seed of the tag hashes; written first, never changed
//! LOCK      locked while the store is open
//! MARK      the last committed sequence number, outside the journal (see `mark`)
//! RESERVE   blocks that are given back to the disk when it is full (see `space`)
//! engine/   the engine's files
//! blobs/    large payloads
//! ```

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use storage_core::{ErrorKind, Result};
use xxhash_rust::xxh3::xxh3_64;

use crate::error::{failure, io_error};

/// The newest format this version reads and the one it writes.
pub(crate) const FORMAT: u32 = 1;

const FORMAT_FILE: &str = "FORMAT";
const FORMAT_DRAFT: &str = "FORMAT.new";
const LOCK_FILE: &str = "LOCK";

/// An opened and locked directory.
#[derive(Debug)]
pub(crate) struct Directory {
    root: PathBuf,
    /// Seeds the hashes of tags.
    pub(crate) seed: u64,
    lock: File,
}

impl Drop for Directory {
    /// Gives the lock up. Closing the file alone is not enough: a child process that is just being started holds a copy of
    /// it for a moment, and with it the lock.
    fn drop(&mut self) {
        if let Err(cause) = self.lock.unlock() {
            tracing::warn!(%cause, "the lock of a store ends with its file only");
        }
    }
}

impl Directory {
    /// Opens the directory of a store, or makes it one if it does not exist or is empty.
    ///
    /// # Errors
    /// [`ErrorKind::Locked`] if another handle holds it; [`ErrorKind::Config`] if it is a file or has a newer format;
    /// [`ErrorKind::Corrupted`] if it holds something else; [`ErrorKind::PermissionDenied`] if it cannot be written.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        create(path)?;
        // A symbolic link given by the user is followed once, here; below the root none is.
        let root =
            path.canonicalize().map_err(|cause| io_error("the store's directory cannot be opened", cause))?;
        check_foreign(&root)?;
        let lock = lock(&root)?;
        let seed = match read_format(&root)? {
            Some(seed) => seed,
            None => write_format(&root)?,
        };
        let directory = Self { root, seed, lock };
        for folder in [directory.engine(), directory.blobs()] {
            make_folder(&folder)?;
        }
        sync_folder(&directory.root)
            .map_err(|cause| io_error("the store's directory cannot be synced", cause))?;
        Ok(directory)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn engine(&self) -> PathBuf {
        self.root.join("engine")
    }

    pub(crate) fn blobs(&self) -> PathBuf {
        self.root.join("blobs")
    }

    pub(crate) fn mark(&self) -> PathBuf {
        self.root.join("MARK")
    }

    pub(crate) fn reserve(&self) -> PathBuf {
        self.root.join("RESERVE")
    }
}

/// Opens a file of the store, but not through a link that stands in its place: it may lead anywhere.
pub(crate) fn no_links() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
    options
}

/// A link below a folder, where the engine would follow it.
pub(crate) fn find_link(folder: &Path) -> io::Result<Option<PathBuf>> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_symlink() {
            return Ok(Some(entry.path()));
        }
        if kind.is_dir()
            && let Some(found) = find_link(&entry.path())?
        {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// Brings the entries of a folder to the disk: without it a new or renamed file may be gone after a power cut.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn create(path: &Path) -> Result<()> {
    if path.is_file() {
        return Err(failure(
            ErrorKind::Config,
            format!("{} is a file, a store needs a directory", path.display()),
        ));
    }
    if path.is_dir() {
        return Ok(());
    }
    let what = "the store's directory cannot be created";
    fs::create_dir_all(path).map_err(|cause| io_error(what, cause))?;
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => {
            sync_folder(parent).map_err(|cause| io_error(what, cause))
        }
        _ => Ok(()),
    }
}

/// Refuses a directory that holds anything while it has no format file: it belongs to somebody else.
fn check_foreign(root: &Path) -> Result<()> {
    let what = "the store's directory cannot be read";
    let entries = fs::read_dir(root).map_err(|cause| io_error(what, cause))?;
    let mut foreign = None;
    for entry in entries {
        let name = entry.map_err(|cause| io_error(what, cause))?.file_name();
        match name.to_str() {
            Some(FORMAT_FILE) => return Ok(()),
            // What an interrupted creation leaves behind.
            Some(FORMAT_DRAFT | LOCK_FILE) => {}
            _ => foreign = Some(name),
        }
    }
    match foreign {
        None => Ok(()),
        Some(name) => Err(failure(
            ErrorKind::Corrupted,
            format!(
                "{} is not a store: it holds {} but no {FORMAT_FILE} file; nothing was changed",
                root.display(),
                name.display()
            ),
        )),
    }
}

fn lock(root: &Path) -> Result<File> {
    let what = "the store's lock file cannot be opened";
    let file = no_links().create(true).truncate(false).write(true).open(root.join(LOCK_FILE));
    let file = file.map_err(|cause| io_error(what, cause))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(failure(
            ErrorKind::Locked,
            format!("another process or handle holds {}; one at a time can open it", root.display()),
        )),
        Err(TryLockError::Error(cause)) => Err(io_error(what, cause)),
    }
}

/// The seed of an existing store; `None` if the directory is new.
fn read_format(root: &Path) -> Result<Option<u64>> {
    // A format file is short; whatever is long is none.
    const MOST_BYTES: u64 = 4_096;
    let read = || -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        no_links().read(true).open(root.join(FORMAT_FILE))?.take(MOST_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    match read() {
        Ok(bytes) => parse_format(&bytes).map(Some),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(io_error("the store's format file cannot be read", cause)),
    }
}

/// Three lines: the format, the seed, and a checksum over the first two.
fn parse_format(bytes: &[u8]) -> Result<u64> {
    let damaged = || failure(ErrorKind::Corrupted, "the store's format file is damaged");
    let text = std::str::from_utf8(bytes).map_err(|_| damaged())?;
    let mut lines = text.lines();
    let format = lines.next().and_then(|line| line.strip_prefix("storage-fs format ")).ok_or_else(damaged)?;
    let format: u32 = format.parse().map_err(|_| damaged())?;
    if format > FORMAT {
        let message = format!(
            "the store has format {format} > {FORMAT}, the newest this version reads; use a newer version"
        );
        return Err(failure(ErrorKind::Config, message));
    }
    let seed = lines.next().and_then(|line| line.strip_prefix("seed ")).ok_or_else(damaged)?;
    let seed = u64::from_str_radix(seed, 16).map_err(|_| damaged())?;
    if text == format_text(format, seed) { Ok(seed) } else { Err(damaged()) }
}

fn format_text(format: u32, seed: u64) -> String {
    let body = format!("storage-fs format {format}\nseed {seed:016x}\n");
    format!("{body}check {:016x}\n", xxh3_64(body.as_bytes()))
}

fn write_format(root: &Path) -> Result<u64> {
    let (seed, _) = uuid::Uuid::new_v4().as_u64_pair();
    let draft = root.join(FORMAT_DRAFT);
    let write = || -> io::Result<()> {
        let mut file = File::create(&draft)?;
        file.write_all(format_text(FORMAT, seed).as_bytes())?;
        file.sync_all()?;
        fs::rename(&draft, root.join(FORMAT_FILE))?;
        sync_folder(root)
    };
    write().map_err(|cause| io_error("the store's format file cannot be written", cause))?;
    Ok(seed)
}

/// Makes a folder below the root, or checks that what is there is one and no link to elsewhere.
fn make_folder(path: &Path) -> Result<()> {
    let what = "a folder of the store cannot be opened";
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err(failure(ErrorKind::Corrupted, format!("{} is not a folder", path.display()))),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
            fs::create_dir(path).map_err(|cause| io_error(what, cause))
        }
        Err(cause) => Err(io_error(what, cause)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind_of(result: Result<Directory>) -> ErrorKind {
        result.unwrap_err().kind()
    }

    #[test]
    fn a_new_directory_opens_again_with_its_seed_and_only_once_at_a_time() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("a/b");
        let first = Directory::open(&path).unwrap();
        assert_eq!(kind_of(Directory::open(&path)), ErrorKind::Locked);
        let seed = first.seed;
        drop(first);
        assert_eq!(Directory::open(&path).unwrap().seed, seed);
    }

    #[test]
    fn files_and_foreign_directories_are_refused_and_left_alone() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("file");
        fs::write(&file, "x").unwrap();
        assert_eq!(kind_of(Directory::open(&file)), ErrorKind::Config);
        assert_eq!(kind_of(Directory::open(&file.join("below"))), ErrorKind::Config);
        assert_eq!(kind_of(Directory::open(temp.path())), ErrorKind::Corrupted);
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_interrupted_creation_is_finished() {
        let temp = tempfile::tempdir().unwrap();
        fs::write(temp.path().join(FORMAT_DRAFT), "storage").unwrap();
        fs::write(temp.path().join(LOCK_FILE), "").unwrap();
        assert!(Directory::open(temp.path()).is_ok());
    }

    #[test]
    fn a_newer_format_is_named_and_a_damaged_format_file_is_corrupted() {
        for (text, kind) in [
            (format_text(2, 7), ErrorKind::Config),
            ("storage-fs format 2\nanything else".into(), ErrorKind::Config),
            (String::new(), ErrorKind::Corrupted),
            ("storage-fs format 1\nseed 7\n".into(), ErrorKind::Corrupted),
            (format_text(1, 7).replace("seed 0", "seed 1"), ErrorKind::Corrupted),
        ] {
            let temp = tempfile::tempdir().unwrap();
            fs::write(temp.path().join(FORMAT_FILE), &text).unwrap();
            let error = Directory::open(temp.path()).unwrap_err();
            assert_eq!(error.kind(), kind, "{text:?}: {error}");
            assert_eq!(fs::read_to_string(temp.path().join(FORMAT_FILE)).unwrap(), text);
        }
    }

    #[test]
    fn a_link_planted_below_the_root_is_not_followed() {
        let temp = tempfile::tempdir().unwrap();
        let (root, outside) = (temp.path().join("store"), temp.path().join("outside"));
        drop(Directory::open(&root).unwrap());
        fs::create_dir(&outside).unwrap();
        fs::remove_dir(root.join("blobs")).unwrap();
        std::os::unix::fs::symlink(&outside, root.join("blobs")).unwrap();
        assert_eq!(kind_of(Directory::open(&root)), ErrorKind::Corrupted);
    }
}
