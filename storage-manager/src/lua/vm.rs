//! One machine for one script.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use mlua::{Lua, LuaOptions, Result, StdLib, Variadic, chunk::ChunkMode};

use super::{
    Limit, Outcome, RaisedError, deadline::Deadline, globals, key_value::release_handles,
    outcome::is_out_of_memory, returned, sandbox::PrintSink,
};
use crate::script::{ScriptResult, ScriptValue, patience};

/// The text of a script and what to call it.
#[derive(Debug, Clone, Copy)]
pub struct Script<'a> {
    name: &'a str,
    source: &'a [u8],
}

impl<'a> Script<'a> {
    /// A script called `name`, usually its file, in messages.
    pub fn new(name: &'a str, source: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        Self { name, source: source.as_ref() }
    }

    /// The name as the interpreter shows it: it cuts longer ones in ways of its own.
    fn chunk_name(&self) -> &'a str {
        const MOST: usize = 48;
        let file = self.name.rsplit('/').next().unwrap_or(self.name);
        file.get(..file.floor_char_boundary(MOST)).unwrap_or(file)
    }

    /// The text without the first line of an executable file, whose end is kept for the sake of line numbers.
    fn text(&self) -> &'a [u8] {
        if !self.source.starts_with(b"#") {
            return self.source;
        }
        let end = self.source.iter().position(|byte| *byte == b'\n').unwrap_or(self.source.len());
        self.source.get(end..).unwrap_or_default()
    }
}

/// A machine for one script. Made by [`Sandbox::vm`](super::Sandbox::vm).
#[derive(Debug)]
pub struct ScriptVm {
    lua: Lua,
    memory: usize,
    timeout: Duration,
}

impl ScriptVm {
    pub(crate) fn new(memory: usize, timeout: Duration, print: PrintSink) -> Result<Self> {
        let lua = Lua::new_with(libraries(), LuaOptions::default())?;
        globals::restrict(&lua, print)?;
        lua.set_memory_limit(memory)?;
        Ok(Self { lua, memory, timeout })
    }

    /// The machine below, to give the script more than the language: modules, functions, values.
    ///
    /// What is installed here is part of the wall: a function of the host can do whatever the host can. The deadline does
    /// not interrupt it while it computes, and what it allocates does not count. Async functions, and userdata types with
    /// async methods (`create_proxy` makes them), have to be made before the script runs.
    pub const fn lua(&self) -> &Lua {
        &self.lua
    }

    /// Runs `script` with `arguments`, which it sees as `...`, until it ends or is stopped, and drops the machine.
    ///
    /// The time of the sandbox counts from here. Dropping the future stops the script at the call it is waiting for.
    ///
    /// # Panics
    /// Outside of a tokio runtime with timers.
    pub async fn run<'a>(self, script: Script<'_>, arguments: impl IntoIterator<Item = &'a str>) -> Outcome {
        let arguments: Variadic<&[u8]> = arguments.into_iter().map(str::as_bytes).collect();
        let start = Instant::now();
        // A time that no clock reaches is no limit.
        let end = start.checked_add(self.timeout);
        let deadline = end.map(Deadline::new);
        let work = patience::until(end, self.execute(script, arguments, deadline.clone()));
        let answer = match end {
            Some(end) => tokio::time::timeout_at(end.into(), work).await,
            None => Ok(work.await),
        };
        // An error is a consequence of the deadline also where a call of the host noticed that first.
        let is_over = matches!(answer, Ok(Err(_))) && end.is_some_and(|end| Instant::now() >= end);
        let is_late = is_over || deadline.is_some_and(|deadline| deadline.was_enforced());
        match answer {
            Err(_) => Outcome::Stopped(Limit::Time(self.timeout)),
            Ok(_) if is_late => Outcome::Stopped(Limit::Time(self.timeout)),
            Ok(Ok(returned)) => Outcome::Finished(returned),
            Ok(Err(error)) if is_out_of_memory(&error) => Outcome::Stopped(Limit::Memory(self.memory)),
            Ok(Err(error)) => {
                Outcome::Raised(RaisedError::new(script.name.to_owned(), script.chunk_name(), &error))
            }
        }
    }

    async fn execute(
        &self,
        script: Script<'_>,
        arguments: Variadic<&[u8]>,
        deadline: Option<Arc<Deadline>>,
    ) -> Result<ScriptResult<Vec<ScriptValue>>> {
        let arguments = arguments.iter().map(|bytes| self.lua.create_string(bytes));
        let arguments = arguments.collect::<Result<Variadic<_>>>()?;
        globals::seal(&self.lua)?;
        let returning = returned::few(&self.lua)?;
        if let Some(deadline) = deadline {
            self.lua.set_app_data(Arc::clone(&deadline));
            deadline.guard(&self.lua)?;
        }
        let chunk = self.lua.load(script.text()).set_name(format!("={}", script.chunk_name()));
        // Text only: made-up bytecode can break the interpreter's own memory.
        let script = chunk.set_mode(ChunkMode::Text).into_function()?;
        let values = returning.call_async((script, arguments)).await?;
        Ok(returned::take(values))
    }
}

/// The handles of the script are released also where something of the machine outlives it.
impl Drop for ScriptVm {
    fn drop(&mut self) {
        release_handles(&self.lua);
    }
}

/// The libraries below what the sandbox keeps. `coroutine` is there for the async functions of the host, which the
/// interpreter would load behind our back otherwise.
fn libraries() -> StdLib {
    let common =
        StdLib::COROUTINE | StdLib::TABLE | StdLib::STRING | StdLib::UTF8 | StdLib::MATH | StdLib::OS;
    #[cfg(feature = "luau")]
    let common = common | StdLib::BIT | StdLib::BUFFER | StdLib::VECTOR;
    common
}
