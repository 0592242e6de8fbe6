//! The statements over a plain table, and what a batch of writes does to it.

use std::{collections::HashMap, sync::Arc};

use mysql_async::Value;
use storage_core::{Result, Timestamp};

use super::{PlainMysql, deadlines::Deadlines, declared::Declared};
use crate::{
    config::SqlConfig,
    engine::{Save, Stamp, Touch, Write, Written},
    mysql::{
        changes::send_rows,
        error::Fault,
        pool::Lent,
        row::Columns,
        statements::{QUOTE, list, sizes, text},
    },
};

/// The table, with its statements.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) deadlines: Deadlines,
    pub(super) most_bytes: u64,
    pub(super) load: String,
    pub(super) usage: String,
    pub(super) expired: String,
    /// `SELECT key, value, deadline FROM table` with the index of the keys.
    pub(super) items: String,
    /// The same without the value, of which the size is read.
    pub(super) names: String,
    pub(super) key: String,
    pub(super) live: String,
    table: String,
    value: String,
    expires: String,
}

impl Table {
    /// Finds the table and checks that it can hold what it is for.
    pub(super) async fn find(connection: &mut Lent, config: &SqlConfig, skips_locked: bool) -> Result<Self> {
        let name = config.table()?;
        let columns = config.columns()?;
        let declared = Declared::read(connection, &name, columns.each_ref()).await?;
        let [key, value, expires] = columns.each_ref().map(|column| column.quoted(QUOTE).to_string());
        Ok(Self::new(&declared, name.quoted(QUOTE), key, value, expires, skips_locked))
    }

    fn new(
        declared: &Declared,
        table: String,
        key: String,
        value: String,
        expires: String,
        skips_locked: bool,
    ) -> Self {
        let deadlines = declared.deadlines;
        let live = deadlines.live(&expires);
        let gone = deadlines.expired(&expires);
        let shown = deadlines.shown(&expires);
        let skip = if skips_locked { " SKIP LOCKED" } else { "" };
        // The name is the server's own word; only a backtick could end it.
        let from = format!("FROM {table} FORCE INDEX (`{}`)", declared.index.replace('`', "``"));
        let size = format!("CAST(OCTET_LENGTH({value}) AS SIGNED)");
        Self {
            deadlines,
            most_bytes: declared.most_bytes,
            load: format!("SELECT {key}, {value}, {shown} {from} WHERE {key} = ? AND {live}"),
            usage: format!(
                "SELECT COUNT(*), CAST(COALESCE(SUM(OCTET_LENGTH({value})), 0) AS SIGNED) FROM {table} WHERE {live}"
            ),
            expired: format!("SELECT {key}, {size} FROM {table} WHERE {gone} LIMIT ? FOR UPDATE{skip}"),
            items: format!("SELECT {key}, {value}, {shown} {from}"),
            names: format!("SELECT {key}, {size}, {shown} {from}"),
            live,
            table,
            key,
            value,
            expires,
        }
    }

    /// Reads the values of so many keys.
    pub(super) fn load_many(&self, keys: usize) -> String {
        let Self { items, key, live, .. } = self;
        format!("{items} WHERE {key} IN ({}) AND {live}", list("?", keys))
    }

    /// Reads rows of the whole table, live or not, behind a key.
    pub(super) fn next_rows(&self, behind: Option<&Vec<u8>>) -> (String, Vec<Value>) {
        let Self { items, key, .. } = self;
        let page = format!("ORDER BY {key} LIMIT 64");
        match behind {
            None => (format!("{items} {page}"), Vec::new()),
            Some(last) => (format!("{items} WHERE {key} > ? {page}"), vec![Value::Bytes(last.clone())]),
        }
    }

    /// The live rows of so many keys, kept from being changed by others.
    fn lock(&self, keys: usize) -> String {
        let Self { names, key, live, .. } = self;
        format!("{names} WHERE {key} IN ({}) AND {live} ORDER BY {key} FOR UPDATE", list("?", keys))
    }

    fn upsert(&self, rows: usize) -> String {
        let Self { table, key, value, expires, deadlines, .. } = self;
        let values = list(&format!("(?, ?, {})", deadlines.stored()), rows);
        format!(
            "INSERT INTO {table} ({key}, {value}, {expires}) VALUES {values} \
             ON DUPLICATE KEY UPDATE {value} = VALUES({value}), {expires} = VALUES({expires})"
        )
    }

    /// Removes rows that are locked.
    pub(super) async fn delete(&self, connection: &mut Lent, keys: Vec<Value>) -> Result<(), Fault> {
        let Self { table, key, .. } = self;
        let mut keys = keys.into_iter();
        for size in sizes(keys.len()) {
            let statement = format!("DELETE FROM {table} WHERE {key} IN ({})", list("?", size));
            connection.run(&statement, keys.by_ref().take(size).collect()).await?;
        }
        Ok(())
    }

    async fn touch(&self, connection: &mut Lent, touch: &Touch) -> Result<(), Fault> {
        let Self { table, key, expires, deadlines, .. } = self;
        let statement = format!("UPDATE {table} SET {expires} = {} WHERE {key} = ?", deadlines.stored());
        let values = vec![deadlines.bound(touch.expires_at), text(&touch.key)];
        connection.run(&statement, values).await?;
        Ok(())
    }
}

/// Makes the changes of a batch: its keys are different ones. Rows are taken in the order of the keys, so that two batches do
/// not wait for each other.
pub(super) async fn change(
    store: &PlainMysql,
    connection: &mut Lent,
    writes: &[Arc<Write>],
    now: Timestamp,
) -> Result<(Vec<Result<Written>>, bool), Fault> {
    let live = lock_live(store, connection, writes, now).await?;
    let mut saves: Vec<&Save> = Vec::new();
    let (mut deletes, mut touches) = (Vec::new(), Vec::new());
    let mut answers = Vec::with_capacity(writes.len());
    for write in writes {
        let (content_type, key) = write.identity();
        let size = live.get(key).copied().filter(|_| store.plain.holds(content_type));
        answers.push(Ok(match &**write {
            Write::Save(save) => {
                saves.push(save);
                Written::Saved(stamp(store, save))
            }
            Write::Delete(_) => {
                deletes.extend(size.map(|_| text(key)));
                Written::Deleted(size.is_some())
            }
            Write::Touch(touch) => {
                touches.extend(size.map(|_| touch));
                let kept = touch.expires_at.map(|deadline| store.table.deadlines.kept(deadline));
                Written::Touched(size.map(|size| store.plain.metadata(key, size, kept)))
            }
        }));
    }
    let changed = !saves.is_empty() || !deletes.is_empty() || !touches.is_empty();
    saves.sort_unstable_by(|a, b| a.key.cmp(&b.key));
    let rows = saves.into_iter().map(|save| {
        let deadline = store.table.deadlines.bound(save.expires_at);
        vec![text(&save.key), Value::Bytes(save.data.to_vec()), deadline]
    });
    send_rows(connection, store.packet, rows.collect(), |size| store.table.upsert(size)).await?;
    store.table.delete(connection, deletes).await?;
    for touch in touches {
        store.table.touch(connection, touch).await?;
    }
    Ok((answers, changed))
}

/// The sizes of the live items that a batch deletes or touches, by their keys.
async fn lock_live(
    store: &PlainMysql,
    connection: &mut Lent,
    writes: &[Arc<Write>],
    now: Timestamp,
) -> Result<HashMap<String, u64>, Fault> {
    let needed = writes.iter().filter(|write| !matches!(***write, Write::Save(_)));
    let held =
        needed.map(|write| write.identity()).filter(|(content_type, _)| store.plain.holds(content_type));
    let mut keys: Vec<_> = held.map(|(_, key)| key).collect();
    keys.sort_unstable();
    let mut live = HashMap::new();
    let mut rest = keys.as_slice();
    for size in sizes(rest.len()) {
        let (some, others) = rest.split_at_checked(size).unwrap_or((rest, &[]));
        rest = others;
        let mut values: Vec<_> = some.iter().map(|key| text(key)).collect();
        values.push(store.table.deadlines.now(now));
        for row in connection.rows(&store.table.lock(size), values).await? {
            let mut columns = Columns::new(row);
            let key = columns.text()?;
            live.insert(key, u64::try_from(columns.optional_integer()?.unwrap_or(0)).unwrap_or(0));
        }
    }
    Ok(live)
}

fn stamp(store: &PlainMysql, save: &Save) -> Stamp {
    let metadata = store.plain.metadata(&save.key, 0, None);
    let (id, created_at, updated_at) = (metadata.id, metadata.created_at, metadata.updated_at);
    Stamp { id, created_at, updated_at, version: metadata.version }
}
