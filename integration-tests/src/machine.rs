//! What the machine under the tests can be made to do: small disks, disks that lose their power, failing system calls.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, OnceLock, PoisonError},
};

use tempfile::TempDir;

/// Runs a program and returns its output, or what it wrote to standard error if it fails.
fn command(line: &[&str]) -> Result<String, String> {
    let (program, arguments) = line.split_first().expect("the line holds a program");
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    Err(format!("{}: {}", line.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
}

/// Says loudly that a test cannot run on this machine, or fails if `REQUIRE_BACKENDS=1` asks for all of them.
pub fn unavailable(what: &str, why: &str) {
    let message = format!("NOT TESTED: {what} needs what this machine does not offer: {why}");
    assert!(env::var_os("REQUIRE_BACKENDS").is_none_or(|value| value != "1"), "{message}");
    eprintln!("{message}");
}

/// A mounted disk of its own, unmounted when dropped.
#[derive(Debug)]
pub struct Mount {
    folder: TempDir,
    image: Option<Image>,
}

/// The file behind a disk, and the device that stands for it.
#[derive(Debug)]
struct Image {
    file: PathBuf,
    device: Mutex<String>,
}

impl Mount {
    /// A disk of `bytes` in memory.
    ///
    /// # Errors
    /// Why it cannot be mounted.
    pub fn in_memory(bytes: u64) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let size = format!("size={bytes}");
        command(&["mount", "-t", "tmpfs", "-o", &size, "tmpfs", text(folder.path())])?;
        Ok(Self { folder, image: None })
    }

    /// A disk with an ext4 file system in the file `image`, which is made with `bytes` if it is not there.
    ///
    /// # Errors
    /// Why it cannot be mounted.
    pub fn ext4(image: &Path, bytes: u64) -> Result<Self, String> {
        if !image.exists() {
            let file = fs::File::create(image).map_err(|error| error.to_string())?;
            file.set_len(bytes).map_err(|error| error.to_string())?;
            command(&["mkfs.ext4", "-q", text(image)])?;
        }
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let device = attach(image, folder.path())?;
        let image = Image { file: image.to_owned(), device: Mutex::new(device) };
        Ok(Self { folder, image: Some(image) })
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Makes the disk read-only, or writable again.
    ///
    /// # Errors
    /// Why it cannot be remounted.
    pub fn set_read_only(&self, read_only: bool) -> Result<(), String> {
        let how = if read_only { "remount,ro" } else { "remount,rw" };
        command(&["mount", "-o", how, text(self.path())]).map(drop)
    }

    /// Takes the disk away and puts it back, as a restart of the machine does.
    ///
    /// # Errors
    /// Why it cannot be mounted again.
    pub fn restart(&self) -> Result<(), String> {
        let image = self.image.as_ref().ok_or("only a disk with an image survives a restart")?;
        command(&["umount", text(self.path())])?;
        let mut device = image.device.lock().unwrap_or_else(PoisonError::into_inner);
        detach(&device);
        *device = attach(&image.file, self.path())?;
        Ok(())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if let Err(why) = command(&["umount", "-l", text(self.path())]) {
            eprintln!("{why}");
        }
        if let Some(image) = &self.image {
            detach(&image.device.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }
}

/// Mounts an image through a device of its own.
///
/// A device that was used before may still be held by a process with a name space of its own, which was started in between;
/// mounting that one again would give back the file system that had lost its power.
fn attach(image: &Path, folder: &Path) -> Result<String, String> {
    let device = command(&["losetup", "--find", "--show", text(image)])?;
    match command(&["mount", &device, text(folder)]) {
        Ok(_) => Ok(device),
        Err(why) => {
            detach(&device);
            Err(why)
        }
    }
}

fn detach(device: &str) {
    if let Err(why) = command(&["losetup", "--detach", device]) {
        eprintln!("{why}");
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("scratch folders have plain names")
}

/// Cuts the power of a mounted disk: what was not synced is lost, and every call fails from then on.
#[derive(Debug, Clone, Copy)]
pub struct PowerSwitch;

impl PowerSwitch {
    /// The control code of ext4 and XFS that ends a file system at once, without writing its log. Perl is on every
    /// Debian, and its `ioctl` spares this project a line of unsafe code.
    const SCRIPT: &'static str = r#"open(my $d, "<", $ARGV[0]) or die $!; my $how = pack("L", 2); ioctl($d, 0x8004587D, $how) or die $!"#;

    /// Cuts the power.
    ///
    /// # Errors
    /// Why it cannot be cut.
    pub fn cut(mount: &Mount) -> Result<(), String> {
        command(&["perl", "-e", Self::SCRIPT, text(mount.path())]).map(drop)
    }
}

/// Whether this process may mount disks.
///
/// # Errors
/// Why not.
pub fn can_mount() -> Result<(), String> {
    static ANSWER: OnceLock<Result<(), String>> = OnceLock::new();
    ANSWER.get_or_init(|| Mount::in_memory(1 << 20).map(drop)).clone()
}

/// Whether this process may trace its children.
///
/// # Errors
/// Why not.
pub fn can_trace() -> Result<(), String> {
    static ANSWER: OnceLock<Result<(), String>> = OnceLock::new();
    ANSWER.get_or_init(|| command(&["strace", "-qq", "-o", "/dev/null", "true"]).map(drop)).clone()
}
