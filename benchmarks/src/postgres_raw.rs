//! What a service would otherwise write against a client of PostgreSQL: one upsert for each save and one select for each load,
//! on the same table with the same indexes, over as many connections as the provider has.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use sqlx::{
    PgPool, Row as _,
    postgres::{PgConnectOptions, PgPoolOptions},
    types::Json,
};
use storage_core::{ItemKey, SaveRequest, Tags, Uuid};
use tokio::{runtime::Runtime, task::JoinHandle};
use tokio_postgres::{Client, NoTls, Row, Statement};

use crate::{items, maps::Store};

/// The time of every save: what it is costs nothing.
const NOW: i64 = 1_767_225_600_000_000;

const COLUMNS: &str = "content_type, key, id, created_at, updated_at, expires_at, version, encoding, size, tags, checksum, data";

const REPLACE: &str = "ON CONFLICT (content_type, key) DO UPDATE SET updated_at = excluded.updated_at,
    expires_at = excluded.expires_at, version = nextval('raw_items_version'), encoding = excluded.encoding,
    size = excluded.size, tags = excluded.tags, checksum = excluded.checksum, data = excluded.data
    RETURNING id, created_at, version";

/// The statements that all contenders send.
pub(crate) struct Texts {
    save: String,
    load: String,
    save_many: String,
    load_many: String,
    search: String,
}

impl Texts {
    fn new() -> Self {
        Self {
            save: format!(
                "INSERT INTO raw_items AS stored ({COLUMNS}) VALUES ($1, $2, $3, {NOW}, {NOW}, NULL,
                 nextval('raw_items_version'), 'raw', octet_length($5), $4, 0, $5) {REPLACE}"
            ),
            load: format!("SELECT {COLUMNS} FROM raw_items WHERE content_type = $1 AND key = $2"),
            save_many: format!(
                "INSERT INTO raw_items AS stored ({COLUMNS}) SELECT content_type, key, id, {NOW}, {NOW}, NULL,
                 nextval('raw_items_version'), 'raw', octet_length(data), tags, 0, data
                 FROM unnest($1::text[], $2::text[], $3::uuid[], $4::jsonb[], $5::bytea[])
                 AS given (content_type, key, id, tags, data) {REPLACE}"
            ),
            load_many: format!(
                "SELECT {} FROM unnest($1::text[], $2::text[]) AS given (content_type, key)
                 JOIN raw_items AS stored USING (content_type, key)",
                COLUMNS.replace("id,", "stored.id,")
            ),
            search: format!("SELECT {COLUMNS} FROM raw_items WHERE tags @> $1 ORDER BY key LIMIT 101"),
        }
    }
}

/// Some connections of `tokio-postgres`, used in turn, each by many tasks at once.
#[derive(Clone)]
pub(crate) struct Raw {
    connections: Arc<[Connection]>,
    next: Arc<AtomicUsize>,
}

struct Connection {
    client: Client,
    save: Statement,
    load: Statement,
    save_many: Statement,
    load_many: Statement,
    search: Statement,
    task: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Raw {
    /// Connects `count` times to the server at `url`.
    pub(crate) fn connect(runtime: &Runtime, url: &str, count: usize) -> Self {
        let connections = (0..count).map(|_| runtime.block_on(Connection::open(url))).collect();
        Self { connections, next: Arc::default() }
    }

    fn connection(&self) -> &Connection {
        &self.connections[self.next.fetch_add(1, Ordering::Relaxed) % self.connections.len()]
    }

    /// Saves several items with one statement.
    pub(crate) async fn save_many(&self, keys: &[String], payload: &Bytes) {
        let on = self.connection();
        let Columns { types, ids, tags, data } = Columns::of(keys, payload);
        let rows = on.client.query(&on.save_many, &[&types, &keys, &ids, &tags, &data]).await;
        assert_eq!(rows.expect("the server saves").len(), keys.len());
    }

    /// Loads several items with one statement.
    pub(crate) async fn load_many(&self, keys: &[String]) {
        let on = self.connection();
        let types = vec![items::TYPE; keys.len()];
        let rows = on.client.query(&on.load_many, &[&types, &keys]).await.expect("the server loads");
        assert_eq!(rows.iter().filter(|row| is_read(row)).count(), keys.len());
    }

    /// The items of a group.
    pub(crate) async fn search(&self, group: u64) -> usize {
        let on = self.connection();
        let tags = tokio_postgres::types::Json(group_tag(group));
        let rows = on.client.query(&on.search, &[&tags]).await.expect("the server searches");
        rows.iter().filter(|row| is_read(row)).count()
    }
}

fn group_tag(group: u64) -> Tags {
    Tags::from([("group", group.to_string().as_str())])
}

struct Columns<'a> {
    types: Vec<&'static str>,
    ids: Vec<Uuid>,
    tags: Vec<tokio_postgres::types::Json<Tags>>,
    data: Vec<&'a [u8]>,
}

impl<'a> Columns<'a> {
    fn of(keys: &[String], payload: &'a Bytes) -> Self {
        let tags = keys.iter().zip(0..).map(|(key, n)| items::request(key, n, payload).tags);
        Self {
            types: vec![items::TYPE; keys.len()],
            ids: keys.iter().map(|_| Uuid::new_v4()).collect(),
            tags: tags.map(tokio_postgres::types::Json).collect(),
            data: vec![payload; keys.len()],
        }
    }
}

/// Reads what a service would read of a row.
fn is_read(row: &Row) -> bool {
    let data = Bytes::copy_from_slice(row.get(11));
    let tags: tokio_postgres::types::Json<Tags> = row.get(9);
    let (id, version): (Uuid, i64) = (row.get(2), row.get(6));
    data.len() == items::PAYLOAD && tags.0.len() == 3 && !id.is_nil() && version > 0
}

impl Connection {
    async fn open(url: &str) -> Self {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("the server answers");
        let task = tokio::spawn(async move { connection.await.expect("the connection lasts") });
        let texts = Texts::new();
        let prepare = async |text: &str| client.prepare(text).await.expect("the statement is valid");
        let save = prepare(&texts.save).await;
        let load = prepare(&texts.load).await;
        let save_many = prepare(&texts.save_many).await;
        let load_many = prepare(&texts.load_many).await;
        let search = prepare(&texts.search).await;
        Self { client, save, load, save_many, load_many, search, task }
    }
}

impl Store for Raw {
    async fn save(&self, request: SaveRequest<'_>) {
        let on = self.connection();
        let tags = tokio_postgres::types::Json(&request.tags);
        let (content_type, key) = (request.key.content_type(), request.key.key());
        let rows = on
            .client
            .query(&on.save, &[&content_type, &key, &Uuid::new_v4(), &tags, &&request.data[..]])
            .await;
        assert_eq!(rows.expect("the server saves").len(), 1);
    }

    async fn load(&self, key: ItemKey<'_>) -> bool {
        let on = self.connection();
        let row = on.client.query_opt(&on.load, &[&key.content_type(), &key.key()]).await;
        row.expect("the server loads").is_some_and(|row| is_read(&row))
    }
}

/// The same statements over a pool of `sqlx`.
#[derive(Clone)]
pub(crate) struct Sqlx {
    pool: PgPool,
    texts: Arc<Texts>,
}

impl Sqlx {
    /// A pool of `count` connections.
    pub(crate) fn connect(runtime: &Runtime, url: &str, count: u32) -> Self {
        let options: PgConnectOptions = url.parse().expect("the URL is valid");
        let pool = PgPoolOptions::new().min_connections(count).max_connections(count);
        let pool = runtime.block_on(pool.connect_with(options)).expect("the server answers");
        Self { pool, texts: Arc::new(Texts::new()) }
    }

    /// Saves several items with one statement.
    pub(crate) async fn save_many(&self, keys: &[String], payload: &Bytes) {
        let Columns { types, ids, tags, data } = Columns::of(keys, payload);
        let tags: Vec<_> = tags.into_iter().map(|tags| Json(tags.0)).collect();
        let query = sqlx::query(sqlx::AssertSqlSafe(self.texts.save_many.clone())).bind(types).bind(keys);
        let rows = query.bind(ids).bind(tags).bind(data).fetch_all(&self.pool).await;
        assert_eq!(rows.expect("the server saves").len(), keys.len());
    }

    /// The items of a group.
    pub(crate) async fn search(&self, group: u64) -> usize {
        let query = sqlx::query(sqlx::AssertSqlSafe(self.texts.search.clone())).bind(Json(group_tag(group)));
        let rows = query.fetch_all(&self.pool).await.expect("the server searches");
        rows.iter().filter(|row| row.get::<&[u8], _>(11).len() == items::PAYLOAD).count()
    }
}

impl Store for Sqlx {
    async fn save(&self, request: SaveRequest<'_>) {
        let query = sqlx::query(sqlx::AssertSqlSafe(self.texts.save.clone()));
        let query = query.bind(request.key.content_type()).bind(request.key.key()).bind(Uuid::new_v4());
        let query = query.bind(Json(&request.tags)).bind(&request.data[..]);
        query.fetch_one(&self.pool).await.expect("the server saves");
    }

    async fn load(&self, key: ItemKey<'_>) -> bool {
        let query = sqlx::query(sqlx::AssertSqlSafe(self.texts.load.clone()));
        let row = query.bind(key.content_type()).bind(key.key()).fetch_optional(&self.pool).await;
        row.expect("the server loads").is_some_and(|row| {
            let data = Bytes::copy_from_slice(row.get(11));
            let tags: Json<Tags> = row.get(9);
            let (id, version): (Uuid, i64) = (row.get(2), row.get(6));
            data.len() == items::PAYLOAD && tags.0.len() == 3 && !id.is_nil() && version > 0
        })
    }
}
