#![doc = include_str!("../README.md")]

mod app;
mod args;
mod commands;
mod demo;
mod duration;
mod error;
mod output;
mod store;
mod target;

use std::process::ExitCode;

fn main() -> ExitCode {
    app::run().into()
}
