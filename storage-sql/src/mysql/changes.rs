//! What a batch changes, gathered so that each kind of change takes few statements.

use std::collections::BTreeMap;

use mysql_async::Value;
use storage_core::{Result, StorageMetadata, Tags};

use super::{
    Mysql,
    apply::{raise_marks, slot},
    error::Fault,
    pool::Lent,
    row::{Stored, deadline, values},
    statements::{LARGEST, sizes, text},
};
use crate::{
    engine::Save,
    row::{micros, row_checksum, stored_version},
};

/// The changes of one transaction, in the order in which they are made.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Tags that are no longer those of an item, and items whose tags are not known.
    lost_tags: Vec<[Value; 4]>,
    unknown_tags: Vec<[Value; 2]>,
    inserts: Vec<Vec<Value>>,
    replacements: Vec<Vec<Value>>,
    touches: Vec<Vec<Value>>,
    deletes: Vec<[Value; 2]>,
    new_tags: Vec<[Value; 4]>,
    marks: BTreeMap<u64, i64>,
}

impl Changes {
    pub(super) fn is_empty(&self) -> bool {
        let Self { inserts, replacements, touches, deletes, .. } = self;
        inserts.is_empty() && replacements.is_empty() && touches.is_empty() && deletes.is_empty()
    }

    /// Stores an item. `indexed` are the tags that the index has of it; `None` if nobody knows.
    pub(super) fn save(
        &mut self,
        save: &Save,
        metadata: &StorageMetadata,
        replaces: bool,
        indexed: Option<Tags>,
    ) -> Result<()> {
        let row = values(save, metadata)?;
        if replaces { &mut self.replacements } else { &mut self.inserts }.push(row);
        let (content_type, key) = (&*metadata.content_type, &*metadata.key);
        let indexed = self.known_or_removed(indexed, content_type, key);
        let pair = |(name, value): (&str, &str)| tag_row(name, value, key, content_type);
        let lost = indexed.iter().filter(|(name, value)| !metadata.tags.contains(name, value));
        self.lost_tags.extend(lost.map(pair));
        let new = metadata.tags.iter().filter(|(name, value)| !indexed.contains(name, value));
        self.new_tags.extend(new.map(pair));
        Ok(())
    }

    /// Removes an item and remembers its version.
    pub(super) fn delete(
        &mut self,
        content_type: &str,
        key: &str,
        stored: Option<&Stored>,
        indexed: Option<Tags>,
    ) {
        self.deletes.push([text(key), text(content_type)]);
        let indexed = self.known_or_removed(indexed, content_type, key);
        self.lost_tags.extend(indexed.iter().map(|(name, value)| tag_row(name, value, key, content_type)));
        let mark = self.marks.entry(slot(content_type, key)).or_default();
        *mark = stored.map_or(0, |stored| stored.version).max(*mark);
    }

    /// Gives an item the deadline, version and time of `metadata`.
    pub(super) fn touch(&mut self, metadata: &StorageMetadata, content_sum: i64) {
        self.touches.push(vec![
            deadline(metadata),
            Value::Int(micros(metadata.updated_at)),
            Value::Int(stored_version(metadata.version)),
            Value::Int(row_checksum(content_sum, metadata)),
            text(&metadata.key),
            text(&metadata.content_type),
        ]);
    }

    fn known_or_removed(&mut self, indexed: Option<Tags>, content_type: &str, key: &str) -> Tags {
        indexed.unwrap_or_else(|| {
            self.unknown_tags.push([text(key), text(content_type)]);
            Tags::new()
        })
    }

    /// Sends the changes to the server.
    pub(super) async fn make(self, engine: &Mysql, connection: &mut Lent) -> Result<(), Fault> {
        let statements = &engine.statements;
        for values in self.unknown_tags {
            connection.run(&statements.remove_all_tags(), values.into()).await?;
        }
        send(connection, self.lost_tags, |size| statements.remove_tags(size)).await?;
        send_rows(connection, engine.packet, self.inserts, |size| statements.insert(size)).await?;
        send_rows(connection, engine.packet, self.replacements, |size| statements.replace(size)).await?;
        for values in self.touches {
            connection.run(&statements.touch(), values).await?;
        }
        send(connection, self.deletes, |size| statements.delete(size)).await?;
        send(connection, self.new_tags, |size| statements.add_tags(size)).await?;
        raise_marks(engine, connection, &self.marks).await
    }
}

fn tag_row(name: &str, value: &str, key: &str, content_type: &str) -> [Value; 4] {
    [text(name), text(value), text(key), text(content_type)]
}

async fn send<const N: usize>(
    connection: &mut Lent,
    rows: Vec<[Value; N]>,
    statement: impl Fn(usize) -> String,
) -> Result<(), Fault> {
    let mut rows = rows.into_iter();
    for size in sizes(rows.len()) {
        let values = rows.by_ref().take(size).flatten().collect();
        connection.run(&statement(size), values).await?;
    }
    Ok(())
}

/// Sends rows with payloads, as many at a time as a packet of the server holds.
pub(super) async fn send_rows(
    connection: &mut Lent,
    packet: usize,
    rows: Vec<Vec<Value>>,
    statement: impl Fn(usize) -> String,
) -> Result<(), Fault> {
    let (mut group, mut bytes) = (Vec::new(), 0);
    for row in rows {
        let size: usize = row.iter().map(value_size).sum();
        if !group.is_empty() && (bytes + size > packet || group.len() >= LARGEST) {
            send_group(connection, std::mem::take(&mut group), &statement).await?;
            bytes = 0;
        }
        bytes += size;
        group.push(row);
    }
    send_group(connection, group, &statement).await
}

async fn send_group(
    connection: &mut Lent,
    group: Vec<Vec<Value>>,
    statement: &impl Fn(usize) -> String,
) -> Result<(), Fault> {
    let mut rows = group.into_iter();
    for size in sizes(rows.len()) {
        let values = rows.by_ref().take(size).flatten().collect();
        connection.run(&statement(size), values).await?;
    }
    Ok(())
}

/// Bytes that a value takes in a packet, or a little more.
fn value_size(value: &Value) -> usize {
    const SMALL: usize = 16;
    match value {
        Value::Bytes(bytes) => bytes.len() + SMALL,
        _ => SMALL,
    }
}
