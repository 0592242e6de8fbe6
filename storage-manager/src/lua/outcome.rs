//! How a script ended.

use std::{fmt, sync::Arc, time::Duration};

use mlua::Error;

use crate::script::{ScriptResult, ScriptValue};

/// How a script ended. In every case its machine is gone and its handles are released.
#[derive(Debug)]
pub enum Outcome {
    /// The script ran to its end and returned these values, or something that no [`ScriptValue`] is, or too much: `INVALID`,
    /// naming the place, where `value[2].run` is the member `run` of the second value. At most 64 values are taken, which
    /// share the default [`ScriptLimits`](crate::script::ScriptLimits).
    Finished(ScriptResult<Vec<ScriptValue>>),
    /// The script raised an error, or is no Lua at all.
    Raised(RaisedError),
    /// The script reached a limit.
    Stopped(Limit),
}

/// A limit that stopped a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// It ran longer than this.
    Time(Duration),
    /// It wanted more than this many bytes.
    Memory(usize),
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time(time) => write!(f, "the script was stopped after its {time:?}"),
            Self::Memory(bytes) => write!(f, "the script was stopped at its memory limit of {bytes} bytes"),
        }
    }
}

/// An error that a script raised and did not catch.
#[derive(Debug)]
pub struct RaisedError {
    script: String,
    line: Option<u32>,
    message: String,
}

/// The most bytes of a message that are kept. A script may raise an error of any size.
const MOST_MESSAGE: usize = 16 << 10;

impl RaisedError {
    /// Understands the error of a script called `script`, known to the interpreter as `chunk`.
    pub(crate) fn new(script: String, chunk: &str, error: &Error) -> Self {
        let (message, trace) = explain(error);
        let line = line_of(chunk, &message).or_else(|| line_of(chunk, &trace));
        let message = message.get(..message.floor_char_boundary(MOST_MESSAGE)).unwrap_or_default().to_owned();
        Self { script, line, message }
    }

    /// The name of the script.
    pub fn script(&self) -> &str {
        &self.script
    }

    /// The line of the script that raised the error, from 1 on, if the interpreter knows it.
    pub const fn line(&self) -> Option<u32> {
        self.line
    }

    /// What the script or the interpreter said, at most 16 KiB of it.
    pub fn message(&self) -> &str {
        &self.message
    }
}

/// The message, with the script and the line in front where it does not say them itself.
impl fmt::Display for RaisedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) if !self.message.contains(&format!(":{line}:")) => {
                write!(f, "{}:{line}: {}", self.script, self.message)
            }
            None => write!(f, "{}: {}", self.script, self.message),
            Some(_) => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for RaisedError {}

/// Whether the interpreter ran out of memory.
pub(crate) fn is_out_of_memory(error: &Error) -> bool {
    matches!(root(error), Error::MemoryError(_))
}

/// What was raised first: each call of the host that an error passes through wraps it.
fn root(error: &Error) -> &Error {
    match error {
        Error::CallbackError { cause, .. } | Error::WithContext { cause, .. } => root(cause),
        _ => error,
    }
}

/// The message of an error, and where it came through.
fn explain(error: &Error) -> (String, String) {
    let text = match root(error) {
        Error::RuntimeError(text) | Error::SyntaxError { message: text, .. } => text.clone(),
        other => other.to_string(),
    };
    let (message, own_trace) = match text.split_once("\nstack traceback:") {
        Some((message, trace)) => (message.to_owned(), trace.to_owned()),
        None => (text, String::new()),
    };
    (message, outermost_trace(error).map_or(own_trace, str::to_owned))
}

fn outermost_trace(error: &Error) -> Option<&str> {
    match error {
        Error::CallbackError { traceback, .. } => Some(traceback),
        Error::WithContext { cause, .. } => outermost_trace(Arc::as_ref(cause)),
        _ => None,
    }
}

/// The number behind the first `chunk:` of `text` that has one.
fn line_of(chunk: &str, text: &str) -> Option<u32> {
    text.match_indices(chunk).find_map(|(at, name)| {
        let behind = text.get(at + name.len()..)?.strip_prefix(':')?;
        let digits = behind.find(|c: char| !c.is_ascii_digit()).unwrap_or(behind.len());
        behind.get(..digits)?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_found_behind_the_name_of_the_script() {
        for (text, line) in [
            ("a.lua:3: no", Some(3)),
            ("a.lua: a.lua:12: no", Some(12)),
            ("[C]: in ?\n\ta.lua:7: in main chunk", Some(7)),
            ("a.lua:x", None),
            ("b.lua:3:", None),
            ("", None),
        ] {
            assert_eq!(line_of("a.lua", text), line, "{text:?}");
        }
    }

    #[test]
    fn a_message_of_any_size_is_cut_between_characters() {
        let error = RaisedError::new("a".into(), "a", &Error::runtime("é".repeat(MOST_MESSAGE)));
        assert_eq!(error.message().len(), MOST_MESSAGE);
    }
}
