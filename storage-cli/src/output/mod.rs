//! What commands print: tables and sentences for people, JSON for programs.

pub(crate) mod human;
pub(crate) mod json;
pub(crate) mod table;

use std::io::{self, BufWriter, ErrorKind, Stdout, Write};

use serde::Serialize;

use crate::error::Failure;

/// Standard output.
///
/// Once its reader is gone (`storage search | head -1`), the rest is dropped quietly: the reader has what it wanted, and
/// the exit status still tells how the command itself went.
#[derive(Debug)]
pub(crate) struct Out {
    writer: BufWriter<Stdout>,
    reader_gone: bool,
    json: bool,
}

impl Out {
    pub(crate) fn new(json: bool) -> Self {
        Self { writer: BufWriter::with_capacity(64 * 1_024, io::stdout()), reader_gone: false, json }
    }

    /// Whether programs read the answer.
    pub(crate) const fn is_json(&self) -> bool {
        self.json
    }

    /// Whether nobody reads any more, so that a long answer may end here.
    pub(crate) const fn is_reader_gone(&self) -> bool {
        self.reader_gone
    }

    /// Writes bytes as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.attempt(|writer| writer.write_all(bytes))
    }

    /// Writes a line.
    pub(crate) fn line(&mut self, text: impl std::fmt::Display) -> Result<(), Failure> {
        self.attempt(|writer| writeln!(writer, "{text}"))
    }

    /// Writes a JSON document on a line of its own.
    pub(crate) fn document(&mut self, document: &impl Serialize) -> Result<(), Failure> {
        self.line(json::text(document)?)
    }

    /// Hands everything written so far to the reader.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        self.attempt(Write::flush)
    }

    fn attempt(
        &mut self,
        write: impl FnOnce(&mut BufWriter<Stdout>) -> io::Result<()>,
    ) -> Result<(), Failure> {
        if self.reader_gone {
            return Ok(());
        }
        match write(&mut self.writer) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => self.reader_gone = true,
            Err(error) => return Err(Failure::io("standard output cannot be written", &error)),
            Ok(()) => {}
        }
        Ok(())
    }
}

/// Tells people something beside the answer, on standard error. That nobody listens there is no failure.
pub(crate) fn note(text: impl std::fmt::Display) {
    let _ = writeln!(io::stderr(), "{text}");
}
