//! Reads the protocol of the servers, RESP2, as it comes in.

use std::{io, str};

use bytes::{Buf, BytesMut};
use redis::Value;

/// Longest line: a status, an error, a number.
const MAX_LINE: usize = 64 * 1_024;
/// Longest string: what servers take at most by default.
const MAX_STRING: usize = 512 * 1_024 * 1_024;
/// Most parts of one array.
const MAX_PARTS: usize = 16 * 1_024 * 1_024;
/// Deepest nesting of arrays. Scripts answer two or three levels.
const MAX_DEPTH: usize = 16;

/// One whole answer.
#[derive(Debug, PartialEq)]
pub(super) enum Reply {
    /// A value, inside which errors may stand.
    Value(Value),
    /// The text of an error.
    Error(String),
}

/// Takes answers out of a stream of bytes. What it has seen of an array is not looked at again when more bytes come.
#[derive(Debug, Default)]
pub(super) struct Reader {
    open: Vec<Open>,
}

/// An array of which parts are missing.
#[derive(Debug)]
struct Open {
    missing: usize,
    parts: Vec<Value>,
}

enum Part {
    Whole(Value),
    Error(String),
    Array(usize),
}

impl Reader {
    /// The next answer in `bytes`, or `None` if its end is not there yet.
    ///
    /// # Errors
    /// `InvalidData` if this cannot be the answer of a server. The stream is out of step then.
    pub(super) fn next(&mut self, bytes: &mut BytesMut) -> io::Result<Option<Reply>> {
        while let Some(part) = part(bytes)? {
            let value = match part {
                Part::Error(text) if self.open.is_empty() => return Ok(Some(Reply::Error(text))),
                Part::Error(text) => nested_error(&text)?,
                Part::Array(0) => Value::Array(Vec::new()),
                Part::Array(missing) => {
                    self.open(missing)?;
                    continue;
                }
                Part::Whole(value) => value,
            };
            if let Some(value) = self.place(value) {
                return Ok(Some(Reply::Value(value)));
            }
        }
        Ok(None)
    }

    fn open(&mut self, missing: usize) -> io::Result<()> {
        if self.open.len() == MAX_DEPTH {
            return Err(garbage());
        }
        // A length alone does not take memory, only what really comes does.
        self.open.push(Open { missing, parts: Vec::with_capacity(missing.min(1_024)) });
        Ok(())
    }

    /// Puts a value into the innermost open array; what is whole then, if anything.
    fn place(&mut self, mut value: Value) -> Option<Value> {
        loop {
            let Some(mut array) = self.open.pop() else { return Some(value) };
            array.parts.push(value);
            array.missing -= 1;
            if array.missing > 0 {
                self.open.push(array);
                return None;
            }
            value = Value::Array(array.parts);
        }
    }
}

fn part(bytes: &mut BytesMut) -> io::Result<Option<Part>> {
    let Some(end) = bytes.iter().take(MAX_LINE).position(|&byte| byte == b'\n') else {
        // The first byte tells at once whether this can be an answer at all.
        let known = bytes.first().is_none_or(|sort| b"+-:$*".contains(sort));
        return if known && bytes.len() < MAX_LINE { Ok(None) } else { Err(garbage()) };
    };
    let line = bytes.get(..end).and_then(|line| line.strip_suffix(b"\r")).ok_or_else(garbage)?;
    let (&sort, rest) = line.split_first().ok_or_else(garbage)?;
    let part = match sort {
        b'$' => return string(bytes, end + 1),
        b'*' => match number(rest)? {
            -1 => Part::Whole(Value::Nil),
            length => Part::Array(size(length, MAX_PARTS)?),
        },
        b':' => Part::Whole(Value::Int(number(rest)?)),
        b'+' if rest == b"OK" => Part::Whole(Value::Okay),
        b'+' => Part::Whole(Value::SimpleString(String::from_utf8_lossy(rest).into_owned())),
        b'-' => Part::Error(String::from_utf8_lossy(rest).into_owned()),
        _ => return Err(garbage()),
    };
    bytes.advance(end + 1);
    Ok(Some(part))
}

/// The string whose header ends before `start`.
fn string(bytes: &mut BytesMut, start: usize) -> io::Result<Option<Part>> {
    let length = number(bytes.get(1..start - 2).ok_or_else(garbage)?)?;
    if length == -1 {
        bytes.advance(start);
        return Ok(Some(Part::Whole(Value::Nil)));
    }
    let end = start + size(length, MAX_STRING)?;
    let Some(close) = bytes.get(end..end + 2) else { return Ok(None) };
    if close != b"\r\n" {
        return Err(garbage());
    }
    let string = bytes.get(start..end).unwrap_or_default().to_vec();
    bytes.advance(end + 2);
    Ok(Some(Part::Whole(Value::BulkString(string))))
}

fn number(digits: &[u8]) -> io::Result<i64> {
    str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).ok_or_else(garbage)
}

fn size(length: i64, most: usize) -> io::Result<usize> {
    usize::try_from(length).ok().filter(|&length| length <= most).ok_or_else(garbage)
}

/// Only the redis crate itself can make this kind of value.
fn nested_error(text: &str) -> io::Result<Value> {
    redis::parse_redis_value(format!("-{text}\r\n").as_bytes()).map_err(|_| garbage())
}

fn garbage() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    fn all(reader: &mut Reader, bytes: &mut BytesMut) -> Vec<Reply> {
        let mut replies = Vec::new();
        while let Some(reply) = reader.next(bytes).unwrap() {
            replies.push(reply);
        }
        replies
    }

    #[test]
    fn answers_are_the_same_however_they_are_cut() {
        let stream =
            b"+OK\r\n$5\r\na\r\nb\0\r\n*3\r\n:-7\r\n*2\r\n$-1\r\n+x\r\n*0\r\n-ERR no\r\n$0\r\n\r\n*-1\r\n";
        let expected = vec![
            Reply::Value(Value::Okay),
            Reply::Value(bulk("a\r\nb\0")),
            Reply::Value(Value::Array(vec![
                Value::Int(-7),
                Value::Array(vec![Value::Nil, Value::SimpleString("x".into())]),
                Value::Array(vec![]),
            ])),
            Reply::Error("ERR no".into()),
            Reply::Value(bulk("")),
            Reply::Value(Value::Nil),
        ];
        for step in 1..=stream.len() {
            let (mut reader, mut bytes, mut replies) = (Reader::default(), BytesMut::new(), Vec::new());
            for chunk in stream.chunks(step) {
                bytes.extend_from_slice(chunk);
                replies.extend(all(&mut reader, &mut bytes));
            }
            assert_eq!(replies, expected, "in steps of {step}");
        }
    }

    #[test]
    fn an_error_inside_an_array_is_one_of_its_values() {
        let mut bytes = BytesMut::from(&b"*2\r\n:1\r\n-OOM full\r\n"[..]);
        let Some(Reply::Value(Value::Array(parts))) = Reader::default().next(&mut bytes).unwrap() else {
            panic!("no array")
        };
        let Some(Value::ServerError(error)) = parts.last() else { panic!("no error: {parts:?}") };
        assert_eq!(error.code(), "OOM");
    }

    #[test]
    fn garbage_is_seen_as_such() {
        let deep = b"*1\r\n".repeat(MAX_DEPTH + 1);
        let long = vec![b'+'; MAX_LINE];
        let garbage: [&[u8]; 12] = [
            b"HTTP/1.1 400 Bad Request\r\n",
            b"\x15\x03\x01\x00\x02\x02\x46",
            b"$-2\r\n",
            b"*-2\r\n",
            b":x\r\n",
            b":\r\n",
            b"$3\r\nabcd\r\n",
            b"$999999999999\r\n",
            b"*999999999\r\n",
            b"+x\n",
            &deep,
            &long,
        ];
        for bytes in garbage {
            let error = Reader::default().next(&mut BytesMut::from(bytes)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{bytes:?}");
        }
    }
}
