//! P1 to P6, P9, P13 to P15: random calls one after the other, each compared with a plain model.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use fastrand::Rng;

use super::differential::{assert_answers, random_identity, random_tags};
use crate::{
    Bytes, Condition, Encoding, ErrorKind, Result, SaveRequest, StorageItem, Timestamp, Usage, Uuid,
    conformance::{
        Fixture, Store,
        model::{Model, Wanted, is_live},
        support::*,
    },
};

/// P1–P6, P9, P13, P14: A few hundred random calls answer what a plain model answers.
pub async fn random_calls_answer_what_a_plain_model_answers(fixture: &Fixture) {
    Machine::new(fixture, false).await.run(400).await;
}

/// P1–P6, P9, P13–P15: The same with the store closed and reopened in between.
pub async fn random_calls_and_reopenings_answer_what_a_plain_model_answers(fixture: &Fixture) {
    Machine::new(fixture, true).await.run(150).await;
}

struct Machine<'a> {
    fixture: &'a Fixture,
    store: Store,
    model: Model,
    random: Rng,
    reopens: bool,
    /// The highest version seen of each key; the successor of a deleted item must be above it.
    marks: BTreeMap<Identity, u64>,
    ids: BTreeSet<Uuid>,
    /// Expired items that a later call has touched: a provider may have removed them on that occasion.
    disturbed: BTreeSet<Identity>,
    /// How many expired items were replaced since the last cleanup, on the real clock: where a server drops expired items by
    /// itself, what they left behind is found only then, and counted beside those that replaced them.
    buried: u64,
    trace: Trace,
}

type Identity = (String, String);

/// The last calls, shown if a check panics.
#[derive(Default)]
struct Trace(VecDeque<String>);

impl Drop for Trace {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the last calls were:");
            for call in &self.0 {
                eprintln!("  {call}");
            }
        }
    }
}

/// What a save asks for, owned.
#[derive(Debug, Clone)]
struct Wish {
    identity: Identity,
    data: Bytes,
    encoding: Encoding,
    tags: crate::Tags,
    expires_at: Option<Timestamp>,
    condition: Condition,
}

impl Wish {
    fn request(&self) -> SaveRequest<'_> {
        SaveRequest::new(typed(&self.identity.0, &self.identity.1), self.data.clone())
            .encoding(self.encoding.clone())
            .tags(self.tags.clone())
            .expires_at(self.expires_at)
            .condition(self.condition)
    }
}

impl<'a> Machine<'a> {
    async fn new(fixture: &'a Fixture, reopens: bool) -> Self {
        Self {
            fixture,
            store: fixture.open().await,
            model: Model::default(),
            random: fixture.random(),
            reopens,
            marks: BTreeMap::new(),
            ids: BTreeSet::new(),
            disturbed: BTreeSet::new(),
            buried: 0,
            trace: Trace::default(),
        }
    }

    async fn run(mut self, steps: usize) {
        for _ in 0..steps {
            self.step().await;
        }
        self.search_everything().await;
    }

    async fn step(&mut self) {
        match self.random.u8(..100) {
            0..30 => self.save().await,
            30..38 => self.save_many().await,
            38..50 => self.load().await,
            50..54 => self.load_many().await,
            54..62 => self.delete().await,
            62..65 => self.delete_many().await,
            65..72 => self.touch().await,
            72..82 => self.search().await,
            82..85 => self.usage().await,
            85..89 => self.cleanup().await,
            89..97 => self.wait().await,
            _ if self.reopens => self.reopen().await,
            _ => self.search_everything().await,
        }
    }

    fn note(&mut self, call: impl std::fmt::Display) {
        if self.trace.0.len() == 30 {
            self.trace.0.pop_front();
        }
        self.trace.0.push_back(format!("{} {call}", self.fixture.reached()));
    }

    fn now(&self) -> Timestamp {
        self.fixture.reached()
    }

    fn identity(&mut self) -> Identity {
        // Mostly what is there already, because new items alone prove little.
        let known = if self.random.u8(..3) > 0 { self.random.choice(&self.model.items) } else { None };
        if let Some(item) = known {
            return (item.metadata.content_type.clone(), item.metadata.key.clone());
        }
        let (content_type, key) = random_identity(&mut self.random);
        (content_type.to_owned(), key)
    }

    fn deadline(&mut self) -> Option<Timestamp> {
        match self.random.u8(..4) {
            0 => Some(self.fixture.far()),
            1 => Some(self.fixture.later(self.random.u32(1..5))),
            _ => None,
        }
    }

    /// A condition that holds about as often as not.
    fn condition(&mut self, identity: &Identity) -> Condition {
        let mark = self.marks.get(identity).copied().unwrap_or(7);
        match self.random.u8(..6) {
            0 => Condition::Absent,
            1 | 2 => Condition::Version(mark),
            3 => Condition::Version(mark.saturating_sub(1)),
            _ => Condition::None,
        }
    }

    fn wish(&mut self) -> Wish {
        let identity = self.identity();
        let condition = self.condition(&identity);
        Wish {
            identity,
            data: vec![self.random.u8(..); self.random.usize(..50)].into(),
            encoding: [Encoding::RAW, Encoding::JSON][self.random.usize(..2)].clone(),
            tags: random_tags(&mut self.random),
            expires_at: self.deadline(),
            condition,
        }
    }

    async fn save(&mut self) {
        let wish = self.wish();
        self.note(format!("save {wish:?}"));
        let answer = self.store.save(wish.request()).await;
        self.saved(&wish, answer);
    }

    async fn save_many(&mut self) {
        let wishes: Vec<_> = (0..self.random.usize(..6)).map(|_| self.wish()).collect();
        self.note(format!("save_many {wishes:?}"));
        let answers = self.store.save_many(wishes.iter().map(Wish::request).collect()).await;
        assert_eq!(answers.len(), wishes.len(), "one answer for each save");
        for (wish, answer) in wishes.iter().zip(answers) {
            self.saved(wish, answer);
        }
    }

    /// Compares the answer of a save with what the model makes of it.
    fn saved(&mut self, wish: &Wish, answer: Result<StorageItem>) {
        self.disturb(&wish.identity);
        let live = self.model.live(typed(&wish.identity.0, &wish.identity.1), self.now()).cloned();
        let version = live.as_ref().map(|live| live.metadata.version);
        match (wish.condition, version) {
            (Condition::Absent, Some(_)) => drop(refused(answer, ErrorKind::AlreadyExists)),
            (Condition::Version(asked), actual) if actual != Some(asked) => {
                drop(refused(answer, ErrorKind::VersionConflict));
            }
            _ => {
                let item = answer.unwrap_or_else(|error| panic!("{wish:?} failed: {error:?}"));
                self.assert_result_of(wish, live.as_ref(), &item);
                self.written(item);
            }
        }
    }

    fn assert_result_of(&self, wish: &Wish, live: Option<&StorageItem>, item: &StorageItem) {
        let metadata = &*item.metadata;
        assert_eq!((&metadata.content_type, &metadata.key), (&wish.identity.0, &wish.identity.1));
        assert_eq!(
            (&item.data, &metadata.encoding, &metadata.tags),
            (&wish.data, &wish.encoding, &wish.tags)
        );
        assert_eq!((metadata.expires_at, metadata.size), (wish.expires_at, wish.data.len() as u64));
        assert!(metadata.created_at <= metadata.updated_at && metadata.updated_at <= self.fixture.now());
        match live {
            Some(live) => {
                let kept = (live.metadata.id, live.metadata.created_at);
                assert_eq!(
                    (metadata.id, metadata.created_at),
                    kept,
                    "id and creation of a live item are kept"
                );
            }
            None => {
                assert!(!self.ids.contains(&metadata.id), "a new item has the id of another");
                assert!(metadata.created_at >= self.now(), "a new item was created in the past");
            }
        }
    }

    /// Takes over what a save or a touch has made, after a look at its version.
    fn written(&mut self, item: StorageItem) {
        let identity = (item.metadata.content_type.clone(), item.metadata.key.clone());
        let mark = self.marks.insert(identity.clone(), item.metadata.version);
        assert!(mark.is_none_or(|mark| mark < item.metadata.version), "the version does not grow: {item:?}");
        self.ids.insert(item.metadata.id);
        self.disturbed.remove(&identity);
        if self.fixture.manual().is_none() {
            let stored = self.model.stored(typed(&identity.0, &identity.1));
            self.buried += u64::from(stored.is_some_and(|old| !is_live(old, self.now())));
        }
        self.model.put(item);
    }

    async fn load(&mut self) {
        let identity = self.identity();
        self.note(format!("load {identity:?}"));
        self.disturb(&identity);
        let key = typed(&identity.0, &identity.1);
        assert_eq!(load(&self.store, key).await.as_ref(), self.model.live(key, self.now()));
    }

    async fn load_many(&mut self) {
        let identities: Vec<_> = (0..self.random.usize(..6)).map(|_| self.identity()).collect();
        self.note(format!("load_many {identities:?}"));
        let keys: Vec<_> = identities.iter().map(|(content_type, key)| typed(content_type, key)).collect();
        let answers = self.store.load_many(&keys).await;
        assert_eq!(answers.len(), keys.len(), "one answer for each key");
        for (key, answer) in keys.iter().zip(answers) {
            assert_eq!(answer.unwrap().as_ref(), self.model.live(*key, self.now()));
        }
        identities.iter().for_each(|identity| self.disturb(identity));
    }

    async fn delete(&mut self) {
        let identity = self.identity();
        let condition = match self.condition(&identity) {
            Condition::Absent => Condition::None,
            condition => condition,
        };
        self.note(format!("delete {identity:?} {condition:?}"));
        let key = typed(&identity.0, &identity.1);
        let answer = self.store.delete(key, condition).await;
        self.disturb(&identity);
        let live = self.model.live(key, self.now()).map(|item| item.metadata.version);
        match (condition, live) {
            (Condition::Version(asked), Some(actual)) if actual != asked => {
                refused(answer, ErrorKind::VersionConflict);
            }
            _ => self.deleted(&identity, answer),
        }
    }

    async fn delete_many(&mut self) {
        let identities: Vec<_> = (0..self.random.usize(..4)).map(|_| self.identity()).collect();
        self.note(format!("delete_many {identities:?}"));
        let keys: Vec<_> = identities.iter().map(|(content_type, key)| typed(content_type, key)).collect();
        let answers = self.store.delete_many(&keys).await;
        assert_eq!(answers.len(), keys.len(), "one answer for each key");
        for (identity, answer) in identities.iter().zip(answers) {
            self.disturb(identity);
            self.deleted(identity, answer);
        }
    }

    fn deleted(&mut self, identity: &Identity, answer: Result<bool>) {
        let key = typed(&identity.0, &identity.1);
        let was_there = self.model.live(key, self.now()).is_some();
        assert_eq!(answer.unwrap(), was_there, "delete of {key:?} says whether a live item was there");
        if was_there {
            self.model.remove(key);
        }
    }

    async fn touch(&mut self) {
        let (identity, deadline) = (self.identity(), self.deadline());
        self.note(format!("touch {identity:?} {deadline:?}"));
        let key = typed(&identity.0, &identity.1);
        let touched = self.store.touch(key, deadline).await.unwrap();
        self.disturb(&identity);
        let live = self.model.live(key, self.now()).cloned();
        assert_eq!(touched.is_some(), live.is_some(), "touch of {key:?} says whether a live item was there");
        let (Some(metadata), Some(live)) = (touched, live) else { return };
        let mut expected = (*live.metadata).clone();
        expected.expires_at = deadline;
        expected.version = metadata.version;
        expected.updated_at = metadata.updated_at;
        assert_eq!(*metadata, expected, "a touch keeps all but deadline, version and update");
        assert!(metadata.updated_at >= live.metadata.created_at);
        self.written(StorageItem { data: live.data, metadata });
    }

    async fn search(&mut self) {
        let wanted = Wanted::random(&mut self.random, &self.model.items);
        let (page_size, bare) = (self.random.usize(1..20), self.random.bool());
        self.note(format!("search {:?} by pages of {page_size}", wanted.query()));
        assert_answers(self.fixture, &self.store, &self.model, &wanted, page_size, bare).await;
    }

    /// Compares the whole store, in every order.
    async fn search_everything(&mut self) {
        self.note("search everything");
        for order in ["key", "-key", "created", "-created", "updated", "-updated"] {
            let wanted = Wanted { order: order.parse().unwrap(), ..Wanted::default() };
            assert_answers(self.fixture, &self.store, &self.model, &wanted, 50, false).await;
        }
    }

    async fn usage(&mut self) {
        self.note("usage");
        let mut expected = Usage::default();
        for item in self.model.items.iter().filter(|item| is_live(item, self.now())) {
            expected.add_item(&item.metadata.content_type, item.data.len() as u64);
        }
        assert_eq!(self.store.usage().await.unwrap(), expected);
    }

    async fn cleanup(&mut self) {
        self.note("cleanup");
        let now = self.now();
        let report = cleanup(&self.store).await;
        let expired: Vec<_> = self.model.items.iter().filter(|item| !is_live(item, now)).collect();
        let identity = |item: &StorageItem| (item.metadata.content_type.clone(), item.metadata.key.clone());
        let least = expired.iter().filter(|item| !self.disturbed.contains(&identity(item))).count() as u64;
        let most = expired.len() as u64 + self.buried;
        assert!(
            (least..=most).contains(&report.expired),
            "{least} to {most} items have expired, but {report:?}"
        );
        self.model.items.retain(|item| is_live(item, now));
        self.disturbed.clear();
        self.buried = 0;
    }

    /// Waits a moment, or for the next deadline.
    async fn wait(&mut self) {
        self.note("wait");
        let far = self.now().saturating_add(std::time::Duration::from_secs(3_600));
        let deadlines = self.model.items.iter().filter_map(|item| item.metadata.expires_at);
        let next = deadlines.filter(|deadline| *deadline > self.now() && *deadline < far).min();
        match next {
            Some(deadline) if self.random.bool() => self.fixture.until(deadline).await,
            _ => self.fixture.tick().await,
        }
    }

    async fn reopen(&mut self) {
        self.note("reopen");
        self.store = self.fixture.reopen(std::sync::Arc::clone(&self.store)).await;
        // Opening may sweep.
        let now = self.now();
        for item in self.model.items.iter().filter(|item| !is_live(item, now)) {
            self.disturbed.insert((item.metadata.content_type.clone(), item.metadata.key.clone()));
        }
    }

    /// Notes that a call has met this key, if its item has expired.
    fn disturb(&mut self, identity: &Identity) {
        let now = self.now();
        let stored = self.model.stored(typed(&identity.0, &identity.1));
        if stored.is_some_and(|item| !is_live(item, now)) {
            self.disturbed.insert(identity.clone());
        }
    }
}
