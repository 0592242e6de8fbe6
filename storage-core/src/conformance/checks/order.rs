//! P9: search means the same everywhere: in which order hits come.

use crate::{
    Order, SaveRequest, StorageQuery,
    conformance::{Fixture, Store, support::*},
};

fn by(order: Order) -> StorageQuery {
    StorageQuery::new().order(order)
}

/// Items that tie in time and in key, saved in no order of their names.
async fn with_ties(fixture: &Fixture) -> Store {
    let store = fixture.open().await;
    for round in [&["b/k", "a/m"], &["a/k", "c/b"], &["a/a", "b/m"]] {
        for name in round {
            let (content_type, key) = name.split_once('/').unwrap();
            save(&store, SaveRequest::new(typed(content_type, key), "")).await;
        }
        fixture.tick().await;
    }
    store
}

/// The names in the order of `rank`, a plain sort by what the promise says.
async fn sorted_by<K: Ord>(store: &Store, rank: impl Fn(&crate::StorageMetadata) -> K) -> Vec<String> {
    let mut items = find(store, &StorageQuery::new()).await;
    items.sort_by_key(|item| rank(&item.metadata));
    items.iter().map(|item| format!("{}/{}", item.metadata.content_type, item.metadata.key)).collect()
}

/// P9: Without an order, hits come by key, and those of one key by content type.
pub async fn hits_come_by_key_and_content_type_unless_asked_otherwise(fixture: &Fixture) {
    let store = with_ties(fixture).await;
    let expected = ["a/a", "c/b", "a/k", "b/k", "a/m", "b/m"];
    assert_eq!(names(&store, &StorageQuery::new()).await, expected);
    assert_eq!(names(&store, &by(Order::KEY)).await, expected);
}

/// P9: Keys are ordered by their bytes, not by any language's alphabet.
pub async fn keys_are_ordered_by_bytes(fixture: &Fixture) {
    let store = fixture.open().await;
    for name in
        ["b", "B", "a", "é", "z", "Z", "10", "9", "_", "aa", "a b", "a/", "日", "\u{10ffff}", "\u{ffff}"]
    {
        put(&store, name, "").await;
    }
    let found = keys(&store, &by(Order::KEY)).await;
    let mut sorted = found.clone();
    sorted.sort_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
    assert_eq!(found, sorted);
    assert_eq!(found.len(), 15);
}

/// P9: The oldest item comes first; of one instant, by key and content type.
pub async fn the_order_of_creation_breaks_ties_by_key_and_content_type(fixture: &Fixture) {
    let store = with_ties(fixture).await;
    let expected = sorted_by(&store, |m| (m.created_at, m.key.clone(), m.content_type.clone())).await;
    assert_eq!(names(&store, &by(Order::CREATED)).await, expected);
}

/// P9: The longest unchanged item comes first; of one instant, by key and content type.
pub async fn the_order_of_updates_breaks_ties_by_key_and_content_type(fixture: &Fixture) {
    let store = with_ties(fixture).await;
    for (content_type, key) in [("b", "k"), ("a", "k")] {
        save(&store, SaveRequest::new(typed(content_type, key), "again")).await;
    }
    let expected = sorted_by(&store, |m| (m.updated_at, m.key.clone(), m.content_type.clone())).await;
    assert_eq!(names(&store, &by(Order::UPDATED)).await, expected);
    assert_ne!(
        names(&store, &by(Order::CREATED)).await,
        expected,
        "the order of updates is not that of creation"
    );
}

/// P9: Descending is the exact reverse of ascending, ties included.
pub async fn descending_is_the_exact_reverse_of_ascending(fixture: &Fixture) {
    let store = with_ties(fixture).await;
    for order in [Order::KEY, Order::CREATED, Order::UPDATED] {
        let mut ascending = names(&store, &by(order)).await;
        ascending.reverse();
        assert_eq!(names(&store, &by(order.descending())).await, ascending, "{order}");
    }
}

/// P9: A filter changes which hits there are, and not their order.
pub async fn filters_keep_the_order(fixture: &Fixture) {
    let store = with_ties(fixture).await;
    for order in [Order::KEY, Order::CREATED, Order::UPDATED, Order::CREATED.descending()] {
        let all = names(&store, &by(order)).await;
        let expected: Vec<_> = all.iter().filter(|name| name.starts_with("a/")).cloned().collect();
        assert_eq!(names(&store, &by(order).content_type("a")).await, expected, "{order}");
        let expected: Vec<_> = all.iter().filter(|name| name.ends_with("/k")).cloned().collect();
        assert_eq!(names(&store, &by(order).pattern("k")).await, expected, "{order}");
    }
}

/// P9: The hits of a tag come in the order asked for.
pub async fn the_hits_of_a_tag_come_in_the_order_asked_for(fixture: &Fixture) {
    let store = fixture.open().await;
    for name in ["c", "a", "d", "b"] {
        save(&store, request(name, "").tag("t", "1")).await;
        fixture.tick().await;
    }
    save(&store, request("a", "again").tag("t", "1")).await;
    let query = StorageQuery::new().tag("t", "1");
    assert_eq!(keys(&store, &query.clone().order(Order::KEY)).await, ["a", "b", "c", "d"]);
    assert_eq!(keys(&store, &query.clone().order(Order::CREATED)).await, ["c", "a", "d", "b"]);
    assert_eq!(keys(&store, &query.clone().order(Order::UPDATED)).await, ["c", "d", "b", "a"]);
    assert_eq!(keys(&store, &query.order(Order::UPDATED.descending())).await, ["a", "b", "d", "c"]);
}

/// P2: A re-saved item keeps its place in the order of creation and moves in that of updates.
pub async fn a_resaved_item_moves_in_the_order_of_updates_alone(fixture: &Fixture) {
    let store = fixture.open().await;
    for name in ["a", "b", "c"] {
        put(&store, name, "").await;
        fixture.tick().await;
    }
    put(&store, "b", "again").await;
    assert_eq!(keys(&store, &by(Order::CREATED)).await, ["a", "b", "c"]);
    assert_eq!(keys(&store, &by(Order::UPDATED)).await, ["a", "c", "b"]);
}

/// P2: An item made anew after its delete moves in the order of creation.
pub async fn an_item_made_anew_moves_in_the_order_of_creation(fixture: &Fixture) {
    let store = fixture.open().await;
    for name in ["a", "b"] {
        put(&store, name, "").await;
        fixture.tick().await;
    }
    store.delete(key("a"), crate::Condition::None).await.unwrap();
    put(&store, "a", "again").await;
    assert_eq!(keys(&store, &by(Order::CREATED)).await, ["b", "a"]);
}
