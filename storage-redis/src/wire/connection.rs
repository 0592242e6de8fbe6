//! One connection: made, encrypted and signed in, before calls are sent over it.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::BytesMut;
use redis::Value;
use storage_core::{ErrorKind, Result, Secret, StorageError};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    address::Address,
    call::command,
    resp::{Reader, Reply},
};
use crate::{
    error::{failure, io_error, server_error},
    tls,
};

/// The name under which our connections show in `CLIENT LIST`.
const CLIENT_NAME: &[u8] = b"storage";

/// What a server must be for a connection to be of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Anything: what it does not do it refuses itself.
    Any,
    /// A master: sentinels may still name a server that is none any more, or not yet.
    Master,
}

/// How connections are made; the same for all servers of a kind.
#[derive(Clone)]
pub(super) struct Login {
    pub(super) username: Option<String>,
    pub(super) password: Option<Secret>,
    pub(super) database: u32,
    pub(super) tls: Option<TlsConnector>,
    pub(super) role: Role,
    pub(super) timeout: Duration,
}

impl Login {
    /// A connection to `address` that is ready for calls.
    ///
    /// # Errors
    /// `Unavailable` if nobody answers in time; `Unauthenticated`, `PermissionDenied` or `Config` if the server and the
    /// settings do not fit.
    pub(super) async fn connect(&self, address: &Address) -> Result<Connection> {
        let error = match timeout(self.timeout, self.connect_without_hurry(address)).await {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(error)) => error,
            Err(_) => io_error(&format!("cannot connect to {address}"), io::ErrorKind::TimedOut.into()),
        };
        if error.kind() == ErrorKind::Unavailable && self.is_plain_after_all(address).await {
            return Err(failure(
                ErrorKind::Config,
                format!("{address} does not speak TLS, which is configured"),
            ));
        }
        Err(error)
    }

    async fn connect_without_hurry(&self, address: &Address) -> Result<Connection> {
        let mut connection = Connection {
            stream: open(address, self.tls.as_ref()).await?,
            read: BytesMut::new(),
            reader: Reader::default(),
        };
        match self.sign_in(&mut connection).await {
            Ok(()) => Ok(connection),
            Err(error) if self.tls.is_none() && hung_up(&error) && speaks_tls(address).await => {
                Err(failure(ErrorKind::Config, format!("{address} speaks TLS, which is not configured")))
            }
            Err(error) => Err(cannot(address, error)),
        }
    }

    async fn sign_in(&self, connection: &mut Connection) -> Result<()> {
        if let Some(password) = &self.password {
            let password = password.expose().as_bytes();
            match &self.username {
                Some(user) => connection.ask(&[b"AUTH", user.as_bytes(), password]).await?,
                None => connection.ask(&[b"AUTH", password]).await?,
            };
        }
        if self.database != 0 {
            connection.ask(&[b"SELECT", self.database.to_string().as_bytes()]).await?;
        }
        connection.introduce().await?;
        match self.role {
            Role::Any => Ok(()),
            Role::Master => connection.must_be_master().await,
        }
    }

    /// Whether TLS is configured and the server does not speak it. It may wait for the end of a line then, while we wait
    /// for the end of the handshake. A plain question tells, which holds no secret; nothing else is sent in the clear.
    async fn is_plain_after_all(&self, address: &Address) -> bool {
        self.tls.is_some() && timeout(self.timeout, speaks_plain(address)).await.unwrap_or(false)
    }
}

async fn open(address: &Address, tls: Option<&TlsConnector>) -> Result<Stream> {
    let what = || format!("cannot connect to {address}");
    let tcp = TcpStream::connect((address.host.as_str(), address.port))
        .await
        .map_err(|cause| io_error(&what(), cause))?;
    tcp.set_nodelay(true).map_err(|cause| io_error(&what(), cause))?;
    let Some(tls) = tls else { return Ok(Stream::Plain(tcp)) };
    let encrypted = tls.connect(tls::server_name(&address.host)?, tcp).await;
    Ok(Stream::Encrypted(Box::new(encrypted.map_err(|cause| io_error(&what(), cause))?)))
}

async fn speaks_plain(address: &Address) -> bool {
    let Ok(tcp) = TcpStream::connect((address.host.as_str(), address.port)).await else { return false };
    let mut connection =
        Connection { stream: Stream::Plain(tcp), read: BytesMut::new(), reader: Reader::default() };
    connection.say(&[b"PING"]).await.is_ok()
}

/// Whether the server ended the connection without a word, as it does with what it takes for no TLS.
fn hung_up(error: &StorageError) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<io::Error>());
    cause.is_some_and(|cause| {
        matches!(cause.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof)
    })
}

/// Whether the server goes through a handshake as far as its certificate, which is refused whatever it is.
async fn speaks_tls(address: &Address) -> bool {
    // A plain server waits for more; this must not hold up those who only lost a connection.
    const PATIENCE: Duration = Duration::from_millis(300);
    let Ok(tls) = tls::trusting_nobody() else { return false };
    let answer = timeout(PATIENCE, open(address, Some(&tls))).await;
    answer.is_ok_and(|opened| opened.is_err_and(|error| error.kind() == ErrorKind::Config))
}

fn cannot(address: &Address, error: StorageError) -> StorageError {
    failure(error.kind(), format!("cannot use {address}: {}", error.message())).with_source(error)
}

/// A connection that is ready for calls.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) stream: Stream,
    pub(super) read: BytesMut,
    pub(super) reader: Reader,
}

impl Connection {
    /// Sends one command and waits for its value.
    pub(super) async fn ask(&mut self, words: &[&[u8]]) -> Result<Value> {
        match self.say(words).await.map_err(|cause| self.meaning(cause))? {
            Reply::Value(value) => Ok(value),
            Reply::Error(text) => Err(server_error(&text)),
        }
    }

    async fn say(&mut self, words: &[&[u8]]) -> io::Result<Reply> {
        self.stream.write_all(&command(words)).await?;
        self.stream.flush().await?;
        loop {
            if let Some(reply) = self.reader.next(&mut self.read)? {
                return Ok(reply);
            }
            if self.stream.read_buf(&mut self.read).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// A TLS server answers a plain question with an alert, whose first byte no answer begins with.
    fn meaning(&self, cause: io::Error) -> StorageError {
        if matches!(self.stream, Stream::Plain(_)) && self.read.first() == Some(&0x15) {
            return failure(ErrorKind::Config, "the server speaks TLS, which is not configured");
        }
        io_error("the server could not be asked", cause)
    }

    /// Not every user may give a name, and it is for people only.
    async fn introduce(&mut self) -> Result<()> {
        let words: [&[u8]; 3] = [b"CLIENT", b"SETNAME", CLIENT_NAME];
        match self.say(&words).await.map_err(|cause| self.meaning(cause))? {
            Reply::Error(text) if !text.starts_with("NOPERM") && !text.starts_with("ERR unknown") => {
                Err(server_error(&text))
            }
            _ => Ok(()),
        }
    }

    async fn must_be_master(&mut self) -> Result<()> {
        let Value::Array(parts) = self.ask(&[b"ROLE"]).await? else {
            return Err(failure(ErrorKind::Unavailable, "the server does not say its role"));
        };
        match parts.first() {
            Some(Value::BulkString(role)) if role == b"master" => Ok(()),
            _ => Err(failure(ErrorKind::Unavailable, "the server is not the master")),
        }
    }
}

/// Plain or encrypted bytes.
#[derive(Debug)]
pub(super) enum Stream {
    Plain(TcpStream),
    Encrypted(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Encrypted(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Encrypted(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Encrypted(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Encrypted(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
