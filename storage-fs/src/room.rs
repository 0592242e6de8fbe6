//! Keeps room on the disk for what must always go on: deletes, and the engine's own moving of data.
//!
//! The engine does not survive a full disk: a failed write ends its background work for good. So saves are refused before
//! that, and a few blocks are held in a file that is given back when even a delete has no room.

use std::{fs, io, path::PathBuf};

use storage_core::Result;

use crate::{
    config::FsConfig,
    directory::{Directory, no_links},
    error::io_error,
};

const KIB: u64 = 1_024;

/// What there is room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fits {
    Everything,
    /// Only what makes the store smaller.
    Deletes,
    Nothing,
}

/// The disk below a store.
#[derive(Debug)]
pub(crate) struct Room {
    root: PathBuf,
    reserve: PathBuf,
    reserve_bytes: u64,
    min_free: u64,
    /// Size of the disk in bytes.
    pub(crate) disk: u64,
}

impl Room {
    pub(crate) fn new(directory: &Directory, config: &FsConfig) -> Result<Self> {
        let root = directory.root().to_owned();
        let disk = statvfs(&root).map_err(|cause| io_error("the size of the disk cannot be read", cause))?.0;
        Ok(Self {
            reserve: directory.reserve(),
            reserve_bytes: (disk / 64).clamp(64 * KIB, 4_096 * KIB),
            min_free: config.min_free_space.min(disk / 4),
            root,
            disk,
        })
    }

    /// Free bytes of the disk.
    pub(crate) fn free(&self) -> io::Result<u64> {
        statvfs(&self.root).map(|(_, free)| free)
    }

    /// What there is room for, given what the engine still has to move to tables, what it may need for merging them, and
    /// what is about to be written.
    pub(crate) fn fits(&self, unflushed: u64, merging: u64, writing: u64) -> io::Result<Fits> {
        let free = self.free()?;
        // Written bytes stand in the journal first and in tables later.
        let growth = unflushed + 2 * writing;
        if free >= self.min_free.max(merging) + growth {
            return Ok(Fits::Everything);
        }
        if free >= 64 * KIB + growth { Ok(Fits::Deletes) } else { self.fits_with_reserve(writing) }
    }

    fn fits_with_reserve(&self, writing: u64) -> io::Result<Fits> {
        self.give_reserve()?;
        Ok(if self.free()? >= 16 * KIB + 2 * writing { Fits::Deletes } else { Fits::Nothing })
    }

    /// Whether room runs out for deletes too.
    pub(crate) fn is_tight(&self) -> bool {
        self.free().is_ok_and(|free| free < self.min_free / 2)
    }

    /// Whether a payload file of this size fits.
    pub(crate) fn fits_file(&self, size: u64) -> io::Result<bool> {
        Ok(self.free()? >= self.min_free + size)
    }

    /// Takes the reserve, if there is plenty of room for it. That it cannot be had is no failure.
    pub(crate) fn take_reserve(&self) -> io::Result<()> {
        if self.free()? < self.min_free + 2 * self.reserve_bytes || self.reserve_len()? >= self.reserve_bytes
        {
            return Ok(());
        }
        let file = no_links().create(true).truncate(false).write(true).open(&self.reserve)?;
        match rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, self.reserve_bytes) {
            // A file system without allocation ahead has no reserve.
            Err(rustix::io::Errno::OPNOTSUPP) | Ok(()) => Ok(()),
            Err(cause) => Err(cause.into()),
        }
    }

    fn reserve_len(&self) -> io::Result<u64> {
        match fs::symlink_metadata(&self.reserve) {
            Ok(found) => Ok(found.len()),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(cause) => Err(cause),
        }
    }

    fn give_reserve(&self) -> io::Result<()> {
        match no_links().write(true).open(&self.reserve) {
            Ok(file) => file.set_len(0),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(cause) => Err(cause),
        }
    }
}

/// Size and free bytes of the disk under a path.
fn statvfs(path: &std::path::Path) -> io::Result<(u64, u64)> {
    let found = rustix::fs::statvfs(path)?;
    Ok((found.f_blocks.saturating_mul(found.f_frsize), found.f_bavail.saturating_mul(found.f_frsize)))
}
