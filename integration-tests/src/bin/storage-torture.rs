//! Crashes a store for as long as anyone likes: `storage-torture crash CYCLES [SEED]`.

#![expect(clippy::expect_used, reason = "a tool of the tests states what it expects by panicking")]

use std::{env, process::ExitCode, time::Instant};

use integration_tests::{Crash, Job, Settings, run};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["child", job] => {
            let job: Job = serde_json::from_str(job).expect("the job is JSON");
            run(&job)
        }
        ["crash", cycles] => crash(cycles, &fastrand::u64(..).to_string()),
        ["crash", cycles, seed] => crash(cycles, seed),
        _ => {
            eprintln!("usage: storage-torture crash CYCLES [SEED]");
            ExitCode::from(2)
        }
    }
}

fn crash(cycles: &str, seed: &str) -> ExitCode {
    let (Ok(cycles), Ok(seed)) = (cycles.parse(), seed.parse()) else {
        eprintln!("cycles and seed are numbers");
        return ExitCode::from(2);
    };
    let program = env::current_exe().expect("the program knows where it is");
    let program = program.to_str().expect("the program has a plain name");
    let scratch = tempfile::tempdir().expect("a scratch folder can be made");
    let store = scratch.path().join("store");
    let mut crash = Crash::new(program, &store, scratch.path(), Settings::default(), seed);
    println!("seed {seed}");
    let started = Instant::now();
    let result = crash.kill(cycles);
    println!("{:?} in {:?}", crash.figures(), started.elapsed());
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}\nthe store is left in {}", scratch.keep().display());
            ExitCode::FAILURE
        }
    }
}
