//! The tables of the full schema: created once, under a lock, and never touched by a program that does not know them.

use storage_core::{ErrorKind, Result, Timestamp};
use tokio_postgres::types::Type;

use super::{
    error::{During, meaning},
    session::Session,
    statements::Names,
};
use crate::{error::failure, identifier::TableName};

/// The format of the tables that this version reads and writes.
const FORMAT: i32 = 1;
/// One lock for all migrations of all stores in a database: they are rare and short.
const MIGRATIONS: i64 = 0x7374_6f72_6167_6500;

/// Checks the tables, and creates them where there are none and `create` allows it.
///
/// # Errors
/// [`ErrorKind::NotFound`] if there is no store and none may be created; [`ErrorKind::Config`] if there is something else, or
/// tables of another format; those of the server.
pub(super) async fn prepare(
    session: &Session,
    table: &TableName,
    create: bool,
    now: Timestamp,
) -> Result<()> {
    let names = Names::new(table);
    // Looked at without a lock first: a store that is there is opened by those too who may only read.
    if is_there(session, &names, table).await? {
        return Ok(());
    }
    if !create {
        let message = format!("there is no store in table {table}, and none may be created");
        return Err(failure(ErrorKind::NotFound, message));
    }
    let client = &session.client;
    let begin = format!("BEGIN; SELECT pg_advisory_xact_lock({MIGRATIONS})");
    client.batch_execute(&begin).await.map_err(connecting)?;
    // Somebody else may have been first.
    let made = match is_there(session, &names, table).await {
        Ok(true) => Ok(()),
        Ok(false) => client.batch_execute(&definition(&names, table, now)).await.map_err(connecting),
        Err(error) => Err(error),
    };
    let end = if made.is_ok() { "COMMIT" } else { "ROLLBACK" };
    let ended = client.batch_execute(end).await.map_err(connecting);
    made.and(ended)
}

/// Whether the tables are there, in our format.
async fn is_there(session: &Session, names: &Names, table: &TableName) -> Result<bool> {
    // A session remembers which names it did not find. It forgets that when it touches a table, such as that of tables; without,
    // one who waited for the lock would not see what was made meanwhile.
    let query =
        "SELECT to_regclass($1) IS NOT NULL, to_regclass($2) IS NOT NULL FROM pg_catalog.pg_class LIMIT 1";
    let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 2] =
        [(&names.items, Type::TEXT), (&names.format, Type::TEXT)];
    let row = session.client.query_typed_one(query, &parameters).await.map_err(connecting)?;
    let found = |at| row.try_get::<_, bool>(at).map_err(connecting);
    match (found(0)?, found(1)?) {
        (false, false) => Ok(false),
        (true, true) => check_format(session, names, table).await.map(|()| true),
        (true, false) => Err(failure(
            ErrorKind::Config,
            format!(
                "table {table} is there, but not as a store; name another one as table_name, or use schema plain"
            ),
        )),
        (false, true) => Err(failure(ErrorKind::Config, format!("table {table} is missing from its store"))),
    }
}

async fn check_format(session: &Session, names: &Names, table: &TableName) -> Result<()> {
    let query = format!("SELECT format FROM {}", names.format);
    let row = session.client.query_typed_opt(&query, &[]).await.map_err(connecting)?;
    let format = row.map(|row| row.try_get::<_, i32>(0)).transpose().map_err(connecting)?;
    let advice = match format {
        Some(FORMAT) => return Ok(()),
        Some(format) if format > FORMAT => "was written by a newer version of this program: use that one",
        _ => "has a format that this version does not know: restore it from a backup, or use another table",
    };
    let shown = format.map_or_else(|| "none".to_owned(), |format| format.to_string());
    Err(failure(
        ErrorKind::Config,
        format!("the store in table {table} {advice} (format {shown}, here {FORMAT})"),
    ))
}

fn connecting(error: tokio_postgres::Error) -> storage_core::StorageError {
    meaning(error, During::Connect)
}

/// What makes a store.
///
/// Every order of a search is an index that begins with what is given and goes on in that order. Versions start at the time
/// of the creation, so that a store that is lost and made again gives none a second time.
fn definition(names: &Names, table: &TableName, now: Timestamp) -> String {
    let Names { items, versions, format, .. } = names;
    let start = now.as_micros().max(1);
    let index = |suffix: &str| format!("\"{}_{suffix}\"", table.table.as_str());
    format!(
        "CREATE TABLE {items} (
            content_type text COLLATE \"C\" NOT NULL,
            key text COLLATE \"C\" NOT NULL,
            id uuid NOT NULL,
            created_at bigint NOT NULL,
            updated_at bigint NOT NULL,
            expires_at bigint,
            version bigint NOT NULL,
            encoding text COLLATE \"C\" NOT NULL,
            size bigint NOT NULL,
            tags jsonb NOT NULL,
            checksum bigint NOT NULL,
            data bytea NOT NULL,
            PRIMARY KEY (content_type, key));
         CREATE INDEX {by_key} ON {items} (key, content_type);
         CREATE INDEX {by_created} ON {items} (created_at, key, content_type);
         CREATE INDEX {by_type_created} ON {items} (content_type, created_at, key);
         CREATE INDEX {by_updated} ON {items} (updated_at, key, content_type);
         CREATE INDEX {by_type_updated} ON {items} (content_type, updated_at, key);
         CREATE INDEX {by_expiry} ON {items} (expires_at) WHERE expires_at IS NOT NULL;
         CREATE INDEX {by_tags} ON {items} USING gin (tags jsonb_path_ops);
         CREATE SEQUENCE {versions} AS bigint START WITH {start};
         CREATE TABLE {format} (format integer NOT NULL);
         INSERT INTO {format} VALUES ({FORMAT});",
        by_key = index("key"),
        by_created = index("created"),
        by_type_created = index("type_created"),
        by_updated = index("updated"),
        by_type_updated = index("type_updated"),
        by_expiry = index("expires"),
        by_tags = index("tags"),
    )
}
