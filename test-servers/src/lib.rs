//! Starts real servers for tests, and what stands between a program and its server.
//!
//! A server started here is a child process in a scratch directory, on a port that no other test process uses. It is
//! ended with its handle, and also if the test process is killed: a shell holds the other end of a pipe and ends the
//! server when the pipe closes, which the system does for every process, however it dies.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a harness states what it expects by panicking"
)]

mod availability;
mod certificates;
mod fake;
pub mod mariadb;
mod ports;
pub mod postgres;
mod process;
mod proxy;
pub mod redis;
mod resp;

pub use availability::{Unavailable, found};
pub use certificates::{Authority, Certificate};
pub use fake::{Answer, Fake, Request};
pub use proxy::{Direction, Network, Proxy};
