//! The wire against real servers, bad networks and a scripted server.

mod faults;
mod logins;
mod replies;
mod topology;

use std::time::Duration;

use redis::Value;
use storage_core::{ErrorKind, Result};
use tokio::time::Instant;

use super::{Access, Call, Script, Slot, Wire};
use crate::config::{ReconnectConfig, RedisConfig};

/// No call may outlive its deadline by more than this.
const SLACK: Duration = Duration::from_millis(50);

fn config(url: &str) -> RedisConfig {
    RedisConfig::from_url(url).unwrap()
}

async fn wire(url: &str) -> Wire {
    Wire::connect(&config(url)).await.unwrap()
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

fn get(key: &str) -> Call {
    Call::read(Slot::of(key.as_bytes()), "GET").key(key.as_bytes())
}

fn set(key: &str, value: &str) -> Call {
    Call::write(Slot::of(key.as_bytes()), "SET").key(key.as_bytes()).arg(value)
}

fn incr(key: &str) -> Call {
    Call::write(Slot::of(key.as_bytes()), "INCR").key(key.as_bytes())
}

fn bulk(text: &str) -> Value {
    Value::BulkString(text.into())
}

fn kind<T: std::fmt::Debug>(result: Result<T>) -> ErrorKind {
    result.unwrap_err().kind()
}

/// Polls until `done`, for at most half a minute.
async fn eventually(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !done().await {
        assert!(Instant::now() < end, "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
