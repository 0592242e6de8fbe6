//! Plain tables: what the engines share about tables that hold keys, values and deadlines and nothing else.

use storage_core::{
    Capabilities, CompiledQuery, Encoding, ErrorKind, ItemKey, OrderBy, Result, StorageMetadata, Tags,
    Timestamp, Uuid,
};
use xxhash_rust::xxh3::xxh3_128;

use crate::{config::SqlConfig, engine::Save, error::failure};

/// Microseconds in a second.
const SECOND: i64 = 1_000_000;

/// What all items of a plain table have in common, because no column says it.
#[derive(Debug, Clone)]
pub(crate) struct Plain {
    content_type: String,
    encoding: Encoding,
    max_payload: u64,
}

impl Plain {
    /// # Errors
    /// [`ErrorKind::Config`] for an encoding that has no name.
    pub(crate) fn new(config: &SqlConfig) -> Result<Self> {
        Ok(Self {
            content_type: config.content_type.clone(),
            encoding: config.encoding()?,
            max_payload: config.max_payload,
        })
    }

    pub(crate) fn capabilities(&self) -> Capabilities {
        let capabilities = Capabilities::default().durable(true).shared(true).max_payload(self.max_payload);
        capabilities.conditions(false).tags(false).metadata(false)
    }

    pub(crate) fn content_type(&self) -> &str {
        &self.content_type
    }

    /// Whether items of this content type are in the table. It holds no others, so that those are never found.
    pub(crate) fn holds(&self, content_type: &str) -> bool {
        self.content_type == content_type
    }

    /// Refuses what no column of the table could keep.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] for another content type or encoding.
    pub(crate) fn check_save(&self, save: &Save) -> Result<()> {
        let Self { content_type, encoding, .. } = self;
        if !self.holds(&save.content_type) {
            let message = format!(
                "the plain table holds the content type {content_type} alone: see the setting content_type"
            );
            return Err(failure(ErrorKind::Unsupported, message));
        }
        if save.encoding != *encoding {
            let message = format!(
                "the values of the plain table have the encoding {encoding}, not {}: see the setting encoding",
                save.encoding
            );
            return Err(failure(ErrorKind::Unsupported, message));
        }
        Ok(())
    }

    /// Refuses what only columns of the full schema could answer.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`].
    pub(crate) fn check_query(&self, query: &CompiledQuery) -> Result<()> {
        let times = [query.created(), query.updated(), query.expires()];
        let what = if !query.tags().is_empty() {
            "tags"
        } else if query.order().by != OrderBy::Key {
            "order but that of the keys"
        } else if times.iter().any(|range| !range.is_unbounded()) {
            "times to search for"
        } else {
            return Ok(());
        };
        Err(failure(ErrorKind::Unsupported, format!("a plain table has no {what}")))
    }

    /// Whether any item of the table can be what `query` looks for.
    pub(crate) fn may_hold(&self, query: &CompiledQuery) -> bool {
        query.content_type().is_none_or(|content_type| self.holds(content_type))
    }

    /// The metadata of an item: what the table knows, and for the rest the same at every look. The id is made of the identity,
    /// and the times, which nobody knows, are the epoch.
    pub(crate) fn metadata(&self, key: &str, size: u64, expires_at: Option<Timestamp>) -> StorageMetadata {
        let name = [self.content_type.as_bytes(), &[0], key.as_bytes()].concat();
        StorageMetadata {
            id: Uuid::from_u128(xxh3_128(&name)),
            key: key.to_owned(),
            content_type: self.content_type.clone(),
            created_at: Timestamp::UNIX_EPOCH,
            updated_at: Timestamp::UNIX_EPOCH,
            expires_at,
            version: 0,
            encoding: self.encoding.clone(),
            tags: Tags::new(),
            size,
        }
    }
}

/// Whether a text of the column of keys is a key. Others that stand there belong to somebody else.
pub(crate) fn is_key(text: &str) -> bool {
    ItemKey::new("plain", text).is_ok()
}

/// The first whole second that is not before `time`: an item never goes too early.
pub(crate) fn round_up(time: Timestamp) -> Timestamp {
    let seconds = seconds(time);
    // What has no whole second behind it within the range is the end of the range, which is a whole second itself.
    seconds.checked_mul(SECOND).and_then(Timestamp::from_micros).unwrap_or(Timestamp::MAX)
}

/// A deadline as a column of seconds holds it, rounded up.
pub(crate) fn seconds(time: Timestamp) -> i64 {
    let micros = time.as_micros();
    micros.div_euclid(SECOND) + i64::from(micros.rem_euclid(SECOND) != 0)
}

/// The whole second of `now`: what has a deadline at it or before is expired.
pub(crate) fn elapsed_seconds(now: Timestamp) -> i64 {
    now.as_micros().div_euclid(SECOND)
}

/// The deadline that a column of seconds holds: nothing and 0 stand for none, and what is beyond all times for the last one.
pub(crate) fn of_seconds(seconds: Option<i64>) -> Option<Timestamp> {
    let seconds = seconds.filter(|seconds| *seconds != 0)?;
    let clamped =
        seconds.saturating_mul(SECOND).clamp(Timestamp::MIN.as_micros(), Timestamp::MAX.as_micros());
    Timestamp::from_micros(clamped)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros).unwrap()
    }

    #[test]
    fn deadlines_are_rounded_up_to_seconds_and_never_down() {
        for (micros, up) in
            [(0, 0), (1, 1), (999_999, 1), (1_000_000, 1), (1_000_001, 2), (-1, 0), (-1_000_000, -1)]
        {
            assert_eq!(seconds(at(micros)), up, "{micros}");
            assert_eq!(round_up(at(micros)), at(up * 1_000_000), "{micros}");
        }
        assert_eq!(round_up(Timestamp::MAX), Timestamp::MAX);
    }

    #[test]
    fn nothing_and_zero_stand_for_no_deadline() {
        assert_eq!(of_seconds(None), None);
        assert_eq!(of_seconds(Some(0)), None);
        assert_eq!(of_seconds(Some(2)), Some(at(2_000_000)));
        assert_eq!(of_seconds(Some(i64::MAX)), Some(Timestamp::MAX));
        assert_eq!(of_seconds(Some(i64::MIN)), Some(Timestamp::MIN));
    }

    #[test]
    fn a_row_is_expired_from_the_second_of_its_deadline_on() {
        for (now, deadline, live) in [(999_999, 1, true), (1_000_000, 1, false), (1_000_001, 2, true)] {
            assert_eq!(deadline > elapsed_seconds(at(now)), live, "{now}");
        }
    }
}
