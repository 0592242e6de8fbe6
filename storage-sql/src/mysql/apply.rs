//! What a batch does to its items: their rows are locked, and the core decides what happens to each.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use mysql_async::{Row, Value};
use storage_core::{ErrorKind, ItemKey, Result, SaveRequest, StorageMetadata, Tags, Timestamp, next_version};
use xxhash_rust::xxh3::Xxh3;

use super::{
    Mysql,
    changes::Changes,
    error::Fault,
    pool::Lent,
    row::{Columns, Known, Stored},
    schema::MARKS,
    statements::{sizes, text},
};
use crate::engine::{Delete, Save, Stamp, Touch, Write, Written};

/// What is stored under the identities of a batch.
pub(super) type StoredRows = HashMap<(String, String), Stored>;

/// Decides and makes the changes; the answers, and whether there is anything to commit.
pub(super) async fn change(
    engine: &Mysql,
    connection: &mut Lent,
    writes: &[Arc<Write>],
    now: Timestamp,
) -> Result<(Vec<Result<Written>>, bool), Fault> {
    let stored = lock(engine, connection, writes).await?;
    let marks = lock_marks(engine, connection, writes, &stored).await?;
    let mut changes = Changes::default();
    let mut answers = Vec::with_capacity(writes.len());
    for write in writes {
        let (content_type, key) = write.identity();
        let mark = marks.get(&slot(content_type, key)).copied().unwrap_or_default();
        let identity = (content_type.to_owned(), key.to_owned());
        let current = Current { stored: stored.get(&identity), mark, now };
        answers.push(decide(write, &current, &mut changes));
    }
    let changed = !changes.is_empty();
    changes.make(engine, connection).await?;
    Ok((answers, changed))
}

/// Reads and locks the rows of the batch, in the order of the identities, so that two batches never wait for each other.
async fn lock(engine: &Mysql, connection: &mut Lent, writes: &[Arc<Write>]) -> Result<StoredRows, Fault> {
    let mut identities: Vec<_> = writes.iter().map(|write| write.identity()).collect();
    identities.sort_unstable_by_key(|(content_type, key)| (*key, *content_type));
    let mut stored = StoredRows::new();
    let mut rest = identities.as_slice();
    for size in sizes(rest.len()) {
        let (some, others) = rest.split_at_checked(size).unwrap_or((rest, &[]));
        rest = others;
        let values = some.iter().flat_map(|(content_type, key)| [text(key), text(content_type)]).collect();
        for row in connection.rows(&engine.statements.lock(size), values).await? {
            let row = Stored::take(&mut Columns::new(row))?;
            let (content_type, key) = row.identity();
            stored.insert((content_type.to_owned(), key.to_owned()), row);
        }
    }
    Ok(stored)
}

/// The marks of the items that are new, locked: until this transaction ends, nobody removes such an item, which would raise
/// its mark. Without the lock, an item that another program creates and deletes between the look at the mark and the insert
/// would leave its version to be given again.
///
/// Whoever removes items locks the marks for that, and all in one order, so that two batches never wait for each other.
async fn lock_marks(
    engine: &Mysql,
    connection: &mut Lent,
    writes: &[Arc<Write>],
    stored: &StoredRows,
) -> Result<HashMap<u64, u64>, Fault> {
    let mut slots = BTreeSet::new();
    let mut removes = false;
    for write in writes {
        let (content_type, key) = write.identity();
        let is_stored = stored.contains_key(&(content_type.to_owned(), key.to_owned()));
        let removed = is_stored && matches!(**write, Write::Delete(_));
        let new = !is_stored && matches!(**write, Write::Save(_));
        removes |= removed;
        if removed || new {
            slots.insert(slot(content_type, key));
        }
    }
    let slots: Vec<_> = slots.into_iter().collect();
    let mut marks = HashMap::new();
    let mut rest = slots.as_slice();
    for size in sizes(rest.len()) {
        let (some, others) = rest.split_at_checked(size).unwrap_or((rest, &[]));
        rest = others;
        let values = some.iter().map(|slot| Value::UInt(*slot)).collect();
        for row in connection.rows(&engine.statements.lock_marks(size, removes), values).await? {
            marks.extend(mark(row)?);
        }
    }
    Ok(marks)
}

fn mark(row: Row) -> Result<Option<(u64, u64)>> {
    let mut columns = Columns::new(row);
    let (slot, mark) = (columns.integer()?, columns.integer()?);
    Ok(u64::try_from(slot).ok().zip(u64::try_from(mark).ok()))
}

/// Which of the marks remembers the versions of an item after it is gone.
pub(super) fn slot(content_type: &str, key: &str) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(content_type.as_bytes());
    // No content type and no key holds it.
    hash.update(&[0]);
    hash.update(key.as_bytes());
    hash.digest() % MARKS
}

/// What a write finds.
struct Current<'s> {
    stored: Option<&'s Stored>,
    /// The mark of an item that is not there.
    mark: u64,
    now: Timestamp,
}

impl Current<'_> {
    /// The item, if it is there and has not expired.
    fn live(&self) -> Result<Option<Known>> {
        let known = self.stored.map(Stored::known).transpose()?;
        Ok(known.filter(|known| known.metadata.is_live(self.now)))
    }

    /// The version of the next write. That of a damaged row counts too.
    fn next_version(&self) -> u64 {
        let stored = self.stored.map(|stored| u64::try_from(stored.version).unwrap_or(0));
        next_version(stored.unwrap_or(self.mark), self.now)
    }

    /// The tags that the index has of the row; `None` if the row does not say.
    fn indexed_tags(&self) -> Option<Tags> {
        self.stored.map_or_else(|| Some(Tags::new()), |stored| stored.tags().ok())
    }
}

fn decide(write: &Write, current: &Current<'_>, changes: &mut Changes) -> Result<Written> {
    match write {
        Write::Save(save) => decide_save(save, current, changes).map(Written::Saved),
        Write::Delete(delete) => decide_delete(delete, current, changes).map(Written::Deleted),
        Write::Touch(touch) => decide_touch(touch, current, changes).map(Written::Touched),
    }
}

fn decide_save(save: &Save, current: &Current<'_>, changes: &mut Changes) -> Result<Stamp> {
    let live = current.live()?.map(|known| known.metadata);
    save.condition.check_save(live.as_ref())?;
    let metadata = saved_metadata(save, live.as_ref(), current)?;
    changes.save(save, &metadata, current.stored.is_some(), current.indexed_tags())?;
    Ok(Stamp {
        id: metadata.id,
        created_at: metadata.created_at,
        updated_at: metadata.updated_at,
        version: metadata.version,
    })
}

/// The one rule of the core, with the id that the writer has drawn for a new item.
fn saved_metadata(
    save: &Save,
    live: Option<&StorageMetadata>,
    current: &Current<'_>,
) -> Result<StorageMetadata> {
    let key = ItemKey::new(&save.content_type, &save.key)?;
    let request = SaveRequest::new(key, save.data.clone())
        .encoding(save.encoding.clone())
        .expires_at(save.expires_at)
        .tags(save.tags.clone());
    let (_, mut metadata) = request.into_item(live, current.now, current.next_version());
    if live.is_none() {
        metadata.id = save.id;
    }
    Ok(metadata)
}

fn decide_delete(delete: &Delete, current: &Current<'_>, changes: &mut Changes) -> Result<bool> {
    let live = match current.live() {
        Ok(live) => live.map(|known| known.metadata),
        // Deleting is how a damaged item is got rid of.
        Err(error)
            if error.kind() == ErrorKind::Corrupted && delete.condition == storage_core::Condition::None =>
        {
            changes.delete(&delete.content_type, &delete.key, current.stored, current.indexed_tags());
            return Ok(true);
        }
        Err(error) => return Err(error),
    };
    if !delete.condition.check_delete(live.as_ref())? {
        return Ok(false);
    }
    changes.delete(&delete.content_type, &delete.key, current.stored, current.indexed_tags());
    Ok(true)
}

fn decide_touch(
    touch: &Touch,
    current: &Current<'_>,
    changes: &mut Changes,
) -> Result<Option<StorageMetadata>> {
    let Some(known) = current.live()? else { return Ok(None) };
    let metadata = known.metadata.touched(touch.expires_at, current.now, current.next_version());
    changes.touch(&metadata, known.content_sum);
    Ok(Some(metadata))
}

/// Raises the marks of items that are about to be removed, each to the version that its item has.
pub(super) async fn raise_marks(
    engine: &Mysql,
    connection: &mut Lent,
    marks: &BTreeMap<u64, i64>,
) -> Result<(), Fault> {
    let marks: Vec<_> = marks.iter().collect();
    let mut rest = marks.as_slice();
    for size in sizes(rest.len()) {
        let (some, others) = rest.split_at_checked(size).unwrap_or((rest, &[]));
        rest = others;
        let values = some.iter().flat_map(|(slot, mark)| [Value::UInt(**slot), Value::Int(**mark)]).collect();
        connection.run(&engine.statements.raise_marks(size), values).await?;
    }
    Ok(())
}
