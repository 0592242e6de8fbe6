//! Room on the disk.

use std::path::Path;

/// Bytes that this process may still write beside `file`; `None` if the system does not say.
pub(super) fn free_bytes(file: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(file).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// The size of the write-ahead log of `file`, in bytes.
pub(super) fn log_bytes(file: &Path) -> u64 {
    let mut name = file.as_os_str().to_owned();
    name.push("-wal");
    std::fs::metadata(name).map_or(0, |log| log.len())
}
