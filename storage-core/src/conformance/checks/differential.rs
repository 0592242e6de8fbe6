//! P9: the provider against a plain model, over random items and random queries.

use fastrand::Rng;

use crate::{
    Bytes, Condition, SaveRequest, StorageItem, Tags, Timestamp,
    conformance::{
        Fixture, Store,
        model::{Model, Wanted},
        support::*,
    },
};

/// P9: Random queries over random items answer what a plain search through a list answers, page by page.
pub async fn random_queries_answer_what_a_plain_model_answers(fixture: &Fixture) {
    compare(fixture, 150, 250).await;
}

/// P9: The same over few items, where empty and single hits are common.
pub async fn random_queries_over_few_items_answer_what_a_plain_model_answers(fixture: &Fixture) {
    compare(fixture, 5, 100).await;
}

/// P9: The same where many items tie in time.
pub async fn random_queries_over_ties_answer_what_a_plain_model_answers(fixture: &Fixture) {
    let store = fixture.open().await;
    let mut random = fixture.random();
    let mut model = Model::default();
    // One instant for all on a manual clock, so that only keys and content types tell them apart.
    for _ in 0..60 {
        save_one(&store, &mut model, &mut random, fixture.far()).await;
    }
    for _ in 0..100 {
        compare_one(fixture, &store, &model, &mut random).await;
    }
}

async fn compare(fixture: &Fixture, writes: usize, queries: usize) {
    let store = fixture.open().await;
    let mut random = fixture.random();
    let mut model = Model::default();
    for _ in 0..writes {
        write_one(fixture, &store, &mut model, &mut random).await;
    }
    expire_some(fixture, &store, &mut model, &mut random).await;
    for _ in 0..queries {
        compare_one(fixture, &store, &model, &mut random).await;
    }
}

/// A random identity out of so few that overwrites are common.
pub(super) fn random_identity(random: &mut Rng) -> (&'static str, String) {
    let content_type = ["a", "a/b", "b", "B"][random.usize(..4)];
    let parts = ["a", "b", "A", "é", "e\u{301}", ":", "/", "*", "[", " ", "\\", "日", "ab", "]", "-"];
    let key = (0..random.usize(1..4)).map(|_| parts[random.usize(..parts.len())]).collect();
    (content_type, key)
}

/// Random tags out of a few names and values.
pub(super) fn random_tags(random: &mut Rng) -> Tags {
    let tag = |random: &mut Rng| {
        (["t", "T", "tt", "é"][random.usize(..4)], ["", "1", "2", "a b", "é"][random.usize(..5)])
    };
    (0..random.usize(..4)).map(|_| tag(random)).collect()
}

async fn write_one(fixture: &Fixture, store: &Store, model: &mut Model, random: &mut Rng) {
    if random.u8(..3) == 0 {
        fixture.tick().await;
    }
    match random.u8(..10) {
        0 => {
            let (content_type, name) = random_identity(random);
            store.delete(typed(content_type, &name), Condition::None).await.unwrap();
            model.remove(typed(content_type, &name));
        }
        1 => {
            let (content_type, name) = random_identity(random);
            let deadline = random.bool().then(|| fixture.far());
            touch_one(store, model, content_type, &name, deadline).await;
        }
        _ => save_one(store, model, random, fixture.far()).await,
    }
}

async fn save_one(store: &Store, model: &mut Model, random: &mut Rng, far: Timestamp) {
    let (content_type, name) = random_identity(random);
    let request = SaveRequest::new(typed(content_type, &name), vec![random.u8(..); random.usize(..20)])
        .tags(random_tags(random))
        .expires_at(random.bool().then_some(far));
    model.put(save(store, request).await);
}

async fn touch_one(
    store: &Store,
    model: &mut Model,
    content_type: &str,
    name: &str,
    deadline: Option<Timestamp>,
) {
    let key = typed(content_type, name);
    let touched = store.touch(key, deadline).await.unwrap();
    assert_eq!(touched.is_some(), model.stored(key).is_some(), "touch and model disagree on {key:?}");
    if let (Some(metadata), Some(item)) = (touched, model.stored(key)) {
        let data = item.data.clone();
        model.put(StorageItem { data, metadata });
    }
}

async fn expire_some(fixture: &Fixture, store: &Store, model: &mut Model, random: &mut Rng) {
    let deadline = fixture.later(2);
    for item in model.items.clone() {
        if random.u8(..5) == 0 {
            let metadata = &item.metadata;
            touch_one(store, model, &metadata.content_type, &metadata.key, Some(deadline)).await;
        }
    }
    fixture.until(deadline).await;
}

/// Runs one random query in pages of a random size, and compares the hits and the count.
async fn compare_one(fixture: &Fixture, store: &Store, model: &Model, random: &mut Rng) {
    let wanted = Wanted::random(random, &model.items);
    assert_answers(fixture, store, model, &wanted, random.usize(1..40), random.bool()).await;
}

pub(super) async fn assert_answers(
    fixture: &Fixture,
    store: &Store,
    model: &Model,
    wanted: &Wanted,
    page_size: usize,
    bare: bool,
) {
    let mut expected = model.find(wanted, fixture.reached());
    let query = wanted.query();
    assert_eq!(count(store, &query).await, expected.len() as u64, "the count of {query:?}");
    expected.truncate(wanted.limit.map_or(usize::MAX, |limit| limit as usize));
    let mut query = query.page_size(page_size);
    if bare {
        query = query.metadata_only();
        expected.iter_mut().for_each(|item| item.data = Bytes::new());
    }
    assert_eq!(find(store, &query).await, expected, "the hits of {query:?}");
}
