//! A bad network: what stands between a client and its server can be slow, deaf or cut.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::{Notify, watch},
    task::{AbortHandle, JoinSet},
    time::sleep,
};

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
}

/// How the network is, on present and on new connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// As a network should be.
    Good,
    /// Everything comes this much later, in both directions.
    Slow(Duration),
    /// The bytes travel one by one, until hundreds have come at once: the rest of a large message follows in one piece.
    ByteWise,
    /// Nothing comes through in this direction, and nobody is told.
    Deaf(Direction),
    /// Nothing comes through at all, and nobody is told.
    Dead,
    /// Every connection is reset, the new ones as soon as they are made.
    Reset,
}

/// Passes bytes between its clients and one server. Ends with its handle.
#[derive(Debug)]
pub struct Proxy {
    address: String,
    shared: Arc<Shared>,
    accepting: AbortHandle,
}

#[derive(Debug)]
struct Shared {
    server: String,
    network: watch::Sender<Network>,
    /// Bytes that may still pass before every connection is cut; negative for no end.
    left: [AtomicI64; 2],
    cut: Notify,
    accepted: AtomicUsize,
}

impl Proxy {
    /// Stands before the server at `address`.
    ///
    /// # Panics
    /// If no port is free.
    pub async fn start(address: impl Into<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("some port is free");
        let shared = Arc::new(Shared {
            server: address.into(),
            network: watch::Sender::new(Network::Good),
            left: [AtomicI64::new(-1), AtomicI64::new(-1)],
            cut: Notify::new(),
            accepted: AtomicUsize::new(0),
        });
        let address = listener.local_addr().expect("a listener has an address").to_string();
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared))).abort_handle();
        Self { address, shared, accepting }
    }

    /// `127.0.0.1:PORT`
    pub fn address(&self) -> String {
        self.address.clone()
    }

    /// `redis://127.0.0.1:PORT/0`
    pub fn url(&self) -> String {
        format!("redis://{}/0", self.address)
    }

    /// Changes how the network is from now on.
    pub fn set(&self, network: Network) {
        self.shared.network.send_replace(network);
    }

    /// Cuts every connection once, after this many more bytes in one direction. New connections are whole.
    pub fn cut_after(&self, direction: Direction, bytes: u32) {
        self.shared.left[direction as usize].store(i64::from(bytes), Ordering::SeqCst);
    }

    /// Cuts every connection now.
    pub fn cut(&self) {
        self.shared.cut.notify_waiters();
    }

    /// How many connections were accepted so far.
    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Owns the connections, so that they end when it is aborted.
async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        shared.accepted.fetch_add(1, Ordering::SeqCst);
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            // A connection that breaks is what this network is for.
            let _broken = carry(client, &shared).await;
        });
    }
}

/// Carries one connection until either side ends it or it is cut.
async fn carry(mut client: TcpStream, shared: &Shared) -> io::Result<()> {
    let mut network = shared.network.subscribe();
    let reset = network.wait_for(|network| *network == Network::Reset);
    let ended = tokio::select! {
        biased;
        _ = reset => None,
        ended = exchange(&mut client, shared) => Some(ended),
    };
    // A connection that does not linger is reset when it is dropped.
    ended.unwrap_or_else(|| client.set_zero_linger())
}

async fn exchange(client: &mut TcpStream, shared: &Shared) -> io::Result<()> {
    let cut = shared.cut.notified();
    let mut server = TcpStream::connect(&shared.server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (client_reader, client_writer) = client.split();
    let (server_reader, server_writer) = server.split();
    tokio::select! {
        () = cut => Ok(()),
        ended = pump(client_reader, server_writer, Direction::ToServer, shared) => ended,
        ended = pump(server_reader, client_writer, Direction::ToClient, shared) => ended,
    }
}

async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    direction: Direction,
    shared: &Shared,
) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1_024];
    loop {
        let size = from.read(&mut buffer).await?;
        if size == 0 {
            return Ok(());
        }
        let bytes = shared.allowed(direction, &buffer[..size]);
        deliver(&mut to, bytes, direction, shared).await?;
        if bytes.len() < size {
            shared.cut.notify_waiters();
            return Ok(());
        }
    }
}

impl Shared {
    /// As many of the bytes as may still pass. Whoever takes the last one repairs the network for those who come after.
    fn allowed<'a>(&self, direction: Direction, bytes: &'a [u8]) -> &'a [u8] {
        let left = &self.left[direction as usize];
        let before = left.load(Ordering::SeqCst);
        if before < 0 {
            return bytes;
        }
        let size = bytes.len().min(before as usize);
        let after = if size < bytes.len() { -1 } else { before - size as i64 };
        left.store(after, Ordering::SeqCst);
        &bytes[..size]
    }
}

async fn deliver(
    to: &mut WriteHalf<'_>,
    bytes: &[u8],
    direction: Direction,
    shared: &Shared,
) -> io::Result<()> {
    let network = *shared.network.borrow();
    match network {
        Network::Dead => Ok(()),
        Network::Deaf(deaf) if deaf == direction => Ok(()),
        Network::Slow(delay) => {
            sleep(delay).await;
            to.write_all(bytes).await
        }
        Network::ByteWise => byte_by_byte(to, bytes).await,
        Network::Good | Network::Deaf(_) | Network::Reset => to.write_all(bytes).await,
    }
}

async fn byte_by_byte(to: &mut WriteHalf<'_>, bytes: &[u8]) -> io::Result<()> {
    let (alone, rest) = bytes.split_at(bytes.len().min(300));
    for byte in alone {
        to.write_all(std::slice::from_ref(byte)).await?;
        tokio::task::yield_now().await;
    }
    to.write_all(rest).await
}
