//! Benches beside bare engines and rivals: one command, one table with ratios.
//!
//! `cargo run --release -p benchmarks -- all` measures everything; `memory`, `fs` and `manager` a part of it. Contenders
//! take turns within each round, and the table shows medians over the rounds. Machines differ: read the ratios.

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
mod manager;
mod maps;
mod measure;
mod memory;
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
    Manager,
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
    if runs(Part::Fs) {
        fs::run(&options, &mut table);
    }
    println!("{table}");
}
