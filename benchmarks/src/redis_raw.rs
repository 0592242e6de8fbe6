//! What a service would otherwise write against the raw client: plain SET and GET, the two hashes of a hand-made layout, and
//! the provider's own script without the provider.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use redis::{
    Client, Cmd, Pipeline, RedisFuture, Value,
    aio::{ConnectionManager, ConnectionManagerConfig},
};
use storage_core::{ItemKey, SaveRequest};
use tokio::runtime::Runtime;

use crate::maps::Store;

/// A few connections of the raw client, used in turn, as many tasks do best with.
#[derive(Clone)]
pub(crate) struct Raw {
    connections: Arc<[ConnectionManager]>,
    next: Arc<AtomicUsize>,
}

impl Raw {
    /// Connects `count` times to the server at `url`.
    pub(crate) fn connect(runtime: &Runtime, url: &str, count: usize) -> Self {
        let client = Client::open(url).expect("the URL is valid");
        // On a busy machine an answer may take longer than the client would wait by itself.
        let patient = ConnectionManagerConfig::new().set_response_timeout(None);
        let connect = || {
            let connecting = ConnectionManager::new_with_config(client.clone(), patient.clone());
            runtime.block_on(connecting).expect("the server answers")
        };
        Self { connections: (0..count).map(|_| connect()).collect(), next: Arc::default() }
    }

    fn connection(&self) -> ConnectionManager {
        let at = self.next.fetch_add(1, Ordering::Relaxed) % self.connections.len();
        self.connections[at].clone()
    }

    /// Sends one command.
    pub(crate) async fn send(&self, command: &Cmd) -> Value {
        self.connection().send_packed_command(command).await.expect("the server answers")
    }

    /// Sends several commands in one round trip and hands back their answers.
    pub(crate) async fn send_all(&self, pipeline: &Pipeline) -> Vec<Value> {
        let mut connection = self.connection();
        let answers: RedisFuture<'_, Vec<Value>> = Box::pin(pipeline.query_async(&mut connection));
        answers.await.expect("the server answers")
    }
}

/// `SET` and `GET` of the payload alone: no metadata, no index.
pub(crate) struct Plain(pub(crate) Raw);

impl Store for Plain {
    async fn save(&self, request: SaveRequest<'_>) {
        let mut command = redis::cmd("SET");
        command.arg(plain_key(request.key)).arg(&request.data[..]).arg("EX").arg(3_600);
        self.0.send(&command).await;
    }

    async fn load(&self, key: ItemKey<'_>) -> bool {
        let mut command = redis::cmd("GET");
        command.arg(plain_key(key));
        self.0.send(&command).await != Value::Nil
    }
}

fn plain_key(key: ItemKey<'_>) -> String {
    format!("plain:{}", key.key())
}

/// Two hashes per item, data and metadata, each with its own deadline, in a transaction; read one after the other. No index.
pub(crate) struct TwoHashes(pub(crate) Raw);

impl Store for TwoHashes {
    async fn save(&self, request: SaveRequest<'_>) {
        let (data, metadata) = hash_keys(request.key);
        let tags = serde_json::to_string(&request.tags).expect("tags are JSON");
        let mut transaction = redis::pipe();
        transaction.atomic();
        transaction.cmd("HSET").arg(&data).arg("data").arg(&request.data[..]);
        transaction
            .cmd("HSET")
            .arg(&metadata)
            .arg("content_type")
            .arg(request.key.content_type())
            .arg("created_at")
            .arg("2030-01-01T00:00:00Z")
            .arg("size")
            .arg(request.data.len())
            .arg("tags")
            .arg(tags);
        for key in [&data, &metadata] {
            transaction.cmd("EXPIREAT").arg(key).arg(4_000_000_000_u32);
        }
        self.0.send_all(&transaction).await;
    }

    async fn load(&self, key: ItemKey<'_>) -> bool {
        let (data, metadata) = hash_keys(key);
        for key in [data, metadata] {
            let mut command = redis::cmd("HGETALL");
            command.arg(key);
            match self.0.send(&command).await {
                Value::Array(fields) if fields.is_empty() => return false,
                Value::Map(fields) if fields.is_empty() => return false,
                _ => {}
            }
        }
        true
    }
}

fn hash_keys(key: ItemKey<'_>) -> (String, String) {
    (format!("data:{}", key.key()), format!("metadata:{}", key.key()))
}

/// Finds by SCAN what has a tag: reads every record of the database, a thousand keys at a time.
pub(crate) async fn scan_and_load(raw: &Raw, pattern: &str, needle: &[u8]) -> usize {
    let (mut cursor, mut found) = (0_u64, 0);
    loop {
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(pattern).arg("COUNT").arg(1_000);
        let (next, keys): (u64, Vec<Vec<u8>>) =
            redis::from_redis_value(raw.send(&scan).await).expect("SCAN answers so");
        let mut loads = redis::pipe();
        for key in &keys {
            loads.cmd("GET").arg(key);
        }
        if !keys.is_empty() {
            let has = |value: &Value| matches!(value, Value::BulkString(bytes) if holds(bytes, needle));
            found += raw.send_all(&loads).await.iter().filter(|value| has(value)).count();
        }
        cursor = next;
        if cursor == 0 {
            return found;
        }
    }
}

fn holds(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}
