//! P14: batches keep the order of the request and answer per item.

use crate::{
    Condition, Result, SaveRequest, StorageItem, StorageQuery,
    conformance::{Fixture, support::*},
};

fn kinds<T>(answers: &[Result<T>]) -> Vec<Option<&'static str>> {
    answers.iter().map(|answer| answer.as_ref().err().map(|error| error.kind().as_str())).collect()
}

fn texts(answers: Vec<Result<Option<StorageItem>>>) -> Vec<Option<String>> {
    answers.into_iter().map(|answer| answer.unwrap().map(|item| text_of(&item.data))).collect()
}

/// P14: `save_many` answers each item, in the order of the request.
pub async fn save_many_answers_in_the_order_of_the_request(fixture: &Fixture) {
    let store = fixture.open().await;
    let names = ["c", "a", "d", "b"];
    let items = save_all(&store, names.map(|name| request(name, &format!("of {name}"))).into()).await;
    for (name, item) in names.iter().zip(&items) {
        assert_eq!((item.metadata.key.as_str(), text_of(&item.data)), (*name, format!("of {name}")));
        assert_stored(&store, item).await;
    }
}

/// P14: `load_many` answers each key, in the order of the request, misses included.
pub async fn load_many_answers_in_the_order_of_the_request(fixture: &Fixture) {
    let store = fixture.open().await;
    for name in ["a", "b"] {
        put(&store, name, name).await;
    }
    let answers = store.load_many(&[key("b"), key("missing"), key("a"), key("b")]).await;
    assert_eq!(texts(answers), [Some("b".into()), None, Some("a".into()), Some("b".into())]);
}

/// P14: `delete_many` answers each key, in the order of the request.
pub async fn delete_many_answers_in_the_order_of_the_request(fixture: &Fixture) {
    let store = fixture.open().await;
    for name in ["a", "b", "stays"] {
        put(&store, name, name).await;
    }
    let answers = store.delete_many(&[key("b"), key("missing"), key("a"), key("b")]).await;
    assert_eq!(answers.into_iter().map(Result::unwrap).collect::<Vec<_>>(), [true, false, true, false]);
    assert_eq!(
        texts(store.load_many(&[key("a"), key("b"), key("stays")]).await),
        [None, None, Some("stays".into())]
    );
}

/// P14: Empty batches have empty answers.
pub async fn empty_batches_have_empty_answers(fixture: &Fixture) {
    let store = fixture.open().await;
    assert_eq!(store.save_many(vec![]).await.len(), 0);
    assert_eq!(store.load_many(&[]).await.len(), 0);
    assert_eq!(store.delete_many(&[]).await.len(), 0);
}

/// P14: Two saves of one key in one batch are one after the other.
pub async fn two_saves_of_one_key_in_a_batch_are_one_after_the_other(fixture: &Fixture) {
    let store = fixture.open().await;
    let batch =
        vec![request("k", "first"), request("other", "x"), request("k", "second"), request("k", "third")];
    let items = save_all(&store, batch).await;
    assert_eq!(text(&store, "k").await.as_deref(), Some("third"));
    assert_stored(&store, &items[3]).await;
    assert_eq!(items[2].metadata.id, items[0].metadata.id, "the second save found the first one's item");
    assert!(items[0].metadata.version < items[2].metadata.version);
    assert!(items[2].metadata.version < items[3].metadata.version);
}

/// P12: After two saves of one key in one batch, the tags of the first find nothing.
pub async fn a_batch_leaves_no_tags_of_what_it_replaced_itself(fixture: &Fixture) {
    let store = fixture.open().await;
    let batch = vec![request("k", "1").tag("t", "first"), request("k", "2").tag("t", "second")];
    let items = save_all(&store, batch).await;
    assert_eq!(find(&store, &StorageQuery::new().tag("t", "first")).await, []);
    assert_eq!(find(&store, &StorageQuery::new().tag("t", "second")).await, items[1..]);
    assert_eq!(count(&store, &StorageQuery::new()).await, 1);
}

/// P14: A failure in a batch is the answer of its item alone.
pub async fn a_failure_in_a_batch_is_the_answer_of_its_item_alone(fixture: &Fixture) {
    let store = fixture.open().await;
    let batch = vec![
        request("a", "1"),
        request("past", "2").expires_at(fixture.now()),
        request("b", "3"),
        request("bad tag", "4").tag("", "no name"),
        request("c", "5"),
    ];
    let answers = store.save_many(batch).await;
    assert_eq!(kinds(&answers), [None, Some("Invalid"), None, Some("Invalid"), None]);
    let stored = store.load_many(&["a", "past", "b", "bad tag", "c"].map(key)).await;
    assert_eq!(texts(stored), [Some("1".into()), None, Some("3".into()), None, Some("5".into())]);
}

/// P8, P14: A payload too large for the provider harms no other item of the batch.
pub async fn a_payload_too_large_fails_alone_in_a_batch(fixture: &Fixture) {
    let store = fixture.open().await;
    let max = store.info().capabilities.max_payload;
    let large = SaveRequest::new(key("large"), vec![0; max as usize + 1]);
    let answers = store.save_many(vec![request("a", "1"), large, request("b", "2")]).await;
    assert_eq!(kinds(&answers), [None, Some("TooLarge"), None]);
    let stored = store.load_many(&["a", "large", "b"].map(key)).await;
    assert_eq!(texts(stored), [Some("1".into()), None, Some("2".into())]);
}

/// P6, P14: Conditions in a batch see what the batch did before them.
pub async fn conditions_in_a_batch_see_what_came_before_them(fixture: &Fixture) {
    let store = fixture.open().await;
    let old = put(&store, "old", "0").await.metadata.version;
    let batch = vec![
        request("new", "1").condition(Condition::Absent),
        request("new", "2").condition(Condition::Absent),
        request("old", "3").condition(Condition::Version(old)),
        request("old", "4").condition(Condition::Version(old)),
        request("none", "5").condition(Condition::Version(1)),
    ];
    let answers = store.save_many(batch).await;
    let expected = [None, Some("AlreadyExists"), None, Some("VersionConflict"), Some("VersionConflict")];
    assert_eq!(kinds(&answers), expected);
    let stored = store.load_many(&["new", "old", "none"].map(key)).await;
    assert_eq!(texts(stored), [Some("1".into()), Some("3".into()), None]);
}

/// P14: Items of several content types travel in one batch.
pub async fn a_batch_may_mix_content_types(fixture: &Fixture) {
    let store = fixture.open().await;
    let identities = [("a", "k"), ("b", "k"), ("a", "l")];
    let batch = identities.map(|(content_type, name)| {
        SaveRequest::new(typed(content_type, name), format!("{content_type}/{name}"))
    });
    save_all(&store, batch.into()).await;
    let wanted = identities.map(|(content_type, name)| typed(content_type, name));
    let expected = identities.map(|(content_type, name)| Some(format!("{content_type}/{name}")));
    assert_eq!(texts(store.load_many(&wanted).await), expected);
    let deleted = store.delete_many(&wanted[..2]).await;
    assert!(deleted.into_iter().all(Result::unwrap));
    assert_eq!(texts(store.load_many(&wanted).await), [None, None, Some("a/l".into())]);
}

/// P14: A batch larger than any backend takes at once is split behind the scenes.
pub async fn a_large_batch_is_split_and_complete(fixture: &Fixture) {
    let store = fixture.open().await;
    let names: Vec<_> = (0..2_500).map(|n| format!("k{n}")).collect();
    let items = save_all(&store, names.iter().map(|name| request(name, name)).collect()).await;
    assert!(
        items.iter().zip(&names).all(|(item, name)| item.metadata.key == *name),
        "answers changed places"
    );
    let wanted: Vec<_> = names.iter().map(|name| key(name)).collect();
    let loaded = texts(store.load_many(&wanted).await);
    assert!(
        loaded.iter().zip(&names).all(|(data, name)| data.as_ref() == Some(name)),
        "answers changed places"
    );
    let deleted = store.delete_many(&wanted).await;
    assert!(deleted.into_iter().all(Result::unwrap), "every item was there to be deleted");
    assert_eq!(get(&store, "k0").await, None);
    assert_eq!(get(&store, "k2499").await, None);
}

/// P4: Deadlines of a batch are those of its items.
pub async fn each_item_of_a_batch_has_its_own_deadline(fixture: &Fixture) {
    let store = fixture.open().await;
    let (early, late) = (fixture.later(2), fixture.later(4));
    let batch = vec![
        request("early", "1").expires_at(early),
        request("late", "2").expires_at(late),
        request("never", "3"),
    ];
    save_all(&store, batch).await;
    fixture.until(early).await;
    let stored = store.load_many(&["early", "late", "never"].map(key)).await;
    assert_eq!(texts(stored), [None, Some("2".into()), Some("3".into())]);
}
