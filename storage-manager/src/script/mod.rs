//! What scripts see of the storage, in plain Rust: values, the modules `store` and `registry`, key-value stores.
//!
//! Nothing here depends on a script language: a binding converts values and arguments and calls these types.
//!
//! | type | what it is |
//! |---|---|
//! | [`ScriptValue`] | nil, booleans, integers, floats, byte strings, tables; stored exactly, within [`ScriptLimits`] |
//! | [`ScriptStore`] | durable values of one script, and global ones |
//! | [`ScriptRegistry`] | values that all scripts share |
//! | [`KeyValueStores`] | stores with ids, acquired within a [`UnitOfWork`] as [`KeyValueStore`] handles |
//! | [`AccessPolicy`] | decides every single call; [`RulePolicy`] is read from a configuration |
//! | [`ScriptError`] | a kind to branch on, a message, and whether the same call may be made again |
//!
//! # Values
//!
//! Values are stored under the encoding [`ENCODING`]. Integers and floats stay apart; NaN, infinities, `-0.0`, any bytes,
//! mixed and sparse tables come back as they were. [`ScriptValue`] is `Serialize`: as JSON where JSON can hold it exactly,
//! tagged elsewhere, which is also what `storage load` prints. What a host stored as JSON, MessagePack or raw bytes can be
//! read by scripts.
//!
//! # The edges of key-value calls
//!
//! | call | what happens |
//! |---|---|
//! | `get`, `has`, `delete`, `ttl`, `expire` without an entry | `None` or `false`, and no error; an expired entry is none, cleaned up or not |
//! | `set` without ttl on an entry with one | lives without end: a set replaces everything |
//! | ttl 0 | without end; negative, NaN, infinite, or beyond the year 9999: `INVALID`; less than a microsecond: a microsecond |
//! | `ttl` of an entry without end | 0, as `set` takes it; of any other at least a microsecond |
//! | `expire` with 0 | the entry lives without end from now on |
//! | `add` where an entry is, `replace` where none is | `false`, and nothing changes |
//! | `put` with `if_version` where no entry is | `CONFLICT`, as for another version |
//! | `incr` without entry and `init` | `NOT_FOUND`; with `init`: stores `init` plus the step |
//! | `incr` with a ttl | is for the entry it makes; one that is there keeps its deadline; without `init`: `INVALID` |
//! | `incr` on text, a table, a boolean | `INVALID`: text that looks like a number is text |
//! | `incr` beyond 64 bits, or to infinity | `INVALID`, and the number stays as it was |
//! | a handle after `release`, or after its unit of work | `INVALID`, before anything else is looked at |
//! | a full store | a new key is `UNAVAILABLE`, retryable; overwriting and deleting go on |
//!
//! An error is retryable if nothing was changed and the very same call may succeed later. A `CONFLICT` over a version is
//! not: read the entry again, and put with its new version.

mod codec;
mod error;
mod items;
mod key_value;
mod limits;
mod namespace;
mod path;
pub(crate) mod patience;
mod policy;
mod registry;
mod store;
mod table;
mod ttl;
mod value;

pub use codec::{ENCODING, decode, decode_item, encode};
pub use error::{ScriptError, ScriptErrorKind, ScriptResult};
pub use key_value::{
    Entry, Increment, KeyEntry, KeyPage, KeyValueStore, KeyValueStores, ListOptions, Number, Put, StoreInfo,
    UnitOfWork,
};
pub use limits::{Budget, Excess, ScriptLimits};
pub use namespace::{Ident, MAX_IDENT_BYTES, MAX_SCRIPT_KEY_BYTES, key_text};
pub use path::ValuePath;
pub use policy::{AccessPolicy, AccessRequest, Action, AllowAll, Attributes, RulePolicy};
pub use registry::ScriptRegistry;
pub use store::{ScriptStore, ScriptStoreBuilder, Stamped};
pub use table::{FloatKey, ScriptKey, ScriptTable};
pub use ttl::Ttl;
pub use value::ScriptValue;
