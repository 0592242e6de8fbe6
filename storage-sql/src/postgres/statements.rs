//! The statements of the full schema, with the names of its tables filled in.
//!
//! Everything else is bound. Times come from our clock, never from that of the server.
//!
//! Versions come from a sequence, drawn at the moment of the write and not with the snapshot of its statement. A new row has
//! no predecessor whose lock would keep its version above that of a row that was deleted in the meantime, so that saves hold
//! a lock on the identity from before they draw until they commit, shared among saves, and whoever removes a row holds it
//! alone.

use std::sync::Arc;

use crate::identifier::TableName;

/// The columns of a row without its payload, in the order in which they are read.
pub(super) const METADATA: &str = "stored.content_type, stored.key, stored.id, stored.created_at, \
    stored.updated_at, stored.expires_at, stored.version, stored.encoding, stored.size, stored.tags";
/// What follows those where the payload is read too.
pub(super) const PAYLOAD: &str = "stored.checksum, stored.data";

/// The row is live at `$1`.
const LIVE: &str = "(stored.expires_at IS NULL OR stored.expires_at > $1)";
const EXPIRED: &str = "stored.expires_at <= $1";
const SAME_ITEM: &str = "stored.content_type = given.content_type AND stored.key = given.key";

/// The names of what belongs to a store, quoted.
#[derive(Debug, Clone)]
pub(super) struct Names {
    pub(super) items: String,
    pub(super) versions: String,
    pub(super) format: String,
    /// What tells the locks of this store from those of others in the same database.
    seed: u64,
}

impl Names {
    pub(super) fn new(table: &TableName) -> Self {
        let quoted = |suffix| table.with_suffix(suffix).quoted('"');
        let items = quoted("");
        let seed = xxhash_rust::xxh3::xxh3_64(items.as_bytes());
        Self { items, versions: quoted("_version"), format: quoted("_format"), seed }
    }

    /// The lock of an identity.
    fn lock(&self, row: &str) -> String {
        let seed = self.seed.cast_signed();
        format!("hashtextextended({row}.key, hashtextextended({row}.content_type, '{seed}'::bigint))")
    }
}

/// The statements that writes and loads are made of.
#[derive(Debug)]
pub(super) struct Statements {
    pub(super) save: Arc<str>,
    pub(super) save_absent: Arc<str>,
    pub(super) save_version: Arc<str>,
    pub(super) delete: Arc<str>,
    pub(super) delete_version: Arc<str>,
    pub(super) versions: Arc<str>,
    pub(super) touch: Arc<str>,
    pub(super) load: Arc<str>,
    pub(super) load_many: Arc<str>,
    pub(super) cleanup: Arc<str>,
    pub(super) usage: Arc<str>,
}

impl Statements {
    pub(super) fn new(names: &Names) -> Self {
        let items = &names.items;
        let next = format!("nextval('{}')", names.versions);
        let identities = "unnest($2::text[], $3::text[]) AS given(content_type, key)";
        let versions = "unnest($2::text[], $3::text[], $4::bigint[]) AS given(content_type, key, expected)";
        Self {
            save: save(names, &next, ""),
            save_absent: save(names, &next, &format!("WHERE {EXPIRED}")),
            save_version: format!(
                "UPDATE {items} AS stored SET expires_at = given.expires_at,
                    updated_at = GREATEST($1, stored.created_at), version = {next}, encoding = given.encoding,
                    size = octet_length(given.data), tags = given.tags, checksum = given.checksum,
                    data = given.data
                 FROM unnest($2::text[], $3::text[], $4::bigint[], $5::text[], $6::jsonb[], $7::bigint[],
                    $8::bytea[], $9::bigint[])
                    AS given(content_type, key, expires_at, encoding, tags, checksum, data, expected)
                 WHERE {SAME_ITEM} AND {LIVE} AND stored.version = given.expected
                 RETURNING stored.content_type, stored.key, stored.id, stored.created_at, stored.updated_at,
                    stored.version"
            )
            .into(),
            delete: delete(names, identities, "true"),
            delete_version: delete(names, versions, "stored.version = given.expected"),
            versions: format!(
                "SELECT stored.content_type, stored.key, stored.version FROM {identities}
                 JOIN {items} AS stored ON {SAME_ITEM} WHERE {LIVE}"
            )
            .into(),
            touch: format!(
                "UPDATE {items} AS stored SET expires_at = given.expires_at,
                    updated_at = GREATEST($1, stored.created_at), version = {next}
                 FROM unnest($2::text[], $3::text[], $4::bigint[]) AS given(content_type, key, expires_at)
                 WHERE {SAME_ITEM} AND {LIVE} RETURNING {METADATA}"
            )
            .into(),
            load: format!(
                "SELECT {METADATA}, {PAYLOAD} FROM {items} AS stored
                 WHERE stored.content_type = $2 AND stored.key = $3 AND {LIVE}"
            )
            .into(),
            load_many: format!(
                "SELECT {METADATA}, {PAYLOAD} FROM {identities}
                 JOIN {items} AS stored ON {SAME_ITEM} WHERE {LIVE}"
            )
            .into(),
            cleanup: cleanup(names),
            usage: format!(
                "SELECT stored.content_type, count(*), coalesce(sum(stored.size), 0)::bigint
                 FROM {items} AS stored WHERE {LIVE} GROUP BY stored.content_type"
            )
            .into(),
        }
    }
}

/// Rows come in the order of their identities, so that two statements lock them in one order.
fn save(names: &Names, next: &str, condition: &str) -> Arc<str> {
    let items = &names.items;
    let lock = names.lock("given");
    format!(
        "INSERT INTO {items} AS stored (content_type, key, id, created_at, updated_at, expires_at, version,
            encoding, size, tags, checksum, data)
         SELECT content_type, key, id, $1, $1, expires_at, {next}, encoding, octet_length(data), tags, checksum,
            data
         FROM (SELECT given.*, pg_advisory_xact_lock_shared({lock})
            FROM unnest($2::text[], $3::text[], $4::bigint[], $5::text[], $6::jsonb[], $7::bigint[], $8::bytea[],
                $9::uuid[]) AS given(content_type, key, expires_at, encoding, tags, checksum, data, id)
            OFFSET 0) AS locked
         ON CONFLICT (content_type, key) DO UPDATE SET
            id = CASE WHEN {EXPIRED} THEN excluded.id ELSE stored.id END,
            created_at = CASE WHEN {EXPIRED} THEN $1 ELSE stored.created_at END,
            updated_at = CASE WHEN {EXPIRED} THEN $1 ELSE GREATEST($1, stored.created_at) END,
            expires_at = excluded.expires_at, version = {next}, encoding = excluded.encoding,
            size = excluded.size, tags = excluded.tags, checksum = excluded.checksum, data = excluded.data
         {condition}
         RETURNING stored.content_type, stored.key, stored.id, stored.created_at, stored.updated_at, stored.version"
    )
    .into()
}

fn delete(names: &Names, given: &str, condition: &str) -> Arc<str> {
    let items = &names.items;
    let lock = names.lock("given");
    format!(
        "DELETE FROM {items} AS stored
         USING (SELECT given.*, pg_advisory_xact_lock({lock}) FROM {given} OFFSET 0) AS given
         WHERE {SAME_ITEM} AND {LIVE} AND {condition}
         RETURNING stored.content_type, stored.key"
    )
    .into()
}

/// What somebody else holds is left for the next time.
fn cleanup(names: &Names) -> Arc<str> {
    let items = &names.items;
    let lock = names.lock("stored");
    format!(
        "WITH given AS MATERIALIZED (
            SELECT stored.content_type, stored.key FROM {items} AS stored WHERE {EXPIRED}
            ORDER BY stored.expires_at LIMIT $2 FOR UPDATE SKIP LOCKED),
         removed AS (
            DELETE FROM {items} AS stored USING given
            WHERE {SAME_ITEM} AND {EXPIRED} AND pg_try_advisory_xact_lock({lock})
            RETURNING stored.size)
         SELECT (SELECT count(*) FROM given), count(*), coalesce(sum(removed.size), 0)::bigint FROM removed"
    )
    .into()
}
