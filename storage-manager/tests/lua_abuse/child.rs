//! The process that runs one script.

use std::{
    env, fs,
    path::{Path, PathBuf},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use storage_manager::{
    MemoryProvider, UnifiedStorageManager,
    lua::{Limit, Outcome, Sandbox, Script, install_agent_modules},
    script::{ScriptRegistry, ScriptStore},
};

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
    let manager = UnifiedStorageManager::builder().fallback(MemoryProvider::default()).build().unwrap();
    let store = ScriptStore::builder(&manager).build();
    let vm = sandbox.vm().unwrap();
    install_agent_modules(vm.lua(), &store, &ScriptRegistry::new(&manager)).unwrap();
    let memory = peak_memory();
    let (start, mark) = (Instant::now(), Mark::at_deadline());
    let outcome = vm.run(Script::new("abuse.lua", source), []).await;
    println!("millis: {}", start.elapsed().as_millis());
    if let Some(late) = mark.used_since() {
        println!("late: {}", late.as_millis());
    }
    println!("memory: {}", peak_memory() - memory);
    let clean = sandbox.vm().unwrap().run(Script::new("clean.lua", CLEAN), []).await;
    println!("clean: {}", matches!(clean, Outcome::Finished(_)));
    match outcome {
        Outcome::Finished(_) => println!("ending: finished"),
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

/// The processor time that this thread has used when the deadline of the script passes. On a busy machine a script ends
/// late by the clock, because others have their turns; what it uses after its deadline is its own doing.
struct Mark {
    schedule: PathBuf,
    used: JoinHandle<Option<Duration>>,
}

impl Mark {
    fn at_deadline() -> Self {
        let deadline = Instant::now() + Duration::from_millis(TIMEOUT_MS);
        // Taken here: another thread means another one by it.
        let schedule = fs::canonicalize("/proc/thread-self").unwrap().join("schedstat");
        let path = schedule.clone();
        let used = thread::spawn(move || {
            thread::sleep(deadline.saturating_duration_since(Instant::now()));
            used(&path)
        });
        Self { schedule, used }
    }

    /// What was used since the deadline; `None` if the script ended before.
    fn used_since(self) -> Option<Duration> {
        let now = used(&self.schedule)?;
        if !self.used.is_finished() {
            return None;
        }
        Some(now.saturating_sub(self.used.join().unwrap()?))
    }
}

/// How long a thread was on a processor; `None` if it is gone.
fn used(schedule: &Path) -> Option<Duration> {
    let schedule = fs::read_to_string(schedule).ok()?;
    Some(Duration::from_nanos(schedule.split_whitespace().next()?.parse().ok()?))
}
