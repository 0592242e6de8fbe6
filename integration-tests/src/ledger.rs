//! What a test knows of a store on a server that fails under it.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use storage_core::{ErrorKind, StorageError, StorageMetadata, StorageProvider, Timestamp};

use crate::{
    check::check_with,
    model::{Model, deadline, is_owned, is_written_by},
    protocol::{Action, Entry, Outcome},
    witness::Witness,
};

/// Hears what is done to a store, and compares the store with it.
///
/// Calls may fail. A failed call changed nothing, unless it says that its outcome is unknown. Where the server itself may
/// lose what it acknowledged, that is counted, and everything else still has to hold: what is found is one of the writes,
/// whole, and every index agrees with it.
#[derive(Debug)]
pub struct Ledger {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    model: Model,
    losses_allowed: bool,
    past: BTreeMap<String, Past>,
    tally: Tally,
    wrong: Option<String>,
}

/// Everything that ever happened to one item.
#[derive(Debug, Default)]
struct Past {
    intended: Vec<Action>,
    acknowledged: Vec<StorageMetadata>,
}

/// How often what happened.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Acknowledged writes.
    pub acknowledged: u64,
    /// Failed calls, by the kind of their error.
    pub failed: BTreeMap<String, u64>,
    /// Items that the server lost or set back to an earlier write.
    pub lost: u64,
}

impl Ledger {
    /// A ledger of an empty store that loses nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::with(State::default())
    }

    /// A ledger of an empty store whose server may lose its last writes.
    #[must_use]
    pub fn of_a_server_that_loses() -> Self {
        Self::with(State { losses_allowed: true, ..State::default() })
    }

    fn with(state: State) -> Self {
        let model = Model::default().failures_allowed();
        Self { state: Mutex::new(State { model, ..state }) }
    }

    /// How often what happened so far.
    pub fn tally(&self) -> Tally {
        self.state().tally.clone()
    }

    /// Compares the store, at the time `now` that it sees, with everything that was heard.
    ///
    /// # Errors
    /// The first difference, or what was wrong before.
    pub async fn check(&self, store: &dyn StorageProvider, now: Timestamp) -> Result<Tally, String> {
        let names: Vec<String> = self.state().model.names().map(str::to_owned).collect();
        if let Some(why) = self.state().wrong.take() {
            return Err(why);
        }
        let names = names.iter().map(String::as_str);
        check_with(store, names, now, |name, found| self.state().explain(name, found, now)).await?;
        Ok(self.tally())
    }

    /// A check that panicked has its own report; what the lock holds is whole at any time.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Ledger {
    fn default() -> Self {
        Self::new()
    }
}

impl Witness for Ledger {
    fn intends(&self, task: u32, entries: Vec<Entry>) {
        let state = &mut *self.state();
        for entry in &entries {
            state.past.entry(entry.name.clone()).or_default().intended.push(entry.action.clone());
        }
        state.model.intend(task, entries);
    }

    fn heard(&self, task: u32, outcomes: Vec<Outcome>) {
        let state = &mut *self.state();
        outcomes.iter().for_each(|outcome| state.count(outcome));
        match state.model.acknowledge(task, outcomes) {
            // Whoever looks for an item that the server lost does not find it.
            Err(_) if state.losses_allowed => {}
            Err(why) => state.complain(why),
            Ok(()) => {}
        }
    }

    fn saw(&self, name: &str, found: Option<&StorageMetadata>, between: [Timestamp; 2]) {
        let state = &mut *self.state();
        // What several tasks write may change under the eyes of the reader.
        if !is_owned(name) || state.losses_allowed {
            return;
        }
        let [before, after] = between.map(|now| state.model.explain(name, found, now));
        if let (Err(why), Err(_)) = (before, after) {
            state.complain(format!("a load saw what cannot be: {why}"));
        }
    }

    fn failed(&self, operation: &str, error: &StorageError) {
        let state = &mut *self.state();
        state.tally.note_failure(error.kind().as_str());
        if !matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::OutcomeUnknown) {
            state.complain(format!("{operation} failed: {error:?}"));
        }
    }

    fn disagrees(&self, why: String) {
        self.state().complain(why);
    }
}

impl State {
    fn complain(&mut self, why: String) {
        self.wrong.get_or_insert(why);
    }

    fn count(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Live(metadata) => {
                self.tally.acknowledged += 1;
                let name = crate::protocol::name(&metadata.content_type, &metadata.key);
                self.past.entry(name).or_default().acknowledged.push(metadata.clone());
            }
            Outcome::Gone(true) => self.tally.acknowledged += 1,
            Outcome::Failed(kind, text) => {
                self.tally.note_failure(kind);
                if !["Unavailable", "Timeout", "OutcomeUnknown"].contains(&kind.as_str()) {
                    self.complain(format!("a write failed: {text}"));
                }
            }
            Outcome::Gone(false) | Outcome::Missing | Outcome::Refused => {}
        }
    }

    /// Whether the store may hold `found` under `name`; what the server lost is counted.
    fn explain(&mut self, name: &str, found: Option<&StorageMetadata>, now: Timestamp) -> Result<(), String> {
        let Err(why) = self.model.explain(name, found, now) else { return Ok(()) };
        let known = self.past.get(name).is_some_and(|past| found.is_none_or(|found| past.explains(found)));
        if !self.losses_allowed || !known {
            return Err(why);
        }
        self.tally.lost += 1;
        Ok(())
    }
}

impl Past {
    /// Whether what was found is one of the writes, whole.
    fn explains(&self, found: &StorageMetadata) -> bool {
        if self.acknowledged.contains(found) {
            return true;
        }
        // An unacknowledged write may stand on a state that was lost, which nobody heard of.
        let is_written = |action: &Action| is_written_by(action, found);
        let sets_deadline = |action: &Action| {
            (is_written(action) || matches!(action, Action::Touch { .. }))
                && deadline(action) == found.expires_at
        };
        self.intended.iter().any(is_written) && self.intended.iter().any(sets_deadline)
    }
}

impl Tally {
    fn note_failure(&mut self, kind: &str) {
        *self.failed.entry(kind.to_owned()).or_default() += 1;
    }

    /// How many calls failed with this kind.
    pub fn failures(&self, kind: ErrorKind) -> u64 {
        self.failed.get(kind.as_str()).copied().unwrap_or_default()
    }
}
