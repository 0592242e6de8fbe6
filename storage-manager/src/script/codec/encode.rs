//! Writes values.

use storage_core::{Bytes, Codec, Encoding};

use super::{
    ENCODING, FALSE, FLOAT, INTEGER, NIL, SHORT_STRING, SHORT_STRINGS, SMALL_INTEGER, SMALL_INTEGERS, STRING,
    TABLE, TRUE, VERSION,
};
use crate::script::{
    Budget, Excess, ScriptKey, ScriptLimits, ScriptResult, ScriptTable, ScriptValue, ValuePath,
};

/// The bytes of `value`, to be stored under the encoding [`ENCODING`].
///
/// # Errors
/// `INVALID` naming the part of the value that exceeds `limits`.
pub fn encode(value: &ScriptValue, limits: ScriptLimits) -> ScriptResult<Bytes> {
    let mut encoder = Encoder { out: Vec::with_capacity(32), budget: Budget::new(limits) };
    let written = encoder.put(&[VERSION]).map_err(Refusal::from).and_then(|()| encoder.value(value));
    written.map_err(|refusal| refusal.excess.at(&refusal.path))?;
    Ok(encoder.out.into())
}

/// The bytes of a number in the encoding of the item it belongs to, so that counting up a number which the host keeps as
/// JSON or MessagePack leaves it readable for the host; everything else is written as [`ENCODING`].
pub(crate) fn encode_as(
    encoding: &Encoding,
    value: &ScriptValue,
    limits: ScriptLimits,
) -> ScriptResult<(Bytes, Encoding)> {
    for codec in [Codec::Json, Codec::MessagePack] {
        if codec.encoding() == *encoding {
            return Ok((codec.encode(value)?, codec.encoding()));
        }
    }
    Ok((encode(value, limits)?, Encoding::new(ENCODING)?))
}

struct Encoder {
    out: Vec<u8>,
    budget: Budget,
}

/// What is too much, and where. The path grows as the walk unwinds, so that values within the limits pay nothing for it.
struct Refusal {
    excess: Excess,
    path: ValuePath,
}

impl From<Excess> for Refusal {
    fn from(excess: Excess) -> Self {
        Self { excess, path: ValuePath::new() }
    }
}

impl Refusal {
    fn within(self, key: ScriptKey) -> Self {
        Self { excess: self.excess, path: self.path.within(key) }
    }
}

impl Encoder {
    fn value(&mut self, value: &ScriptValue) -> Result<(), Refusal> {
        self.budget.spend(0)?;
        match value {
            ScriptValue::Nil => self.put(&[NIL])?,
            ScriptValue::Boolean(value) => self.boolean(*value)?,
            ScriptValue::Integer(value) => self.integer(*value)?,
            ScriptValue::Float(value) => self.float(*value)?,
            ScriptValue::String(value) => self.string(value)?,
            ScriptValue::Table(table) => self.table(table)?,
        }
        Ok(())
    }

    fn table(&mut self, table: &ScriptTable) -> Result<(), Refusal> {
        self.budget.enter()?;
        self.put(&[TABLE])?;
        self.varint(table.sequence().len() as u64)?;
        self.varint(table.rest().len() as u64)?;
        for (number, value) in (1_i64..).zip(table.sequence()) {
            self.value(value).map_err(|refusal| refusal.within(number.into()))?;
        }
        for (key, value) in table.rest() {
            let written = self.key(key).map_err(Refusal::from).and_then(|()| self.value(value));
            written.map_err(|refusal| refusal.within(key.clone()))?;
        }
        self.budget.leave();
        Ok(())
    }

    fn key(&mut self, key: &ScriptKey) -> Result<(), Excess> {
        match key {
            ScriptKey::Boolean(key) => self.boolean(*key),
            ScriptKey::Integer(key) => self.integer(*key),
            ScriptKey::Float(key) => self.float(key.get()),
            ScriptKey::String(key) => self.string(key),
        }
    }

    fn boolean(&mut self, value: bool) -> Result<(), Excess> {
        self.put(&[if value { TRUE } else { FALSE }])
    }

    fn integer(&mut self, value: i64) -> Result<(), Excess> {
        match u8::try_from(value) {
            Ok(small) if value < SMALL_INTEGERS => self.put(&[SMALL_INTEGER | small]),
            _ => {
                self.put(&[INTEGER])?;
                #[expect(clippy::cast_sign_loss, reason = "the bits are what is meant")]
                self.varint(((value << 1) ^ (value >> 63)) as u64)
            }
        }
    }

    fn float(&mut self, value: f64) -> Result<(), Excess> {
        self.put(&[FLOAT])?;
        self.put(&value.to_bits().to_le_bytes())
    }

    fn string(&mut self, value: &[u8]) -> Result<(), Excess> {
        match u8::try_from(value.len()) {
            Ok(length) if value.len() < SHORT_STRINGS => self.put(&[SHORT_STRING | length])?,
            _ => {
                self.put(&[STRING])?;
                self.varint(value.len() as u64)?;
            }
        }
        self.put(value)
    }

    /// Seven bits a byte, the lowest first; the highest bit says that more follow.
    fn varint(&mut self, mut value: u64) -> Result<(), Excess> {
        loop {
            let [low, ..] = value.to_le_bytes();
            if value < 0x80 {
                return self.put(&[low]);
            }
            self.put(&[low | 0x80])?;
            value >>= 7;
        }
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Excess> {
        self.budget.spend_bytes(bytes.len())?;
        self.out.extend_from_slice(bytes);
        Ok(())
    }
}
