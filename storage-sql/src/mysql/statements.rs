//! The statements of the full schema. Names are checked and quoted, and everything else is bound.

use mysql_async::Value;

use crate::identifier::TableName;

/// What a name is quoted with.
pub(super) const QUOTE: char = '`';

/// The columns of an item, in the order in which they are read.
pub(super) const COLUMNS: &str = "i.content_type, i.`key`, i.id, i.created_at, i.updated_at, i.expires_at, i.version, \
                                  i.encoding, i.tags, i.size, i.content_sum, i.row_sum";

/// The tables of a store, quoted, and the statements over them whose text never changes.
#[derive(Debug)]
pub(super) struct Statements {
    pub(super) items: String,
    pub(super) tags: String,
    pub(super) marks: String,
    pub(super) format: String,
    pub(super) load: String,
    pub(super) usage: String,
    pub(super) expired: String,
}

impl Statements {
    /// `skips_locked` says whether the server knows `SKIP LOCKED`.
    pub(super) fn new(table: &TableName, skips_locked: bool) -> Self {
        let items = table.quoted(QUOTE);
        let name = |suffix| table.with_suffix(suffix).quoted(QUOTE);
        let skip = if skips_locked { " SKIP LOCKED" } else { "" };
        Self {
            tags: name("_tags"),
            marks: name("_marks"),
            format: name("_format"),
            load: format!("SELECT {COLUMNS}, i.data FROM {items} i WHERE i.`key` = ? AND i.content_type = ?"),
            usage: format!(
                "SELECT content_type, COUNT(*), CAST(SUM(size) AS SIGNED) FROM {items} FORCE INDEX (by_usage) \
                 WHERE expires_at IS NULL OR expires_at > ? GROUP BY content_type"
            ),
            expired: format!(
                "SELECT {COLUMNS} FROM {items} i FORCE INDEX (by_expiry) WHERE i.expires_at <= ? \
                 ORDER BY i.expires_at LIMIT ? FOR UPDATE{skip}"
            ),
            items,
        }
    }

    /// Reads the rows of so many identities.
    pub(super) fn load_many(&self, identities: usize) -> String {
        let Self { items, .. } = self;
        let any = any_identity("i.", identities);
        format!("SELECT {COLUMNS}, i.data FROM {items} i FORCE INDEX (PRIMARY) WHERE {any}")
    }

    /// Reads the rows of so many identities, without their payloads, and keeps others from changing them.
    pub(super) fn lock(&self, identities: usize) -> String {
        let Self { items, .. } = self;
        let any = any_identity("i.", identities);
        format!("SELECT {COLUMNS} FROM {items} i FORCE INDEX (PRIMARY) WHERE {any} FOR UPDATE")
    }

    /// Reads marks and keeps others from raising them, or from reading them too if `alone`.
    pub(super) fn lock_marks(&self, slots: usize, alone: bool) -> String {
        let lock = if alone { "FOR UPDATE" } else { "LOCK IN SHARE MODE" };
        let Self { marks, .. } = self;
        format!(
            "SELECT slot, mark FROM {marks} FORCE INDEX (PRIMARY) WHERE slot IN ({}) ORDER BY slot {lock}",
            list("?", slots)
        )
    }

    pub(super) fn raise_marks(&self, slots: usize) -> String {
        let rows = list("(?, ?)", slots);
        let raise = "ON DUPLICATE KEY UPDATE mark = GREATEST(mark, VALUES(mark))";
        format!("INSERT INTO {} (slot, mark) VALUES {rows} {raise}", self.marks)
    }

    /// Adds rows that are not there: one that is there after all is an error.
    pub(super) fn insert(&self, rows: usize) -> String {
        let values = list("(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows);
        format!(
            "INSERT INTO {} (content_type, `key`, id, created_at, updated_at, expires_at, version, encoding, tags, \
             size, content_sum, row_sum, data) VALUES {values}",
            self.items
        )
    }

    /// Replaces rows that are locked.
    pub(super) fn replace(&self, rows: usize) -> String {
        let columns = [
            "id",
            "created_at",
            "updated_at",
            "expires_at",
            "version",
            "encoding",
            "tags",
            "size",
            "content_sum",
            "row_sum",
            "data",
        ];
        let sets: Vec<_> = columns.iter().map(|column| format!("{column} = VALUES({column})")).collect();
        format!("{} ON DUPLICATE KEY UPDATE {}", self.insert(rows), sets.join(", "))
    }

    /// Gives a row that is locked another deadline.
    pub(super) fn touch(&self) -> String {
        format!(
            "UPDATE {} SET expires_at = ?, updated_at = ?, version = ?, row_sum = ? WHERE `key` = ? AND content_type = ?",
            self.items
        )
    }

    pub(super) fn delete(&self, identities: usize) -> String {
        format!("DELETE FROM {} WHERE {}", self.items, any_identity("", identities))
    }

    pub(super) fn add_tags(&self, rows: usize) -> String {
        let values = list("(?, ?, ?, ?)", rows);
        format!("INSERT INTO {} (name, value, `key`, content_type) VALUES {values}", self.tags)
    }

    pub(super) fn remove_tags(&self, rows: usize) -> String {
        let any = vec!["(name = ? AND value = ? AND `key` = ? AND content_type = ?)"; rows].join(" OR ");
        format!("DELETE FROM {} WHERE {any}", self.tags)
    }

    /// Reads rows of the whole store in the order of the keys, behind a key and a content type.
    pub(super) fn next_rows(&self, behind: Option<&(Vec<u8>, Vec<u8>)>) -> (String, Vec<Value>) {
        let Self { items, .. } = self;
        let (condition, values) = match behind {
            None => ("", Vec::new()),
            Some((key, content_type)) => {
                let [key, content_type] = [key, content_type].map(|bytes| Value::Bytes(bytes.clone()));
                let behind = "WHERE i.`key` > ? OR (i.`key` = ? AND i.content_type > ?)";
                (behind, vec![key.clone(), key, content_type])
            }
        };
        let page = "ORDER BY i.`key`, i.content_type LIMIT 64";
        (format!("SELECT {COLUMNS}, i.data FROM {items} i FORCE INDEX (PRIMARY) {condition} {page}"), values)
    }

    /// Content types and keys of tags whose items are not there.
    pub(super) fn orphans(&self) -> String {
        let Self { items, tags, .. } = self;
        format!(
            "SELECT DISTINCT t.content_type, t.`key` FROM {tags} t \
             LEFT JOIN {items} i ON i.`key` = t.`key` AND i.content_type = t.content_type WHERE i.`key` IS NULL"
        )
    }

    /// Removes the tags of an item whose row does not say which they are: reads the whole table, which only damage asks for.
    pub(super) fn remove_all_tags(&self) -> String {
        format!("DELETE FROM {} WHERE `key` = ? AND content_type = ?", self.tags)
    }
}

/// Conditions on single rows, joined by OR: every server finds these by the index, unlike comparisons of whole rows.
fn any_identity(alias: &str, identities: usize) -> String {
    vec![format!("({alias}`key` = ? AND {alias}content_type = ?)"); identities].join(" OR ")
}

/// The same text so many times, separated by commas.
pub(super) fn list(element: &str, count: usize) -> String {
    vec![element; count].join(", ")
}

/// A text, to be bound.
pub(super) fn text(text: &str) -> Value {
    Value::Bytes(text.as_bytes().to_vec())
}

/// The sizes of the statements that together take `count` rows: powers of two, so that few texts are prepared.
pub(super) fn sizes(count: usize) -> impl Iterator<Item = usize> {
    let mut left = count;
    std::iter::from_fn(move || {
        let size = (1 << left.checked_ilog2()?).min(LARGEST);
        left -= size;
        Some(size)
    })
}

/// Most rows of one statement.
pub(super) const LARGEST: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_come_in_few_sizes() {
        assert_eq!(sizes(0).count(), 0);
        assert_eq!(sizes(1).collect::<Vec<_>>(), [1]);
        assert_eq!(sizes(37).collect::<Vec<_>>(), [32, 4, 1]);
        assert_eq!(sizes(200).collect::<Vec<_>>(), [64, 64, 64, 8]);
    }
}
