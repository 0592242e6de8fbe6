//! The programs of an installation, and the user that may run them.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::Unavailable;

/// Where an installation keeps its programs.
#[derive(Debug, Clone)]
pub(super) struct Programs {
    directory: PathBuf,
    user: Option<User>,
}

/// Whom the programs run as: PostgreSQL refuses to run as root.
#[derive(Debug, Clone, Copy)]
struct User {
    id: u32,
    group: u32,
}

/// Debian keeps every version in a directory of its own, which is not on the path.
const VERSIONS: &str = "/usr/lib/postgresql";
const NAME: &str = "postgres";

impl Programs {
    /// Those on the path, or the newest of Debian's.
    pub(super) fn find() -> Result<Self, Unavailable> {
        let path = env::var_os("PATH").unwrap_or_default();
        let directory = env::split_paths(&path)
            .chain(newest_first(Path::new(VERSIONS)))
            .find(|directory| {
                ["initdb", "postgres", "psql"].iter().all(|name| directory.join(name).is_file())
            })
            .ok_or_else(|| Unavailable::new("PostgreSQL is not installed"))?;
        let root = rustix::process::getuid().is_root();
        let user = root.then(User::find).transpose()?;
        Ok(Self { directory, user })
    }

    /// The program and its first arguments, so that it runs as a user that it accepts.
    pub(super) fn command(&self, name: &str) -> (PathBuf, Vec<String>) {
        let program = self.directory.join(name);
        let Some(User { id, group }) = self.user else { return (program, Vec::new()) };
        let arguments = vec![
            format!("--reuid={id}"),
            format!("--regid={group}"),
            "--clear-groups".to_owned(),
            program.display().to_string(),
        ];
        ("setpriv".into(), arguments)
    }

    /// Hands a file or directory to the user.
    pub(super) fn hand_over(&self, path: &Path) {
        if let Some(User { id, group }) = self.user {
            std::os::unix::fs::chown(path, Some(id), Some(group)).expect("root gives its files away");
        }
    }
}

impl User {
    fn find() -> Result<Self, Unavailable> {
        let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let mut fields = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let found = fields.find(|fields| fields.first() == Some(&NAME));
        let number = |at: usize| found.as_ref()?.get(at)?.parse().ok();
        match (number(2), number(3)) {
            (Some(id), Some(group)) => Ok(Self { id, group }),
            _ => Err(Unavailable::new("PostgreSQL does not run as root, and there is no user postgres")),
        }
    }
}

fn newest_first(versions: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(versions).into_iter().flatten().flatten();
    let mut found: Vec<_> = entries
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path())))
        .collect();
    found.sort_unstable();
    found.into_iter().rev().map(|(_, path)| path.join("bin"))
}

/// Runs a program to its end and answers what it printed.
pub(super) fn run((program, arguments): (PathBuf, Vec<String>), more: &[&str]) -> Result<String, String> {
    let output = Command::new(&program)
        .args(arguments)
        .args(more)
        .current_dir("/")
        .env_remove("PGPASSWORD")
        .output()
        .map_err(|error| format!("{}: {error}", program.display()))?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).trim_end().to_owned();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}
