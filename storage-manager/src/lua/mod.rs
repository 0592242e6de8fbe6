//! Lua scripts over the manager, on one of two interpreters: the feature `lua54` (PUC Lua 5.4) or `luau` (Luau).
//!
//! # Which interpreter
//! | | `lua54` | `luau` |
//! |---|---|---|
//! | language | Lua 5.4: integers, `goto`, `<close>` | Lua 5.1 with additions; one type of numbers |
//! | meant for | scripts of the host's own | also scripts that nobody trusts |
//! | deadline | stops loops; does not stop what is listed at [`Sandbox`] | stops every script |
//! | memory limit | yes | yes |
//!
//! A program holds one interpreter: both features at once do not build, nor does the feature `lua`, which each implies, without
//! one of them.
//!
//! # A script in a sandbox
//! ```
//! use std::{sync::{Arc, Mutex}, time::Duration};
//! use storage_manager::lua::{Outcome, Sandbox, Script};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let printed = Arc::new(Mutex::new(Vec::new()));
//! let lines = Arc::clone(&printed);
//! let sandbox = Sandbox::new().timeout(Duration::from_secs(5)).memory_limit(8 << 20).print_to(move |line| {
//!     lines.lock().expect("no panic while it was held").push(String::from_utf8_lossy(line).into_owned());
//!     Ok(())
//! });
//!
//! let source = "print('hello', ...) return { greeted = select('#', ...) }";
//! let outcome = sandbox.vm()?.run(Script::new("greet.lua", source), ["world"]).await;
//! let Outcome::Finished(returned) = outcome else { panic!("{outcome:?}") };
//! assert_eq!(returned?[0].as_table().unwrap().get("greeted"), Some(&1.into()));
//! assert_eq!(*printed.lock().unwrap(), ["hello\tworld"]);
//!
//! let Outcome::Raised(error) = sandbox.vm()?.run(Script::new("fail.lua", "\nerror('no')"), []).await else {
//!     panic!("the script raises an error");
//! };
//! assert_eq!((error.message(), error.line()), ("fail.lua:2: no", Some(2)));
//!
//! let hasty = Sandbox::new().timeout(Duration::from_millis(20));
//! let outcome = hasty.vm()?.run(Script::new("loop.lua", "while true do end"), []).await;
//! assert!(matches!(outcome, Outcome::Stopped(_)));
//! # Ok(())
//! # }
//! ```
//!
//! # A script with stores
//! A host decides which of the two modules called `store` a machine gets: [`install_agent_modules`] or
//! [`install_key_value_module`]. The guides are `docs/lua.md` of this project for script
//! authors, and `docs/lua-hosts.md` for hosts.
//! ```
//! use storage_manager::{lua::{Outcome, Sandbox, Script, install_agent_modules, install_key_value_module}, script::*};
//! # #[cfg(feature = "memory")] {
//! use storage_manager::{MemoryProvider, UnifiedStorageManager};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // In earnest, a durable provider: these values are meant to survive.
//! let manager = UnifiedStorageManager::builder().fallback(MemoryProvider::default()).build()?;
//! let store = ScriptStore::builder(&manager).ident("monitor-cpu".parse()?).build();
//! let registry = ScriptRegistry::new(&manager);
//!
//! let vm = Sandbox::new().vm()?;
//! install_agent_modules(vm.lua(), &store, &registry)?;
//! let outcome = vm.run(Script::new("count.lua", "store.put('runs', (store.get('runs') or 0) + 1)"), []).await;
//! assert!(matches!(outcome, Outcome::Finished(_)));
//! assert_eq!(store.get("runs").await?.map(|runs| runs.value), Some(1.into()));
//!
//! let stores = KeyValueStores::new(&manager, AllowAll);
//! stores.register("app:cache", MemoryProvider::default())?;
//! let vm = Sandbox::new().vm()?;
//! install_key_value_module(vm.lua(), stores.unit_of_work())?;
//! let source = "require('store').get('app:cache'):set('user:123', { name = 'Alice' }, 3600)";
//! assert!(matches!(vm.run(Script::new("set.lua", source), []).await, Outcome::Finished(_)));
//! # Ok(())
//! # }
//! # main().unwrap();
//! # }
//! ```

mod agent;
mod answer;
mod convert;
mod deadline;
mod error;
mod globals;
mod key_value;
mod modules;
mod outcome;
mod print;
mod returned;
mod sandbox;
mod strings;
mod vm;

pub use agent::install_agent_modules;
pub use convert::{from_lua, to_lua};
pub use key_value::{install_key_value_module, release_handles};
pub use mlua;
pub use outcome::{Limit, Outcome, RaisedError};
pub use sandbox::Sandbox;
pub use vm::{Script, ScriptVm};

/// The examples of the guide for hosts.
#[cfg(all(doctest, feature = "memory"))]
#[doc = include_str!("../../../docs/lua-hosts.md")]
mod guide_for_hosts {}
