//! Batches of writes: one statement for each kind of write in a batch, all under way at once.
//!
//! Each statement is a transaction of its own. The items of a batch are distinct, so that nothing is gained by putting the
//! statements into one, and they would no longer take their locks in one order.

use std::{collections::HashMap, hash::Hash, sync::Arc};

use futures_util::future::join_all;
use storage_core::{Condition, ErrorKind, Result, StorageError, Timestamp};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_postgres::Row as Answer;

use super::{
    error::{During, is_collision, is_of_one_row, meaning},
    lanes::Lanes,
    session::Session,
};
use crate::{
    engine::{Moment, Write, Written},
    error::{copy, failure},
};

/// How often a statement that collided with others is sent again.
const ROUNDS: u32 = 8;
/// The longest wait before the second round; it doubles with each further one.
const BACKOFF_MICROS: u64 = 2_000;

/// The kinds of writes that have a statement of their own, in no particular order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
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

/// How writes of one kind are sent: one statement for all of them.
pub(super) trait Writing: Sync {
    /// Sends the writes, which are in the order of their identities, and answers each in its place.
    fn send(
        &self,
        session: &Session,
        kind: Kind,
        writes: &[&Write],
        now: Timestamp,
    ) -> impl Future<Output = Result<Vec<Result<Written>>, tokio_postgres::Error>> + Send;
}

/// Applies a batch and answers each write in its place.
pub(super) async fn apply(
    lanes: &Lanes,
    statements: &impl Writing,
    writes: &[Arc<Write>],
    at: Moment,
) -> Vec<Result<Written>> {
    let own = match lanes.own(at.deadline).await {
        Ok(own) => own,
        Err(error) => return writes.iter().map(|_| Err(copy(&error))).collect(),
    };
    let session = own.session();
    let applying = join_all(groups(writes).into_iter().map(|(kind, places)| async move {
        let group: Vec<&Write> = places.iter().filter_map(|at| writes.get(*at)).map(AsRef::as_ref).collect();
        (places, Group { statements, session, kind, at }.apply(&group).await)
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
struct Group<'e, S> {
    statements: &'e S,
    session: &'e Session,
    kind: Kind,
    at: Moment,
}

impl<S: Writing> Group<'_, S> {
    async fn apply(&self, writes: &[&Write]) -> Vec<Result<Written>> {
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
    async fn send(&self, writes: &[&Write]) -> Result<Vec<Result<Written>>, tokio_postgres::Error> {
        for round in 0..ROUNDS {
            match self.statements.send(self.session, self.kind, writes, self.at.now).await {
                Err(error) if is_collision(&error) && Instant::now() < self.at.deadline => {
                    let longest = BACKOFF_MICROS << round;
                    sleep(std::time::Duration::from_micros(fastrand::u64(longest / 2..=longest))).await;
                }
                answer => return answer,
            }
        }
        self.statements.send(self.session, self.kind, writes, self.at.now).await
    }
}

/// The answer to each write, made of the row that the server answered for its item, if it did.
pub(super) fn answers<'r, K: Eq + Hash>(
    writes: &[&'r Write],
    rows: &'r [Answer],
    identity: impl Fn(&'r Answer) -> Option<K>,
    of_write: impl Fn(&'r Write) -> K,
    answer: impl Fn(&Write, Option<&Answer>) -> Result<Written>,
) -> Vec<Result<Written>> {
    let found: HashMap<_, _> = rows.iter().filter_map(|row| Some((identity(row)?, row))).collect();
    writes.iter().map(|write| answer(write, found.get(&of_write(write)).copied())).collect()
}
