//! Who hears what is done to a store.

use std::fmt::Debug;

use storage_core::{StorageError, StorageMetadata, Timestamp};

use crate::protocol::{Entry, Line, Outcome};

/// Hears of each call before it begins and after it returned.
pub trait Witness: Debug + Send + Sync + 'static {
    /// A task is about to make a call.
    fn intends(&self, task: u32, entries: Vec<Entry>);

    /// The call of that task returned.
    fn heard(&self, task: u32, outcomes: Vec<Outcome>);

    /// An item was looked up between two instants.
    fn saw(&self, _name: &str, _found: Option<&StorageMetadata>, _between: [Timestamp; 2]) {}

    /// A call that changes nothing by itself failed.
    fn failed(&self, operation: &str, error: &StorageError);

    /// What was read was wrong.
    fn disagrees(&self, why: String);
}

/// Hands everything on to the parent process, which outlives this one.
#[derive(Debug)]
pub(crate) struct Pipe;

impl Witness for Pipe {
    fn intends(&self, task: u32, entries: Vec<Entry>) {
        Line::Intent(task, entries).send();
    }

    fn heard(&self, task: u32, outcomes: Vec<Outcome>) {
        Line::Answer(task, outcomes).send();
    }

    fn failed(&self, operation: &str, error: &StorageError) {
        Line::Disagrees(format!("{operation} failed: {error:?}")).send();
    }

    fn disagrees(&self, why: String) {
        Line::Disagrees(why).send();
    }
}
