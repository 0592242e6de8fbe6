//! A directory of its own to run the binary in.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

/// An empty directory that is the working directory of every run; the default store lies in it.
#[derive(Debug)]
pub(crate) struct Sandbox {
    temp: TempDir,
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        Self { temp: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.temp.path().join(name)
    }

    /// Writes a file and the directories above it.
    pub(crate) fn write(&self, name: impl AsRef<Path>, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// The binary, ready to be started here.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_storage"));
        command.args(arguments).current_dir(self.temp.path()).env_remove("STORAGE_URL").stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Answer {
        Answer::of(&self.command(arguments).output().unwrap(), arguments)
    }

    pub(crate) fn run_with_input(&self, arguments: &[&str], input: &[u8]) -> Answer {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A command that refuses its arguments does not read.
        let _ = child.stdin.take().unwrap().write_all(input);
        Answer::of(&child.wait_with_output().unwrap(), arguments)
    }

    /// Runs a command that must succeed, and gives its standard output.
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let answer = self.run(arguments);
        assert_eq!(answer.status, 0, "{answer:?}");
        answer.out
    }

    /// Runs a command with `--json` that must succeed, and gives its one document.
    pub(crate) fn document(&self, arguments: &[&str]) -> Value {
        let out = self.ok(&[&["--json"], arguments].concat());
        assert_eq!(out.lines().count(), 1, "one document on one line: {out}");
        serde_json::from_str(&out).unwrap()
    }

    /// Runs a command that must fail, once for people and once for programs.
    pub(crate) fn fails(&self, arguments: &[&str]) -> Failed {
        let for_people = self.run(arguments);
        let for_programs = self.run(&[&["--json"], arguments].concat());
        assert_eq!(for_people.status, for_programs.status, "{for_people:?} {for_programs:?}");
        assert_eq!((for_people.out.as_str(), for_programs.out.as_str()), ("", ""), "no answer on failure");
        assert!(for_people.err.starts_with("error: "), "{for_people:?}");
        assert!(!for_people.err.contains("panicked"), "{for_people:?}");
        let document: Value = serde_json::from_str(&for_programs.err).expect(&for_programs.err);
        let error = document["error"].clone();
        let kind = error["kind"].as_str().unwrap().to_owned();
        Failed { status: for_people.status, kind, text: for_people.err, error }
    }
}

/// What a run of the binary gave.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: i32,
    pub(crate) bytes: Vec<u8>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Answer {
    fn of(output: &Output, arguments: &[&str]) -> Self {
        Self {
            status: output
                .status
                .code()
                .unwrap_or_else(|| panic!("{arguments:?} ended by a signal: {output:?}")),
            bytes: output.stdout.clone(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// How a command failed.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) status: i32,
    pub(crate) kind: String,
    /// For people.
    pub(crate) text: String,
    /// For programs.
    pub(crate) error: Value,
}

impl Failed {
    /// Checks exit status and kind, and that both forms say `why`.
    #[track_caller]
    pub(crate) fn is(&self, status: i32, kind: &str, why: &str) {
        assert_eq!((self.status, self.kind.as_str()), (status, kind), "{self:?}");
        assert!(self.text.contains(why), "the text does not say {why:?}: {self:?}");
        assert!(
            self.error.to_string().contains(&why.replace('"', "\\\"")),
            "the JSON does not say {why:?}: {self:?}"
        );
    }
}

/// Waits until `done`, for at most a minute.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < deadline, "{what} did not happen in time");
        std::thread::sleep(Duration::from_millis(10));
    }
}
