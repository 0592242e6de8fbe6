//! Starts a process for a script and judges how it ended.

use std::{
    env, fmt, fs,
    io::Read,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::{MEMORY, TIMEOUT_MS, child::SCRIPT};

/// How long a process may live.
const WATCHDOG: Duration = Duration::from_secs(4);

/// How long a script may go on after its deadline.
const GRACE_MS: u64 = 50;

/// What the process needs beside the script's memory: the interpreter, a line, a message.
const OVERHEAD: usize = 12 << 20;

/// What the fault of a script ends with that was stopped, but not in time.
pub(crate) const LATE: &str = ", which is late";

/// A script, and how it may end.
pub(crate) struct Abuse {
    pub(crate) name: String,
    path: PathBuf,
    endings: Vec<String>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// By itself, with this report.
    Reported(String),
    /// By the watchdog.
    Killed,
}

pub(crate) struct Run {
    pub(crate) name: String,
    pub(crate) ending: Ending,
    endings: Vec<String>,
}

/// Every file of the folder. Its first line says how the script may end.
pub(crate) fn scripts() -> Vec<Abuse> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lua_abuse/scripts");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.map(Abuse::read).collect()
}

/// Whether there is a script of this name.
#[cfg(feature = "lua54")]
pub(crate) fn exists(name: &str) -> bool {
    scripts().iter().any(|script| script.name == name)
}

impl Abuse {
    fn read(path: PathBuf) -> Self {
        let source = fs::read(&path).unwrap();
        let first = String::from_utf8_lossy(source.split(|byte| *byte == b'\n').next().unwrap()).into_owned();
        let endings =
            first.strip_prefix("-- ends: ").unwrap_or_else(|| panic!("{path:?} does not say how it ends"));
        let endings = endings.split(' ').map(str::to_owned).collect();
        Self { name: path.file_stem().unwrap().to_str().unwrap().to_owned(), path, endings }
    }

    pub(crate) fn run(self) -> Run {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["child::child", "--exact", "--nocapture"]).env(SCRIPT, &self.path);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        Run { name: self.name, ending: wait(child), endings: self.endings }
    }
}

fn wait(mut child: Child) -> Ending {
    let mut output = child.stdout.take().unwrap();
    let reader = thread::spawn(move || {
        let mut text = Vec::new();
        output.read_to_end(&mut text).unwrap();
        String::from_utf8_lossy(&text).into_owned()
    });
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > WATCHDOG {
            child.kill().unwrap();
            child.wait().unwrap();
            return Ending::Killed;
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ending::Reported(reader.join().unwrap())
}

impl Run {
    /// What went wrong, in words.
    pub(crate) fn faults(&self) -> Vec<String> {
        let Ending::Reported(report) = &self.ending else { return Vec::new() };
        let mut faults = Vec::new();
        let mut fault = |what: String| faults.push(format!("{}: {what}", self.name));
        match field(report, "ending") {
            None => fault(format!("the process ended early: {report}")),
            Some(ending) if !self.endings.iter().any(|allowed| allowed == ending) => {
                fault(format!("ended with {ending}: {}", field(report, "message").unwrap_or_default()));
            }
            Some(_) => {}
        }
        if report.contains("ESCAPED") {
            fault(report.clone());
        }
        if field(report, "clean").is_some_and(|clean| clean != "true") {
            fault("the next script sees traces of this one".into());
        }
        let (memory, late) = (number(report, "memory"), number(report, "late"));
        if memory.is_some_and(|memory| memory > (MEMORY + OVERHEAD) as u64) {
            fault(format!("took {memory:?} bytes of {MEMORY}"));
        }
        if cfg!(feature = "luau") && late.is_some_and(|late| late > GRACE_MS) {
            fault(format!("went on for {late:?} ms after its {TIMEOUT_MS}{LATE}"));
        }
        faults
    }
}

/// One line of a table.
impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ending::Reported(report) = &self.ending else { return write!(f, "{:34} KILLED", self.name) };
        let get = |name| field(report, name).unwrap_or("?");
        let megabytes = number(report, "memory").unwrap_or_default() >> 20;
        let late = field(report, "late").unwrap_or("-");
        let millis = get("millis");
        write!(f, "{:34} {:8} {millis:>5} ms {late:>3} late {megabytes:>3} MiB", self.name, get("ending"))
    }
}

fn field<'r>(report: &'r str, name: &str) -> Option<&'r str> {
    report.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

fn number(report: &str, name: &str) -> Option<u64> {
    field(report, name)?.parse().ok()
}
