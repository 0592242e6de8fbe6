//! Large payloads in files of their own.
//!
//! A file is written under a temporary name, synced, renamed, and its folder synced, all before the record that names it is
//! committed; it is removed after the commit that replaced it. What an interrupted save leaves behind is swept at opening.
//! Names are made of numbers alone, never of keys.

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::Sender,
    },
};

use bytes::Bytes;
use storage_core::{ErrorKind, Result, StorageError};
use xxhash_rust::xxh3::xxh3_128;

use crate::{
    directory::sync_folder,
    error::{failure, io_error},
};

const DRAFT_SUFFIX: &str = ".new";

/// The name of a payload file: the opening of the store that wrote it, and a number within that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct BlobId {
    pub(crate) session: u32,
    pub(crate) number: u64,
}

impl BlobId {
    pub(crate) fn to_bytes(self) -> [u8; 12] {
        let mut bytes = [0; 12];
        let (session, number) = bytes.split_at_mut(4);
        session.copy_from_slice(&self.session.to_be_bytes());
        number.copy_from_slice(&self.number.to_be_bytes());
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (session, number) = bytes.split_first_chunk::<4>()?;
        Some(Self {
            session: u32::from_be_bytes(*session),
            number: u64::from_be_bytes(number.try_into().ok()?),
        })
    }

    fn of_file(name: &str) -> Option<Self> {
        let (session, number) = name.split_once('-')?;
        let id = Self {
            session: u32::from_str_radix(session, 16).ok()?,
            number: u64::from_str_radix(number, 16).ok()?,
        };
        (id.to_string() == name).then_some(id)
    }
}

impl fmt::Display for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}-{:016x}", self.session, self.number)
    }
}

/// What a record says of its payload file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlobRef {
    pub(crate) id: BlobId,
    /// XXH3-128 of the content.
    pub(crate) checksum: u128,
}

/// Why a payload file could not be read.
#[derive(Debug)]
pub(crate) enum Unread {
    /// There is none: removed by a later save, or lost.
    Missing,
    /// Its content is not what was written.
    Damaged,
    Failed(io::Error),
}

impl Unread {
    pub(crate) fn into_error(self) -> StorageError {
        match self {
            Self::Missing => failure(ErrorKind::Corrupted, "the payload file of the item is missing"),
            Self::Damaged => failure(ErrorKind::Corrupted, "the payload file of the item is damaged"),
            Self::Failed(cause) => io_error("the payload file of the item cannot be read", cause),
        }
    }
}

/// The folder of payload files.
#[derive(Debug)]
pub(crate) struct Blobs {
    folder: PathBuf,
    session: u32,
    next: AtomicU64,
    // Removal is left to a thread of its own, because whoever gives a file up may be an async worker.
    removals: Mutex<Option<Sender<BlobId>>>,
}

impl Blobs {
    pub(crate) fn new(folder: PathBuf, session: u32, removals: Sender<BlobId>) -> Self {
        Self { folder, session, next: AtomicU64::new(0), removals: Mutex::new(Some(removals)) }
    }

    /// Writes a payload so that it survives a power cut. Blocks.
    ///
    /// The file is removed again unless the returned guard is told to keep it.
    pub(crate) fn write(self: &Arc<Self>, data: &[u8]) -> io::Result<NewBlob> {
        let id = BlobId { session: self.session, number: self.next.fetch_add(1, Ordering::Relaxed) };
        let path = path(&self.folder, id);
        let draft = path.with_extension(DRAFT_SUFFIX.trim_start_matches('.'));
        let written = write_synced(&draft, &path, data).and_then(|()| sync_folder(&self.folder));
        if let Err(cause) = written {
            // Whatever is left is swept at the next opening; the failure of the write is what the caller must hear of.
            drop(fs::remove_file(&draft).or_else(|_| fs::remove_file(&path)));
            return Err(cause);
        }
        let blob = BlobRef { id, checksum: xxh3_128(data) };
        Ok(NewBlob { blob, owner: Some(Arc::clone(self)) })
    }

    /// Reads a payload of `size` bytes and checks it. Blocks.
    pub(crate) fn read(&self, blob: BlobRef, size: u64) -> std::result::Result<Bytes, Unread> {
        read(&self.folder, blob, size)
    }

    /// Removes a file that no record names any more, some time soon.
    pub(crate) fn give_up(&self, id: BlobId) {
        if let Some(removals) = &*self.removals.lock().unwrap_or_else(PoisonError::into_inner) {
            // Without its thread the store is closing; the file is then swept at the next opening.
            removals.send(id).unwrap_or_default();
        }
    }

    /// Lets the thread end that removes files, once it has removed what it was given.
    pub(crate) fn stop_removals(&self) {
        self.removals.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// A payload file that no record names yet; removed when dropped.
#[derive(Debug)]
pub(crate) struct NewBlob {
    pub(crate) blob: BlobRef,
    owner: Option<Arc<Blobs>>,
}

impl NewBlob {
    /// Leaves the file where it is: a record names it, or may do so.
    pub(crate) fn keep(&mut self) {
        self.owner = None;
    }
}

impl Drop for NewBlob {
    fn drop(&mut self) {
        if let Some(owner) = self.owner.take() {
            owner.give_up(self.blob.id);
        }
    }
}

fn path(folder: &Path, id: BlobId) -> PathBuf {
    folder.join(id.to_string())
}

fn write_synced(draft: &Path, path: &Path, data: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(draft)?;
    file.write_all(data)?;
    file.sync_all()?;
    fs::rename(draft, path)
}

pub(crate) fn read(folder: &Path, blob: BlobRef, size: u64) -> std::result::Result<Bytes, Unread> {
    let flags = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(path(folder, blob.id));
    let is_link = |cause: &io::Error| cause.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error());
    let file = opened.map_err(|cause| match cause.kind() {
        io::ErrorKind::NotFound => Unread::Missing,
        _ if is_link(&cause) => Unread::Damaged,
        _ => Unread::Failed(cause),
    })?;
    // The length is compared before memory is taken for it.
    if file.metadata().map_err(Unread::Failed)?.len() != size {
        return Err(Unread::Damaged);
    }
    let data = read_whole(file, size).map_err(Unread::Failed)?;
    if data.len() as u64 == size && xxh3_128(&data) == blob.checksum {
        Ok(data.into())
    } else {
        Err(Unread::Damaged)
    }
}

fn read_whole(file: File, size: u64) -> io::Result<Vec<u8>> {
    let mut data = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
    file.take(size).read_to_end(&mut data)?;
    Ok(data)
}

/// Removes a file; that it is gone already is no failure.
pub(crate) fn remove(folder: &Path, id: BlobId) -> io::Result<()> {
    match fs::remove_file(path(folder, id)) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(cause),
        _ => Ok(()),
    }
}

/// Removes what interrupted saves left in the folder and says how many files that were.
///
/// # Errors
/// Failures of the file system, and those of `is_named`, which says whether a record names a file.
pub(crate) fn sweep(folder: &Path, mut is_named: impl FnMut(BlobId) -> Result<bool>) -> Result<u64> {
    let what = "the folder of payload files cannot be swept";
    let mut removed = 0;
    for entry in fs::read_dir(folder).map_err(|cause| io_error(what, cause))? {
        let entry = entry.map_err(|cause| io_error(what, cause))?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let is_left_over = match name.strip_suffix(DRAFT_SUFFIX) {
            Some(draft) => BlobId::of_file(draft).is_some(),
            None => match BlobId::of_file(name) {
                Some(id) => !is_named(id)?,
                // Not ours: left alone.
                None => false,
            },
        };
        if is_left_over {
            match fs::remove_file(entry.path()) {
                Ok(()) => removed += 1,
                // A call that outlived its runtime may take its own file away at the same time.
                Err(cause) if cause.kind() == io::ErrorKind::NotFound => {}
                Err(cause) => return Err(io_error(what, cause)),
            }
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};

    use super::*;

    fn blobs(folder: &Path) -> (Arc<Blobs>, Receiver<BlobId>) {
        let (sender, receiver) = channel();
        (Arc::new(Blobs::new(folder.to_owned(), 3, sender)), receiver)
    }

    #[test]
    fn a_payload_reads_back_and_damage_is_noticed() {
        let temp = tempfile::tempdir().unwrap();
        let (blobs, _removals) = blobs(temp.path());
        let mut new = blobs.write(b"payload").unwrap();
        new.keep();
        assert_eq!(&blobs.read(new.blob, 7).unwrap()[..], b"payload");
        assert!(matches!(blobs.read(new.blob, 8), Err(Unread::Damaged)));
        let path = path(temp.path(), new.blob.id);
        fs::write(&path, b"paYload").unwrap();
        assert!(matches!(blobs.read(new.blob, 7), Err(Unread::Damaged)));
        fs::remove_file(&path).unwrap();
        assert!(matches!(blobs.read(new.blob, 7), Err(Unread::Missing)));
        std::os::unix::fs::symlink("/etc/hostname", &path).unwrap();
        assert!(matches!(blobs.read(new.blob, 7), Err(Unread::Damaged)));
    }

    #[test]
    fn a_file_that_is_not_kept_is_given_up() {
        let temp = tempfile::tempdir().unwrap();
        let (blobs, removals) = blobs(temp.path());
        let id = blobs.write(b"x").unwrap().blob.id;
        assert_eq!(removals.try_recv().unwrap(), id);
        remove(temp.path(), id).unwrap();
        remove(temp.path(), id).unwrap();
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0);
    }

    #[test]
    fn the_sweep_takes_drafts_and_unnamed_files_and_leaves_strangers() {
        let temp = tempfile::tempdir().unwrap();
        let (blobs, _removals) = blobs(temp.path());
        let (mut named, mut unnamed) = (blobs.write(b"a").unwrap(), blobs.write(b"b").unwrap());
        named.keep();
        unnamed.keep();
        fs::write(temp.path().join(format!("{}.new", unnamed.blob.id)), "").unwrap();
        fs::write(temp.path().join("README"), "").unwrap();
        assert_eq!(sweep(temp.path(), |id| Ok(id == named.blob.id)).unwrap(), 2);
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 2);
        assert_eq!(BlobId::from_bytes(&named.blob.id.to_bytes()), Some(named.blob.id));
    }
}
