//! What writes do to the tables of the full schema.

use rusqlite::{Connection, Params};
use storage_core::{ErrorKind, ItemKey, Result, StorageMetadata, Tags, Timestamp, next_version};

use super::{
    error::sqlite_error,
    read::Head,
    schema,
    statements::Statements,
    tables::{self, Refused, Tables, run},
};
use crate::{
    engine::{Delete, Save, Stamp, Swept, Touch, Write, Written},
    error::failure,
    row::{content_checksum, micros, row_checksum, stored_version},
};

const WHAT: &str = "the write failed";

impl Tables for Statements {
    fn batch<'t>(
        &'t self,
        transaction: &'t Connection,
        now: Timestamp,
    ) -> Result<Box<dyn tables::Batch + 't>> {
        let mark = schema::mark(transaction, self)?;
        Ok(Box::new(Batch { transaction, statements: self, now, mark, raised: false }))
    }

    fn sweep(&self, transaction: &Connection, now: Timestamp, limit: usize) -> Result<Swept> {
        // A version is never given again although its item is gone: the mark of the store is above it.
        Batch { transaction, statements: self, now, mark: 0, raised: false }.sweep(limit)
    }
}

/// A batch under way.
struct Batch<'t> {
    transaction: &'t Connection,
    statements: &'t Statements,
    now: Timestamp,
    /// The highest version given so far.
    mark: u64,
    /// Whether this batch has raised the mark.
    raised: bool,
}

impl tables::Batch for Batch<'_> {
    fn write(&mut self, write: &Write) -> Result<Written, Refused> {
        match write {
            Write::Save(save) => self.save(save),
            Write::Delete(delete) => self.delete(delete),
            Write::Touch(touch) => self.touch(touch),
        }
    }

    fn finish(&mut self) -> Result<()> {
        if !self.raised {
            return Ok(());
        }
        let mark = stored_version(self.mark);
        self.run(&self.statements.raise_mark, (mark, schema::seal(mark)))
    }
}

impl Batch<'_> {
    fn raise(&mut self, version: u64) {
        self.mark = version;
        self.raised = true;
    }

    fn save(&mut self, save: &Save) -> Result<Written, Refused> {
        let key = ItemKey::new(&save.content_type, &save.key).map_err(Refused::Unchanged)?;
        let old = self.head(key)?;
        let live = self.live(old.as_ref());
        save.condition.check_save(live).map_err(Refused::Unchanged)?;
        let version = next_version(self.mark, self.now);
        let created_at = live.map_or(self.now, |live| live.created_at);
        let metadata = StorageMetadata {
            id: live.map_or(save.id, |live| live.id),
            key: save.key.clone(),
            content_type: save.content_type.clone(),
            created_at,
            updated_at: self.now.max(created_at),
            expires_at: save.expires_at,
            version,
            encoding: save.encoding.clone(),
            tags: save.tags.clone(),
            size: save.data.len() as u64,
        };
        self.store(key, old.as_ref(), &metadata, &save.data).map_err(Refused::Halfway)?;
        self.raise(version);
        let StorageMetadata { id, updated_at, .. } = metadata;
        Ok(Written::Saved(Stamp { id, created_at, updated_at, version }))
    }

    fn store(&self, key: ItemKey<'_>, old: Option<&Head>, new: &StorageMetadata, data: &[u8]) -> Result<()> {
        let checksum = content_checksum(key, &new.encoding, &new.tags, data);
        let seal = row_checksum(checksum, new);
        let tags = serde_json::to_string(&new.tags)
            .map_err(|cause| failure(ErrorKind::Internal, "tags cannot be written").with_source(cause))?;
        let (created, updated) = (micros(new.created_at), micros(new.updated_at));
        let (expires, version) = (new.expires_at.map(micros), stored_version(new.version));
        // Payloads are at most 256 MiB.
        let size = i64::try_from(new.size).unwrap_or(i64::MAX);
        let (id, encoding) = (new.id.as_bytes().as_slice(), new.encoding.as_str());
        match old {
            Some(old) => self.run(
                &self.statements.update,
                rusqlite::params![
                    old.no, id, created, updated, expires, version, encoding, size, tags, checksum, seal,
                    data
                ],
            )?,
            None => self.run(
                &self.statements.insert,
                rusqlite::params![
                    new.content_type,
                    new.key,
                    id,
                    created,
                    updated,
                    expires,
                    version,
                    encoding,
                    size,
                    tags,
                    checksum,
                    seal,
                    data
                ],
            )?,
        }
        let none = Tags::new();
        self.retag(key, old.map_or(&none, |old| &old.metadata.tags), &new.tags)
    }

    /// Changes the rows of the tags that are not the same before and afterwards.
    fn retag(&self, key: ItemKey<'_>, old: &Tags, new: &Tags) -> Result<()> {
        let row = |(name, value)| (name, value, key.key(), key.content_type());
        for tag in old.iter().filter(|(name, value)| !new.contains(name, value)) {
            self.run(&self.statements.delete_tag, row(tag))?;
        }
        for tag in new.iter().filter(|(name, value)| !old.contains(name, value)) {
            self.run(&self.statements.insert_tag, row(tag))?;
        }
        Ok(())
    }

    fn delete(&mut self, delete: &Delete) -> Result<Written, Refused> {
        let key = ItemKey::new(&delete.content_type, &delete.key).map_err(Refused::Unchanged)?;
        let old = self.head(key)?;
        let deletes = delete.condition.check_delete(self.live(old.as_ref())).map_err(Refused::Unchanged)?;
        // What is expired counts as absent, and is left to the cleanup, which reports it.
        if let Some(old) = old.filter(|_| deletes) {
            self.remove(&old).map_err(Refused::Halfway)?;
        }
        Ok(Written::Deleted(deletes))
    }

    fn remove(&self, head: &Head) -> Result<()> {
        self.run(&self.statements.delete, (head.no,))?;
        self.retag(head.metadata.item_key()?, &head.metadata.tags, &Tags::new())
    }

    fn touch(&mut self, touch: &Touch) -> Result<Written, Refused> {
        let key = ItemKey::new(&touch.content_type, &touch.key).map_err(Refused::Unchanged)?;
        let Some(head) = self.head(key)?.filter(|head| head.metadata.is_live(self.now)) else {
            return Ok(Written::Touched(None));
        };
        let version = next_version(self.mark, self.now);
        let metadata = head.metadata.touched(touch.expires_at, self.now, version);
        let seal = row_checksum(head.checksum, &metadata);
        let row = (
            head.no,
            micros(metadata.updated_at),
            metadata.expires_at.map(micros),
            stored_version(version),
            seal,
        );
        self.run(&self.statements.touch, row).map_err(Refused::Halfway)?;
        self.raise(version);
        Ok(Written::Touched(Some(metadata)))
    }

    /// The row under `key`, whether or not it is expired.
    fn head(&self, key: ItemKey<'_>) -> Result<Option<Head>, Refused> {
        let read = || {
            let failed = |cause| sqlite_error(WHAT, cause);
            let mut query = self.transaction.prepare_cached(&self.statements.head).map_err(failed)?;
            let mut rows = query.query((key.content_type(), key.key())).map_err(failed)?;
            rows.next().map_err(failed)?.map(Head::read).transpose()
        };
        read().map_err(|error| Refused::Unchanged(error.with_key(key)))
    }

    fn live<'h>(&self, head: Option<&'h Head>) -> Option<&'h StorageMetadata> {
        head.map(|head| &head.metadata).filter(|metadata| metadata.is_live(self.now))
    }

    fn run(&self, sql: &str, parameters: impl Params) -> Result<()> {
        run(self.transaction, sql, parameters).map(drop)
    }
}

impl Batch<'_> {
    fn sweep(&self, limit: usize) -> Result<Swept> {
        let expired = self.expired(limit)?;
        let mut swept = Swept { report: Default::default(), more: expired.len() == limit };
        for head in &expired {
            self.remove(head)?;
            swept.report.expired += 1;
            swept.report.bytes += head.metadata.size;
        }
        Ok(swept)
    }

    fn expired(&self, limit: usize) -> Result<Vec<Head>> {
        let failed = |cause| sqlite_error("expired items cannot be found", cause);
        let mut query = self.transaction.prepare_cached(&self.statements.expired).map_err(failed)?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut rows = query.query((micros(self.now), limit)).map_err(failed)?;
        let mut heads = Vec::new();
        while let Some(row) = rows.next().map_err(failed)? {
            heads.push(Head::read(row)?);
        }
        Ok(heads)
    }
}
