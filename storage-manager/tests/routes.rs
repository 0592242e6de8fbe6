//! Which provider a content type leads to, at build and at run time.
#![expect(clippy::unwrap_used, reason = "tests state what they expect by panicking")]

mod support;

use std::sync::Arc;

use futures_util::TryStreamExt;
use storage_manager::{ErrorKind, ManualClock, StorageProvider, StorageQuery, UnifiedStorageManager};
use support::{Puppet, memory};

fn name_for(manager: &UnifiedStorageManager, content_type: &str) -> String {
    manager.provider_for(content_type).unwrap().info().name.into_owned()
}

#[tokio::test]
async fn the_exact_route_wins_then_the_longest_prefix_then_the_fallback() {
    let clock = ManualClock::default();
    let manager = UnifiedStorageManager::builder()
        .fallback(Puppet::new("fallback", &clock))
        .register("image/*", Puppet::new("images", &clock))
        .register("image/vnd.*", Puppet::new("vendors", &clock))
        .register("image/png", Puppet::new("png", &clock))
        .build()
        .unwrap();
    for (content_type, expected) in [
        ("image/png", "png"),
        ("image/png2", "images"),
        ("image/vnd.x", "vendors"),
        ("image", "fallback"),
        ("session", "fallback"),
    ] {
        assert_eq!(name_for(&manager, content_type), expected, "{content_type}");
        manager.save("k", expected, content_type).await.unwrap();
    }
    let vendors = manager.provider_for("image/vnd.y").unwrap();
    assert_eq!(vendors.count(&StorageQuery::new()).await.unwrap(), 1);
    assert_eq!(manager.routes(), ["*", "image/*", "image/png", "image/vnd.*"]);
}

#[test]
fn routes_that_cannot_be_are_refused_by_build() {
    let clock = ManualClock::default();
    for bad in ["", "a b", "*a", "a**", "é"] {
        let error = UnifiedStorageManager::builder().register(bad, memory(&clock)).build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{bad:?}");
        assert!(error.to_string().contains(&format!("{bad:?}")), "{error}");
    }
}

#[test]
fn a_route_that_is_there_already_is_refused() {
    let clock = ManualClock::default();
    for (first, second) in [("a", "a"), ("a*", "a*"), ("*", "*")] {
        let build = || UnifiedStorageManager::builder().register(first, memory(&clock));
        let error = build().register(second, memory(&clock)).build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{first}");
        let manager = build().build().unwrap();
        let error = manager.register_provider(second, memory(&clock)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{first}");
    }
    let twice = UnifiedStorageManager::builder().fallback(memory(&clock)).fallback(memory(&clock));
    assert_eq!(twice.build().unwrap_err().kind(), ErrorKind::Config);
}

#[tokio::test]
async fn a_missing_route_names_the_content_type_in_every_call() {
    let clock = ManualClock::default();
    let manager = UnifiedStorageManager::builder().register("known", memory(&clock)).build().unwrap();
    let query = storage_manager::StorageQuery::new().content_type("lost");
    let errors = [
        manager.save("k", 1, "lost").await.unwrap_err(),
        manager.save_bytes("k", "1", "lost").await.unwrap_err(),
        manager.load::<u8>("k", "lost").await.unwrap_err(),
        manager.load_bytes("k", "lost").await.unwrap_err(),
        manager.delete("k", "lost").await.unwrap_err(),
        manager.delete_if_version("k", "lost", 1).await.unwrap_err(),
        manager.touch("k", "lost", None).await.unwrap_err(),
        manager.count(&query).await.unwrap_err(),
        manager.search_page(&query).await.unwrap_err(),
        manager.search::<u8>(query.clone()).next().await.unwrap().unwrap_err(),
        manager.load_many::<u8>(&[("k", "lost")]).await.remove(0).unwrap_err(),
        manager.delete_many(&[("k", "lost")]).await.remove(0).unwrap_err(),
        manager.save_many([manager.save("k", 1, "lost")]).await.remove(0).unwrap_err(),
        manager.provider_for("lost").unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::NoProvider);
        assert_eq!(error.content_type(), Some("lost"));
        assert!(error.to_string().contains("lost"), "{error}");
    }
}

#[tokio::test]
async fn a_manager_without_providers_says_so_instead_of_finding_nothing() {
    let manager = UnifiedStorageManager::new();
    let query = storage_manager::StorageQuery::new();
    assert_eq!(manager.search_page(&query).await.unwrap_err().kind(), ErrorKind::NoProvider);
    assert_eq!(manager.count(&query).await.unwrap_err().kind(), ErrorKind::NoProvider);
    let mut results = manager.search::<u8>(query);
    assert_eq!(results.next().await.unwrap().unwrap_err().kind(), ErrorKind::NoProvider);
    assert!(results.next().await.is_none());
}

#[tokio::test]
async fn unregister_gives_the_provider_back_open_and_whole() {
    let clock = ManualClock::default();
    let manager = UnifiedStorageManager::new();
    let provider = Arc::new(memory(&clock));
    manager.register_provider("note", Arc::clone(&provider)).unwrap();
    manager.save("k", "kept", "note").await.unwrap();
    let given = manager.unregister("note").unwrap();
    assert_eq!(given.identity(), provider.identity());
    assert_eq!(manager.unregister("note").unwrap_err().kind(), ErrorKind::NoProvider);
    assert_eq!(manager.load::<String>("k", "note").await.unwrap_err().kind(), ErrorKind::NoProvider);

    manager.register_provider("note", given).unwrap();
    assert_eq!(manager.load::<String>("k", "note").await.unwrap().unwrap().data, "kept");
    assert!(manager.close().await.into_result().is_ok());
}

/// Two `Arc`s of one provider, one behind a trait object, reach the manager inside two different allocations. They once
/// counted as two providers.
/// As the README says: a move of a route moves no items.
#[tokio::test]
async fn after_a_move_only_queries_without_content_type_find_what_the_old_provider_holds() {
    let clock = ManualClock::default();
    let manager = UnifiedStorageManager::builder()
        .register("session", memory(&clock))
        .register("report", memory(&clock))
        .build()
        .unwrap();
    manager.save("k", "old", "session").await.unwrap();
    manager.register_provider("session-archive", manager.unregister("session").unwrap()).unwrap();
    manager.register_provider("session", memory(&clock)).unwrap();
    assert!(manager.load::<String>("k", "session").await.unwrap().is_none());
    manager.save("k", "new", "session").await.unwrap();

    let of_session = StorageQuery::new().content_type("session");
    let found = |query| manager.search::<String>(query).map_ok(|hit| hit.item.data).try_collect::<Vec<_>>();
    assert_eq!(found(of_session.clone()).await.unwrap(), ["new"]);
    assert_eq!(manager.count(&of_session).await.unwrap(), 1);
    let mut all = found(StorageQuery::new()).await.unwrap();
    all.sort();
    assert_eq!(all, ["new", "old"]);
    assert_eq!(manager.count(&StorageQuery::new()).await.unwrap(), 2);
}

#[tokio::test]
async fn one_provider_under_several_routes_stays_one() {
    let clock = ManualClock::default();
    let shared = Puppet::new("shared", &clock);
    let as_object: Arc<dyn StorageProvider> = Arc::clone(&shared) as _;
    let manager = UnifiedStorageManager::builder()
        .register("a", Arc::clone(&shared))
        .register("b", Arc::clone(&shared))
        .register("c*", as_object)
        .register("d", Puppet::new("other", &clock))
        .build()
        .unwrap();
    for content_type in ["a", "b", "c1", "d"] {
        manager.save("k", content_type, content_type).await.unwrap();
    }
    let query = storage_manager::StorageQuery::new();
    assert_eq!(manager.search_page(&query).await.unwrap().results.len(), 4);
    assert_eq!(manager.count(&query).await.unwrap(), 4);
    assert_eq!(manager.usage().await.unwrap().total().items, 4);
    let outcomes = manager.cleanup().await.unwrap();
    assert_eq!(outcomes.providers.len(), 2);
    assert_eq!(outcomes.providers[0].routes, ["a", "b", "c*"]);
    let _ = manager.close().await;
    let counts =
        [&shared.cleanups, &shared.closes].map(|count| count.load(std::sync::atomic::Ordering::SeqCst));
    assert_eq!(counts, [1, 1]);
}

#[tokio::test]
async fn routes_can_change_while_calls_run() {
    let clock = ManualClock::default();
    let manager = UnifiedStorageManager::builder().fallback(memory(&clock)).build().unwrap();
    let loads = tokio::spawn({
        let manager = manager.clone();
        async move {
            for n in 0..2_000 {
                let key = format!("k{n}");
                manager.save(&key, n, "steady").await.unwrap();
                assert_eq!(manager.load::<i32>(&key, "steady").await.unwrap().unwrap().data, n);
                tokio::task::yield_now().await;
            }
        }
    });
    let mut rounds = 0;
    while !loads.is_finished() {
        let route = format!("route{}", rounds % 7);
        manager.register_provider(&route, memory(&clock)).unwrap();
        tokio::task::yield_now().await;
        manager.unregister(&route).unwrap();
        rounds += 1;
    }
    loads.await.unwrap();
    assert!(rounds > 0);
}
