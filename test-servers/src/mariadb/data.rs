//! The files of a new server: made once, and copied for every server after that, because making them takes seconds.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{Unavailable, redis::server::installed};

/// Makes `directory` the data directory of a new server.
pub(super) fn fill(directory: &Path) -> Result<(), Unavailable> {
    copy(&template()?, directory).expect("the files of a new server can be copied");
    Ok(())
}

/// Whether servers run as the system's administrator here, which they want to be told.
pub(super) fn is_root() -> bool {
    rustix::process::getuid().is_root()
}

/// The directory that new servers begin with. Whoever finishes it first gives it its name; the others use that one.
fn template() -> Result<PathBuf, Unavailable> {
    let template = env::temp_dir().join(format!("test-servers-mariadb-{}", installation()?));
    if template.exists() {
        return Ok(template);
    }
    let unfinished = tempfile::Builder::new().prefix("test-servers-mariadb-").tempdir();
    let unfinished = unfinished.expect("a scratch directory can be made");
    install(&installed("mariadb-install-db")?, &unfinished.path().join("data"));
    match fs::rename(unfinished.path().join("data"), &template) {
        Err(error) if !template.exists() => panic!("the files of a new server cannot be kept: {error}"),
        _ => Ok(template),
    }
}

/// What the template depends on: the user who owns it, and the program that must understand it.
fn installation() -> Result<String, Unavailable> {
    let program = Command::new(installed("mariadbd")?).arg("--version").output();
    let text = program.expect("the server says its version").stdout;
    // Such as `mariadbd  Ver 10.11.6-MariaDB for debian-linux-gnu`.
    let text = String::from_utf8_lossy(&text);
    let version = text.split_whitespace().skip_while(|word| *word != "Ver").nth(1).unwrap_or("unknown");
    let version: String = version.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '.').collect();
    Ok(format!("{}-{version}", rustix::process::getuid().as_raw()))
}

fn install(program: &Path, directory: &Path) {
    let mut command = Command::new(program);
    command.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"]);
    command.args(["--skip-name-resolve", "--innodb-log-file-size=16M"]);
    command.arg(format!("--datadir={}", directory.display()));
    if is_root() {
        command.arg("--user=root");
    }
    let output = command.output().expect("mariadb-install-db can be started");
    assert!(output.status.success(), "mariadb-install-db fails: {}", String::from_utf8_lossy(&output.stderr));
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
