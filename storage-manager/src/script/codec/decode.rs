//! Reads values back.

use storage_core::{Bytes, Codec, Encoding, ErrorKind, StorageError, StorageItem};

use super::{
    ENCODING, FALSE, FLOAT, INTEGER, NIL, SHORT_STRING, SHORT_STRINGS, SMALL_INTEGER, SMALL_INTEGERS, STRING,
    TABLE, TRUE, VERSION,
};
use crate::script::{Budget, Excess, ScriptKey, ScriptLimits, ScriptTable, ScriptValue};

/// The value in `data`, which was stored under the encoding [`ENCODING`].
///
/// Memory is bounded by the length of `data`, whatever lengths are written in it.
///
/// # Errors
/// [`ErrorKind::Corrupted`] if the bytes are not the form of a value; [`ErrorKind::Serialization`] if a newer version
/// wrote them; [`ErrorKind::Invalid`] if the value exceeds `limits`.
pub fn decode(data: &Bytes, limits: ScriptLimits) -> Result<ScriptValue, StorageError> {
    match data.first() {
        Some(&VERSION) => {}
        Some(&newer) if newer > VERSION => {
            let message = format!("the value has version {newer} of its form, up to {VERSION} can be read");
            return Err(StorageError::new(ErrorKind::Serialization, message));
        }
        _ => return Err(Damage::Form("no version of a script value").into()),
    }
    let mut budget = Budget::new(limits);
    budget.spend_bytes(data.len()).map_err(Damage::Excess)?;
    let mut decoder = Decoder { data, rest: data.get(1..).unwrap_or_default(), budget };
    let value = decoder.value()?;
    if decoder.rest.is_empty() { Ok(value) } else { Err(Damage::Form("bytes behind the value").into()) }
}

/// The value of an item, whoever stored it.
///
/// Beside the scripts' own encoding, JSON and MessagePack are read, so that a host can hand values to scripts: arrays
/// become sequences, maps become tables, `null` becomes nil (and a member that is null is no member). Raw bytes are a
/// string.
///
/// # Errors
/// As [`decode`], with the key of the item; [`ErrorKind::Serialization`] for any other encoding.
pub fn decode_item(item: &StorageItem, limits: ScriptLimits) -> Result<ScriptValue, StorageError> {
    decode_as(&item.metadata.encoding, &item.data, limits).map_err(|error| match item.metadata.item_key() {
        Ok(key) => error.with_key(key),
        Err(_) => error,
    })
}

fn decode_as(encoding: &Encoding, data: &Bytes, limits: ScriptLimits) -> Result<ScriptValue, StorageError> {
    if encoding.as_str() == ENCODING {
        return decode(data, limits);
    }
    Budget::new(limits).spend(data.len()).map_err(Damage::Excess)?;
    let value = match encoding {
        encoding if *encoding == Encoding::RAW => Ok(ScriptValue::String(data.clone())),
        encoding if *encoding == Encoding::JSON => Codec::Json.decode(encoding, data),
        encoding if *encoding == Encoding::MESSAGE_PACK => Codec::MessagePack.decode(encoding, data),
        other => {
            let message = format!("the item is stored as {other}, which scripts cannot read");
            Err(StorageError::new(ErrorKind::Serialization, message))
        }
    }?;
    measure(&value, &mut Budget::new(limits)).map_err(Damage::Excess)?;
    Ok(value)
}

/// Pays for a value that was read without a budget.
fn measure(value: &ScriptValue, budget: &mut Budget) -> Result<(), Excess> {
    budget.spend(0)?;
    if let ScriptValue::Table(table) = value {
        budget.enter()?;
        table.sequence().iter().try_for_each(|value| measure(value, budget))?;
        table.rest().try_for_each(|(_, value)| measure(value, budget))?;
        budget.leave();
    }
    Ok(())
}

/// Why bytes are no value.
enum Damage {
    Form(&'static str),
    Excess(Excess),
}

impl From<Damage> for StorageError {
    fn from(damage: Damage) -> Self {
        match damage {
            Damage::Form(what) => {
                Self::new(ErrorKind::Corrupted, format!("the stored value is damaged: {what}"))
            }
            Damage::Excess(Excess::Time) => Self::new(ErrorKind::Timeout, "the script is out of time"),
            Damage::Excess(excess) => {
                Self::new(ErrorKind::Invalid, format!("the stored value has {excess}, which is not read"))
            }
        }
    }
}

type Read<T> = Result<T, Damage>;

struct Decoder<'d> {
    data: &'d Bytes,
    rest: &'d [u8],
    budget: Budget,
}

impl<'d> Decoder<'d> {
    fn value(&mut self) -> Read<ScriptValue> {
        self.budget.spend(0).map_err(Damage::Excess)?;
        match self.byte()? {
            NIL => Ok(ScriptValue::Nil),
            TABLE => self.table().map(ScriptValue::Table),
            FLOAT => self.float().map(ScriptValue::Float),
            first => Ok(match self.scalar(first)? {
                ScriptKey::Boolean(value) => ScriptValue::Boolean(value),
                ScriptKey::Integer(value) => ScriptValue::Integer(value),
                ScriptKey::String(value) => ScriptValue::String(value),
                ScriptKey::Float(value) => ScriptValue::Float(value.get()),
            }),
        }
    }

    fn key(&mut self) -> Read<ScriptKey> {
        match self.byte()? {
            FLOAT => match ScriptKey::from_float(self.float()?) {
                Some(key @ ScriptKey::Float(_)) => Ok(key),
                _ => Err(Damage::Form("a float that cannot be a key")),
            },
            first => self.scalar(first),
        }
    }

    /// What a value and a key can both be, floats excepted.
    fn scalar(&mut self, first: u8) -> Read<ScriptKey> {
        match first {
            FALSE => Ok(ScriptKey::Boolean(false)),
            TRUE => Ok(ScriptKey::Boolean(true)),
            INTEGER => self.integer().map(ScriptKey::Integer),
            STRING => self.long_string().map(ScriptKey::String),
            SHORT_STRING.. => self.bytes((first - SHORT_STRING).into()).map(ScriptKey::String),
            SMALL_INTEGER.. => Ok(ScriptKey::Integer((first - SMALL_INTEGER).into())),
            _ => Err(Damage::Form("an unknown kind of value")),
        }
    }

    fn table(&mut self) -> Read<ScriptTable> {
        self.budget.enter().map_err(Damage::Excess)?;
        let (sequence, pairs) = (self.count()?, self.count()?);
        let mut table = ScriptTable::new();
        for _ in 0..sequence {
            table.push(self.member()?);
        }
        let mut last: Option<ScriptKey> = None;
        for _ in 0..pairs {
            let key = self.key()?;
            if last.as_ref().is_some_and(|last| *last >= key) {
                return Err(Damage::Form("keys out of order"));
            }
            let value = self.member()?;
            table.insert(key.clone(), value);
            last = Some(key);
        }
        self.budget.leave();
        // A key that belongs to the sequence would have moved there.
        if table.sequence().len() != sequence || table.rest().len() != pairs {
            return Err(Damage::Form("a sequence in two parts"));
        }
        Ok(table)
    }

    fn member(&mut self) -> Read<ScriptValue> {
        let value = self.value()?;
        if value.is_nil() { Err(Damage::Form("nil within a table")) } else { Ok(value) }
    }

    /// A number of members, each of which takes at least a byte of what follows.
    fn count(&mut self) -> Read<usize> {
        let count = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
        if count > self.rest.len() { Err(Damage::Form("it ends too early")) } else { Ok(count) }
    }

    fn integer(&mut self) -> Read<i64> {
        let zigzag = self.varint()?;
        #[expect(clippy::cast_possible_wrap, reason = "the bits are what is meant")]
        let value = (zigzag >> 1) as i64 ^ -((zigzag & 1) as i64);
        if (0..SMALL_INTEGERS).contains(&value) {
            return Err(Damage::Form("a small integer in a long form"));
        }
        Ok(value)
    }

    fn float(&mut self) -> Read<f64> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(Damage::Form("it ends too early"))?;
        self.rest = rest;
        Ok(f64::from_bits(u64::from_le_bytes(*bytes)))
    }

    fn long_string(&mut self) -> Read<Bytes> {
        let length = self.count()?;
        if length < SHORT_STRINGS {
            return Err(Damage::Form("a short string in a long form"));
        }
        self.bytes(length)
    }

    /// A part of the data, shared and not copied.
    fn bytes(&mut self, length: usize) -> Read<Bytes> {
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(Damage::Form("it ends too early"))?;
        self.rest = rest;
        Ok(self.data.slice_ref(bytes))
    }

    fn varint(&mut self) -> Read<u64> {
        let mut value: u64 = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if (bits << shift) >> shift != bits {
                return Err(Damage::Form("a number out of range"));
            }
            value |= bits << shift;
            if byte < 0x80 {
                // Zeros in the highest place would give one number several forms.
                let minimal = byte != 0 || shift == 0;
                return if minimal { Ok(value) } else { Err(Damage::Form("a number in a long form")) };
            }
        }
        Err(Damage::Form("a number out of range"))
    }

    fn byte(&mut self) -> Read<u8> {
        let (first, rest) = self.rest.split_first().ok_or(Damage::Form("it ends too early"))?;
        self.rest = rest;
        Ok(*first)
    }
}
