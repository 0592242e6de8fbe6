//! The process that runs one script.

use std::{
    env, fs,
    time::{Duration, Instant},
};

use storage_manager::lua::{Limit, Outcome, Sandbox, Script};

use crate::{MEMORY, TIMEOUT_MS};

/// The file of the script, for a process that is started to run it.
pub(crate) const SCRIPT: &str = "LUA_ABUSE_SCRIPT";

/// Run by the other test, in a process of its own, and told so by the environment.
#[test]
fn child() {
    if let Ok(path) = env::var(SCRIPT) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(run(&fs::read(path).unwrap()));
    }
}

async fn run(source: &[u8]) {
    let sandbox = Sandbox::new().timeout(Duration::from_millis(TIMEOUT_MS)).memory_limit(MEMORY);
    let sandbox = sandbox.print_to(|line| {
        let text = String::from_utf8_lossy(line.get(..100).unwrap_or(line));
        println!("printed: {text}");
        Ok(())
    });
    let (start, memory, waited) = (Instant::now(), peak_memory(), waited());
    let outcome = sandbox.vm().unwrap().run(Script::new("abuse.lua", source), []).await;
    let taken = start.elapsed();
    println!("memory: {}", peak_memory() - memory);
    // On a busy machine other processes have their turns too; what the script took is the rest.
    println!("millis: {}", taken.saturating_sub(self::waited() - waited).as_millis());
    let clean = sandbox.vm().unwrap().run(Script::new("clean.lua", CLEAN), []).await;
    println!("clean: {}", matches!(clean, Outcome::Finished));
    match outcome {
        Outcome::Finished => println!("ending: finished"),
        Outcome::Raised(error) => {
            println!("message: {:.200}\nending: raised", error.to_string().replace('\n', " "));
        }
        Outcome::Stopped(Limit::Time(_)) => println!("ending: time"),
        Outcome::Stopped(Limit::Memory(_)) => println!("ending: memory"),
    }
}

/// What the next script relies on.
const CLEAN: &str = r#"
    assert(planted == nil)
    assert(("x"):rep(3) == "xxx" and ("a,b"):find(",", 1, true) == 2)
    assert(table.concat({ 1, 2 }, "-") == "1-2" and math.max(1, 2) == 2 and utf8.char(233) == "é")
    assert(type(tostring(print)) == "string" and os.time() > 0)
    assert(select('#', pcall(error, 'x')) == 2)
"#;

/// The most memory that this process ever had, in bytes.
fn peak_memory() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    let kilobytes: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kilobytes * 1024
}

/// How long this thread has waited for a processor.
fn waited() -> Duration {
    let schedule = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(schedule.split_whitespace().nth(1).unwrap().parse().unwrap())
}
