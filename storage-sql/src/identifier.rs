//! Names of tables and columns: the only text of a configuration that becomes part of a statement.

use std::fmt;

use storage_core::{ErrorKind, Result};

use crate::error::failure;

/// Longest name, in bytes: what PostgreSQL keeps of one.
const LONGEST: usize = 63;

/// A name that was checked: a letter, then letters, digits and `_`, all ASCII, at most 63.
///
/// It holds nothing that would have to be escaped, and is quoted all the same wherever it is written, so that it cannot be
/// taken for a keyword.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Identifier(String);

impl Identifier {
    /// Checks a name; `field` says in errors where it was given.
    ///
    /// # Errors
    /// [`ErrorKind::Config`].
    pub(crate) fn new(field: &str, name: &str) -> Result<Self> {
        let starts_well = name.starts_with(|letter: char| letter.is_ascii_alphabetic());
        let goes_on_well = name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
        if !starts_well || !goes_on_well || name.len() > LONGEST {
            let message = format!(
                "{field} must begin with a letter and go on with letters, digits and _, at most {LONGEST} in all"
            );
            return Err(failure(ErrorKind::Config, message));
        }
        if KEYWORDS.iter().any(|keyword| keyword.eq_ignore_ascii_case(name)) {
            return Err(failure(
                ErrorKind::Config,
                format!("{field} is a keyword of SQL; take another name"),
            ));
        }
        Ok(Self(name.to_owned()))
    }

    /// The name itself, to be bound or compared, not to be written into a statement.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The name between `quote`s: `"` everywhere but on MySQL, where it is a backtick.
    pub(crate) fn quoted(&self, quote: char) -> Quoted<'_> {
        Quoted { name: &self.0, quote }
    }
}

/// A quoted name, as it stands in a statement.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quoted<'a> {
    name: &'a str,
    quote: char,
}

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, quote } = self;
        write!(f, "{quote}{name}{quote}")
    }
}

/// A table, perhaps in a schema that is named before it: `reports.entries`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct TableName {
    pub(crate) schema: Option<Identifier>,
    pub(crate) table: Identifier,
}

impl TableName {
    /// Checks a name, part by part.
    ///
    /// # Errors
    /// [`ErrorKind::Config`].
    pub(crate) fn new(field: &str, name: &str) -> Result<Self> {
        let (schema, table) = match name.split_once('.') {
            Some((schema, table)) => (Some(Identifier::new(field, schema)?), table),
            None => (None, name),
        };
        Ok(Self { schema, table: Identifier::new(field, table)? })
    }

    /// The table whose name is this one's and `suffix`, in the same schema.
    pub(crate) fn with_suffix(&self, suffix: &str) -> Self {
        let table = Identifier(format!("{}{suffix}", self.table.as_str()));
        Self { schema: self.schema.clone(), table }
    }

    /// The name as it stands in a statement, each part quoted.
    pub(crate) fn quoted(&self, quote: char) -> String {
        let table = self.table.quoted(quote);
        match &self.schema {
            Some(schema) => format!("{}.{table}", schema.quoted(quote)),
            None => table.to_string(),
        }
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(schema) = &self.schema {
            write!(f, "{}.", schema.as_str())?;
        }
        f.write_str(self.table.as_str())
    }
}

/// Words that mean something at the beginning or in the middle of a statement of every engine. Quoted they would do no harm,
/// but who names a table so has most likely mixed up two lines of a configuration.
///
/// `key` and `value` are not among them: they are what the columns are called by default.
const KEYWORDS: &[&str] = &[
    "add",
    "all",
    "alter",
    "and",
    "any",
    "as",
    "asc",
    "between",
    "by",
    "case",
    "cast",
    "check",
    "collate",
    "column",
    "commit",
    "constraint",
    "create",
    "cross",
    "current_date",
    "current_time",
    "current_timestamp",
    "current_user",
    "default",
    "delete",
    "desc",
    "distinct",
    "drop",
    "else",
    "end",
    "except",
    "exists",
    "false",
    "fetch",
    "for",
    "foreign",
    "from",
    "full",
    "grant",
    "group",
    "having",
    "in",
    "index",
    "inner",
    "insert",
    "intersect",
    "into",
    "is",
    "join",
    "leading",
    "left",
    "like",
    "limit",
    "lock",
    "natural",
    "not",
    "null",
    "offset",
    "on",
    "or",
    "order",
    "outer",
    "primary",
    "references",
    "returning",
    "revoke",
    "right",
    "rollback",
    "select",
    "session_user",
    "set",
    "some",
    "table",
    "then",
    "to",
    "trailing",
    "transaction",
    "trigger",
    "true",
    "union",
    "unique",
    "update",
    "user",
    "using",
    "values",
    "view",
    "when",
    "where",
    "with",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_letters_digits_and_underscores() {
        for good in ["a", "A9_", "storage_items", "key", "value", "expires_at", &"n".repeat(63)] {
            assert_eq!(Identifier::new("f", good).unwrap().as_str(), good);
        }
        let bad = [
            "",
            "_a",
            "9a",
            "a b",
            "a\"",
            "a'",
            "a`",
            "a;b",
            "a--",
            "a.b",
            "ä",
            "a\0",
            "$1",
            "a%",
            "SELECT",
            "Table",
            &"n".repeat(64),
        ];
        for bad in bad {
            let error = Identifier::new("table_name", bad).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{bad:?}");
            assert!(error.message().contains("table_name"), "{bad:?}: {error}");
        }
    }

    #[test]
    fn a_schema_stands_before_its_table_and_each_part_is_quoted() {
        let name = TableName::new("f", "reports.entries").unwrap();
        assert_eq!(name.quoted('"'), "\"reports\".\"entries\"");
        assert_eq!(name.with_suffix("_tags").quoted('`'), "`reports`.`entries_tags`");
        assert_eq!(TableName::new("f", "entries").unwrap().quoted('"'), "\"entries\"");
        for bad in ["a.b.c", ".a", "a.", "a.select", "a.\"b\""] {
            assert!(TableName::new("f", bad).is_err(), "{bad}");
        }
    }
}
