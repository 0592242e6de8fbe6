//! What is done to a store until it fails: everything, at once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::{
    check::check_item,
    model::OWNED,
    protocol::{Action, Entry, OP, Outcome, item_key, name, payload},
    witness::Witness,
};
use fastrand::Rng;
use storage_core::{
    Clock, Condition, Encoding, ErrorKind, Result, SaveRequest, StorageError, StorageItem, StorageProvider,
    SystemClock, Tags, Timestamp,
};

pub(crate) const CONTENT_TYPES: [&str; 3] = ["note", "session", "image/png"];
pub(crate) const COLORS: [&str; 3] = ["red", "green", "blue"];
const TASKS: u32 = 16;
const KEYS_OF_A_TASK: u32 = 5;
const SHARED_KEYS: u32 = 6;

/// Works on a store until told to stop, and tells a witness of it.
#[derive(Debug, Clone)]
pub struct Workload {
    /// The store.
    pub store: Arc<dyn StorageProvider>,
    /// Who hears of each call before it begins and after it returned.
    pub witness: Arc<dyn Witness>,
    /// Seeds the choices.
    pub seed: u64,
    /// Ends the work.
    pub stop: Arc<AtomicBool>,
}

impl Workload {
    /// Works with many tasks until `stop` is set.
    ///
    /// # Panics
    /// If a task does.
    pub async fn run(self) {
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..TASKS {
            let rng = Rng::with_seed(self.seed ^ (u64::from(number) << 32));
            tasks.spawn(Worker { load: self.clone(), number, calls: 0, rng }.run());
        }
        tasks.spawn(self.sweep());
        while let Some(ended) = tasks.join_next().await {
            ended.expect("no task panics");
        }
    }

    async fn sweep(self) {
        while !self.is_over() {
            if let Err(error) = self.store.cleanup().await {
                self.witness.failed("cleanup", &error);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

struct Worker {
    load: Workload,
    number: u32,
    calls: u64,
    rng: Rng,
}

impl Worker {
    async fn run(mut self) {
        while !self.load.is_over() {
            self.calls += 1;
            match self.rng.u32(0..100) {
                0..40 => self.save(Condition::None).await,
                40..46 => self.save(Condition::Absent).await,
                46..52 => self.save_if_unchanged().await,
                52..62 => self.touch().await,
                62..74 => self.delete().await,
                74..82 => self.save_many().await,
                82..86 => self.delete_many().await,
                86..90 => self.read().await,
                _ => self.contend().await,
            }
        }
    }

    async fn save(&mut self, condition: Condition) {
        let name = self.own_name();
        let entry = self.save_entry(name);
        self.announce(vec![entry.clone()]);
        let answer = self.load.store.save(request(&entry, condition)).await;
        self.answer(vec![saved(answer)]);
    }

    async fn save_if_unchanged(&mut self) {
        let name = self.own_name();
        if let Some(item) = self.look(&name).await {
            let entry = self.save_entry(name);
            self.announce(vec![entry.clone()]);
            let condition = Condition::Version(item.metadata.version);
            let answer = self.load.store.save(request(&entry, condition)).await;
            self.answer(vec![saved(answer)]);
        }
    }

    async fn touch(&mut self) {
        let name = self.own_name();
        self.touch_item(name).await;
    }

    async fn touch_item(&mut self, name: String) {
        let expires_at = self.deadline();
        self.announce(vec![Entry { name: name.clone(), action: Action::Touch { expires_at } }]);
        let outcome = match self.load.store.touch(item_key(&name), expires_at).await {
            Ok(Some(metadata)) => Outcome::Live((*metadata).clone()),
            Ok(None) => Outcome::Missing,
            Err(error) => failed(&error),
        };
        self.answer(vec![outcome]);
    }

    async fn delete(&mut self) {
        let name = self.own_name();
        self.delete_item(name, None).await;
    }

    async fn delete_item(&mut self, name: String, version: Option<u64>) {
        self.announce(vec![Entry { name: name.clone(), action: Action::Delete { version } }]);
        let condition = version.map_or(Condition::None, Condition::Version);
        let answer = self.load.store.delete(item_key(&name), condition).await;
        self.answer(vec![deleted(answer)]);
    }

    async fn save_many(&mut self) {
        let names: Vec<String> = (0..self.rng.u32(2..8)).map(|_| self.own_name()).collect();
        let entries: Vec<Entry> = names.into_iter().map(|name| self.save_entry(name)).collect();
        self.announce(entries.clone());
        let requests = entries.iter().map(|entry| request(entry, Condition::None)).collect();
        let answers = self.load.store.save_many(requests).await;
        self.answer(answers.into_iter().map(saved).collect());
    }

    async fn delete_many(&mut self) {
        let names: Vec<String> = (0..self.rng.u32(2..5)).map(|_| self.own_name()).collect();
        let entry = |name: &String| Entry { name: name.clone(), action: Action::Delete { version: None } };
        self.announce(names.iter().map(entry).collect());
        let keys: Vec<_> = names.iter().map(|name| item_key(name)).collect();
        let answers = self.load.store.delete_many(&keys).await;
        self.answer(answers.into_iter().map(deleted).collect());
    }

    async fn read(&mut self) {
        let names: Vec<String> = (0..4).map(|_| self.shared_name()).collect();
        for name in names {
            self.look(&name).await;
        }
    }

    /// Several tasks write these items, so that deletes name the version they mean.
    async fn contend(&mut self) {
        let name = self.shared_name();
        let Some(item) = self.look(&name).await else {
            let entry = self.save_entry(name);
            self.announce(vec![entry.clone()]);
            let answer = self.load.store.save(request(&entry, Condition::Absent)).await;
            return self.answer(vec![saved(answer)]);
        };
        match self.rng.u32(0..4) {
            0 => self.delete_item(name, Some(item.metadata.version)).await,
            1 => self.touch_item(name).await,
            chance => {
                let version = Condition::Version(item.metadata.version);
                let condition = if chance == 2 { version } else { Condition::None };
                let entry = self.save_entry(name);
                self.announce(vec![entry.clone()]);
                let answer = self.load.store.save(request(&entry, condition)).await;
                self.answer(vec![saved(answer)]);
            }
        }
    }

    /// Loads an item; what is read must always be of one save.
    async fn look(&self, name: &str) -> Option<StorageItem> {
        let before = SystemClock.now();
        let answer = self.load.store.load(item_key(name)).await;
        if let Ok(found) = &answer {
            let found = found.as_ref().map(|item| &*item.metadata);
            self.load.witness.saw(name, found, [before, SystemClock.now()]);
        }
        match answer {
            Ok(Some(item)) => {
                // Only the store knows at which instant it looked, so that the deadline is not compared here.
                if let Err(why) = check_item(&item, Timestamp::MIN) {
                    self.load.witness.disagrees(why);
                }
                Some(item)
            }
            Ok(None) => None,
            Err(error) => {
                self.load.witness.failed("load", &error);
                None
            }
        }
    }

    fn announce(&self, entries: Vec<Entry>) {
        self.load.witness.intends(self.number, entries);
    }

    fn answer(&self, outcomes: Vec<Outcome>) {
        self.load.witness.heard(self.number, outcomes);
    }

    fn own_name(&mut self) -> String {
        let content_type = self.rng.choice(CONTENT_TYPES).unwrap_or("note");
        name(content_type, &format!("{OWNED}-{}-{}", self.number, self.rng.u32(0..KEYS_OF_A_TASK)))
    }

    fn shared_name(&mut self) -> String {
        name("note", &format!("shared-{}", self.rng.u32(0..SHARED_KEYS)))
    }

    fn save_entry(&mut self, name: String) -> Entry {
        self.calls += 1;
        let op = format!("{:x}-{}-{}", self.load.seed, self.number, self.calls);
        let mut tags = Tags::from([(OP, op)]);
        if self.rng.bool() {
            tags.insert("color", self.rng.choice(COLORS).unwrap_or_default());
        }
        let encoding = if self.rng.bool() { Encoding::RAW } else { Encoding::JSON };
        let size = match self.rng.u32(0..100) {
            0..8 => self.rng.u64(4_097..60_000),
            8..14 => 0,
            _ => self.rng.u64(1..400),
        };
        Entry { name, action: Action::Save { expires_at: self.deadline(), tags, encoding, size } }
    }

    fn deadline(&mut self) -> Option<Timestamp> {
        let millis = match self.rng.u32(0..100) {
            0..20 => self.rng.u64(30..300),
            20..35 => 3_600_000 + self.rng.u64(0..1_000),
            _ => return None,
        };
        Some(SystemClock.now().saturating_add(Duration::from_millis(millis)))
    }
}

/// The request of a save entry.
pub(crate) fn request(entry: &Entry, condition: Condition) -> SaveRequest<'_> {
    let Action::Save { expires_at, tags, encoding, size } = &entry.action else {
        panic!("only saves have a request");
    };
    SaveRequest::new(item_key(&entry.name), payload(tags.get(OP).unwrap_or_default(), *size))
        .tags(tags.clone())
        .encoding(encoding.clone())
        .expires_at(*expires_at)
        .condition(condition)
}

pub(crate) fn saved(answer: Result<StorageItem>) -> Outcome {
    match answer {
        Ok(item) => Outcome::Live((*item.metadata).clone()),
        Err(error) => failed(&error),
    }
}

pub(crate) fn deleted(answer: Result<bool>) -> Outcome {
    match answer {
        Ok(gone) => Outcome::Gone(gone),
        Err(error) => failed(&error),
    }
}

fn failed(error: &StorageError) -> Outcome {
    match error.kind() {
        // A short deadline may pass before the call gets its turn.
        ErrorKind::AlreadyExists | ErrorKind::VersionConflict | ErrorKind::Invalid => Outcome::Refused,
        kind => Outcome::Failed(kind.to_string(), format!("{error:?}")),
    }
}
