//! Stops a script that computes at its deadline. (One that waits is stopped by whoever polls it.)

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use mlua::{Error, Lua, Result, VmState};

/// When a script has to end, and whether it was told so.
#[derive(Debug)]
pub(crate) struct Deadline {
    at: Instant,
    enforced: AtomicBool,
}

impl Deadline {
    pub(crate) fn new(at: Instant) -> Arc<Self> {
        Arc::new(Self { at, enforced: AtomicBool::new(false) })
    }

    /// That of the script which runs in a machine, for functions of the host that compute long.
    pub(crate) fn of(lua: &Lua) -> Option<Arc<Self>> {
        lua.app_data_ref::<Arc<Self>>().map(|deadline| Arc::clone(&deadline))
    }

    /// Whether the script was interrupted, whatever it made of that.
    pub(crate) fn was_enforced(&self) -> bool {
        self.enforced.load(Ordering::Relaxed)
    }

    /// Goes on before the deadline, and fails from then on: again and again, because a script may catch errors.
    pub(crate) fn check(&self) -> Result<VmState> {
        if Instant::now() < self.at {
            return Ok(VmState::Continue);
        }
        self.enforced.store(true, Ordering::Relaxed);
        Err(Error::runtime("the script is out of time"))
    }

    /// Checks at every jump back and every call, and within the matching of patterns.
    #[cfg(feature = "luau")]
    pub(crate) fn guard(self: Arc<Self>, lua: &Lua) -> Result<()> {
        lua.set_interrupt(move |_| self.check());
        Ok(())
    }

    /// Checks every hundred instructions, in all threads that are made from now on.
    #[cfg(feature = "lua54")]
    pub(crate) fn guard(self: Arc<Self>, lua: &Lua) -> Result<()> {
        self.check_every(100, lua)
    }

    /// After the deadline every single instruction is checked: else `while true do pcall(f) end` would go on for ever,
    /// because errors within `pcall` are caught and its hundredth instruction is always one of those. Every coroutine has a
    /// count of its own, which is set when the check reaches it.
    #[cfg(feature = "lua54")]
    fn check_every(self: Arc<Self>, instructions: u32, lua: &Lua) -> Result<()> {
        let triggers = mlua::debug::HookTriggers::new().every_nth_instruction(instructions);
        lua.set_global_hook(triggers, move |lua, _| {
            let verdict = self.check();
            if verdict.is_err() {
                Arc::clone(&self).check_every(1, lua)?;
            }
            verdict
        })
    }
}
