//! Counting up, alone and together.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use storage_manager::{
    CleanupReport, Codec, Condition, ItemKey, ManualClock, MemoryConfig, MemoryProvider, ProviderInfo,
    Result, SaveRequest, SearchPage, StorageItem, StorageProvider, StorageQuery, async_trait,
    script::{AllowAll, Increment, KeyValueStores, Number, ScriptTable, ScriptValue, Ttl},
};
use tokio::task::JoinSet;

use crate::support::{SECOND, World, kind, ttl};

fn by(step: Number) -> Increment {
    Increment { step, ..Increment::default() }
}

fn from(init: i64) -> Increment {
    Increment { init: Some(Number::Integer(init)), ..Increment::default() }
}

#[tokio::test]
async fn a_missing_number_needs_a_beginning() {
    World::each(|world| async move {
        let (handle, _unit) = world.handle();
        assert_eq!(kind(handle.incr("n", Increment::default()).await), ("NOT_FOUND", false));
        assert!(!handle.has("n").await.unwrap());
        assert_eq!(handle.incr("n", from(10)).await.unwrap(), Number::Integer(11));
        // From then on the beginning does not matter.
        assert_eq!(handle.incr("n", from(10)).await.unwrap(), Number::Integer(12));
        assert_eq!(handle.incr("n", by(Number::Integer(-20))).await.unwrap(), Number::Integer(-8));
        assert_eq!(handle.incr("n", by(Number::Integer(0))).await.unwrap(), Number::Integer(-8));
        assert_eq!(handle.get("n").await.unwrap(), Some((-8).into()));
    })
    .await;
}

#[tokio::test]
async fn whole_numbers_stay_whole_and_floats_do_not() {
    let world = World::memory();
    let (handle, _unit) = world.handle();
    handle.set("n", &1.into(), Ttl::NONE).await.unwrap();
    assert_eq!(handle.incr("n", by(Number::Float(0.5))).await.unwrap(), Number::Float(1.5));
    assert_eq!(handle.incr("n", by(Number::Float(0.5))).await.unwrap(), Number::Float(2.0));
    assert_eq!(handle.get("n").await.unwrap(), Some(2.0.into()));
    assert_eq!(handle.incr("n", by(Number::Integer(1))).await.unwrap(), Number::Float(3.0));
}

#[tokio::test]
async fn what_cannot_be_counted_stays_as_it_was() {
    World::each(|world| async move {
        let (handle, _unit) = world.handle();
        for (value, step) in [
            ("7".into(), Number::Integer(1)),
            (true.into(), Number::Integer(1)),
            (ScriptTable::new().into(), Number::Integer(1)),
            (i64::MAX.into(), Number::Integer(1)),
            (i64::MIN.into(), Number::Integer(-1)),
            (f64::MAX.into(), Number::Float(f64::MAX)),
            (1.into(), Number::Float(f64::NAN)),
            (1.into(), Number::Float(f64::NEG_INFINITY)),
            (f64::INFINITY.into(), Number::Integer(1)),
        ] {
            let value: ScriptValue = value;
            handle.set("n", &value, ttl(60.0)).await.unwrap();
            let version = handle.entry("n").await.unwrap().unwrap().version;
            assert_eq!(kind(handle.incr("n", by(step)).await), ("INVALID", false), "{value:?}");
            let entry = handle.entry("n").await.unwrap().unwrap();
            assert_eq!((entry.value, entry.version), (value, version));
        }
    })
    .await;
}

/// A limit of calls per minute: the window must close although the counter is used all the time.
#[tokio::test]
async fn a_deadline_is_kept_while_counting() {
    World::each(|world| async move {
        let (handle, _unit) = world.handle();
        let window = Increment { ttl: Some(ttl(60.0)), ..from(0) };
        for calls in 1..=6 {
            assert_eq!(handle.incr("calls", window).await.unwrap(), Number::Integer(calls));
            world.clock.advance(10 * SECOND);
        }
        assert_eq!(handle.incr("calls", window).await.unwrap(), Number::Integer(1), "{}", world.name);
        assert_eq!(handle.ttl("calls").await.unwrap(), Some(ttl(60.0)));
        handle.set("ever", &1.into(), Ttl::NONE).await.unwrap();
        handle.incr("ever", window).await.unwrap();
        assert_eq!(handle.ttl("ever").await.unwrap(), Some(Ttl::NONE));
        let ttl_alone = Increment { ttl: Some(ttl(60.0)), ..Increment::default() };
        assert_eq!(kind(handle.incr("calls", ttl_alone).await), ("INVALID", false));
    })
    .await;
}

#[tokio::test]
async fn a_number_of_the_host_stays_one_of_the_host() {
    World::each(|world| async move {
        let (handle, _unit) = world.handle();
        let (key, content_type) = ("n", "kv/app:cache");
        world.manager.save(key, 41, content_type).codec(Codec::Json).tag("owner", "host").await.unwrap();
        assert_eq!(handle.incr(key, Increment::default()).await.unwrap(), Number::Integer(42));
        let item = world.manager.load::<i64>(key, content_type).await.unwrap().unwrap();
        assert_eq!((item.data, item.metadata.tags.get("owner")), (42, Some("host")));
    })
    .await;
}

const TASKS: i64 = 16;
const ROUNDS: i64 = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_lost_when_many_count() {
    let worlds = World::all().await;
    for world in &worlds {
        count_together(&[world]).await;
    }
}

/// Two managers over one store know nothing of each other's turns, as two processes would not.
#[cfg(feature = "redis")]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_lost_when_processes_that_share_a_server_count() {
    let Some([one, other]) = World::redis_for_two().await else { return };
    count_together(&[&one, &other]).await;
}

/// Counts with many tasks over the managers of one store, which must add up.
async fn count_together(worlds: &[&World]) {
    let mut tasks = JoinSet::new();
    for (task, world) in (0..TASKS).zip(worlds.iter().cycle()) {
        let stores = KeyValueStores::new(&world.manager, AllowAll);
        stores.register_routed("app:cache").unwrap();
        tasks.spawn(count(stores, task + 1));
    }
    let conflicts: u32 = tasks.join_all().await.into_iter().sum();
    let sum = ROUNDS * TASKS * (TASKS + 1) / 2;
    for world in worlds {
        println!("{}: {conflicts} conflicts", world.name);
        let (handle, _unit) = world.handle();
        assert_eq!(handle.get("n").await.unwrap(), Some(sum.into()), "{}", world.name);
    }
}

/// Counts until all rounds are counted, and says how often another was first.
async fn count(stores: KeyValueStores, step: i64) -> u32 {
    let unit = stores.unit_of_work();
    let handle = unit.acquire("app:cache").unwrap();
    let increment = Increment { step: Number::Integer(step), ..from(0) };
    let (mut conflicts, mut done) = (0, 0);
    while done < ROUNDS {
        match handle.incr("n", increment).await {
            Ok(_) => done += 1,
            Err(error) => {
                assert!(error.is_retryable(), "{error}");
                conflicts += 1;
            }
        }
    }
    conflicts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn those_who_share_a_process_take_turns_and_never_conflict() {
    let world = World::memory();
    let (handle, _unit) = world.handle();
    let mut tasks = JoinSet::new();
    for _ in 0..64 {
        let handle = handle.clone();
        tasks.spawn(async move {
            for _ in 0..200 {
                handle.incr("n", from(0)).await.unwrap();
            }
        });
    }
    tasks.join_all().await;
    assert_eq!(handle.get("n").await.unwrap(), Some((64 * 200).into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_who_add_one_wins() {
    let world = World::memory();
    for round in 0..50 {
        let mut tasks = JoinSet::new();
        let key: Arc<str> = format!("lock:{round}").into();
        for task in 0..8 {
            let (handle, unit) = world.handle();
            let key = Arc::clone(&key);
            tasks.spawn(async move {
                let _unit = unit;
                handle.add(&key, &task.into(), Ttl::NONE).await.unwrap()
            });
        }
        assert_eq!(tasks.join_all().await.into_iter().filter(|won| *won).count(), 1);
    }
}

/// Whoever gives up waiting for a turn must not keep the others from theirs.
#[tokio::test]
async fn a_cancelled_count_holds_nobody_up() {
    let world = World::fs().await;
    let (handle, _unit) = world.handle();
    handle.set("n", &0.into(), Ttl::NONE).await.unwrap();
    let mut random = crate::support::seeded();
    let mut tasks = JoinSet::new();
    for _ in 0..100 {
        let handle = handle.clone();
        let patience = Duration::from_micros(random.u64(0..3_000));
        tasks.spawn(async move {
            let counted = tokio::time::timeout(patience, handle.incr("n", Increment::default())).await;
            counted.is_ok_and(|counted| counted.is_ok())
        });
    }
    let counted = tasks.join_all().await.into_iter().filter(|counted| *counted).count();
    let Number::Integer(sum) = handle.incr("n", Increment::default()).await.unwrap() else { panic!() };
    // One that was cancelled may have been counted all the same; one that was answered is never lost.
    assert!((counted + 1..=101).contains(&usize::try_from(sum).unwrap()), "{sum} after {counted}");
}

/// A store in which time passes between a load and what follows it.
#[derive(Debug)]
struct Slow {
    inner: MemoryProvider,
    clock: ManualClock,
    passes: Mutex<Option<Duration>>,
}

#[async_trait]
impl StorageProvider for Slow {
    fn info(&self) -> ProviderInfo {
        self.inner.info()
    }

    async fn save(&self, request: SaveRequest<'_>) -> Result<StorageItem> {
        self.inner.save(request).await
    }

    async fn load(&self, key: ItemKey<'_>) -> Result<Option<StorageItem>> {
        let loaded = self.inner.load(key).await;
        if let Some(passes) = self.passes.lock().unwrap().take() {
            self.clock.advance(passes);
        }
        loaded
    }

    async fn delete(&self, key: ItemKey<'_>, condition: Condition) -> Result<bool> {
        self.inner.delete(key, condition).await
    }

    async fn search(&self, query: &StorageQuery) -> Result<SearchPage> {
        self.inner.search(query).await
    }

    async fn cleanup(&self) -> Result<CleanupReport> {
        self.inner.cleanup().await
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}

/// The deadline that is kept had passed by then, which the store refuses: the script was told that its call is invalid.
#[tokio::test]
async fn a_number_that_ends_while_it_is_counted_is_begun_anew() {
    let world = World::memory();
    let inner = MemoryProvider::with_clock(MemoryConfig::default(), world.clock.shared());
    let slow = Arc::new(Slow { inner, clock: world.clock.clone(), passes: Mutex::default() });
    let stores = world.stores();
    stores.register("slow", Arc::clone(&slow)).unwrap();
    let unit = stores.unit_of_work();
    let handle = unit.acquire("slow").unwrap();
    let end_in_between = || *slow.passes.lock().unwrap() = Some(2 * SECOND);

    handle.set("n", &41.into(), ttl(1.0)).await.unwrap();
    end_in_between();
    assert_eq!(handle.incr("n", from(0)).await.unwrap(), Number::Integer(1));

    handle.set("n", &41.into(), ttl(1.0)).await.unwrap();
    end_in_between();
    assert_eq!(kind(handle.incr("n", Increment::default()).await), ("NOT_FOUND", false));

    handle.set("n", &41.into(), ttl(1.0)).await.unwrap();
    end_in_between();
    assert!(!handle.replace("n", &1.into(), Ttl::NONE).await.unwrap());
}
