//! The statements of the full schema, with the names of its tables written in once.

use crate::identifier::TableName;

/// Columns of an item but its payload, in the order in which [`read`](super::read) reads them.
pub(super) const HEAD: &str = "i.content_type, i.key, i.id, i.created_at, i.updated_at, i.expires_at, \
                               i.version, i.encoding, i.size, i.tags, i.checksum, i.seal, i.no";

/// The names of the tables and indexes, quoted, and the statements that never vary.
#[derive(Debug)]
pub(super) struct Statements {
    pub(super) items: String,
    pub(super) tags: String,
    pub(super) store: String,
    pub(super) by_type: String,
    pub(super) by_key: String,
    pub(super) by_created: String,
    pub(super) by_type_created: String,
    pub(super) by_updated: String,
    pub(super) by_type_updated: String,
    pub(super) by_expiry: String,

    pub(super) load: String,
    pub(super) head: String,
    /// Looks for an item in another index than the one of `load`.
    pub(super) look_again: String,
    pub(super) insert: String,
    pub(super) update: String,
    pub(super) touch: String,
    pub(super) delete: String,
    pub(super) insert_tag: String,
    pub(super) delete_tag: String,
    pub(super) mark: String,
    pub(super) raise_mark: String,
    pub(super) expired: String,
    pub(super) usage: String,
    pub(super) every_item: String,
    pub(super) every_tag: String,
    pub(super) has_tag: String,
}

impl Statements {
    pub(super) fn new(table: &TableName) -> Self {
        let quoted = |suffix: &str| table.with_suffix(suffix).quoted('"');
        // An index has no schema of its own where it is named as a hint.
        let index = |suffix: &str| table.with_suffix(suffix).table.quoted('"').to_string();
        let (items, tags, store) = (quoted(""), quoted("_tags"), quoted("_store"));
        let (by_type, by_key, by_expiry) = (index("_by_type"), index("_by_key"), index("_by_expiry"));
        let one = "content_type = ?1 AND key = ?2";
        let from = format!("FROM {items} AS i INDEXED BY {by_type} WHERE i.content_type = ?1 AND i.key = ?2");
        Self {
            load: format!("SELECT {HEAD}, i.data {from}"),
            head: format!("SELECT {HEAD} {from}"),
            look_again: format!("SELECT 1 FROM {items} INDEXED BY {by_key} WHERE {one}"),
            insert: format!(
                "INSERT INTO {items} (content_type, key, id, created_at, updated_at, expires_at, version, encoding, \
                 size, tags, checksum, seal, data) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)"
            ),
            update: format!(
                "UPDATE {items} SET id = ?2, created_at = ?3, updated_at = ?4, expires_at = ?5, version = ?6, \
                 encoding = ?7, size = ?8, tags = ?9, checksum = ?10, seal = ?11, data = ?12 WHERE no = ?1"
            ),
            touch: format!(
                "UPDATE {items} SET updated_at = ?2, expires_at = ?3, version = ?4, seal = ?5 WHERE no = ?1"
            ),
            delete: format!("DELETE FROM {items} WHERE no = ?1"),
            insert_tag: format!(
                "INSERT INTO {tags} (name, value, key, content_type) VALUES (?1, ?2, ?3, ?4)"
            ),
            delete_tag: format!(
                "DELETE FROM {tags} WHERE name = ?1 AND value = ?2 AND key = ?3 AND content_type = ?4"
            ),
            mark: format!("SELECT format, mark, seal FROM {store} WHERE id = 1"),
            raise_mark: format!("UPDATE {store} SET mark = ?1, seal = ?2 WHERE id = 1"),
            expired: format!(
                "SELECT {HEAD} FROM {items} AS i INDEXED BY {by_expiry} WHERE i.expires_at <= ?1 \
                 ORDER BY i.expires_at LIMIT ?2"
            ),
            usage: format!(
                "SELECT content_type, count(*), sum(size) FROM {items} NOT INDEXED \
                 WHERE expires_at IS NULL OR expires_at > ?1 GROUP BY content_type"
            ),
            every_item: format!("SELECT {HEAD}, i.data FROM {items} AS i NOT INDEXED"),
            every_tag: format!(
                "SELECT t.name, t.key, t.content_type FROM {tags} AS t WHERE NOT EXISTS (SELECT 1 FROM {items} AS i \
                 INDEXED BY {by_type} WHERE i.content_type = t.content_type AND i.key = t.key)"
            ),
            has_tag: format!(
                "SELECT 1 FROM {tags} WHERE name = ?1 AND value = ?2 AND key = ?3 AND content_type = ?4"
            ),
            by_created: index("_by_created"),
            by_type_created: index("_by_type_created"),
            by_updated: index("_by_updated"),
            by_type_updated: index("_by_type_updated"),
            items,
            tags,
            store,
            by_type,
            by_key,
            by_expiry,
        }
    }
}
