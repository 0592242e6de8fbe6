//! A statement under construction: its text, and the values that are bound to it.

use rusqlite::types::Value;

/// The text of a statement with one `?` for each of its values.
#[derive(Debug, Default, Clone)]
pub(super) struct Sql {
    pub(super) text: String,
    pub(super) values: Vec<Value>,
}

impl Sql {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), values: Vec::new() }
    }

    pub(super) fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// Appends `text` with the values of its `?`.
    pub(super) fn bind<V: Into<Value>>(&mut self, text: &str, values: impl IntoIterator<Item = V>) {
        self.text.push_str(text);
        self.values.extend(values.into_iter().map(Into::into));
    }

    pub(super) fn append(&mut self, other: Self) {
        self.text.push_str(&other.text);
        self.values.extend(other.values);
    }
}

/// A text as a value.
pub(super) fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}
