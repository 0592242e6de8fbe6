//! The Redis provider against a server in a container, of the image that `REDIS_IMAGE` names.

use std::{
    env,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use storage_core::{
    ErrorKind, ItemKey, SaveRequest, StorageError, StorageProvider,
    conformance::{CHECKS, Setup, Suite},
};
use storage_redis::{RedisConfig, RedisProvider};
use testcontainers::{
    ContainerAsync, GenericImage,
    core::{IntoContainerPort, WaitFor},
    runners::AsyncRunner,
};
use tokio::runtime::{Builder, Runtime};

/// A server in a container, removed when dropped.
struct Server {
    container: ContainerAsync<GenericImage>,
    url: String,
}

impl Server {
    async fn start() -> Self {
        let image =
            env::var("REDIS_IMAGE").expect("REDIS_IMAGE names an image, as scripts/redis-image.sh makes one");
        let (name, tag) = image.rsplit_once(':').expect("the image has a tag");
        let image = GenericImage::new(name, tag)
            .with_exposed_port(6379.tcp())
            .with_wait_for(WaitFor::message_on_stdout("Ready to accept connections"));
        let container = image.start().await.expect("the container starts");
        let port = container.get_host_port_ipv4(6379.tcp()).await.expect("the port is published");
        let host = container.get_host().await.expect("the engine has an address");
        Self { container, url: format!("redis://{host}:{port}/0") }
    }
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().enable_all().build().expect("a runtime can be built")
}

/// Each check has a store of its own, under a prefix that is its name.
fn suite(url: String) -> Suite {
    Suite::new(move |setup: Setup| {
        let config = RedisConfig {
            prefix: setup.name().to_owned(),
            max_payload: setup.max_payload(),
            ..RedisConfig::from_url(&url).expect("the address is valid")
        };
        async move { RedisProvider::builder(config).clock(setup.clock()).connect().await }
    })
}

#[test]
fn the_whole_suite_passes_on_a_server_in_a_container() {
    let runtime = runtime();
    let server = runtime.block_on(Server::start());
    let (suite, next, reports) = (suite(server.url.clone()), AtomicUsize::new(0), Mutex::new(Vec::new()));
    let run_checks = || {
        while let Some(check) = CHECKS.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(report) = suite.try_run(check) {
                reports.lock().unwrap_or_else(PoisonError::into_inner).push(report);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(run_checks);
        }
    });
    let reports = reports.into_inner().unwrap_or_else(PoisonError::into_inner);
    println!("{} checks, {} failed", CHECKS.len(), reports.len());
    assert!(reports.is_empty(), "{}", reports.join("\n"));
    runtime.block_on(server.container.rm()).expect("the container is removed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_is_paused_costs_the_deadline_and_no_more() {
    const DEADLINE: Duration = Duration::from_millis(600);
    let server = Server::start().await;
    let config = RedisConfig {
        operation_timeout: DEADLINE,
        ..RedisConfig::from_url(&server.url).expect("the address is valid")
    };
    let store = Arc::new(RedisProvider::connect(config).await.expect("the server answers"));
    put(&store).await.expect("the server answers");
    server.container.pause().await.expect("the engine can pause");
    for _ in 0..3 {
        let started = Instant::now();
        let kind = put(&store).await.expect_err("the server hangs").kind();
        assert!(
            matches!(kind, ErrorKind::OutcomeUnknown | ErrorKind::Unavailable | ErrorKind::Timeout),
            "{kind}"
        );
        assert!(started.elapsed() < DEADLINE + Duration::from_millis(150), "{:?}", started.elapsed());
    }
    server.container.unpause().await.expect("the engine can unpause");
    let started = Instant::now();
    while put(&store).await.is_err() {
        assert!(started.elapsed() < Duration::from_secs(20), "no recovery within 20 s");
    }
    server.container.rm().await.expect("the container is removed");
}

async fn put(store: &RedisProvider) -> Result<(), StorageError> {
    store.save(SaveRequest::new(ItemKey::new("note", "a")?, "data")).await.map(drop)
}
