//! Calls over one connection: written in order, answered in order.

use std::{
    collections::VecDeque,
    future::Future,
    io,
    pin::pin,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::Instant,
};

use super::{
    connection::Connection,
    entry::{Entry, Reason},
    resp::Reply,
};
use crate::error::io_error;

/// Bytes that may wait for the socket; what is beyond waits as calls, which can still be taken back.
const MOST_UNWRITTEN: usize = 256 * 1_024;
/// Room for one read.
const READ_SIZE: usize = 64 * 1_024;

/// A connection and the calls that were put on it.
pub(super) struct Session {
    connection: Connection,
    /// What is put on the connection and not yet written to it. The first `done` bytes are written.
    out: Vec<u8>,
    done: usize,
    unflushed: bool,
    /// Position in the stream of the first byte of `out`.
    base: u64,
    in_flight: VecDeque<Sent>,
    heard: Instant,
    answered: bool,
    /// Answers given since a call was last put on the connection.
    given: usize,
    ending: bool,
}

/// A call on the connection. It keeps its place when the caller is gone, because its answer will come.
struct Sent {
    /// Position of its first byte in the stream.
    start: u64,
    /// Answers before its own: to `ASKING`.
    before: u8,
    entry: Option<Entry>,
}

impl Session {
    pub(super) fn new(connection: Connection) -> Self {
        Self {
            connection,
            out: Vec::with_capacity(READ_SIZE),
            done: 0,
            unflushed: false,
            base: 0,
            in_flight: VecDeque::new(),
            heard: Instant::now(),
            answered: false,
            given: 0,
            ending: false,
        }
    }

    /// When the server was last heard of, if it owes answers.
    pub(super) fn silent_since(&self) -> Option<Instant> {
        (!self.in_flight.is_empty()).then_some(self.heard)
    }

    /// Whether it takes no more calls and has answered all it took.
    pub(super) fn is_over(&self) -> bool {
        self.ending && self.in_flight.is_empty()
    }

    /// Whether any call was answered on it.
    pub(super) fn has_answered(&self) -> bool {
        self.answered
    }

    /// How many callers were answered since a call was last put on it: they may be about to call again.
    pub(super) fn given(&self) -> usize {
        self.given
    }

    /// Whether it takes more calls now.
    pub(super) fn has_room(&self) -> bool {
        !self.ending && self.out.len() < MOST_UNWRITTEN
    }

    /// Puts as many of the waiting calls on the connection as it takes.
    pub(super) fn put(&mut self, waiting: &mut VecDeque<Entry>) {
        if !waiting.is_empty() && self.in_flight.is_empty() {
            self.heard = Instant::now();
        }
        while self.has_room() {
            let Some(entry) = waiting.pop_front() else { return };
            if !entry.is_abandoned() {
                self.put_one(entry);
            }
        }
    }

    fn put_one(&mut self, entry: Entry) {
        let start = self.base + self.out.len() as u64;
        if entry.trip.asking {
            self.out.extend_from_slice(b"*1\r\n$6\r\nASKING\r\n");
        }
        entry.trip.call.write_to(&mut self.out);
        self.given = 0;
        self.in_flight.push_back(Sent { start, before: u8::from(entry.trip.asking), entry: Some(entry) });
    }

    /// Writes and reads as far as the connection goes; ready with the error that ends it.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        if let Poll::Ready(Err(cause)) = self.poll_write(cx) {
            return Poll::Ready(cause);
        }
        loop {
            match ready!(self.poll_read(cx)) {
                Ok(()) => {}
                Err(cause) => return Poll::Ready(cause),
            }
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.out.get(self.done..).filter(|rest| !rest.is_empty()) {
            let count = ready!(pin!(self.connection.stream.write(rest)).poll(cx))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.done += count;
            self.unflushed = true;
        }
        self.base += self.done as u64;
        self.out.clear();
        self.out.shrink_to(MOST_UNWRITTEN);
        self.done = 0;
        if self.unflushed {
            ready!(pin!(self.connection.stream.flush()).poll(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Connection { stream, read, .. } = &mut self.connection;
        read.reserve(READ_SIZE);
        if ready!(pin!(stream.read_buf(read)).poll(cx))? == 0 {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        self.heard = Instant::now();
        while let Some(reply) = self.connection.reader.next(&mut self.connection.read)? {
            self.answer(reply)?;
        }
        Poll::Ready(Ok(()))
    }

    /// Gives an answer to the call that waits longest. An answer that nobody waits for means the two ends are out of step.
    fn answer(&mut self, reply: Reply) -> io::Result<()> {
        let Some(first) = self.in_flight.front_mut() else { return Err(io::ErrorKind::InvalidData.into()) };
        if first.before > 0 {
            first.before -= 1;
            return Ok(());
        }
        let fits = match (&reply, &first.entry) {
            (Reply::Value(value), Some(entry)) => entry.trip.call.can_be_answered_with(value),
            _ => true,
        };
        if !fits {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let Some(entry) = self.in_flight.pop_front().and_then(|sent| sent.entry) else { return Ok(()) };
        self.answered = true;
        self.given += 1;
        match reply {
            Reply::Value(value) => entry.succeed(value),
            Reply::Error(text) => {
                // What is a replica now was perhaps a master when we connected: look again who answers there.
                self.ending |= text.starts_with("READONLY");
                entry.fail(Reason::Refused(text));
            }
        }
        Ok(())
    }

    /// Takes back what has not begun to be written, in order, to the front of `waiting`.
    pub(super) fn take_back(&mut self, waiting: &mut VecDeque<Entry>) {
        let written = self.base + self.done as u64;
        while self.in_flight.back().is_some_and(|sent| sent.start >= written) {
            let Some(sent) = self.in_flight.pop_back() else { return };
            self.out.truncate(usize::try_from(sent.start - self.base).unwrap_or(usize::MAX));
            if let Some(entry) = sent.entry {
                waiting.push_front(entry);
            }
        }
    }

    /// Tells the callers of sent calls whose deadline has passed.
    pub(super) fn expire(&mut self, now: Instant) {
        for sent in &mut self.in_flight {
            if let Some(entry) = sent.entry.take_if(|entry| entry.deadline() <= now) {
                entry.fail(Reason::Late { sent: true });
            }
        }
    }

    /// The earliest deadline of a sent call.
    pub(super) fn earliest(&self) -> Option<Instant> {
        self.in_flight.iter().filter_map(|sent| sent.entry.as_ref()).map(Entry::deadline).min()
    }

    /// Ends the session: what was not sent goes back, what was sent is told that its answer is lost.
    pub(super) fn end(mut self, why: io::ErrorKind, waiting: &mut VecDeque<Entry>) {
        self.take_back(waiting);
        for entry in self.in_flight.into_iter().filter_map(|sent| sent.entry) {
            let cause = io_error("the answer of the server is lost", why.into());
            entry.fail(Reason::Broken { sent: true, cause });
        }
    }
}
