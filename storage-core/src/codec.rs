//! How typed values become bytes: one place, and the name of the encoding travels with the item.

use std::{borrow::Cow, fmt, str::FromStr};

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned, de::Error as _};

use crate::{ErrorKind, Result, StorageError, StorageItem};

/// The name of an encoding, kept in the metadata of every item: 1 to 64 bytes of ASCII letters, digits and `. _ + -`.
///
/// Adapters may use names of their own; a reader that expects another name than the stored one fails instead of guessing.
#[derive(Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct Encoding(Cow<'static, str>);

impl Encoding {
    /// Bytes as given.
    pub const RAW: Self = Self(Cow::Borrowed("raw"));
    /// JSON text.
    pub const JSON: Self = Self(Cow::Borrowed("json"));
    /// MessagePack, structs as maps with named fields.
    pub const MESSAGE_PACK: Self = Self(Cow::Borrowed("msgpack"));

    /// An encoding named `name`.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if the name is outside its limits.
    pub fn new(name: &str) -> Result<Self> {
        // The known names stay borrowed, so that reading a record allocates nothing for them.
        for known in [Self::RAW, Self::JSON, Self::MESSAGE_PACK] {
            if known.as_str() == name {
                return Ok(known);
            }
        }
        let fits = (1..=64).contains(&name.len());
        if fits && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._+-".contains(&b)) {
            return Ok(Self(Cow::Owned(name.to_owned())));
        }
        Err(StorageError::new(ErrorKind::Invalid, format!("{name:?} cannot be the name of an encoding")))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Encoding {
    type Err = StorageError;

    fn from_str(name: &str) -> Result<Self> {
        Self::new(name)
    }
}

impl<'de> Deserialize<'de> for Encoding {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let name = Cow::<'de, str>::deserialize(deserializer)?;
        Self::new(&name).map_err(D::Error::custom)
    }
}

/// How typed values are written and read.
///
/// ```
/// use storage_core::{Codec, Encoding};
///
/// let bytes = Codec::Json.encode(&vec![1, 2])?;
/// assert_eq!(&bytes[..], b"[1,2]");
/// assert_eq!(Codec::Json.decode::<Vec<u8>>(&Encoding::JSON, &bytes)?, [1, 2]);
/// assert!(Codec::Json.decode::<Vec<u8>>(&Encoding::MESSAGE_PACK, &bytes).is_err());
/// # Ok::<(), storage_core::StorageError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Codec {
    /// JSON: readable by people and by every language. Floats that JSON lacks (NaN, infinities) become `null`.
    #[default]
    Json,
    /// MessagePack with named fields: smaller and faster, keeps every float.
    MessagePack,
}

impl Codec {
    /// The name under which this codec's items are stored.
    pub const fn encoding(self) -> Encoding {
        match self {
            Self::Json => Encoding::JSON,
            Self::MessagePack => Encoding::MESSAGE_PACK,
        }
    }

    /// The bytes of `value`.
    ///
    /// # Errors
    /// [`ErrorKind::Serialization`] if the value cannot be written, such as a map with keys that are no strings in JSON.
    pub fn encode<T: Serialize + ?Sized>(self, value: &T) -> Result<Bytes> {
        let encoded = match self {
            Self::Json => serde_json::to_vec(value).map_err(|error| self.failure("written", error)),
            Self::MessagePack => {
                rmp_serde::to_vec_named(value).map_err(|error| self.failure("written", error))
            }
        };
        encoded.map(Bytes::from)
    }

    /// The value in `data`, which was stored as `encoding`.
    ///
    /// # Errors
    /// [`ErrorKind::Serialization`] if `encoding` is not this codec's, or the bytes do not fit `T`.
    pub fn decode<T: DeserializeOwned>(self, encoding: &Encoding, data: &[u8]) -> Result<T> {
        if *encoding != self.encoding() {
            return Err(StorageError::new(
                ErrorKind::Serialization,
                format!("the item is stored as {encoding}, but {} was expected", self.encoding()),
            ));
        }
        match self {
            Self::Json => serde_json::from_slice(data).map_err(|error| self.failure("read", error)),
            Self::MessagePack => read_message_pack(data).map_err(|error| self.failure("read", error)),
        }
    }

    /// The item with its data decoded.
    ///
    /// # Errors
    /// As [`decode`](Self::decode), with the key of the item.
    pub fn decode_item<T: DeserializeOwned>(self, item: StorageItem) -> Result<StorageItem<T>> {
        item.try_map(|data, metadata| {
            self.decode(&metadata.encoding, &data).map_err(|error| match metadata.item_key() {
                Ok(key) => error.with_key(key),
                Err(_) => error,
            })
        })
    }

    // The cause is kept as text of its category and place alone: serde's own text may quote the value.
    fn failure(self, what: &str, error: impl Into<CodecFailure>) -> StorageError {
        StorageError::new(
            ErrorKind::Serialization,
            format!("value could not be {what} as {}", self.encoding()),
        )
        .with_source(error.into())
    }
}

fn read_message_pack<T: DeserializeOwned>(data: &[u8]) -> std::result::Result<T, rmp_serde::decode::Error> {
    // As deep as JSON may nest: the default of 1,024 levels can exhaust the stack of a worker thread.
    const MOST_LEVELS: usize = 128;
    let mut rest = data;
    let mut reader = rmp_serde::Deserializer::new(&mut rest);
    reader.set_max_depth(MOST_LEVELS);
    let value = T::deserialize(&mut reader)?;
    // The reader stops after one value; bytes behind it mean that this is not what was written.
    if rest.is_empty() {
        Ok(value)
    } else {
        Err(rmp_serde::decode::Error::Uncategorized("bytes behind the value".into()))
    }
}

/// Why a value could not be coded, without any part of the value.
#[derive(Debug)]
struct CodecFailure(String);

impl fmt::Display for CodecFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CodecFailure {}

impl From<serde_json::Error> for CodecFailure {
    fn from(error: serde_json::Error) -> Self {
        use serde_json::error::Category;
        let what = match error.classify() {
            Category::Io => "writing failed",
            Category::Syntax => "not JSON",
            Category::Data => "the value does not fit the type",
            Category::Eof => "the text ends too early",
        };
        Self(match error.line() {
            0 => what.to_owned(),
            line => format!("{what} (line {line}, column {})", error.column()),
        })
    }
}

impl From<rmp_serde::encode::Error> for CodecFailure {
    fn from(error: rmp_serde::encode::Error) -> Self {
        use rmp_serde::encode::Error;
        Self(match error {
            Error::InvalidValueWrite(_) => "writing failed".into(),
            Error::UnknownLength => "a sequence or map of unknown length".into(),
            Error::InvalidDataModel(what) => what.into(),
            _ => "the value cannot be written".into(),
        })
    }
}

impl From<rmp_serde::decode::Error> for CodecFailure {
    fn from(error: rmp_serde::decode::Error) -> Self {
        use rmp_serde::decode::Error;
        Self(match error {
            Error::InvalidMarkerRead(_) | Error::InvalidDataRead(_) => "the bytes end too early".into(),
            Error::DepthLimitExceeded => "nested too deeply".into(),
            _ => "the value does not fit the type".into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_codecs_read_what_they_wrote() {
        let value = vec![(1_u64, "é".to_owned(), None::<bool>, -0.5_f64)];
        for codec in [Codec::Json, Codec::MessagePack] {
            let data = codec.encode(&value).unwrap();
            assert_eq!(
                codec.decode::<Vec<(u64, String, Option<bool>, f64)>>(&codec.encoding(), &data).unwrap(),
                value
            );
        }
    }

    #[test]
    fn another_encoding_or_damage_is_an_error_without_the_value() {
        let data = Codec::Json.encode("S3CR3T").unwrap();
        let other = Codec::MessagePack.decode::<String>(&Encoding::JSON, &data).unwrap_err();
        assert!(other.to_string().contains("stored as json, but msgpack was expected"), "{other}");
        for bad in [&b"\"S3CR3T"[..], b"\"S3CR3T\" 1", b"{\"S3CR3T\":1}", b""] {
            let error = Codec::Json.decode::<u8>(&Encoding::JSON, bad).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Serialization);
            assert!(!format!("{error:?}").contains("S3CR3T"), "{error:?}");
        }
        let mut packed = Codec::MessagePack.encode(&1_u8).unwrap().to_vec();
        packed.push(0);
        assert!(Codec::MessagePack.decode::<u8>(&Encoding::MESSAGE_PACK, &packed).is_err());
    }

    #[test]
    fn nesting_bombs_are_refused_by_both_codecs() {
        let json = "[".repeat(1_000_000);
        assert!(Codec::Json.decode::<serde_json::Value>(&Encoding::JSON, json.as_bytes()).is_err());
        let packed = vec![0x91; 1_000_000];
        assert!(Codec::MessagePack.decode::<serde_json::Value>(&Encoding::MESSAGE_PACK, &packed).is_err());
    }

    #[test]
    fn names_of_encodings_are_checked() {
        assert_eq!(Encoding::new("json").unwrap(), Encoding::JSON);
        assert_eq!(Encoding::new("script.v1").unwrap().as_str(), "script.v1");
        for bad in ["", "a b", "é", &"e".repeat(65)] {
            assert!(Encoding::new(bad).is_err(), "{bad:?}");
        }
    }
}
