//! Reads everything and names what is damaged.

use storage_core::{Damaged, ErrorKind, Result, VerifyReport};
use tokio::time::Instant;

use crate::{
    error::failure,
    index::Span,
    items::loaded,
    keys::{self, Bucket},
    record, reply,
    store::Store,
    wire::Call,
};

/// Items read in one step.
const STEP: usize = 500;
/// What the entries by key begin with.
const BY_KEY: &[u8] = b"k";

/// Reads every item that an index names. The deadline of an operation holds for each step.
pub(crate) async fn verify(store: &Store) -> Result<VerifyReport> {
    if !store.config.indexing {
        return Err(failure(ErrorKind::Unsupported, "a store without indexing cannot be read through"));
    }
    let mut report = VerifyReport::default();
    for bucket in store.missing_markers(store.deadline()).await? {
        report.damaged.push(Damaged::of_store(format!("the index of bucket {bucket} is lost")));
    }
    for bucket in &store.layout.buckets {
        verify_bucket(store, bucket, &mut report).await?;
    }
    Ok(report)
}

async fn verify_bucket(store: &Store, bucket: &Bucket, report: &mut VerifyReport) -> Result<()> {
    let mut span = Span::of_prefix(BY_KEY);
    loop {
        let deadline = store.deadline();
        let call = Call::read(bucket.slot, "ZRANGE").key(&bucket.index).arg(&span.min).arg(&span.max);
        let call = call.arg("BYLEX").arg("LIMIT").arg("0").arg(STEP.to_string());
        let entries = reply::list(store.wire.call(call, deadline).await?)?;
        read(store, bucket, &entries, deadline, report).await?;
        match entries.last() {
            Some(last) if entries.len() == STEP => span.behind(last, false, false),
            _ => return Ok(()),
        }
    }
}

/// Reads the items of these entries. One that is gone meanwhile, or was evicted, is not there and so not damaged.
async fn read(
    store: &Store,
    bucket: &Bucket,
    entries: &[Vec<u8>],
    deadline: Instant,
    report: &mut VerifyReport,
) -> Result<()> {
    let names = entries.iter().filter_map(|entry| keys::name(entry.strip_prefix(BY_KEY)?));
    let names: Vec<_> = names.collect();
    let strange = entries.len() - names.len();
    report.damaged.extend((0..strange).map(|_| Damaged::of_store("an index holds a strange entry")));
    let loads = names.iter().map(|name| Call::read(bucket.slot, "GET").key(&bucket.item(*name)));
    let answers = store.wire.call_all(loads.collect(), deadline).await;
    for (name, answer) in names.into_iter().zip(answers) {
        let item = answer.and_then(|answer| loaded(name, record::hash(name), store.now(), answer));
        match item {
            Ok(item) => report.intact += u64::from(item.is_some()),
            Err(error) if error.kind() == ErrorKind::Corrupted => {
                report.damaged.push(Damaged::of_item(name, error.message()));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
