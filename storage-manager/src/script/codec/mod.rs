//! How values become bytes: compact, exact, with a version of its own.
//!
//! The first byte is the version of the form, 1. Then comes one value:
//!
//! | byte | value |
//! |---|---|
//! | `00` | nil |
//! | `01`, `02` | false, true |
//! | `03` | integer outside 0…63: a varint of its zigzag form |
//! | `04` | float: its 8 bytes, little end first |
//! | `05` | string of 128 bytes or more: a varint of its length, then the bytes |
//! | `06` | table: a varint of the length of its sequence, a varint of the number of other pairs; then the values of the sequence, then the pairs with their keys ascending |
//! | `40`…`7f` | the integers 0…63 |
//! | `80`…`ff` | string of 0…127 bytes, which follow |
//!
//! Every value has exactly one form, so that equal values are equal bytes, and whatever is not that form is damage.

mod decode;
mod encode;
mod readable;

pub use decode::{decode, decode_item};
pub use encode::encode;
pub(crate) use encode::encode_as;

/// The name of the encoding in the metadata of items: `script`.
pub const ENCODING: &str = "script";

/// The version of the form that is written.
const VERSION: u8 = 1;

const NIL: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const INTEGER: u8 = 3;
const FLOAT: u8 = 4;
const STRING: u8 = 5;
const TABLE: u8 = 6;
/// The integers from 0 to below [`SMALL_INTEGERS`].
const SMALL_INTEGER: u8 = 0x40;
const SMALL_INTEGERS: i64 = 64;
/// Strings shorter than [`SHORT_STRINGS`].
const SHORT_STRING: u8 = 0x80;
const SHORT_STRINGS: usize = 128;

#[cfg(test)]
mod tests;
