//! A server that answers from a script, before a real one or alone.

use std::{fmt, io, sync::Arc};

use tokio::{
    io::{AsyncWriteExt as _, BufReader},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::{AbortHandle, JoinSet},
};

use crate::resp::{read_reply, read_request};

/// What comes back for one request.
#[derive(Debug, Clone)]
pub enum Answer {
    /// What the server behind answers.
    Pass,
    /// The server behind gets the request; its answer is kept from the client, whose connection ends.
    PassAndClose,
    /// These bytes, whatever they are.
    Bytes(Vec<u8>),
    /// These bytes, and then the end of the connection.
    BytesAndClose(Vec<u8>),
    /// What the server behind answers, and then these bytes, which belong to no request.
    PassAndBytes(Vec<u8>),
    /// Nothing: the request is swallowed and the connection stays.
    Nothing,
    /// The end of the connection; the request goes nowhere.
    Close,
}

impl Answer {
    /// An error of the server, such as `LOADING Redis is loading the dataset in memory`.
    pub fn error(text: &str) -> Self {
        Self::Bytes(format!("-{text}\r\n").into_bytes())
    }
}

/// The words of a request: the command and its arguments.
pub type Request = [Vec<u8>];

type Script = Arc<dyn Fn(&Request) -> Answer + Send + Sync>;

/// A listener that answers each request as its script says. Ends with its handle.
pub struct Fake {
    address: String,
    accepting: AbortHandle,
}

impl fmt::Debug for Fake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fake").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Fake {
    /// Answers by `script` alone.
    pub async fn start(script: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        Self::listen(None, Arc::new(script)).await
    }

    /// Answers by `script`, which may leave requests to the server at `address`.
    pub async fn before(
        address: impl Into<String>,
        script: impl Fn(&Request) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self::listen(Some(address.into()), Arc::new(script)).await
    }

    /// `127.0.0.1:PORT`
    pub fn address(&self) -> String {
        self.address.clone()
    }

    /// `redis://127.0.0.1:PORT/0`
    pub fn url(&self) -> String {
        format!("redis://{}/0", self.address)
    }

    async fn listen(behind: Option<String>, script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("some port is free");
        let address = listener.local_addr().expect("a listener has an address").to_string();
        let accepting = tokio::spawn(accept(listener, behind, script)).abort_handle();
        Self { address, accepting }
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Owns the connections, so that they end when it is aborted.
async fn accept(listener: TcpListener, behind: Option<String>, script: Script) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let (behind, script) = (behind.clone(), Arc::clone(&script));
        connections.spawn(async move {
            // A connection that breaks is what these servers are for.
            let _broken = serve(client, behind, script).await;
        });
    }
}

async fn serve(client: TcpStream, behind: Option<String>, script: Script) -> io::Result<()> {
    client.set_nodelay(true)?;
    let (reader, mut writer) = client.into_split();
    let mut reader = BufReader::new(reader);
    let mut behind = match behind {
        Some(address) => Some(Behind::connect(&address).await?),
        None => None,
    };
    while let Some((words, raw)) = read_request(&mut reader).await? {
        match script(&words) {
            Answer::Pass => writer.write_all(&ask(&mut behind, &raw).await?).await?,
            Answer::PassAndClose => return ask(&mut behind, &raw).await.map(drop),
            Answer::PassAndBytes(bytes) => {
                writer.write_all(&[ask(&mut behind, &raw).await?, bytes].concat()).await?;
            }
            Answer::Bytes(bytes) => writer.write_all(&bytes).await?,
            Answer::BytesAndClose(bytes) => return writer.write_all(&bytes).await,
            Answer::Nothing => {}
            Answer::Close => return Ok(()),
        }
    }
    Ok(())
}

/// The server behind, as one client of the fake sees it.
struct Behind {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
}

impl Behind {
    async fn connect(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (reader, writer) = stream.into_split();
        Ok(Self { reader: BufReader::new(reader), writer })
    }
}

async fn ask(behind: &mut Option<Behind>, request: &[u8]) -> io::Result<Vec<u8>> {
    let behind = behind.as_mut().expect("a script passes requests on only if a server is behind");
    behind.writer.write_all(request).await?;
    read_reply(&mut behind.reader).await
}
