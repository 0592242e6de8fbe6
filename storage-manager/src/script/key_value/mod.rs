//! The key-value module: stores acquired by id, handles that end with the script's unit of work.

mod counter;
mod entry;
mod handle;
mod list;
mod stores;
mod turns;
mod unit;

pub use counter::{Increment, Number};
pub use entry::{Entry, Put, StoreInfo};
pub use handle::KeyValueStore;
pub use list::{KeyEntry, KeyPage, ListOptions};
pub use stores::KeyValueStores;
pub use unit::UnitOfWork;
