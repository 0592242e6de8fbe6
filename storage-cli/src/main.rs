//! The `storage` command: typed items with deadlines and tags from the shell.

mod app;
mod args;
mod commands;
mod demo;
mod duration;
mod error;
mod output;
mod store;

use std::process::ExitCode;

fn main() -> ExitCode {
    app::run().into()
}
