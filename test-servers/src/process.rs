//! Child processes that do not outlive this one.

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

/// A process that ends with its handle, or with this process if that ends first.
#[derive(Debug)]
pub(crate) struct Process {
    keeper: Child,
    pid: Pid,
}

/// Starts the program, says its id, and waits for a line on its input. If the input ends without one, this process is
/// gone and so is its right to the directory. The signals of a terminal are for the tests, not for their servers.
const KEEPER: &str = r#"
directory=$1; shift
trap '' INT HUP TERM
"$@" >>"$directory/output" 2>&1 </dev/null &
echo $!
read -r _; told=$?
kill -9 $! 2>/dev/null
wait
[ $told -eq 0 ] || rm -rf "$directory"
"#;

impl Process {
    /// Starts a program in `directory`; what it prints is added to the file `output` there.
    pub(crate) fn start<A: AsRef<OsStr>>(
        program: &Path,
        arguments: impl IntoIterator<Item = A>,
        directory: &Path,
    ) -> Self {
        let mut keeper = Command::new("sh")
            .args(["-c", KEEPER, "keeper"])
            .arg(directory)
            .arg(program)
            .args(arguments)
            .current_dir(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell can be started");
        let mut line = String::new();
        let said = BufReader::new(keeper.stdout.as_mut().expect("the output is piped")).read_line(&mut line);
        said.expect("the keeper says the id of the program");
        let pid = line.trim().parse().ok().and_then(Pid::from_raw).expect("a process has an id");
        Self { keeper, pid }
    }

    /// The id of the program.
    pub(crate) fn id(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Holds the program as it is: it keeps its connections and answers nothing.
    pub(crate) fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets a paused program go on.
    pub(crate) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Asks the program to end in order.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Sends the signal that a terminal sends for an interruption.
    pub(crate) fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    /// Sends the signal that a terminal sends for quitting.
    pub(crate) fn quit(&self) {
        self.signal(Signal::QUIT);
    }

    /// Whether the program has not ended. Until its keeper has ended, the system keeps it as a zombie.
    pub(crate) fn is_alive(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id())).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with('Z'))
    }

    /// The id stays the program's own until its keeper has ended, so that no stranger is ever signalled.
    fn signal(&self, signal: Signal) {
        kill_process(self.pid, signal).expect("the program can be signalled");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The keeper kills the program outright.
        if let Some(mut input) = self.keeper.stdin.take() {
            let _told = input.write_all(b"stop\n");
        }
        let _status = self.keeper.wait();
    }
}
