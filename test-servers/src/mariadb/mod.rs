//! MariaDB and MySQL.

mod data;
mod places;
mod server;

pub use places::Place;
pub use server::{Client, Server, ServerBuilder};
