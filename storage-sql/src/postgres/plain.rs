//! A plain table: keys, values and deadlines, in a table that somebody made for them.

use std::sync::Arc;

use async_trait::async_trait;
use storage_core::{
    Amount, Bytes, Capabilities, CompiledQuery, Damaged, Health, ItemKey, Position, Result, SearchPage,
    StorageItem, StorageResult, Timestamp, Usage, VerifyReport,
};
use tokio::time::Instant;
use tokio_postgres::{
    Row,
    types::{ToSql, Type},
};

use super::{
    MOST_WRITES, NAME,
    apply::{self, Kind, Writing},
    error::{During, meaning},
    lanes::{Lanes, Own},
    plain_table::Table,
    read::{PATIENCE, ask, health, load_row, swept},
    rows::column,
    session::Session,
    writers,
};
use crate::{
    engine::{Engine, Moment, Save, Stamp, Swept, Write, Written},
    error::copy,
    plain::{Plain, is_key},
    plan::{Keys, Plan},
    row::damaged,
};

/// Most rows asked for at once where each must still be looked at.
const MOST_LOOKED_AT: usize = 4_096;

/// A store in a plain table.
#[derive(Debug)]
pub(super) struct PlainPostgres {
    pub(super) lanes: Lanes,
    pub(super) table: Table,
    pub(super) plain: Plain,
}

impl PlainPostgres {
    /// The item in a row of key, value and deadline; `None` if the row is somebody else's.
    fn item(&self, row: &Row) -> Result<Option<StorageItem>> {
        let Some(key) = key(row)? else { return Ok(None) };
        let damaged = |what| {
            let error = damaged(what);
            ItemKey::new(self.plain.content_type(), key)
                .map_or(error, |key| crate::row::damaged(what).with_key(key))
        };
        let value: Option<&[u8]> = column(row, 1)?;
        let value = value.ok_or_else(|| damaged("its value, which is missing,"))?;
        let expires_at = self.table.deadlines.read(row, 2).map_err(|_| damaged("its deadline"))?;
        let metadata = self.plain.metadata(key, value.len() as u64, expires_at);
        Ok(Some(StorageItem { data: Bytes::copy_from_slice(value), metadata: Arc::new(metadata) }))
    }

    /// The rows of a search behind `position`, in its order; `select` is what comes before the comparisons.
    async fn rows(
        &self,
        select: &str,
        query: &CompiledQuery,
        at: Moment,
        position: Option<&Position>,
        limit: usize,
    ) -> Result<Vec<Row>> {
        let plan = Plan::of(query);
        let now = self.table.deadlines.moment(at.now);
        let (behind, way) = if plan.order.is_descending() { ("<", "DESC") } else { (">", "ASC") };
        let mut compared: Vec<(&str, &str)> = match &plan.keys {
            Keys::All => Vec::new(),
            Keys::One(key) => vec![("=", key)],
            Keys::Range(first, last) => {
                std::iter::once((">=", *first)).chain(last.as_deref().map(|last| ("<", last))).collect()
            }
        };
        compared.extend(position.map(|position| (behind, position.key.as_str())));
        let mut text = select.to_owned();
        let mut parameters: Vec<(&(dyn ToSql + Sync), Type)> =
            vec![(&*now, self.table.deadlines.moment_type())];
        for (operator, value) in &compared {
            parameters.push((value, Type::TEXT));
            text.push_str(&self.table.compared(operator, parameters.len()));
        }
        text.push_str(&self.table.ordered(way, limit));
        let (text, parameters) = (text.as_str(), parameters.as_slice());
        let asking = |own: Arc<Own>| async move {
            let answer = own.run(own.session().query_once(text, parameters)).await;
            answer.map_err(|error| meaning(error, During::Read))
        };
        self.lanes.read(at.deadline, asking).await
    }

    /// Shows the rows whose keys match, in the order of the query, for as long as `visit` answers true.
    async fn each(
        &self,
        select: &str,
        query: &CompiledQuery,
        at: Moment,
        mut limit: usize,
        mut visit: impl FnMut(&Row) -> Result<bool> + Send,
    ) -> Result<()> {
        let must_match = Plan::of(query).must_match;
        let mut position = query.position().cloned();
        loop {
            limit = limit.min(MOST_LOOKED_AT);
            let rows = self.rows(select, query, at, position.as_ref(), limit).await?;
            for row in &rows {
                let Some(key) = key(row)? else { continue };
                let matches = query.glob().is_none_or(|glob| !must_match || glob.matches(key));
                if matches && !visit(row)? {
                    return Ok(());
                }
            }
            let Some(last) = rows.last().filter(|_| rows.len() == limit) else { return Ok(()) };
            position = Some(Position {
                time: Timestamp::UNIX_EPOCH,
                key: column(last, 0)?,
                content_type: self.plain.content_type().to_owned(),
            });
            limit *= 2;
        }
    }
}

/// The key in a row that begins with it; `None` if what stands there is no key, and so somebody else's.
fn key(row: &Row) -> Result<Option<&str>> {
    Ok(column::<Option<&str>>(row, 0)?.filter(|key| is_key(key)))
}

/// How writes are sent to a plain table.
struct PlainWrites<'e> {
    table: &'e Table,
    plain: &'e Plain,
}

impl Writing for PlainWrites<'_> {
    async fn send(
        &self,
        session: &Session,
        kind: Kind,
        writes: &[&Write],
        now: Timestamp,
    ) -> Result<Vec<Result<Written>>, tokio_postgres::Error> {
        let Self { table, plain } = self;
        let keys: Vec<_> = writes.iter().map(|write| write.identity().1).collect();
        let now = table.deadlines.moment(now);
        let deadlines = table.deadlines.list(writes.iter().map(|write| deadline(write)));
        let holds = |write: &Write| plain.holds(write.identity().0);
        // What another content type calls by a key of the table is not in the table.
        let keys_of_ours: Vec<_> =
            writes.iter().zip(&keys).map(|(write, key)| holds(write).then_some(*key)).collect();
        match kind {
            Kind::Save | Kind::SaveAbsent | Kind::SaveVersion => {
                let data: Vec<_> = writes.iter().map(|write| data(write)).collect();
                session.query(&table.save, &[&keys, &data, &*deadlines]).await?;
                Ok(writes.iter().map(|write| Ok(Written::Saved(stamp(plain, write.identity().1)))).collect())
            }
            Kind::Delete | Kind::DeleteVersion => {
                let rows = session.query(&table.delete, &[&*now, &keys_of_ours]).await?;
                Ok(answers(writes, &rows, holds, |_, row| Ok(Written::Deleted(row.is_some()))))
            }
            Kind::Touch => {
                let rows = session.query(&table.touch, &[&*now, &keys_of_ours, &*deadlines]).await?;
                Ok(answers(writes, &rows, holds, |write, row| {
                    let size = row.map(|row| column::<Option<i32>>(row, 1)).transpose()?;
                    let size = size.map(|size| u64::from(size.unwrap_or(0).unsigned_abs()));
                    let key = write.identity().1;
                    Ok(Written::Touched(size.map(|size| plain.metadata(key, size, deadline(write)))))
                }))
            }
        }
    }
}

fn answers(
    writes: &[&Write],
    rows: &[Row],
    holds: impl Fn(&Write) -> bool,
    answer: impl Fn(&Write, Option<&Row>) -> Result<Written>,
) -> Vec<Result<Written>> {
    let of_write = |write| holds(write).then(|| write.identity().1);
    apply::answers(writes, rows, |row| key(row).ok().flatten().map(Some), of_write, answer)
}

fn data(write: &Write) -> &[u8] {
    if let Write::Save(save) = write { &save.data } else { &[] }
}

fn deadline(write: &Write) -> Option<Timestamp> {
    match write {
        Write::Save(save) => save.expires_at,
        Write::Touch(touch) => touch.expires_at,
        Write::Delete(_) => None,
    }
}

fn stamp(plain: &Plain, key: &str) -> Stamp {
    let metadata = plain.metadata(key, 0, None);
    let (id, created_at, updated_at) = (metadata.id, metadata.created_at, metadata.updated_at);
    Stamp { id, created_at, updated_at, version: metadata.version }
}

#[async_trait]
impl Engine for PlainPostgres {
    fn name(&self) -> &'static str {
        NAME
    }

    fn capabilities(&self) -> Capabilities {
        self.plain.capabilities()
    }

    fn check_save(&self, save: &Save) -> Result<()> {
        self.plain.check_save(save)
    }

    fn check_query(&self, query: &CompiledQuery) -> Result<()> {
        self.plain.check_query(query)
    }

    fn kept_deadline(&self, expires_at: Timestamp) -> Timestamp {
        self.table.deadlines.kept(expires_at)
    }

    fn writers(&self) -> usize {
        writers(&self.lanes)
    }

    fn takes_repeats(&self) -> bool {
        false
    }

    fn most_writes(&self) -> usize {
        MOST_WRITES
    }

    async fn apply(&self, writes: Vec<Arc<Write>>, at: Moment) -> Vec<Result<Written>> {
        let statements = PlainWrites { table: &self.table, plain: &self.plain };
        apply::apply(&self.lanes, &statements, &writes, at).await
    }

    async fn load(&self, key: ItemKey<'_>, at: Moment) -> Result<Option<StorageItem>> {
        if !self.plain.holds(key.content_type()) {
            return Ok(None);
        }
        let now = self.table.deadlines.moment(at.now);
        let row = load_row(&self.lanes, &self.table.load, &[&*now, &key.key()], at.deadline).await?;
        Ok(row.as_ref().map(|row| self.item(row)).transpose()?.flatten())
    }

    async fn load_many(&self, keys: &[ItemKey<'_>], at: Moment) -> Vec<Result<Option<StorageItem>>> {
        let now = self.table.deadlines.moment(at.now);
        let names: Vec<_> = keys.iter().map(|key| key.key()).collect();
        let rows = match ask(&self.lanes, at.deadline, &self.table.load_many, &[&*now, &names]).await {
            Ok(rows) => rows,
            Err(error) => return keys.iter().map(|_| Err(copy(&error))).collect(),
        };
        let found = |name: &str| rows.iter().find(|row| key(row).is_ok_and(|key| key == Some(name)));
        let item = |key: &ItemKey<'_>| match found(key.key()) {
            Some(row) if self.plain.holds(key.content_type()) => self.item(row),
            _ => Ok(None),
        };
        keys.iter().map(item).collect()
    }

    async fn search(&self, query: &CompiledQuery, at: Moment) -> Result<SearchPage> {
        let wanted = query.page_len();
        if wanted == 0 {
            return Ok(query.page(Vec::new(), false));
        }
        let mut items = Vec::new();
        if self.plain.may_hold(query) {
            let collect = |row: &Row| {
                items.extend(self.item(row)?);
                Ok(items.len() <= wanted)
            };
            self.each(&self.table.search, query, at, wanted + 1, collect).await?;
        }
        let more = items.len() > wanted;
        items.truncate(wanted);
        if query.is_metadata_only() {
            items.iter_mut().for_each(|item| item.data = Bytes::new());
        }
        Ok(query.page(items.into_iter().map(StorageResult::hit).collect(), more))
    }

    async fn count(&self, query: &CompiledQuery, at: Moment) -> Result<u64> {
        let mut count = 0;
        if self.plain.may_hold(query) {
            let add = |_: &Row| {
                count += 1;
                Ok(true)
            };
            self.each(&self.table.search_keys, query, at, MOST_LOOKED_AT, add).await?;
        }
        Ok(count)
    }

    async fn usage(&self, at: Moment) -> Result<Usage> {
        let now = self.table.deadlines.moment(at.now);
        let mut usage = Usage::default();
        for row in ask(&self.lanes, at.deadline, &self.table.usage, &[&*now]).await? {
            let (items, bytes) = (column::<i64>(&row, 0)?, column::<i64>(&row, 1)?);
            if items > 0 {
                let amount = Amount { items: items.cast_unsigned(), bytes: bytes.cast_unsigned() };
                usage.content_types.insert(self.plain.content_type().to_owned(), amount);
            }
        }
        Ok(usage)
    }

    async fn cleanup_step(&self, at: Moment, limit: usize) -> Result<Swept> {
        let now = self.table.deadlines.moment(at.now);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        swept(&ask(&self.lanes, at.deadline, &self.table.cleanup, &[&*now, &limit]).await?, limit)
    }

    async fn verify(&self) -> Result<VerifyReport> {
        let mut report = VerifyReport::default();
        let mut place = String::new();
        loop {
            let deadline = Instant::now() + PATIENCE;
            let rows = ask(&self.lanes, deadline, &self.table.verify, &[&place]).await?;
            for row in &rows {
                match self.item(row) {
                    Ok(Some(_)) => report.intact += 1,
                    Ok(None) => {}
                    Err(error) => {
                        let named =
                            key(row)?.and_then(|key| ItemKey::new(self.plain.content_type(), key).ok());
                        report.damaged.push(Damaged::of_item(named, error.message()));
                    }
                }
            }
            let Some(last) = rows.last() else { return Ok(report) };
            place = column(last, 0)?;
        }
    }

    async fn health(&self, at: Moment) -> Health {
        health(&self.lanes, at).await
    }

    async fn close(&self) -> Result<()> {
        self.lanes.close().await;
        Ok(())
    }
}
