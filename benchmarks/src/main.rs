//! Benches beside bare engines and rivals: one command, one table with ratios.
//!
//! `cargo run --release -p benchmarks -- all` measures everything; `memory`, `fs`, `redis`, `postgres`, `sqlite`, `manager` and `script`
//! (Lua 5.4; Luau with `--no-default-features --features luau`) a part of it. Contenders take turns within each round, and the table
//! shows medians over the rounds. Machines differ: read the ratios.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a bench that cannot go on says so by panicking"
)]

mod files;
mod fill;
mod fjall_grouped;
mod fs;
mod items;
mod latency;
mod manager;
mod maps;
mod measure;
mod memory;
mod postgres;
mod postgres_raw;
mod redis;
mod redis_raw;
#[cfg(any(feature = "lua54", feature = "luau"))]
mod script;
mod sqlite;
mod sqlite_raw;
mod table;

use clap::{Parser, ValueEnum};

/// Measures our providers beside bare engines and rivals.
#[derive(Debug, Parser)]
pub(crate) struct Options {
    /// What to measure.
    #[arg(default_value = "all")]
    part: Part,
    /// How often each contender has its turn.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Items in the maps of the memory benches.
    #[arg(long, default_value_t = 1_000_000)]
    items: u64,
    /// Seconds that each timed turn lasts.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Where the engines keep their files; it should be on the disk to be measured.
    #[arg(long, default_value = ".")]
    directory: std::path::PathBuf,
    /// Fills one map with `--items` items, prints the memory it took, and ends; used by the memory bench itself.
    #[arg(long, hide = true)]
    fill: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    All,
    Memory,
    Fs,
    Redis,
    Postgres,
    Sqlite,
    /// Only the durable saves of `fs`.
    FsSaves,
    /// Only the warm loads of `fs`.
    FsLoads,
    Manager,
    /// Calls of Lua scripts.
    #[cfg(any(feature = "lua54", feature = "luau"))]
    Script,
}

fn main() {
    let options = Options::parse();
    if let Some(contender) = &options.fill {
        return fill::run(contender, options.items);
    }
    let runs = |part: Part| options.part == Part::All || options.part == part;
    let mut table = table::Table::default();
    if runs(Part::Memory) {
        memory::run(&options, &mut table);
    }
    if runs(Part::Manager) {
        manager::run(&options, &mut table);
    }
    #[cfg(any(feature = "lua54", feature = "luau"))]
    if runs(Part::Script) {
        script::run(&options, &mut table);
    }
    if runs(Part::Fs) {
        fs::run(&options, &mut table);
    }
    if runs(Part::Redis) {
        redis::run(&options, &mut table);
    }
    if runs(Part::Postgres) {
        postgres::run(&options, &mut table);
    }
    if runs(Part::Sqlite) {
        sqlite::run(&options, &mut table);
    }
    if options.part == Part::FsSaves {
        fs::saves(&options, &mut table);
    }
    if options.part == Part::FsLoads {
        fs::loads(&options, &mut table);
    }
    println!("{table}");
}
