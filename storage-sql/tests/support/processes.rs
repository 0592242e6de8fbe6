//! Tests that need a second process: the test program starts itself again.

use std::{
    io::{BufRead, BufReader},
    process::{Child, ChildStdout, Command, Stdio},
};

const ARGUMENT: &str = "SQL_TEST_CHILD";

/// A child that is killed, as `kill -9` does, when this is dropped.
pub(crate) struct Process {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Process {
    /// Runs one ignored test of this program in a process of its own.
    pub(crate) fn start(test: &str, argument: &str) -> Self {
        Self::run(Command::new(std::env::current_exe().unwrap()), test, argument)
    }

    /// The same under `strace`, which makes every sync of a thread fail from the `nth` on.
    pub(crate) fn start_with_failing_syncs(test: &str, argument: &str, nth: u32) -> Self {
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync", "-e"]);
        strace.arg(format!("inject=fsync,fdatasync:error=EIO:when={nth}+"));
        strace.arg(std::env::current_exe().unwrap());
        Self::run(strace, test, argument)
    }

    fn run(mut command: Command, test: &str, argument: &str) -> Self {
        let mut child = command
            .args([test, "--exact", "--nocapture", "--ignored"])
            .env(ARGUMENT, argument)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// The next line that begins with `word`, without it; `None` once the child is gone.
    pub(crate) fn next(&mut self, word: &str) -> Option<String> {
        self.lines.by_ref().map_while(Result::ok).find_map(|line| {
            // The harness of the child's test writes into the same stream, before its first line.
            let at = line.find(word)?;
            Some(line[at + word.len()..].trim().to_owned())
        })
    }

    /// The next line; `None` once the child is gone.
    pub(crate) fn next_line(&mut self) -> Option<String> {
        self.lines.next()?.ok()
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn succeeded(&mut self) -> bool {
        self.child.wait().unwrap().success()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What the parent said; `None` if the test was started by hand.
pub(crate) fn argument() -> Option<String> {
    std::env::var(ARGUMENT).ok()
}
