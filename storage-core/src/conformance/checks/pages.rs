//! P10: pages join, and cursors are checked.

use crate::{
    Condition, Cursor, ErrorKind, MAX_PAGE_SIZE, Order, SaveRequest, StorageProviderExt, StorageQuery,
    conformance::{Fixture, Store, support::*},
};

const ORDERS: [Order; 6] = [
    Order::KEY,
    Order::KEY.descending(),
    Order::CREATED,
    Order::CREATED.descending(),
    Order::UPDATED,
    Order::UPDATED.descending(),
];

/// A store with `items` items, of which some tie in time, under three content types.
async fn filled(fixture: &Fixture, items: usize) -> Store {
    let store = fixture.open().await;
    for n in 0..items {
        let name = format!("k{:03}", n * 7 % items);
        let content_type = ["a", "b", "c"][n % 3];
        save(&store, SaveRequest::new(typed(content_type, &name), name.clone())).await;
        if n % 4 == 0 {
            fixture.tick().await;
        }
    }
    store
}

/// The sizes of all pages of a walk.
async fn page_sizes(store: &Store, mut query: StorageQuery) -> Vec<usize> {
    let mut sizes = Vec::new();
    loop {
        let page = store.search(&query).await.unwrap();
        sizes.push(page.results.len());
        match page.next {
            Some(next) => query = query.cursor(next),
            None => return sizes,
        }
    }
}

async fn first_cursor(store: &Store, query: &StorageQuery) -> Cursor {
    store.search(query).await.unwrap().next.expect("there is a next page")
}

/// P10: In every order, pages of any size join to the same list.
pub async fn pages_of_any_size_join_in_every_order(fixture: &Fixture) {
    let store = filled(fixture, 30).await;
    for order in ORDERS {
        let query = StorageQuery::new().order(order);
        let whole = names(&store, &query.clone().page_size(MAX_PAGE_SIZE)).await;
        assert_eq!(whole.len(), 30);
        for size in [1, 2, 7, 29, 30, 31] {
            assert_eq!(
                names(&store, &query.clone().page_size(size)).await,
                whole,
                "{order}, pages of {size}"
            );
        }
    }
}

/// P10: Pages are full, and the last one has no cursor.
pub async fn pages_are_full_but_for_the_last(fixture: &Fixture) {
    let store = filled(fixture, 10).await;
    let sized = |size| StorageQuery::new().page_size(size);
    assert_eq!(page_sizes(&store, sized(4)).await, [4, 4, 2]);
    assert_eq!(page_sizes(&store, sized(5)).await, [5, 5], "an exact multiple needs no empty page");
    assert_eq!(page_sizes(&store, sized(10)).await, [10]);
    assert_eq!(page_sizes(&store, sized(11)).await, [10]);
}

/// P10: A page holds 100 hits unless asked otherwise.
pub async fn a_page_holds_a_hundred_hits_by_default(fixture: &Fixture) {
    let store = filled(fixture, 150).await;
    assert_eq!(page_sizes(&store, StorageQuery::new()).await, [100, 50]);
}

/// P10: The limit bounds the whole walk, not each page.
pub async fn the_limit_bounds_the_whole_walk(fixture: &Fixture) {
    let store = filled(fixture, 20).await;
    for order in ORDERS {
        let query = StorageQuery::new().order(order);
        let whole = names(&store, &query).await;
        for (limit, pages) in [(7, &[3, 3, 1][..]), (6, &[3, 3]), (3, &[3]), (1, &[1]), (0, &[0])] {
            let limited = query.clone().limit(limit).page_size(3);
            assert_eq!(names(&store, &limited).await, whole[..limit as usize], "{order}, limit {limit}");
            assert_eq!(page_sizes(&store, limited).await, pages, "{order}, limit {limit}");
        }
        assert_eq!(names(&store, &query.limit(u64::MAX)).await, whole);
    }
}

/// P10: The page size and the payloads may change in the middle of a walk.
pub async fn page_size_and_payloads_may_change_midway(fixture: &Fixture) {
    let store = filled(fixture, 10).await;
    let query = StorageQuery::new();
    let whole = names(&store, &query).await;
    let next = first_cursor(&store, &query.clone().page_size(3)).await;
    let rest = names(&store, &query.page_size(2).metadata_only().cursor(next)).await;
    assert_eq!(rest, whole[3..]);
}

/// P10: A cursor is text: it can be written down and read again.
pub async fn a_cursor_can_be_written_down_and_read_again(fixture: &Fixture) {
    let store = filled(fixture, 5).await;
    let query = StorageQuery::new().page_size(2);
    let next = first_cursor(&store, &query).await;
    let read: Cursor = next.to_string().parse().unwrap();
    let whole = names(&store, &query).await;
    for _ in 0..2 {
        assert_eq!(
            names(&store, &query.clone().cursor(read.clone())).await,
            whole[2..],
            "a cursor works twice"
        );
    }
}

/// P10: A cursor that was cut or changed is `InvalidQuery`, and nothing else.
pub async fn a_damaged_cursor_is_an_invalid_query(fixture: &Fixture) {
    let store = filled(fixture, 5).await;
    let query = StorageQuery::new().page_size(2);
    let good = first_cursor(&store, &query).await.to_string();
    let mut damaged: Vec<String> = (0..good.len()).step_by(5).map(|at| good[..at].to_owned()).collect();
    for at in (0..good.len()).step_by(3) {
        let other = if good[at..].starts_with('A') { "B" } else { "A" };
        damaged.push(format!("{}{other}{}", &good[..at], &good[at + 1..]));
    }
    damaged.extend([format!("{good}A"), format!("A{good}"), good.to_uppercase(), "日本".into(), "\0".into()]);
    for text in damaged {
        let answer = store.search(&query.clone().cursor(Cursor::from(text))).await;
        refused(answer, ErrorKind::InvalidQuery);
    }
}

/// P10: A cursor of another query is `InvalidQuery`.
pub async fn a_cursor_of_another_query_is_an_invalid_query(fixture: &Fixture) {
    let store = filled(fixture, 10).await;
    let query = StorageQuery::new().page_size(2);
    let next = first_cursor(&store, &query).await;
    for foreign in [
        query.clone().order(Order::CREATED),
        query.clone().order(Order::KEY.descending()),
        query.clone().content_type("a"),
        query.clone().pattern("k*"),
        query.clone().tag("t", "1"),
        query.clone().limit(5),
        query.clone().created_after(fixture.now()),
        query.clone().expires_before(fixture.far()),
    ] {
        refused(store.search(&foreign.cursor(next.clone())).await, ErrorKind::InvalidQuery);
    }
}

/// P10: Items saved behind and before the cursor neither shift nor repeat the others.
pub async fn items_saved_during_a_walk_shift_no_others(fixture: &Fixture) {
    let store = filled(fixture, 20).await;
    for order in ORDERS {
        let mut query = StorageQuery::new().order(order).pattern("k*").page_size(3);
        let before = names(&store, &query).await;
        let mut seen = Vec::new();
        for round in 0.. {
            let page = store.search(&query).await.unwrap();
            seen.extend(
                page.results
                    .iter()
                    .map(|hit| format!("{}/{}", hit.item.metadata.content_type, hit.item.metadata.key)),
            );
            // Both are in the way of the walk: one sorts first by key, the other last.
            for name in [format!("k0-{order}-{round}"), format!("kz-{order}-{round}")] {
                save(&store, SaveRequest::new(typed("new", &name), "")).await;
            }
            match page.next {
                // The walk by descending key or by time may meet the new items for ever; enough is enough.
                Some(next) if round < 100 => query = query.cursor(next),
                _ => break,
            }
        }
        seen.retain(|name| !name.starts_with("new/"));
        assert_eq!(seen, before, "{order}");
        for item in find(&store, &StorageQuery::new().content_type("new").metadata_only()).await {
            store.delete(item.metadata.item_key().unwrap(), Condition::None).await.unwrap();
        }
    }
}

/// P10: Deleting what was seen, the item of the cursor included, does not disturb the walk.
pub async fn deleting_what_was_seen_does_not_disturb_the_walk(fixture: &Fixture) {
    let store = fixture.open().await;
    for order in ORDERS {
        for n in 0..20 {
            put(&store, &format!("{order} {n:02}"), "").await;
        }
        let mut query = StorageQuery::new().pattern(format!("{order} *")).order(order).page_size(3);
        let before = keys(&store, &query).await;
        let mut seen = Vec::new();
        loop {
            let page = store.search(&query).await.unwrap();
            for hit in &page.results {
                let key = hit.item.metadata.item_key().unwrap();
                assert!(store.delete(key, Condition::None).await.unwrap());
                seen.push(hit.item.metadata.key.clone());
            }
            match page.next {
                Some(next) => query = query.cursor(next),
                None => break,
            }
        }
        assert_eq!(seen, before, "{order}");
    }
}

/// P4, P10: Items that expire during a walk are left out from then on, and the others stay.
pub async fn items_that_expire_during_a_walk_leave_the_others(fixture: &Fixture) {
    let store = fixture.open().await;
    let deadline = fixture.later(2);
    for n in 0..12 {
        let name = format!("k{n:02}");
        save(&store, request(&name, "").expires_at((n % 2 == 1).then_some(deadline))).await;
    }
    let query = StorageQuery::new().page_size(4);
    let first = store.search(&query).await.unwrap();
    assert_eq!(first.results.len(), 4);
    fixture.until(deadline).await;
    assert_eq!(keys(&store, &query.cursor(first.next)).await, ["k04", "k06", "k08", "k10"]);
}

/// P10: A walk over one tag joins as well.
pub async fn the_pages_of_a_tag_join_in_every_order(fixture: &Fixture) {
    let store = fixture.open().await;
    for n in 0..30 {
        let name = format!("k{:02}", n * 7 % 30);
        save(&store, request(&name, "").tag("third", (n % 3).to_string())).await;
        if n % 2 == 0 {
            fixture.tick().await;
        }
    }
    for order in ORDERS {
        let query = StorageQuery::new().tag("third", "1").order(order);
        let whole = keys(&store, &query).await;
        assert_eq!(whole.len(), 10);
        for size in [1, 3, 10] {
            assert_eq!(keys(&store, &query.clone().page_size(size)).await, whole, "{order}, pages of {size}");
        }
    }
}

/// P10: The longest keys and content types fit into a cursor.
pub async fn the_longest_names_fit_into_a_cursor(fixture: &Fixture) {
    let store = fixture.open().await;
    let content_type = "t".repeat(crate::MAX_CONTENT_TYPE_BYTES);
    let body = "日".repeat(crate::MAX_KEY_BYTES / 3);
    for last in ["1", "2", ""] {
        save(&store, SaveRequest::new(typed(&content_type, &format!("{body}{last}")), "")).await;
        save(&store, SaveRequest::new(typed("t", &format!("{body}{last}")), "")).await;
    }
    for order in ORDERS {
        assert_eq!(names(&store, &StorageQuery::new().order(order).page_size(1)).await.len(), 6, "{order}");
    }
}

/// P10: The stream over pages brings every hit once and in order.
pub async fn a_stream_brings_every_hit_of_all_pages(fixture: &Fixture) {
    use futures_util::TryStreamExt;
    let store = filled(fixture, 25).await;
    let query = StorageQuery::new().order(Order::UPDATED.descending()).page_size(4);
    let streamed: Vec<_> = store.search_stream(query.clone()).try_collect().await.unwrap();
    assert_eq!(streamed, hits(&store, &query).await);
    assert_eq!(streamed.len(), 25);
}
