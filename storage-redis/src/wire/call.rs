//! One command on its way: its bytes are built once, and sent as often as it may be.

use std::sync::OnceLock;

use redis::Value;

use super::slots::Slot;

/// Whether a call changes anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// It may be sent again whenever its answer is lost.
    Read,
    /// Once it was sent, a lost answer leaves its outcome unknown.
    Write,
}

/// A server-side script, sent by its digest and by its source only where the server does not know it.
#[derive(Debug)]
pub(crate) struct Script {
    source: &'static str,
    heads: OnceLock<Heads>,
}

#[derive(Debug)]
struct Heads {
    by_digest: Vec<u8>,
    by_source: Vec<u8>,
}

impl Script {
    /// The script of this source.
    pub(crate) const fn new(source: &'static str) -> Self {
        Self { source, heads: OnceLock::new() }
    }

    fn heads(&self) -> &Heads {
        self.heads.get_or_init(|| {
            let digest = redis::Script::new(self.source).get_hash().to_owned();
            Heads {
                by_digest: encoded(&[b"EVALSHA", digest.as_bytes()]),
                by_source: encoded(&[b"EVAL", self.source.as_bytes()]),
            }
        })
    }
}

/// One command, its slot, and whether it changes anything.
#[derive(Debug)]
pub(crate) struct Call {
    slot: Slot,
    access: Access,
    head: Head,
    keys: u32,
    arguments: u32,
    body: Vec<u8>,
}

#[derive(Debug)]
enum Head {
    Command(&'static str),
    Digest(&'static Script),
    Source(&'static Script),
}

impl Call {
    /// A command that changes nothing.
    pub(crate) fn read(slot: Slot, name: &'static str) -> Self {
        Self::new(slot, Head::Command(name), Access::Read)
    }

    /// A command that changes something.
    pub(crate) fn write(slot: Slot, name: &'static str) -> Self {
        Self::new(slot, Head::Command(name), Access::Write)
    }

    /// A script. Where the server does not know it, its source is sent once within the same deadline.
    pub(crate) fn script(slot: Slot, script: &'static Script, access: Access) -> Self {
        Self::new(slot, Head::Digest(script), access)
    }

    fn new(slot: Slot, head: Head, access: Access) -> Self {
        Self { slot, access, head, keys: 0, arguments: 0, body: Vec::with_capacity(128) }
    }

    /// Adds a key. The keys of a script come before its arguments.
    #[must_use]
    pub(crate) fn key(mut self, key: &[u8]) -> Self {
        self.push_key(key);
        self
    }

    /// Adds an argument.
    #[must_use]
    pub(crate) fn arg(mut self, argument: impl AsRef<[u8]>) -> Self {
        self.push(argument);
        self
    }

    /// Adds a key, like [`key`](Self::key).
    pub(crate) fn push_key(&mut self, key: &[u8]) {
        self.keys += 1;
        self.push(key);
    }

    /// Adds an argument, like [`arg`](Self::arg).
    pub(crate) fn push(&mut self, argument: impl AsRef<[u8]>) {
        self.arguments += 1;
        put_bulk(&mut self.body, argument.as_ref());
    }

    /// The slot of its keys.
    pub(crate) fn slot(&self) -> Slot {
        self.slot
    }

    /// Whether it changes anything.
    pub(crate) fn access(&self) -> Access {
        self.access
    }

    /// Whether `value` can be the answer. One that cannot shows that the two ends of a connection are out of step.
    pub(super) fn can_be_answered_with(&self, value: &Value) -> bool {
        let Head::Command(name) = self.head else {
            return !matches!(value, Value::Okay | Value::SimpleString(_));
        };
        match name {
            "GET" | "GETRANGE" | "ZSCORE" => matches!(value, Value::Nil | Value::BulkString(_)),
            "SET" => matches!(value, Value::Nil | Value::Okay | Value::SimpleString(_)),
            "MGET" | "SCAN" | "ZRANGE" => matches!(value, Value::Array(_)),
            "ZADD" | "ZLEXCOUNT" => matches!(value, Value::Int(_)),
            _ => true,
        }
    }

    /// Takes the source along from now on; whether that makes a difference.
    pub(super) fn carry_source(&mut self) -> bool {
        let Head::Digest(script) = self.head else { return false };
        self.head = Head::Source(script);
        true
    }

    /// Appends the bytes of the command.
    pub(super) fn write_to(&self, out: &mut Vec<u8>) {
        // A script has its name, itself and the number of its keys in front.
        match self.head {
            Head::Command(name) => {
                put_header(out, b'*', u64::from(self.arguments) + 1);
                put_bulk(out, name.as_bytes());
            }
            Head::Digest(script) => self.put_script_head(out, &script.heads().by_digest),
            Head::Source(script) => self.put_script_head(out, &script.heads().by_source),
        }
        out.extend_from_slice(&self.body);
    }

    /// The bytes of the command.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write_to(&mut out);
        out
    }

    fn put_script_head(&self, out: &mut Vec<u8>, head: &[u8]) {
        put_header(out, b'*', u64::from(self.arguments) + 3);
        out.extend_from_slice(head);
        let mut digits = [0; 20];
        put_bulk(out, decimal(u64::from(self.keys), &mut digits));
    }
}

/// A whole command of these words.
pub(super) fn command(words: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    put_header(&mut out, b'*', words.len() as u64);
    out.extend_from_slice(&encoded(words));
    out
}

fn encoded(words: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    for word in words {
        put_bulk(&mut out, word);
    }
    out
}

fn put_bulk(out: &mut Vec<u8>, bytes: &[u8]) {
    put_header(out, b'$', bytes.len() as u64);
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

fn put_header(out: &mut Vec<u8>, sort: u8, number: u64) {
    out.push(sort);
    out.extend_from_slice(decimal(number, &mut [0; 20]));
    out.extend_from_slice(b"\r\n");
}

/// The decimal digits of `number`, without the machinery of formatting: every argument has a length.
fn decimal(mut number: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut start = digits.len();
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
        start -= 1;
        if number == 0 {
            break;
        }
    }
    digits.get(start..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(call: &Call) -> String {
        let mut out = Vec::new();
        call.write_to(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_command_is_an_array_of_its_words() {
        let call = Call::write(Slot::of(b"k"), "SET").key(b"k").arg("").arg("0123456789");
        assert_eq!(text(&call), "*4\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n$10\r\n0123456789\r\n");
    }

    #[test]
    fn a_script_goes_by_its_digest_first_and_then_by_its_source() {
        static ONE: Script = Script::new("return 1");
        let mut call = Call::script(Slot::of(b"k"), &ONE, Access::Read).key(b"k").arg("v");
        let sha = "e0e1f9fabfc9d4800c877a703b823ac0578ff8db";
        assert_eq!(
            text(&call),
            format!("*5\r\n$7\r\nEVALSHA\r\n$40\r\n{sha}\r\n$1\r\n1\r\n$1\r\nk\r\n$1\r\nv\r\n")
        );
        assert!(call.carry_source());
        assert_eq!(text(&call), "*5\r\n$4\r\nEVAL\r\n$8\r\nreturn 1\r\n$1\r\n1\r\n$1\r\nk\r\n$1\r\nv\r\n");
        assert!(!call.carry_source());
    }

    #[test]
    fn numbers_are_decimal() {
        for number in [0, 1, 9, 10, 99, 100, 1_234_567_890, u64::MAX] {
            assert_eq!(decimal(number, &mut [0; 20]), number.to_string().as_bytes());
        }
    }
}
