//! As much of the protocol of Redis as it takes to find the ends of its messages.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _};

/// The words of a request; `None` at the end of the stream.
pub(crate) async fn read_request<R: AsyncBufRead + Unpin>(
    reader: &mut R,
) -> io::Result<Option<(Vec<Vec<u8>>, Vec<u8>)>> {
    let mut raw = Vec::new();
    if read_line(reader, &mut raw).await? == 0 {
        return Ok(None);
    }
    let count = length(&raw, 0, b'*')?;
    let mut words = Vec::new();
    for _ in 0..count {
        let start = raw.len();
        read_line(reader, &mut raw).await?;
        let size = length(&raw, start, b'$')?;
        let body = raw.len();
        read_bytes(reader, &mut raw, size + 2).await?;
        words.push(raw[body..body + size].to_vec());
    }
    Ok(Some((words, raw)))
}

/// One reply as it came, of whatever depth.
pub(crate) async fn read_reply<R: AsyncBufRead + Unpin>(reader: &mut R) -> io::Result<Vec<u8>> {
    let mut raw = Vec::new();
    let mut open = 1_usize;
    while open > 0 {
        let start = raw.len();
        if read_line(reader, &mut raw).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        open -= 1;
        match raw[start] {
            b'$' if raw[start + 1] != b'-' => {
                let size = length(&raw, start, b'$')?;
                read_bytes(reader, &mut raw, size + 2).await?;
            }
            b'*' if raw[start + 1] != b'-' => open += length(&raw, start, b'*')?,
            b'%' => open += 2 * length(&raw, start, b'%')?,
            _ => {}
        }
    }
    Ok(raw)
}

async fn read_line<R: AsyncBufRead + Unpin>(reader: &mut R, raw: &mut Vec<u8>) -> io::Result<usize> {
    reader.read_until(b'\n', raw).await
}

async fn read_bytes<R: AsyncBufRead + Unpin>(
    reader: &mut R,
    raw: &mut Vec<u8>,
    size: usize,
) -> io::Result<()> {
    let start = raw.len();
    raw.resize(start + size, 0);
    reader.read_exact(&mut raw[start..]).await.map(drop)
}

/// The number in a line such as `$12` that begins at `start`.
fn length(raw: &[u8], start: usize, kind: u8) -> io::Result<usize> {
    let line = raw.get(start..).unwrap_or_default().strip_prefix(&[kind]).unwrap_or_default();
    let text = String::from_utf8_lossy(line);
    text.trim().parse().map_err(|_| io::Error::new(io::ErrorKind::InvalidData, format!("a line is {text:?}")))
}
