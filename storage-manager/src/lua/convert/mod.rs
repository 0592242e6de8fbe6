//! Values of the interpreter to values of scripts, and back.
//!
//! mlua's own conversion by `serde` loses what it cannot express without a word: keys of mixed tables, NaN, integers among
//! floats. This one is exact or refuses, naming the place.

mod from_lua;
mod to_lua;

pub(crate) use from_lua::Walk;
pub use from_lua::from_lua;
pub use to_lua::to_lua;
