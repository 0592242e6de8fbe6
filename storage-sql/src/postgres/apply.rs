//! Batches of writes: one statement for each kind of write in a batch, all under way at once.
//!
//! Each statement is a transaction of its own. The items of a batch are distinct, so that nothing is gained by putting the
//! statements into one, and they would no longer take their locks in one order.

use std::{collections::HashMap, sync::Arc};

use futures_util::future::join_all;
use storage_core::{Condition, ErrorKind, ItemKey, Result, StorageError, Timestamp, Uuid};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_postgres::{
    Row as Answer,
    types::{Json, ToSql},
};

use super::{
    Postgres,
    error::{During, is_collision, is_of_one_row, meaning},
    rows::{self, column, identity},
    session::Session,
};
use crate::{
    engine::{Delete, Moment, Save, Stamp, Touch, Write, Written},
    error::{copy, failure},
    row::{content_checksum, micros, stored_version},
};

/// How often a statement that collided with others is sent again.
const ROUNDS: u32 = 8;
/// The longest wait before the second round; it doubles with each further one.
const BACKOFF_MICROS: u64 = 2_000;

type Parameter<'p> = &'p (dyn ToSql + Sync);

/// The kinds of writes that have a statement of their own, in no particular order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Save,
    SaveAbsent,
    SaveVersion,
    Delete,
    DeleteVersion,
    Touch,
}

impl Kind {
    fn of(write: &Write) -> Self {
        match write {
            Write::Save(save) => match save.condition {
                Condition::None => Self::Save,
                Condition::Absent => Self::SaveAbsent,
                Condition::Version(_) => Self::SaveVersion,
            },
            Write::Delete(delete) => match delete.condition {
                Condition::Version(_) => Self::DeleteVersion,
                Condition::None | Condition::Absent => Self::Delete,
            },
            Write::Touch(_) => Self::Touch,
        }
    }
}

/// Applies a batch and answers each write in its place.
pub(super) async fn apply(engine: &Postgres, writes: &[Arc<Write>], at: Moment) -> Vec<Result<Written>> {
    let own = match engine.lanes.own(at.deadline).await {
        Ok(own) => own,
        Err(error) => return writes.iter().map(|_| Err(copy(&error))).collect(),
    };
    let session = own.session();
    let applying = join_all(groups(writes).into_iter().map(|(kind, places)| async move {
        let group: Vec<&Write> = places.iter().filter_map(|at| writes.get(*at)).map(AsRef::as_ref).collect();
        (places, Group { engine, session, kind, at }.apply(&group).await)
    }));
    let mut answers: Vec<_> = writes.iter().map(|_| Err(unanswered())).collect();
    // Dropped with its connection in the middle, what is under way ends with it or is cancelled by its next user.
    let Ok(applied) = timeout_at(at.deadline, own.run(applying)).await else { return answers };
    for (places, written) in applied {
        for (place, written) in places.into_iter().zip(written) {
            if let Some(answer) = answers.get_mut(place) {
                *answer = written;
            }
        }
    }
    answers
}

fn unanswered() -> StorageError {
    failure(ErrorKind::OutcomeUnknown, "the server did not answer a write before the deadline")
}

/// The places of the writes of each kind, in the order of their identities.
fn groups(writes: &[Arc<Write>]) -> HashMap<Kind, Vec<usize>> {
    let mut order: Vec<_> = writes.iter().map(|write| write.identity()).enumerate().collect();
    order.sort_unstable_by_key(|(_, identity)| *identity);
    let mut groups: HashMap<Kind, Vec<usize>> = HashMap::new();
    for (place, _) in order {
        if let Some(write) = writes.get(place) {
            groups.entry(Kind::of(write)).or_default().push(place);
        }
    }
    groups
}

/// What writes of one kind are applied with.
#[derive(Clone, Copy)]
struct Group<'e> {
    engine: &'e Postgres,
    session: &'e Session,
    kind: Kind,
    at: Moment,
}

impl Group<'_> {
    async fn apply(self, writes: &[&Write]) -> Vec<Result<Written>> {
        match self.send(writes).await {
            Ok(answers) => answers,
            Err(error) if writes.len() > 1 && is_of_one_row(&error) => {
                let mut answers = Vec::with_capacity(writes.len());
                for write in writes {
                    answers.extend(match self.send(&[*write]).await {
                        Ok(answer) => answer,
                        Err(error) => vec![Err(meaning(error, During::Write))],
                    });
                }
                answers
            }
            Err(error) => {
                let error = meaning(error, During::Write);
                let copies: Vec<_> = writes.iter().skip(1).map(|_| Err(copy(&error))).collect();
                std::iter::once(Err(error)).chain(copies).collect()
            }
        }
    }

    /// Sends the writes, again if they collide with others.
    async fn send(self, writes: &[&Write]) -> Result<Vec<Result<Written>>, tokio_postgres::Error> {
        for round in 0..ROUNDS {
            match self.send_once(writes).await {
                Err(error) if is_collision(&error) && Instant::now() < self.at.deadline => {
                    let longest = BACKOFF_MICROS << round;
                    sleep(std::time::Duration::from_micros(fastrand::u64(longest / 2..=longest))).await;
                }
                answer => return answer,
            }
        }
        self.send_once(writes).await
    }

    async fn send_once(self, writes: &[&Write]) -> Result<Vec<Result<Written>>, tokio_postgres::Error> {
        let statements = &self.engine.statements;
        let now = micros(self.at.now);
        match self.kind {
            Kind::Save | Kind::SaveAbsent | Kind::SaveVersion => self.save(now, writes).await,
            Kind::Touch => {
                let (content_types, keys) = identities(writes);
                let deadlines: Vec<_> = writes
                    .iter()
                    .map(|write| touch(write).and_then(|touch| touch.expires_at).map(micros))
                    .collect();
                let rows = self.query(&statements.touch, &[&now, &content_types, &keys, &deadlines]).await?;
                Ok(answers(writes, &rows, |_, row| match row {
                    Some(row) => rows::metadata(row).map(|metadata| Written::Touched(Some(metadata))),
                    None => Ok(Written::Touched(None)),
                }))
            }
            Kind::Delete => {
                let (content_types, keys) = identities(writes);
                let rows = self.query(&statements.delete, &[&now, &content_types, &keys]).await?;
                Ok(answers(writes, &rows, |_, row| Ok(Written::Deleted(row.is_some()))))
            }
            Kind::DeleteVersion => self.delete_version(now, writes).await,
        }
    }

    async fn save(self, now: i64, writes: &[&Write]) -> Result<Vec<Result<Written>>, tokio_postgres::Error> {
        let saves: Vec<&Save> = writes.iter().filter_map(|write| save(write)).collect();
        let (content_types, keys) = identities(writes);
        let deadlines: Vec<_> = saves.iter().map(|save| save.expires_at.map(micros)).collect();
        let encodings: Vec<_> = saves.iter().map(|save| save.encoding.as_str()).collect();
        let tags: Vec<_> = saves.iter().map(|save| Json(&save.tags)).collect();
        let checksums: Vec<_> = saves.iter().map(|save| checksum(save)).collect();
        let data: Vec<_> = saves.iter().map(|save| &*save.data).collect();
        let ids: Vec<_> = saves.iter().map(|save| save.id).collect();
        let expected: Vec<_> = saves.iter().map(|save| expected(save.condition)).collect();
        let (statement, last): (_, Parameter<'_>) = match self.kind {
            Kind::SaveVersion => (&self.engine.statements.save_version, &expected),
            Kind::SaveAbsent => (&self.engine.statements.save_absent, &ids),
            _ => (&self.engine.statements.save, &ids),
        };
        let parameters: [Parameter<'_>; 9] =
            [&now, &content_types, &keys, &deadlines, &encodings, &tags, &checksums, &data, last];
        let rows = self.query(statement, &parameters).await?;
        Ok(answers(writes, &rows, |write, row| match row {
            Some(row) => stamp(row).map(Written::Saved),
            None => Err(refusal(write)),
        }))
    }

    async fn delete_version(
        self,
        now: i64,
        writes: &[&Write],
    ) -> Result<Vec<Result<Written>>, tokio_postgres::Error> {
        let statements = &self.engine.statements;
        let (content_types, keys) = identities(writes);
        let expected: Vec<_> =
            writes.iter().map(|write| delete(write).and_then(|d| expected(d.condition))).collect();
        let gone = self.query(&statements.delete_version, &[&now, &content_types, &keys, &expected]).await?;
        if gone.len() == writes.len() {
            return Ok(writes.iter().map(|_| Ok(Written::Deleted(true))).collect());
        }
        // What was not deleted is absent, or has another version.
        let left = self.query(&statements.versions, &[&now, &content_types, &keys]).await?;
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

    async fn query(
        self,
        statement: &Arc<str>,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<Answer>, tokio_postgres::Error> {
        self.session.query(statement, parameters).await
    }
}

/// The answer to each write, made of the row that the server answered for its item, if it did.
fn answers(
    writes: &[&Write],
    rows: &[Answer],
    answer: impl Fn(&Write, Option<&Answer>) -> Result<Written>,
) -> Vec<Result<Written>> {
    let by_identity: HashMap<_, _> = rows.iter().filter_map(|row| Some((identity(row).ok()?, row))).collect();
    writes.iter().map(|write| answer(write, by_identity.get(&write.identity()).copied())).collect()
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
