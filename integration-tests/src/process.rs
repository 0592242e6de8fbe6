//! Child processes: their lines, and their end.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::protocol::{Job, Line};

/// A child that says nothing for this long hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A child at work. It is killed when dropped.
#[derive(Debug)]
pub struct Child {
    process: std::process::Child,
    lines: Receiver<Line>,
    errors: Option<JoinHandle<String>>,
}

impl Child {
    /// Starts `program` on a job.
    pub fn start(program: &str, job: &Job) -> Self {
        Self::start_with(&[], program, job)
    }

    /// Starts `program` on a job under another program, such as `strace` with its arguments.
    pub fn start_with(wrapper: &[&str], program: &str, job: &Job) -> Self {
        let job = serde_json::to_string(job).expect("jobs are JSON");
        let line: Vec<&str> = wrapper.iter().copied().chain([program, "child", &job]).collect();
        let (first, rest) = line.split_first().expect("the line holds the program");
        let mut process = Command::new(first)
            .args(rest)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{first} cannot be started: {error}"));
        let (sender, lines) = channel();
        let out = process.stdout.take().expect("the output is a pipe");
        thread::spawn(move || {
            for line in BufReader::new(out).split(b'\n').map_while(Result::ok) {
                // The last line may be cut off by the kill: what did not leave the child was not said.
                let Ok(line) = serde_json::from_slice(&line) else { break };
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let mut err = process.stderr.take().expect("the errors are a pipe");
        let errors = thread::spawn(move || {
            let mut text = Vec::new();
            drop(err.read_to_end(&mut text));
            String::from_utf8_lossy(&text).into_owned()
        });
        Self { process, lines, errors: Some(errors) }
    }

    /// The next line; `None` once the child has ended.
    pub fn line(&mut self) -> Option<Line> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => {
                self.kill();
                panic!("the child hangs: {}", self.errors());
            }
        }
    }

    /// The next line if it comes within `time`, else an error; `None` once the child has ended.
    pub fn line_within(&self, time: Duration) -> Option<Result<Line, ()>> {
        match self.lines.recv_timeout(time) {
            Ok(line) => Some(Ok(line)),
            Err(RecvTimeoutError::Timeout) => Some(Err(())),
            Err(RecvTimeoutError::Disconnected) => None,
        }
    }

    /// Kills the child with signal 9, and waits until it is gone.
    pub fn kill(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }

    /// Ends the child's input, which asks it to come to an end.
    pub fn end_input(&mut self) {
        drop(self.process.stdin.take());
    }

    /// Waits for the end of the child.
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.process.try_wait().expect("the child can be waited for") {
                return status;
            }
            if Instant::now() > deadline {
                self.kill();
                panic!("the child does not end: {}", self.errors());
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// What the child wrote to its standard error, once it has ended.
    pub fn errors(&mut self) -> String {
        self.errors.take().map(|thread| thread.join().unwrap_or_default()).unwrap_or_default()
    }

    /// The number of the process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}
