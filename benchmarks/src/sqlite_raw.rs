//! What a service would otherwise write against SQLite: one thread that commits what waits together, and readers that run where
//! they are called, on a table with the same columns and indexes as the provider's.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, mpsc},
    thread,
};

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, params};
use storage_core::{ItemKey, SaveRequest, Tags, Uuid};
use tokio::sync::oneshot;

use crate::{items, maps::Store};

/// The time of every save: what it is costs nothing.
const NOW: i64 = 1_767_225_600_000_000;

const SAVE: &str = "INSERT INTO items (content_type, key, id, created_at, updated_at, version, encoding, size, tags,
    checksum, seal, data) VALUES (?1, ?2, ?3, ?4, ?4, ?5, 'raw', ?6, ?7, 0, 0, ?8)
    ON CONFLICT (content_type, key) DO UPDATE SET updated_at = excluded.updated_at, expires_at = NULL,
    version = excluded.version, encoding = excluded.encoding, size = excluded.size, tags = excluded.tags, data = excluded.data";

const LOAD: &str = "SELECT id, version, tags, data FROM items WHERE content_type = ?1 AND key = ?2";

const SEARCH: &str = "SELECT i.id, i.version, i.tags, i.data FROM items_tags AS t
    JOIN items AS i ON i.content_type = t.content_type AND i.key = t.key
    WHERE t.name = 'group' AND t.value = ?1 ORDER BY t.key LIMIT 101";

/// One save, as the writer gets it.
struct Row {
    content_type: String,
    key: String,
    tags: String,
    data: Bytes,
}

/// A file that the provider has filled and closed.
#[derive(Clone)]
pub(crate) struct Raw {
    queue: mpsc::Sender<(Vec<Row>, oneshot::Sender<()>)>,
    path: Arc<PathBuf>,
    readers: Arc<Mutex<Vec<Connection>>>,
}

fn open(path: &Path) -> Connection {
    let connection = Connection::open(path).expect("the file opens");
    connection
        .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL")
        .expect("SQLite is set up");
    connection
}

fn write(mut connection: Connection, waiting: &mpsc::Receiver<(Vec<Row>, oneshot::Sender<()>)>) {
    let mut version = NOW;
    while let Ok(first) = waiting.recv() {
        let mut callers = Vec::new();
        let transaction = connection.transaction().expect("a transaction begins");
        for (rows, caller) in std::iter::once(first).chain(waiting.try_iter()) {
            let mut save = transaction.prepare_cached(SAVE).expect("the statement is valid");
            for Row { content_type, key, tags, data } in rows {
                version += 1;
                let id = Uuid::new_v4();
                let size = data.len() as i64;
                save.execute(params![content_type, key, id.as_bytes(), NOW, version, size, tags, &data[..]])
                    .expect("SQLite saves");
            }
            callers.push(caller);
        }
        transaction.commit().expect("SQLite commits");
        for caller in callers {
            // A caller that has gone needs no answer.
            let _gone = caller.send(());
        }
    }
}

impl Raw {
    pub(crate) fn open(path: &Path) -> Self {
        let (queue, waiting) = mpsc::channel();
        let writer = open(path);
        thread::spawn(move || write(writer, &waiting));
        Self { queue, path: Arc::new(path.to_owned()), readers: Arc::default() }
    }

    async fn save_rows(&self, rows: Vec<Row>) {
        let (caller, done) = oneshot::channel();
        self.queue.send((rows, caller)).expect("the writer lives");
        done.await.expect("the writer answers");
    }

    fn read<T>(&self, work: impl FnOnce(&Connection) -> T) -> T {
        let idle = self.readers.lock().expect("no reader panics").pop();
        let reader = idle.unwrap_or_else(|| open(&self.path));
        let answer = work(&reader);
        self.readers.lock().expect("no reader panics").push(reader);
        answer
    }

    /// Saves several items in one transaction.
    pub(crate) async fn save_many(&self, keys: &[String], payload: &Bytes) {
        let rows = keys.iter().zip(0..).map(|(key, n)| row(items::request(key, n, payload)));
        self.save_rows(rows.collect()).await;
    }

    /// The items of a group.
    pub(crate) fn search(&self, group: u64) -> usize {
        self.read(|reader| {
            let mut search = reader.prepare_cached(SEARCH).expect("the statement is valid");
            let rows =
                search.query_map([group.to_string()], |row| Ok(is_read(row))).expect("SQLite searches");
            rows.filter(|row| matches!(row, Ok(true))).count()
        })
    }
}

fn row(request: SaveRequest<'_>) -> Row {
    Row {
        content_type: request.key.content_type().to_owned(),
        key: request.key.key().to_owned(),
        tags: serde_json::to_string(&request.tags).expect("tags are JSON"),
        data: request.data,
    }
}

/// Reads what a service would read of a row.
fn is_read(row: &rusqlite::Row<'_>) -> bool {
    let id: [u8; 16] = row.get(0).expect("an id");
    let version: i64 = row.get(1).expect("a version");
    let tags: Tags = serde_json::from_str(row.get_ref(2).and_then(|tags| Ok(tags.as_str()?)).expect("tags"))
        .expect("tags are JSON");
    let data =
        row.get_ref(3).and_then(|data| Ok(Bytes::copy_from_slice(data.as_blob()?))).expect("a payload");
    data.len() == items::PAYLOAD && tags.len() == 3 && id != [0; 16] && version > 0
}

impl Store for Raw {
    async fn save(&self, request: SaveRequest<'_>) {
        self.save_rows(vec![row(request)]).await;
    }

    async fn load(&self, key: ItemKey<'_>) -> bool {
        self.read(|reader| {
            let mut load = reader.prepare_cached(LOAD).expect("the statement is valid");
            let found = load.query_row([key.content_type(), key.key()], |row| Ok(is_read(row))).optional();
            found.expect("SQLite loads").is_some_and(|read| read)
        })
    }
}
