//! What a script may use: memory, time, and nothing of the machine.

use std::{fmt, io, sync::Arc, time::Duration};

use storage_core::{ErrorKind, Result, StorageError};

use super::ScriptVm;

/// Takes what a script prints, one line at a time and without its end.
pub(crate) type PrintSink = Arc<dyn Fn(&[u8]) -> io::Result<()> + Send + Sync>;

/// Makes virtual machines for scripts: with a memory limit, a deadline, and without the globals that reach the machine
/// below (`io`, `os` but for the time, `package`, `require`, `load`, `dofile`, `debug`, …).
///
/// Every script gets a machine of its own, so that nothing one script does is seen by the next.
///
/// # What the limits stop
/// On **`luau`** every script is stopped within 50 ms of its deadline and within its memory. Run scripts that nobody
/// trusts on it. Values that are converted, encoded or decoded are given up as well; only what a host stored as JSON or
/// MessagePack is read to its end.
///
/// On **`lua54`** the limits are a guard against accidents, not against intent. Endless loops are stopped, also within
/// `pcall`. What is not stopped holds its thread until it returns. Of the hostile scripts that this crate is tested with
/// (`tests/lua_abuse/scripts`), these are not stopped:
///
/// - patterns that backtrack, each a single call of the string library: `pattern_balanced`, `pattern_captures`,
///   `pattern_dots`, `pattern_gmatch`, `pattern_gsub`, `pattern_optional`, `pattern_pcall`, `pattern_stars`;
/// - a loop in a `__close` metamethod that runs because of the deadline: `loop_close_at_deadline`,
///   `loop_coroutine_close_at_deadline`;
/// - recursion that fans out in and behind `pcall`: `loop_pcall_recursive`;
/// - `table.remove` in a table whose `__len` is made up: `table_remove_far`.
///
/// Finalizers (`__gc`) are refused there.
///
/// # The thread of a script
/// While a script computes, it holds the thread that polls it, as any future does; only its calls to stores give the thread
/// up. Give scripts that compute a runtime, or a blocking thread, of their own.
#[derive(Clone)]
pub struct Sandbox {
    memory: usize,
    timeout: Duration,
    print: PrintSink,
}

impl Sandbox {
    /// The memory of a script unless set otherwise: 32 MiB.
    pub const DEFAULT_MEMORY: usize = 32 << 20;

    /// The time of a script unless set otherwise: 130 seconds.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(130);

    /// The least memory that a machine can be given: 1 MiB. It uses a tenth of that before the script starts.
    pub const LEAST_MEMORY: usize = 1 << 20;

    /// The default limits. What a script prints goes nowhere.
    pub fn new() -> Self {
        Self { memory: Self::DEFAULT_MEMORY, timeout: Self::DEFAULT_TIMEOUT, print: Arc::new(|_| Ok(())) }
    }

    /// Most bytes that a script may hold at once. Default: 32 MiB.
    #[must_use]
    pub fn memory_limit(mut self, bytes: usize) -> Self {
        self.memory = bytes;
        self
    }

    /// How long a script may run, waiting included. Default: 130 seconds.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Takes what scripts print: one call per `print`, its arguments joined by tabs, without the end of the line. The bytes
    /// are the script's: any of them, at most 1 MiB a line and 1,000 arguments, as often as it likes. An error is raised in the script.
    #[must_use]
    pub fn print_to(mut self, sink: impl Fn(&[u8]) -> io::Result<()> + Send + Sync + 'static) -> Self {
        self.print = Arc::new(sink);
        self
    }

    /// A machine for one script.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if the memory is less than [`LEAST_MEMORY`](Self::LEAST_MEMORY) or the time is zero.
    pub fn vm(&self) -> Result<ScriptVm> {
        if self.memory < Self::LEAST_MEMORY {
            let message = format!("a script needs {} bytes of memory or more", Self::LEAST_MEMORY);
            return Err(StorageError::new(ErrorKind::Config, message));
        }
        if self.timeout.is_zero() {
            return Err(StorageError::new(ErrorKind::Config, "a script needs a time limit longer than zero"));
        }
        ScriptVm::new(self.memory, self.timeout, Arc::clone(&self.print)).map_err(|error| {
            StorageError::new(ErrorKind::Internal, "the Lua machine cannot be made").with_source(error)
        })
    }
}

impl Default for Sandbox {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { memory, timeout, print: _ } = self;
        f.debug_struct("Sandbox").field("memory", memory).field("timeout", timeout).finish_non_exhaustive()
    }
}
