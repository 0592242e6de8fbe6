//! Saves as awaitable builders.

use std::{future::IntoFuture, pin::Pin, time::Duration};

use serde::Serialize;
use storage_core::{
    Bytes, Codec, Condition, Encoding, ItemKey, Result, SaveRequest, StorageItem, Tags, Timestamp,
};

use crate::{Expiry, Operation, UnifiedStorageManager, dispatch::Dispatch};

/// A save that was described and not sent yet: `.await` sends it, dropping it does nothing.
///
/// Made by [`UnifiedStorageManager::save`] and [`UnifiedStorageManager::save_bytes`]; several of them form a batch for
/// [`UnifiedStorageManager::save_many`].
#[derive(Debug, Clone)]
#[must_use = "a save does nothing until it is awaited"]
pub struct Save<'a, P> {
    manager: &'a UnifiedStorageManager,
    parts: Parts<'a>,
    payload: P,
}

/// A save without its payload.
#[derive(Debug, Clone)]
struct Parts<'a> {
    key: &'a str,
    content_type: &'a str,
    expiry: Expiry,
    tags: Tags,
    condition: Condition,
}

impl<'a, P> Save<'a, P> {
    pub(crate) fn new(
        manager: &'a UnifiedStorageManager,
        key: &'a str,
        content_type: &'a str,
        payload: P,
    ) -> Self {
        let parts =
            Parts { key, content_type, expiry: Expiry::Never, tags: Tags::new(), condition: Condition::None };
        Self { manager, parts, payload }
    }

    /// The item lives for `ttl` from the moment it is sent. Replaces an earlier deadline.
    pub fn ttl(self, ttl: Duration) -> Self {
        self.expiry(ttl)
    }

    /// The item lives until `deadline`, or for ever if that is `None`. Replaces an earlier time to live.
    pub fn expires_at(self, deadline: impl Into<Option<Timestamp>>) -> Self {
        self.expiry(deadline.into())
    }

    /// How long the item lives. Default: for ever.
    pub fn expiry(mut self, expiry: impl Into<Expiry>) -> Self {
        self.parts.expiry = expiry.into();
        self
    }

    /// Adds a tag, replacing an earlier value of the same name.
    pub fn tag(mut self, name: impl AsRef<str>, value: impl AsRef<str>) -> Self {
        self.parts.tags.insert(name, value);
        self
    }

    /// Sets all tags.
    pub fn tags(mut self, tags: Tags) -> Self {
        self.parts.tags = tags;
        self
    }

    /// Saves only if no live item is stored under the key.
    pub fn if_absent(self) -> Self {
        self.condition(Condition::Absent)
    }

    /// Saves only if the stored item has this version.
    pub fn if_version(self, version: u64) -> Self {
        self.condition(Condition::Version(version))
    }

    /// Sets the condition. Default: none.
    pub fn condition(mut self, condition: Condition) -> Self {
        self.parts.condition = condition;
        self
    }
}

impl<V> Save<'_, Typed<V>> {
    /// Encodes the value with `codec` instead of the manager's.
    pub fn codec(mut self, codec: Codec) -> Self {
        self.payload.codec = codec;
        self
    }
}

impl Save<'_, Raw> {
    /// Names the encoding that the bytes are in. Default: [`Encoding::RAW`].
    pub fn encoding(mut self, encoding: Encoding) -> Self {
        self.payload.encoding = encoding;
        self
    }
}

impl<'a, P: Payload + 'a> Save<'a, P> {
    async fn send(self) -> Result<StorageItem<P::Data>> {
        let dispatch = self.manager.dispatch();
        let (request, payload) = self.prepare(dispatch);
        let saved = match request {
            Ok(request) => dispatch.save(request).await?,
            Err(error) => return Err(dispatch.refuse(Operation::Save, error)),
        };
        Ok(StorageItem { data: payload.into_data(saved.data), metadata: saved.metadata })
    }

    /// The request that a provider takes, or what is wrong with it already, and the payload as it was given.
    pub(crate) fn prepare(self, dispatch: &Dispatch) -> (Result<SaveRequest<'a>>, P) {
        (self.parts.into_request(&self.payload, dispatch), self.payload)
    }
}

impl<'a> Parts<'a> {
    fn into_request(self, payload: &impl Payload, dispatch: &Dispatch) -> Result<SaveRequest<'a>> {
        let key = ItemKey::new(self.content_type, self.key)?;
        let (data, encoding) = payload.encode().map_err(|error| error.with_key(key))?;
        let deadline = self.expiry.deadline(dispatch.clock.now()).map_err(|error| error.with_key(key))?;
        let request = SaveRequest::new(key, data).encoding(encoding).expires_at(deadline);
        Ok(request.tags(self.tags).condition(self.condition))
    }
}

impl<'a, P: Payload + 'a> IntoFuture for Save<'a, P> {
    type Output = Result<StorageItem<P::Data>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}

/// What a [`Save`] stores. Sealed: typed values and raw bytes.
pub trait Payload: sealed::Payload {}

/// A value with the codec that encodes it.
#[derive(Debug, Clone)]
pub struct Typed<V> {
    pub(crate) value: V,
    pub(crate) codec: Codec,
}

/// Bytes with the name of their encoding.
#[derive(Debug, Clone)]
pub struct Raw {
    pub(crate) data: Bytes,
    pub(crate) encoding: Encoding,
}

pub(crate) mod sealed {
    use storage_core::{Bytes, Encoding, Result};

    pub trait Payload: Send {
        /// What the caller gets back.
        type Data: Send;

        /// The bytes to store, and how they are encoded.
        fn encode(&self) -> Result<(Bytes, Encoding)>;

        /// What the caller gave, once `stored` was saved for it.
        fn into_data(self, stored: Bytes) -> Self::Data;
    }
}

impl<V: Serialize + Send> Payload for Typed<V> {}

impl<V: Serialize + Send> sealed::Payload for Typed<V> {
    type Data = V;

    fn encode(&self) -> Result<(Bytes, Encoding)> {
        Ok((self.codec.encode(&self.value)?, self.codec.encoding()))
    }

    fn into_data(self, _stored: Bytes) -> V {
        self.value
    }
}

impl Payload for Raw {}

impl sealed::Payload for Raw {
    type Data = Bytes;

    fn encode(&self) -> Result<(Bytes, Encoding)> {
        Ok((self.data.clone(), self.encoding.clone()))
    }

    fn into_data(self, stored: Bytes) -> Bytes {
        stored
    }
}
