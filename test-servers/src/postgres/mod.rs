//! PostgreSQL: one server, of the environment or as a child process.

mod place;
mod programs;
mod server;

pub use place::Place;
pub use server::{Server, ServerBuilder};
