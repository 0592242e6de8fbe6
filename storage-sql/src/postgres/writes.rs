//! How writes are sent to the tables of the full schema.

use storage_core::{Condition, ErrorKind, ItemKey, Result, StorageError, Timestamp, Uuid};
use tokio_postgres::{
    Row as Answer,
    types::{Json, ToSql},
};

use super::{
    apply::{self, Kind, Writing},
    rows::{self, column},
    session::Session,
    statements::Statements,
};
use crate::{
    engine::{Delete, Save, Stamp, Touch, Write, Written},
    error::failure,
    row::{content_checksum, micros, stored_version},
};

type Parameter<'p> = &'p (dyn ToSql + Sync);
type Answers = Result<Vec<Result<Written>>, tokio_postgres::Error>;

impl Writing for Statements {
    async fn send(&self, session: &Session, kind: Kind, writes: &[&Write], now: Timestamp) -> Answers {
        let now = micros(now);
        match kind {
            Kind::Save | Kind::SaveAbsent | Kind::SaveVersion => {
                self.save_all(session, kind, writes, now).await
            }
            Kind::Touch => self.touch_all(session, writes, now).await,
            Kind::Delete => {
                let (content_types, keys) = identities(writes);
                let rows = session.query(&self.delete, &[&now, &content_types, &keys]).await?;
                Ok(answers(writes, &rows, |_, row| Ok(Written::Deleted(row.is_some()))))
            }
            Kind::DeleteVersion => self.delete_versions(session, writes, now).await,
        }
    }
}

impl Statements {
    async fn save_all(&self, session: &Session, kind: Kind, writes: &[&Write], now: i64) -> Answers {
        let saves: Vec<&Save> = writes.iter().filter_map(|write| save(write)).collect();
        let (content_types, keys) = identities(writes);
        let deadlines: Vec<_> = saves.iter().map(|save| save.expires_at.map(micros)).collect();
        let encodings: Vec<_> = saves.iter().map(|save| save.encoding.as_str()).collect();
        let tags: Vec<_> = saves.iter().map(|save| Json(&save.tags)).collect();
        let checksums: Vec<_> = saves.iter().map(|save| checksum(save)).collect();
        let data: Vec<_> = saves.iter().map(|save| &*save.data).collect();
        let ids: Vec<_> = saves.iter().map(|save| save.id).collect();
        let expected: Vec<_> = saves.iter().map(|save| expected(save.condition)).collect();
        let (statement, last): (_, Parameter<'_>) = match kind {
            Kind::SaveVersion => (&self.save_version, &expected),
            Kind::SaveAbsent => (&self.save_absent, &ids),
            _ => (&self.save, &ids),
        };
        let parameters: [Parameter<'_>; 9] =
            [&now, &content_types, &keys, &deadlines, &encodings, &tags, &checksums, &data, last];
        let rows = session.query(statement, &parameters).await?;
        Ok(answers(writes, &rows, |write, row| match row {
            Some(row) => stamp(row).map(Written::Saved),
            None => Err(refusal(write)),
        }))
    }

    async fn touch_all(&self, session: &Session, writes: &[&Write], now: i64) -> Answers {
        let (content_types, keys) = identities(writes);
        let deadlines: Vec<_> =
            writes.iter().map(|write| touch(write).and_then(|touch| touch.expires_at).map(micros)).collect();
        let rows = session.query(&self.touch, &[&now, &content_types, &keys, &deadlines]).await?;
        Ok(answers(writes, &rows, |_, row| match row {
            Some(row) => rows::metadata(row).map(|metadata| Written::Touched(Some(metadata))),
            None => Ok(Written::Touched(None)),
        }))
    }

    async fn delete_versions(&self, session: &Session, writes: &[&Write], now: i64) -> Answers {
        let (content_types, keys) = identities(writes);
        let expected: Vec<_> =
            writes.iter().map(|write| delete(write).and_then(|d| expected(d.condition))).collect();
        let gone = session.query(&self.delete_version, &[&now, &content_types, &keys, &expected]).await?;
        if gone.len() == writes.len() {
            return Ok(writes.iter().map(|_| Ok(Written::Deleted(true))).collect());
        }
        // What was not deleted is absent, or has another version.
        let left = session.query(&self.versions, &[&now, &content_types, &keys]).await?;
        let conflicts = answers(writes, &left, |write, row| match row {
            Some(_) => Err(refusal(write)),
            None => Ok(Written::Deleted(false)),
        });
        let gone = answers(writes, &gone, |_, row| Ok(Written::Deleted(row.is_some())));
        let was_deleted = |answer: &Result<Written>| matches!(answer, Ok(Written::Deleted(true)));
        Ok(gone
            .into_iter()
            .zip(conflicts)
            .map(|(gone, left)| if was_deleted(&gone) { gone } else { left })
            .collect())
    }
}

fn answers(
    writes: &[&Write],
    rows: &[Answer],
    answer: impl Fn(&Write, Option<&Answer>) -> Result<Written>,
) -> Vec<Result<Written>> {
    apply::answers(writes, rows, |row| rows::identity(row).ok(), Write::identity, answer)
}

fn stamp(row: &Answer) -> Result<Stamp> {
    let time = |at| {
        Timestamp::from_micros(column(row, at)?)
            .ok_or_else(|| failure(ErrorKind::Corrupted, "the time of a row is outside the range"))
    };
    Ok(Stamp {
        id: column::<Uuid>(row, 2)?,
        created_at: time(3)?,
        updated_at: time(4)?,
        version: column::<i64>(row, 5)?.cast_unsigned(),
    })
}

/// Why a conditional write was not applied.
fn refusal(write: &Write) -> StorageError {
    let condition = match write {
        Write::Save(Save { condition, .. }) | Write::Delete(Delete { condition, .. }) => *condition,
        Write::Touch(_) => Condition::None,
    };
    match condition {
        Condition::Absent => failure(ErrorKind::AlreadyExists, "an item is stored already"),
        Condition::Version(version) => failure(
            ErrorKind::VersionConflict,
            format!("expected version {version}, which is not that of a stored item"),
        ),
        Condition::None => failure(ErrorKind::Internal, "the server did not answer a save"),
    }
}

fn identities<'w>(writes: &[&'w Write]) -> (Vec<&'w str>, Vec<&'w str>) {
    writes.iter().map(|write| write.identity()).unzip()
}

fn checksum(save: &Save) -> i64 {
    // The identity of a write was checked when it was made.
    ItemKey::new(&save.content_type, &save.key)
        .map_or(0, |key| content_checksum(key, &save.encoding, &save.tags, &save.data))
}

fn expected(condition: Condition) -> Option<i64> {
    match condition {
        Condition::Version(version) => Some(stored_version(version)),
        Condition::None | Condition::Absent => None,
    }
}

fn save(write: &Write) -> Option<&Save> {
    if let Write::Save(save) = write { Some(save) } else { None }
}

fn delete(write: &Write) -> Option<&Delete> {
    if let Write::Delete(delete) = write { Some(delete) } else { None }
}

fn touch(write: &Write) -> Option<&Touch> {
    if let Write::Touch(touch) = write { Some(touch) } else { None }
}
