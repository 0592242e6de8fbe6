//! Functions that mostly need not wait.

use std::{
    pin::Pin,
    ptr,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Waker},
};

use mlua::{AnyUserData, Function, LightUserData, Lua, MultiValue, Result, UserData, Value};

use crate::script::ScriptResult;

/// The answer of a call, once it is there. It must not own the machine, which owns it while the script waits.
pub(crate) type Answer<T> = Pin<Box<dyn Future<Output = ScriptResult<T>> + Send>>;

/// What the first result is of a call that waits; its second one is the [`Waiting`] answer. No value of a script is this.
const WAITS: Value = Value::LightUserData(LightUserData(ptr::without_provenance_mut(1)));

/// An answer on its way through the interpreter.
struct Waiting<T>(Mutex<Answer<T>>);

impl<T> UserData for Waiting<T> {}

/// The function that makes the call `begin` and has its results as `show` makes them.
///
/// A store in memory answers at once, and one on disk mostly does. Such an answer comes back like that of any function;
/// only one that has to be waited for takes the longer way of the interpreter's async functions.
pub(crate) fn function<T: 'static>(
    lua: &Lua,
    name: &str,
    begin: impl Fn(MultiValue) -> Result<Answer<T>> + Send + Sync + 'static,
    show: impl Fn(&Lua, ScriptResult<T>) -> Result<MultiValue> + Send + Sync + 'static,
) -> Result<Function> {
    const CALL: &str = "
        local begin, finish, waits, select = ...
        local function settle(...)
            if ... == waits then return finish(select(2, ...)) end
            return ...
        end
        return function(...) return settle(begin(...)) end";
    let show = Arc::new(show);
    let shown = Arc::clone(&show);
    let begin = lua.create_function(move |lua, arguments: MultiValue| {
        let mut answer = begin(arguments)?;
        match answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => shown(lua, answer),
            // Whoever waits polls it again, and is woken.
            Poll::Pending => {
                let waiting = lua.create_userdata(Waiting(Mutex::new(answer)))?;
                Ok([WAITS, Value::UserData(waiting)].into_iter().collect())
            }
        }
    })?;
    let finish = lua.create_async_function(move |lua, waiting: AnyUserData| {
        let (waiting, show) = (waiting.take::<Waiting<T>>(), Arc::clone(&show));
        async move {
            let answer = waiting?.0.into_inner().unwrap_or_else(PoisonError::into_inner);
            show(&lua, answer.await)
        }
    })?;
    let select: Function = lua.globals().raw_get("select")?;
    lua.load(CALL).set_name(format!("={name}")).call((begin, finish, WAITS, select))
}
